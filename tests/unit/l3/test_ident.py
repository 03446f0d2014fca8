"""The identification of what is sent (RFC 6864, RFC 7739): unique where it must be, and no news to strangers."""

from vrouter.stack.l3.ip import IDENTS, IpState
from vrouter.stack.stack import Stack

HERE, PEERS, UDP = 0x0A000101, range(0x0A000200, 0x0A000300), 17


def state(seed: int = 1, name: str = "red") -> IpState:
    return Stack(seed=seed).add_netns(name).ip4


def test_packets_to_one_peer_differ_for_as_long_as_possible() -> None:
    """RFC 6864 4.3: no value comes again before all 65536 were used."""
    ip = state()
    assert len({ip.next_ident(HERE, PEERS[0], UDP) for _ in range(65536)}) == 65536


def test_a_stranger_learns_nothing_from_his_own() -> None:
    """RFC 7739 5.3: packets to 255 others move the counter of few peers: only of those who chance to share one."""
    ip = state()
    before = {peer: ip.next_ident(HERE, peer, UDP) for peer in PEERS}
    start = {peer: (ip.next_ident(HERE, peer, UDP) - before[peer]) & 0xFFFF for peer in PEERS}
    assert min(start.values()) >= 1
    watcher = PEERS[0]
    seen = ip.next_ident(HERE, watcher, UDP)
    moved = 0
    for peer in PEERS[1:]:
        for _ in range(37):
            ip.next_ident(HERE, peer, UDP)
        now = ip.next_ident(HERE, watcher, UDP)
        moved += (now - seen) & 0xFFFF != 1
        seen = now
    assert moved <= 5  # 255 others over 256 counters: one of them on average


def test_protocols_and_sources_have_offsets_of_their_own() -> None:
    """RFC 6864 4: the value is per source, destination and protocol."""
    ip = state()
    first = [ip.next_ident(HERE + source, PEERS[0], proto) for source in range(8) for proto in (1, 6, 17)]
    assert len(set(first)) == len(first)


def test_namespaces_tell_nothing_of_one_another() -> None:
    """The same addresses in two namespaces: other offsets, and not by one difference for all peers; each counts for
    itself."""
    stack = Stack(seed=5)
    red, blue = stack.add_netns("red").ip4, stack.add_netns("blue").ip4
    differences = {(red.next_ident(HERE, peer, UDP) - blue.next_ident(HERE, peer, UDP)) & 0xFFFF for peer in PEERS}
    assert len(differences) > 200
    assert 0 not in {(red.next_ident(HERE, 7, UDP) - blue.next_ident(HERE, 7, UDP)) & 0xFFFF}
    seen = red.next_ident(HERE, 7, UDP)
    for _ in range(100):
        blue.next_ident(HERE, 7, UDP)
    assert red.next_ident(HERE, 7, UDP) == (seen + 1) & 0xFFFF


def test_a_namespace_that_sends_nothing_keeps_no_counters() -> None:
    """The counters are made with the first packet: 512 bytes, however many peers there are."""
    ip = state()
    assert ip._idents is None
    for peer in range(5000):
        ip.next_ident(HERE, peer, UDP)
    assert ip._idents is not None
    assert len(ip._idents) * ip._idents.itemsize == 2 * IDENTS == 512


def test_ipv6_has_32_bits_of_them() -> None:
    """RFC 8200 4.5, RFC 7739 5.3: consecutive for one peer, from an offset that uses all bits; 1 KiB of counters."""
    ip = Stack(seed=1).add_netns("red").ip6
    first = [ip.next_ident(HERE << 96, peer, 44) for peer in PEERS]
    one, two = (ip.next_ident(HERE << 96, PEERS[0], 44) for _ in range(2))
    assert (two - one) & 0xFFFFFFFF == 1
    for bit in range(32):
        assert 80 < sum(value >> bit & 1 for value in first) < 176
    assert ip._idents is not None
    assert len(ip._idents) * ip._idents.itemsize == 4 * IDENTS


def test_the_same_seed_gives_the_same_values() -> None:
    """The stack is a function of its seed and its input."""
    one, other, stranger = state(4), state(4), state(5)
    values = [[ip.next_ident(HERE, peer, UDP) for peer in PEERS] for ip in (one, other, stranger)]
    assert values[0] == values[1] != values[2]
