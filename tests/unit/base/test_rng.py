"""Random numbers: repeatable from a seed, spread evenly, unpredictable without the key."""

import pytest

from vrouter.stack.base.rng import Rng


def test_the_same_seed_gives_the_same_numbers() -> None:
    """The same seed and inputs give the same bytes out."""
    one, two = Rng(7), Rng(7)
    assert [one.u32() for _ in range(50)] == [two.u32() for _ in range(50)]
    assert one.random_bytes(100) == two.random_bytes(100)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (0, -1), (b"a", b"b"), (255, 65535), (0, 256)])
def test_another_seed_gives_other_numbers(one: int | bytes, other: int | bytes) -> None:
    """No two seeds share a stream, whatever their width or sign."""
    assert Rng(one).random_bytes(32) != Rng(other).random_bytes(32)


def test_pieces_of_any_size_are_one_stream() -> None:
    """Blocks are an inner matter: 200 bytes at once are the same 200 bytes one by one."""
    whole, pieces = Rng(3), Rng(3)
    assert whole.random_bytes(200) == b"".join(pieces.random_bytes(1) for _ in range(200))


def test_below_stays_below_and_reaches_every_value_evenly() -> None:
    """A draw is an integer of 0 to bound-1; over 60,000 draws of 6 each comes within 5 % of its share."""
    rng = Rng(11)
    counts = [0] * 6
    for _ in range(60_000):
        counts[rng.below(6)] += 1
    assert all(9_500 <= count <= 10_500 for count in counts), counts


def test_u16_and_u32_use_their_width() -> None:
    """All bits are set sometimes and clear sometimes."""
    rng = Rng(5)
    for draw, bits in ((rng.u16, 16), (rng.u32, 32)):
        values = [draw() for _ in range(200)]
        union = 0
        common = (1 << bits) - 1
        for value in values:
            assert 0 <= value < 1 << bits
            union |= value
            common &= value
        assert union == (1 << bits) - 1
        assert common == 0


def test_a_keyed_hash_depends_on_key_parts_and_their_order() -> None:
    """RFC 6056, RFC 7739: a stranger who knows the parts does not know the value."""
    rng = Rng(1)
    assert rng.keyed_hash(1, 2) == rng.keyed_hash(1, 2)
    assert len({rng.keyed_hash(1, 2), rng.keyed_hash(2, 1), rng.keyed_hash(12), Rng(2).keyed_hash(1, 2)}) == 4
    assert 0 <= rng.keyed_hash(2**128 - 1, -1) < 2**64


def test_hashing_does_not_move_the_stream() -> None:
    """A lookup must not change what is drawn next."""
    one, two = Rng(9), Rng(9)
    one.keyed_hash(1)
    assert one.u32() == two.u32()


def test_a_part_may_be_an_address_with_its_zone() -> None:
    """RFC 4007 6: link-local addresses carry the index of their device above 128 bits, however large that is."""
    rng = Rng(1)
    address = 0xFE80 << 112 | 1
    hashes = {rng.keyed_hash(address | index << 128) for index in (0, 1, 127, 128, 70_000, (1 << 31) - 1)}
    assert len(hashes) == 6
    assert rng.keyed_hash(address | 128 << 128) in hashes
