"""SipHash-2-4 against its authors' vectors, and against Linux's Fast Open cookies, which are made of it."""

import pytest

from vrouter.stack.base.siphash import siphash

KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "310e0edd47db6f72"),
        (1, "fd67dc93c539f874"),
        (7, "37d1018bf50002ab"),
        (8, "6224939a79f5f593"),
        (15, "e545be4961ca29a1"),
        (63, "724506eb4c328a95"),
    ],
)
def test_vectors_of_the_authors(length: int, digest: str) -> None:
    """The table of the reference implementation: messages 00, 00 01, … under the key 00 … 0f."""
    assert siphash(KEY, bytes(range(length))).to_bytes(8, "little").hex() == digest


def test_linux_fast_open_cookie() -> None:
    """The cookie that a Linux server with this key gives 192.0.2.1 at 192.168.0.1."""
    key = b"".join(int(word, 16).to_bytes(4, "little") for word in "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4".split("-"))
    message = bytes((192, 0, 2, 1, 192, 168, 0, 1))
    assert siphash(key, message).to_bytes(8, "little").hex() == "3021b9d889017eeb"
