"""The calls of a socket beyond what the comparison with the kernel shows: wire bytes, devices, and the end."""

from collections.abc import Callable

import pytest

from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.listing import records
from vrouter.stack.l4.socket import close_all
from vrouter.stack.l4.udp import udp_input
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

Make = Callable[..., Packet]
GROUP_AT_LAN = bytes((239, 0, 0, 5, 10, 0, 1, 1))
GROUP_MAC = bytes.fromhex("01005e000005")


def sent(stack: Stack) -> list[bytes]:
    """The IP packets that left since the last look, without IGMP's."""
    packets = [bytes(frame[14:]) for _, frame in stack.take_egress() if bytes(frame[12:14]) == b"\x08\x00"]
    return [packet for packet in packets if packet[9] != 2]


def ready_neighbour(ns: Netns) -> None:
    """The peer's answer to ARP, so that what is sent leaves at once."""
    arp = bytes.fromhex("0001080006040002 0200000000aa 0a000102 020000000101 0a000101".replace(" ", ""))
    ns.socket().sendto(b"", ("10.0.1.2", 9), now=0)
    ns.stack.receive(ns.devices["lan"], bytes.fromhex("020000000101 0200000000aa 0806".replace(" ", "")) + arp, 0)
    ns.stack.take_egress()


def test_datagram_on_the_wire(stack: Stack, ns: Netns) -> None:
    """RFC 768: ports, length and checksum over the pseudo header; TTL, TOS and Don't Fragment as the options say."""
    ready_neighbour(ns)
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.setsockopt(0, 2, 9, now=0)
    sock.setsockopt(0, 1, 0x10, now=0)
    assert sock.sendto(b"hello", ("10.0.1.2", 4660), now=0) == 5
    (packet,) = sent(stack)
    assert packet[:10] == bytes.fromhex("4510002100004000 0911".replace(" ", ""))
    # 0035+1234+000d+6865+6c6c+6f00 = 5648, pseudo header 0a00+0101+0a00+0102+0011+000d = 1621, together 6c69
    assert packet[20:] == bytes.fromhex("00351234000d") + (0x9396).to_bytes(2, "big") + b"hello"


def test_mtu_discovery_decides_about_fragments(stack: Stack, ns: Netns) -> None:
    """RFC 1191: DONT never sets Don't Fragment, WANT on what fits, DO always and refuses what is too large."""
    ready_neighbour(ns)
    sock = ns.socket()
    seen = {}
    for mode in (0, 1, 2):
        sock.setsockopt(0, 10, mode, now=0)
        for size in (1472, 1473):
            try:
                sock.sendto(bytes(size), ("10.0.1.2", 9), now=0)
                seen[mode, size] = [packet[6] >> 5 for packet in sent(stack)]
            except OSError as error:
                seen[mode, size] = error.strerror
    dont, more, last = 2, 1, 0
    assert seen == {
        (0, 1472): [0], (0, 1473): [more, last], (1, 1472): [dont], (1, 1473): [more, last],
        (2, 1472): [dont], (2, 1473): "Message too long",
    }  # fmt: skip


def test_broadcast_needs_permission(stack: Stack, ns: Netns) -> None:
    """RFC 1122 3.3.6, SO_BROADCAST: EACCES without it, for the directed and the limited address, to send or connect."""
    ns.add_route("default", via="10.0.1.254")
    sock = ns.socket()
    for address in ("10.0.1.255", "<broadcast>"):
        with pytest.raises(PermissionError):
            sock.sendto(b"", (address, 9), now=0)
        assert ns.socket().connect_ex((address, 9), now=0) == 13
    sock.setsockopt(1, 6, 1, now=0)
    sock.sendto(b"", ("10.0.1.255", 9), now=0)
    assert [bytes(frame[:6]) for _, frame in stack.take_egress()] == [b"\xff" * 6]


def test_source_is_the_bound_address_then_the_control_message_s_then_the_route_s(stack: Stack, ns: Netns) -> None:
    """RFC 1122 4.1.3.5, 3.3.4.3: a program may choose the source; else it is the address of the link."""
    ns.add_address("lan", "10.0.1.9/24")
    ready_neighbour(ns)
    sock = ns.socket()
    sock.sendto(b"", ("10.0.1.2", 9), now=0)
    pktinfo = (0, 8, bytes(4) + bytes((10, 0, 1, 9)) + bytes(4))
    sock.sendmsg([b""], [pktinfo], 0, ("10.0.1.2", 9), now=0)
    bound = ns.socket()
    bound.bind(("10.0.1.9", 0), now=0)
    bound.sendto(b"", ("10.0.1.2", 9), now=0)
    assert [packet[15] for packet in sent(stack)] == [1, 9, 9]


def test_connection_filters_what_is_received(ns: Netns, datagram: Make) -> None:
    """RFC 1122 4.1.3.5: a connected socket hears its peer alone, and another one on the port hears the rest."""
    peer = ns.socket()
    other = ns.socket()
    for sock in (peer, other):
        sock.setsockopt(1, 2, 1, now=0)
        sock.bind(("10.0.1.1", 53), now=0)
    peer.connect(("10.0.1.2", 9999), now=0)
    for sport in (9999, 9998):
        assert udp_input(ns, datagram(str(sport).encode(), sport=sport), 0) == 0
    assert (peer.recv(9, now=0), other.recv(9, now=0)) == (b"9999", b"9998")


def test_device_bound_socket_hears_and_speaks_there_alone(stack: Stack, ns: Netns, datagram: Make) -> None:
    """SO_BINDTODEVICE: the other device's datagrams go to the wildcard; when the device goes, sending is ENODEV."""
    ns.add_device("wan", mac="02:00:00:00:01:02")
    anywhere, there = ns.socket(), ns.socket()
    for sock in (anywhere, there):
        sock.setsockopt(1, 2, 1, now=0)
    there.setsockopt(1, 25, b"wan\0", now=0)
    for sock in (anywhere, there):
        sock.bind(("", 53), now=0)
    udp_input(ns, datagram(b"lan"), 0)
    udp_input(ns, datagram(b"wan", dev="wan"), 0)
    assert (anywhere.recv(9, now=0), there.recv(9, now=0)) == (b"lan", b"wan")
    assert there.record()["local"] == "0.0.0.0%wan:53"
    stack.remove_device(ns.devices["wan"])
    with pytest.raises(OSError, match="No such device"):
        there.sendto(b"", ("10.0.1.2", 9), now=0)


def test_moved_device_takes_no_socket_along(stack: Stack, ns: Netns) -> None:
    """A socket never reaches a device that another namespace owns now."""
    sock = ns.socket()
    sock.setsockopt(1, 25, b"lan", now=0)
    sock.setsockopt(0, 35, GROUP_AT_LAN, now=0)
    dev = ns.devices["lan"]
    stack.move_device(dev, stack.add_netns("blue"))
    with pytest.raises(OSError, match="No such device"):
        sock.sendto(b"", ("10.0.1.2", 9), now=0)
    assert GROUP_MAC not in dev.groups


def test_membership_opens_the_filter_of_the_device_while_anybody_is_in(ns: Netns) -> None:
    """RFC 1112 6.1, 7.1: joins are counted per device; leaving or closing gives one back; at most 20 per socket."""
    groups = ns.devices["lan"].groups
    one, two = ns.socket(), ns.socket()
    for sock in (one, two):
        sock.setsockopt(0, 35, GROUP_AT_LAN, now=0)
    assert groups[GROUP_MAC] == 2
    one.setsockopt(0, 36, GROUP_AT_LAN, now=0)
    assert groups[GROUP_MAC] == 1
    two.close(now=0)
    assert GROUP_MAC not in groups
    for last in range(20):
        one.setsockopt(0, 35, bytes((239, 1, 1, last, 10, 0, 1, 1)), now=0)
    with pytest.raises(OSError, match="No buffer space available"):
        one.setsockopt(0, 35, GROUP_AT_LAN, now=0)


def test_group_datagram_leaves_as_configured_and_loops(stack: Stack, ns: Netns) -> None:
    """RFC 1112 6.1, 6.2: TTL 1 unless told, the device's address as source, looped to members here unless told not."""
    listener, sock = ns.socket(), ns.socket()
    listener.bind(("", 4000), now=0)
    listener.setsockopt(0, 35, GROUP_AT_LAN, now=0)
    sock.setsockopt(0, 32, bytes((10, 0, 1, 1)), now=0)
    sent(stack)  # the report of the group
    seen = []
    for ttl, loop in ((-1, 1), (5, 0), (0, 1)):
        sock.setsockopt(0, 33, ttl, now=0)
        sock.setsockopt(0, 34, loop, now=0)
        sock.sendto(b"g", ("239.0.0.5", 4000), now=0)
        looped = listener.readable and listener.recvfrom(9, now=0)[1][0]
        seen.append((looped, [(p[8], p[12:16]) for p in sent(stack)]))
    here = bytes((10, 0, 1, 1))
    assert seen == [("10.0.1.1", [(1, here)]), (False, [(5, here)]), ("10.0.1.1", [])]


def test_only_own_groups_without_multicast_all(ns: Netns, datagram: Make) -> None:
    """IP_MULTICAST_ALL: by default a socket hears each group that the host joined, without it its own ones alone."""
    member, curious, strict = (ns.socket() for _ in range(3))
    strict.setsockopt(0, 49, 0, now=0)
    for sock in (member, curious, strict):
        sock.setsockopt(1, 2, 1, now=0)
        sock.bind(("", 53), now=0)
    member.setsockopt(0, 35, GROUP_AT_LAN, now=0)
    assert udp_input(ns, datagram(dst=0xEF000005), 0) == 0
    assert [sock.readable for sock in (member, curious, strict)] == [True, True, False]


def test_reuseport_shares_by_flow(ns: Netns, datagram: Make) -> None:
    """SO_REUSEPORT: one flow stays with one socket, many flows reach all, and the group is as large as its members."""
    group = [ns.socket() for _ in range(4)]
    for sock in group:
        sock.setsockopt(1, 15, 1, now=0)
        sock.bind(("10.0.1.1", 53), now=0)

    def owner(sport: int) -> int:
        udp_input(ns, datagram(sport=sport), 0)
        (index,) = [i for i, sock in enumerate(group) if sock.readable]
        group[index].recv(9, now=0)
        return index

    chosen = [owner(sport) for sport in range(1000, 1400)]
    assert chosen == [owner(sport) for sport in range(1000, 1400)]
    assert all(70 <= chosen.count(index) <= 130 for index in range(4))
    group.pop().close(now=0)
    assert {owner(sport) for sport in range(1000, 1400)} == {0, 1, 2}


def test_ports_run_out(ns: Netns) -> None:
    """Linux: bind says EADDRINUSE, sending and connecting say EAGAIN; a closed socket's port is free again."""
    ns.sysctl["net.ipv4.ip_local_port_range"] = "40000 40003"
    ns.sysctl["net.ipv4.ip_local_reserved_ports"] = "40001"
    held = []
    for _ in range(3):
        held.append(ns.socket())
        held[-1].bind(("", 0), now=0)
    assert sorted(sock.port for sock in held) == [40000, 40002, 40003]
    late = ns.socket()
    with pytest.raises(OSError, match="Address already in use"):
        late.bind(("", 0), now=0)
    with pytest.raises(BlockingIOError):
        late.sendto(b"", ("10.0.1.2", 9), now=0)
    with pytest.raises(BlockingIOError):
        late.connect(("10.0.1.2", 9), now=0)
    held[1].close(now=0)
    late.connect(("10.0.1.2", 9), now=0)
    assert late.port == held[1].port


def test_freebind_takes_an_address_to_come(ns: Netns) -> None:
    """IP_FREEBIND: an address that is not here yet may be bound."""
    sock = ns.socket()
    with pytest.raises(OSError, match="Cannot assign requested address"):
        sock.bind(("192.0.2.1", 53), now=0)
    sock.setsockopt(0, 15, 1, now=0)
    sock.bind(("192.0.2.1", 53), now=0)
    assert sock.getsockname() == ("192.0.2.1", 53)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((10, 2, 1), OSError, "Protocol not supported"),
        ((2, 2, 58), OSError, "Protocol not supported"),
        ((10, 1, 17), OSError, "Protocol not supported"),
        ((2, 1, 132), OSError, "Protocol not supported"),
        ((99, 2, 0), OSError, "Address family not supported by protocol"),
        ((2, 2, 6), OSError, "Protocol not supported"),
        ((2, 77, 0), OSError, "Invalid argument"),
    ],
)
def test_what_sockets_there_are(ns: Netns, arguments: tuple[int, int, int], error: type[OSError], text: str) -> None:
    """socket(2): what is not there says so, and is not registered."""
    with pytest.raises(error, match=text):
        ns.socket(*arguments)
    assert ns.sockets == {}


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("10.0.1.1", TypeError), (("10.0.1.1",), TypeError), ((1, 2), TypeError), (("10.0.1.1", "53"), TypeError),
        (("10.0.1.1", 65536), OverflowError), (("10.0.1.1", -1), OverflowError), (("example.org", 53), ValueError),
        (("::1", 53), ValueError), (("10.0.1", 53), ValueError),
    ],
)  # fmt: skip
def test_what_is_no_address(ns: Netns, address: object, error: type[Exception]) -> None:
    """As Python's socket module, but nothing resolves names: a host name is a ValueError."""
    sock = ns.socket()
    for call in (sock.bind, sock.connect, lambda name, now: sock.sendto(b"", name, now=now)):
        with pytest.raises(error):
            call(address, now=0)


def test_ping_socket_hears_its_identifier(stack: Stack, ns: Netns, came: Make) -> None:
    """RFC 792: echo replies go by identifier, with the ICMP header; requests bear the socket's identifier."""
    ready_neighbour(ns)
    ping = ns.socket(2, 2, 1)
    ping.bind(("", 77), now=0)
    ping.sendto(b"\x08\0\0\0\xff\xff\0\7abc", ("10.0.1.2", 0), now=0)
    (packet,) = sent(stack)
    # 0800 + 004d + 0007 + 6162 + 6300 = cc b6, complemented below
    assert packet[20:] == b"\x08\0\x33\x49\0\x4d\0\7abc"
    reply = b"\0\0\x3b\x49\0\x4d\0\7abc"
    frame = came(reply, 1).data()
    stack.receive(ns.devices["lan"], bytes.fromhex("0200000001010200000000aa0800") + frame, 0)
    ping.setsockopt(0, 12, 1, now=0)
    assert ping.recvmsg(99, 99, now=0) == (reply, [(0, 2, b"\x40\0\0\0")], 0, ("10.0.1.2", 0))
    with pytest.raises(BlockingIOError):
        ping.recv(9, now=0)


def test_closed_socket_answers_nothing_and_frees_its_port(ns: Netns, datagram: Make) -> None:
    """close(2): every later call is EBADF, the port is free, the owner is told once; closing again does nothing."""
    told = []
    sock = ns.socket()
    sock.on_close = told.append
    sock.bind(("10.0.1.1", 53), now=0)
    sock.close(now=0)
    sock.close(now=0)
    assert told == [sock]
    assert udp_input(ns, datagram(), 0) > 0
    for call in (sock.getsockname, sock.getpeername, lambda: sock.recv(9, now=0), lambda: sock.send(b"", now=0)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    ns.socket().bind(("10.0.1.1", 53), now=0)
    assert ns.sockets.keys().isdisjoint({sock})


def test_end_of_the_namespace_closes_its_sockets(stack: Stack, ns: Netns) -> None:
    """Whoever waits for a socket of a namespace that goes away learns of it."""
    socks = [ns.socket(), ns.socket(2, 2, 1)]
    close_all(ns)
    assert stack.take_ready() == [(sock, 4) for sock in socks]
    assert all(sock.closed for sock in socks)
    assert ns.sockets == {}


def test_records(ns: Netns, datagram: Make) -> None:
    """`show sockets`: ss(8)'s words, one row for each bound socket."""
    ns.socket()
    sock = ns.socket()
    sock.bind(("", 53), now=0)
    sock.deliver(datagram(b"12345"))
    connected = ns.socket(2, 2, 1)
    connected.bind(("10.0.1.1", 7), now=0)
    connected.connect(("10.0.1.2", 1), now=0)
    assert records(ns) == [
        {
            "netns": "red", "proto": "udp", "state": "UNCONN", "local": "0.0.0.0:53", "peer": "0.0.0.0:*",
            "rx_queue": 824 + 8 + 5, "tx_queue": 0,
        },
        {
            "netns": "red", "proto": "icmp", "state": "ESTAB", "local": "10.0.1.1:7", "peer": "10.0.1.2:1",
            "rx_queue": 0, "tx_queue": 0,
        },
    ]  # fmt: skip
