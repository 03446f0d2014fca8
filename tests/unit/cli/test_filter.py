"""The filter language of captures: its grammar, its errors, and its meaning beside a slow, obvious reader of frames."""

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.control.filter import MAX_DEPTH, MAX_TOKENS, FilterError, compile_filter

ETHER = bytes.fromhex("020000000002 020000000001")


def frame_of(spec: dict[str, Any]) -> bytes:
    """A frame as the dictionary says; enough of one for a filter."""
    tag = struct.pack("!HH", 0x8100, 100) if spec.get("vlan") else b""
    if spec["kind"] == "arp":
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + ip(spec["src"]) + bytes(6) + ip(spec["dst"])
        return ETHER + tag + b"\x08\x06" + body
    if spec["kind"] == "other":
        return ETHER + tag + b"\x88\xcc" + bytes(40)
    if spec["kind"] == "stp":
        return ETHER + tag + b"\x00\x26\x42\x42\x03" + bytes(40)
    if spec["kind"] == "ip6":
        return ETHER + tag + b"\x86\xdd" + ip6_of(spec)
    options = bytes(spec["options"] * 4)
    l4 = struct.pack("!HH", spec["sport"], spec["dport"]) + bytes(16)
    head = bytearray(20)
    head[0] = 0x45 + spec["options"]
    struct.pack_into("!HHHBB", head, 2, 20 + len(options) + len(l4), 1, spec["offset"], 64, spec["proto"])
    head[12:16], head[16:20] = ip(spec["src"]), ip(spec["dst"])
    return ETHER + tag + b"\x08\x00" + head + options + l4


def ip6_of(spec: dict[str, Any]) -> bytes:
    """An IPv6 packet; `options` destination options and a fragment header before what it carries."""
    l4 = struct.pack("!HH", spec["sport"], spec["dport"]) + bytes(16)
    proto, chain = spec["proto"], l4
    if spec["offset"]:
        word = (spec["offset"] & 0x1FFF) << 3 | (1 if spec["offset"] & 0x2000 else 0)
        proto, chain = 44, struct.pack("!BBHI", proto, 0, word, 7) + chain
    for _ in range(spec["options"]):
        proto, chain = 60, bytes((proto, 0, 1, 4, 0, 0, 0, 0)) + chain
    return struct.pack("!IHBB", 6 << 28, len(chain), proto, 64) + ip6(spec["src"]) + ip6(spec["dst"]) + chain


def ip6(address: int) -> bytes:
    return (0xFD << 120 | address).to_bytes(16, "big")


def ip(address: int) -> bytes:
    return address.to_bytes(4, "big")


def says(spec: dict[str, Any], word: str, side: str, value: Any) -> bool:
    """What one test means, on the dictionary and never on bytes."""
    is_ip = spec["kind"] in ("ip", "ip6")
    if word in ("arp", "ip", "ip6", "stp"):
        return spec["kind"] == word
    if word == "vlan":
        return spec["vlan"] and value in (None, 100)
    if word in ("icmp", "igmp", "icmp6", "udp", "tcp"):
        kinds = {"icmp": ["ip"], "igmp": ["ip"], "icmp6": ["ip6"]}.get(word, ["ip", "ip6"])
        number = {"icmp": 1, "igmp": 2, "icmp6": 58, "udp": 17, "tcp": 6}[word]
        return spec["kind"] in kinds and spec["proto"] == number
    ends = {"src": ["src"], "dst": ["dst"], "": ["src", "dst"]}[side]
    if word == "port":
        ported = is_ip and spec["proto"] in (6, 17) and not spec["offset"] & 0x1FFF
        return ported and any(spec[{"src": "sport", "dst": "dport"}[end]] == value for end in ends)
    network = ipaddress.ip_network(value)
    if spec["kind"] == "ip6":
        return any(ipaddress.ip_address(ip6(spec[end])) in network for end in ends)
    return spec["kind"] in ("ip", "arp") and any(ipaddress.ip_address(spec[end]) in network for end in ends)


def judged(tree: Any, spec: dict[str, Any]) -> bool:
    """The slow evaluator: the same tree that was written as text."""
    if tree[0] == "not":
        return not judged(tree[1], spec)
    if tree[0] == "and":
        return judged(tree[1], spec) and judged(tree[2], spec)
    if tree[0] == "or":
        return judged(tree[1], spec) or judged(tree[2], spec)
    return says(spec, *tree[1:])


def written(tree: Any, implied: bool) -> str:
    """The tree as text, with parentheses wherever they may be needed."""
    if tree[0] == "not":
        return f"not ({written(tree[1], implied)})"
    if tree[0] in ("and", "or"):
        word = "" if implied and tree[0] == "and" else f" {tree[0]} "
        return f"({written(tree[1], implied)}){word}({written(tree[2], implied)})"
    _, word, side, value = tree
    return " ".join(part for part in (side, word, "" if value is None else str(value)) if part)


ADDRESSES = st.sampled_from([0x0A000101, 0x0A000102, 0x0A0001FF, 0x0A000201, 0xC0A80001])
PORTS = st.sampled_from([0, 53, 80, 65535])
SPECS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["ip", "ip", "ip6", "ip6", "arp", "stp", "other"]),
        "vlan": st.booleans(),
        "src": ADDRESSES,
        "dst": ADDRESSES,
        "proto": st.sampled_from([1, 2, 6, 17, 47, 58]),
        "options": st.sampled_from([0, 0, 1, 10]),
        "offset": st.sampled_from([0, 0, 0x2000, 0x4000, 1, 185]),
        "sport": PORTS,
        "dport": PORTS,
    }
)
SIDES = st.sampled_from(["", "src", "dst"])
LEAVES = st.one_of(
    st.tuples(
        st.just("is"),
        st.sampled_from(["arp", "ip", "ip6", "stp", "vlan", "icmp", "icmp6", "igmp", "udp", "tcp"]),
        st.just(""),
        st.none(),
    ),
    st.tuples(st.just("is"), st.just("vlan"), st.just(""), st.sampled_from([0, 100])),
    st.tuples(st.just("is"), st.just("host"), SIDES, ADDRESSES.map(ipaddress.ip_address)),
    st.tuples(st.just("is"), st.just("host"), SIDES, ADDRESSES.map(lambda one: ipaddress.ip_address(ip6(one)))),
    st.tuples(
        st.just("is"),
        st.just("net"),
        SIDES,
        st.tuples(ADDRESSES, st.integers(0, 128)).map(
            lambda two: ipaddress.ip_network((ip6(two[0]), two[1]), strict=False)
        ),
    ),
    st.tuples(
        st.just("is"),
        st.just("net"),
        SIDES,
        st.tuples(ADDRESSES, st.integers(0, 32)).map(lambda two: ipaddress.ip_network(two, strict=False)),
    ),
    st.tuples(st.just("is"), st.just("port"), SIDES, PORTS),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner)),
    max_leaves=8,
)


@given(tree=TREES, spec=SPECS, implied=st.booleans())
def test_a_filter_means_what_its_slow_twin_says(tree: Any, spec: dict[str, Any], implied: bool) -> None:
    """Any combination of tests takes exactly the frames that an evaluator on the frame's description takes."""
    text = written(tree, implied)
    assert compile_filter(text)(frame_of(spec)) is judged(tree, spec), text


@given(tree=TREES, data=st.binary(max_size=80), spec=SPECS, cut=st.integers(0, 80))
def test_a_filter_never_raises_on_a_frame(tree: Any, data: bytes, spec: dict[str, Any], cut: int) -> None:
    """Random bytes, and a frame cut off at any byte, are taken or not taken."""
    matches = compile_filter(written(tree, False))
    assert matches(data) in (True, False)
    assert matches(frame_of(spec)[:cut]) in (True, False)


WORDS = "arp ip ip6 icmp6 vlan stp fe80::1 host port net src dst ( ) and or not ! 10.0.0.1 53 10.0.0.0/8".split()


@given(text=st.text(max_size=40) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_a_text_is_compiled_or_refused(text: str) -> None:
    """Whatever is typed, there is a filter, or a FilterError with a position inside of the text."""
    position = 1
    try:
        compile_filter(text)(b"")
    except FilterError as error:
        position = error.position
    assert 1 <= position <= len(text) + 1


BASE = {
    "kind": "ip", "vlan": False, "src": 0x0A000101, "dst": 0x0A000102, "proto": 17, "options": 0, "offset": 0,
    "sport": 5000, "dport": 53,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("udp", True),
        ("not udp", False),
        ("!tcp", True),
        ("udp port 53", True),
        ("tcp port 53", False),
        ("src port 53", False),
        ("dst port 53", True),
        ("src 10.0.1.1", True),
        ("src host 10.0.1.2", False),
        ("host 10.0.1.2", True),
        ("net 10.0.1.0/24 and not port 80", True),
        ("dst net 10.0.0.0/16", True),
        ("arp or udp and tcp", False),
        ("(arp or udp) and not tcp", True),
        ("tcp && udp || ip", True),
        ("not not ip", True),
        ("not arp or tcp", True),
        ("not (arp or udp)", False),
        ("udp(port 53)", True),
    ],
)
def test_and_binds_closer_than_or(text: str, taken: bool) -> None:
    """Precedence: not, then and (written or not), then or; the signs are the words."""
    assert compile_filter(text)(frame_of(BASE)) is taken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "filter, character 1: it is empty"),
        ("   ", "filter, character 1: it is empty"),
        ("udp and", "filter, character 8: a test is missing"),
        ("udp or or tcp", "filter, character 8: a test is missing before 'or'"),
        ("and udp", "filter, character 1: a test is missing before 'and'"),
        ("prot 53", "filter, character 1: 'prot' is no word of the filter language (did you mean port?)"),
        (
            "udp x1",
            "filter, character 5: 'x1' is no word of the filter language "
            "(there are arp ip ip6 icmp icmp6 igmp udp tcp stp vlan host net port src dst and or not)",
        ),
        ("port", "filter, character 5: a port number is missing"),
        ("port 65536", "filter, character 6: '65536' is not a port number of 0 to 65535"),
        ("udp port -1", "filter, character 10: '-1' is not a port number of 0 to 65535"),
        ("host 10.0.0", "filter, character 6: '10.0.0' is not an IPv4 address"),
        ("src ::1::2", "filter, character 5: '::1::2' is not an IPv6 address"),
        (
            "host fe80::1%lan",
            "filter, character 6: 'fe80::1%lan' has a zone, which stands for a device that is named already",
        ),
        ("net fe80::1/64", "filter, character 5: 'fe80::1/64' has host bits set"),
        ("vlan 4096", "filter, character 6: '4096' is not a VLAN id of 0 to 4095"),
        ("net 10.0.0.1/24", "filter, character 5: '10.0.0.1/24' has host bits set"),
        ("net 10.0.0.0/33", "filter, character 5: '10.0.0.0/33' has no prefix length of 0 to 32"),
        ("src port", "filter, character 9: a port number is missing"),
        ("(udp", "filter, character 5: ')' is missing"),
        ("udp)", "filter, character 4: ')' closes nothing"),
        ("()", "filter, character 2: a test is missing before ')'"),
    ],
)
def test_errors_say_where(text: str, message: str) -> None:
    """A filter that is refused says at which character, counted from 1, and what is expected."""
    with pytest.raises(FilterError) as caught:
        compile_filter(text)
    assert str(caught.value) == message


def test_a_stacked_tag_is_a_tag() -> None:
    """802.1ad over 802.1Q: both ids are found, and what is behind them."""
    inner = frame_of({**BASE, "vlan": True})
    frame = inner[:12] + struct.pack("!HH", 0x88A8, 200) + inner[12:]
    for text, taken in (("vlan 200", True), ("vlan 100", True), ("vlan 300", False), ("vlan and udp port 53", True)):
        assert compile_filter(text)(frame) is taken


def test_length_and_depth_are_bounded() -> None:
    """What a client sends cannot make the compiler recurse or grow without end."""
    assert compile_filter("not " * MAX_DEPTH + "udp")(frame_of(BASE)) is True
    with pytest.raises(FilterError, match=f"nested more than {MAX_DEPTH} deep"):
        compile_filter("(" * (MAX_DEPTH + 1) + "udp" + ")" * (MAX_DEPTH + 1))
    assert compile_filter(" ".join(["udp"] * MAX_TOKENS))(frame_of(BASE)) is True
    with pytest.raises(FilterError, match=f"more than {MAX_TOKENS} words"):
        compile_filter(" ".join(["udp"] * (MAX_TOKENS + 1)))
