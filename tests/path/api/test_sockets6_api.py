"""Endpoints and ping over IPv6, as a program on asyncio uses them.

red ──── x 2001:db8::1/64 ═══veth═══ y 2001:db8::2/64 ──── blue
         fe80::a                     fe80::b               2001:db8:1::/64 prohibited
"""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
import pytest_asyncio

import vrouter
from tests.path.api.ends import Echo, Recorder

AF_INET6, SOCK_DGRAM, SOL_IPV6 = 10, 2, 41


@pytest_asyncio.fixture
async def six(router: vrouter.Router) -> vrouter.Router:
    """The addresses above and no others, looked for on no link."""
    for name, dev, number in (("red", "x", 1), ("blue", "y", 2)):
        ns = router[name]
        ns.sysctl[f"net.ipv6.conf.{dev}.accept_dad"] = 0
        for made in [a for a in ns.addresses() if a["dev"] == dev and a["address"].startswith("fe80:")]:
            await ns.del_address(dev, made["address"])
        await ns.add_address(dev, f"2001:db8::{number}/64")
        await ns.add_address(dev, f"fe80::{number + 9:x}/64")
        await ns.wait_addresses()
    return router


async def test_an_endpoint_of_each_kind_of_address(six: vrouter.Router) -> None:
    """RFC 3493 3.3, RFC 4007 11: global, link-local with its zone as a name and as a number; four fields in answers."""
    red, blue = six["red"], six["blue"]
    _, served = await blue.create_datagram_endpoint(Echo, local_addr=("::", 53))
    ifindex = red.stack.devices["x"].ifindex
    for remote, origin in (
        (("2001:db8::2", 53), ("2001:db8::2", 53, 0, 0)),
        (("fe80::b%x", 53), ("fe80::b", 53, 0, ifindex)),
        (("fe80::b", 53, 0, ifindex), ("fe80::b", 53, 0, ifindex)),
    ):
        transport, protocol = await red.create_datagram_endpoint(Recorder, remote_addr=remote)
        for addr in (None, remote, origin) if len(remote) == 4 else (None, remote):
            transport.sendto(b"hi", addr)
        await protocol.wait(2)
        assert protocol.datagrams[0] == (b"HI", origin)
        assert transport.get_extra_info("peername") == origin
        transport.close()
    assert {addr[0] for _, addr in served.datagrams} == {"2001:db8::1", "fe80::a"}


async def test_one_server_for_both_families(six: vrouter.Router) -> None:
    """RFC 3493 3.7, 5.3: an endpoint of :: answers IPv4, too, whose addresses it sees IPv4-mapped."""
    red, blue = six["red"], six["blue"]
    transport, served = await blue.create_datagram_endpoint(Echo, local_addr=("::", 53))
    assert transport.get_extra_info("sockname") == ("::", 53, 0, 0)
    assert transport.get_extra_info("socket_info")["local"] == "*:53"
    for remote in ("10.0.0.2", "2001:db8::2", "::ffff:10.0.0.2"):
        client, protocol = await red.create_datagram_endpoint(Recorder, remote_addr=(remote, 53))
        client.sendto(b"hi")
        await protocol.wait(1)
        assert [data for data, _ in protocol.datagrams] == [b"HI"]
    assert [addr[0] for _, addr in served.datagrams] == ["::ffff:10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"]
    only, _ = await blue.create_datagram_endpoint(Echo, local_addr=("10.0.0.2", 54), remote_addr=("10.0.0.1", 1))
    assert only.get_extra_info("sockname") == ("10.0.0.2", 54)


async def test_an_error_of_icmpv6_reaches_the_protocol(six: vrouter.Router) -> None:
    """RFC 4443 5.4, 3.1: port unreachable is ConnectionRefusedError at a connected endpoint."""
    transport, protocol = await six["red"].create_datagram_endpoint(Recorder, remote_addr=("2001:db8::2", 9))
    transport.sendto(b"x")
    await protocol.wait(1)
    assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]


async def test_ping(six: vrouter.Router) -> None:
    """RFC 4443 4: by global addresses and by link-local ones with their zone, whole and in fragments."""
    red = six["red"]
    for dst in ("2001:db8::2", "fe80::b%x", "::1", "fe80::a%x"):
        assert 0 < await red.ping(dst) < 0.1
    for options in ({"size": 0}, {"size": 4000}, {"size": 65527}, {"ttl": 1, "src": "2001:db8::1"}):
        assert 0 < await red.ping("2001:db8::2", **options) < 0.1
    found = [reply async for reply in red.ping_results("fe80::b%x", count=1, size=8)]
    assert [(reply["from"], reply["ttl"], reply["bytes"]) for reply in found] == [("fe80::b%x", 64, 16)]
    assert not red.stack.sockets


async def test_what_an_icmpv6_error_makes_of_a_ping(six: vrouter.Router) -> None:
    """RFC 4443 3.1, 3.3; Linux's errno for each: prohibited is EACCES, the hop limit EHOSTUNREACH."""
    red, blue = six["red"], six["blue"]
    blue.sysctl["net.ipv6.conf.all.forwarding"] = 1
    await red.add_route("2001:db8:1::/64", via="2001:db8::2")
    await blue.add_route("2001:db8:1::/64", type="prohibit")
    with pytest.raises(OSError, match=r"ping 2001:db8:1::1: .* \(from 2001:db8::2\)") as caught:
        await red.ping("2001:db8:1::1")
    assert caught.value.errno == errno.EACCES
    with pytest.raises(OSError, match="Message too long"):
        await red.ping("2001:db8::2", size=1453, dont_fragment=True)
    assert await red.ping("2001:db8::2", size=1452, dont_fragment=True) > 0
    for dst, code in (("fe80::b", errno.EINVAL), ("fe80::b%nosuch", errno.ENETUNREACH), ("2002::1", errno.ENETUNREACH)):
        with pytest.raises(OSError) as caught:
            await red.ping(dst)
        assert caught.value.errno == code
    assert not red.stack.sockets


async def test_what_is_sent_is_as_the_options_say(six: vrouter.Router) -> None:
    """RFC 3542 6: hop limit and traffic class by option and by control message, seen by who asked for them."""
    red, blue = six["red"], six["blue"]
    heard = blue.socket(AF_INET6, SOCK_DGRAM)
    heard.bind(("2001:db8::2", 53))
    for option in (49, 51, 66):
        heard.setsockopt(SOL_IPV6, option, 1)
    sock = red.socket(AF_INET6, SOCK_DGRAM)
    sock.setsockopt(SOL_IPV6, 16, 9)
    sock.setsockopt(SOL_IPV6, 67, 0x28)
    number = struct.Struct("=i").pack

    def seen() -> dict[int, Any]:
        data, messages, _, _ = heard.recvmsg(9, 200)
        assert data == b"x"
        return {kind: value for level, kind, value in messages if level == SOL_IPV6}

    ifindex = blue.stack.devices["y"].ifindex
    to = bytes.fromhex("20010db8000000000000000000000002") + number(ifindex)
    sock.sendto(b"x", ("2001:db8::2", 53))
    await red.ping("2001:db8::2")
    assert seen() == {50: to, 52: number(9), 67: number(0x28)}
    sock.sendmsg([b"x"], [(SOL_IPV6, 52, number(3)), (SOL_IPV6, 67, number(1))], 0, ("2001:db8::2", 53))
    assert seen() == {50: to, 52: number(3), 67: number(1)}


async def test_groups_between_two_namespaces(six: vrouter.Router) -> None:
    """RFC 3493 5.2, RFC 3678 5: by IPV6_MULTICAST_IF to who joined, from whom he wants to hear; looped unless not."""
    red, blue = six["red"], six["blue"]
    x, y = red.stack.devices["x"].ifindex, blue.stack.devices["y"].ifindex
    group = bytes.fromhex("ff0e0000000000000000000000000009")
    here, there, filtered = (ns.socket(AF_INET6, SOCK_DGRAM) for ns in (red, blue, blue))
    for sock, index in ((here, x), (there, y)):
        sock.bind(("ff0e::9", 5000))
        sock.setsockopt(SOL_IPV6, 20, group + struct.pack("=i", index))
    filtered.setsockopt(SOL_IPV6, 29, 0)
    filtered.bind(("::", 5001))
    wanted = struct.pack("=HHI16sI100x", 10, 0, 0, group, 0)
    source = struct.pack("=HHI16sI100x", 10, 0, 0, bytes.fromhex("20010db8000000000000000000000077"), 0)
    filtered.setsockopt(SOL_IPV6, 46, struct.pack("=I4x", y) + wanted + source)
    sender = red.socket(AF_INET6, SOCK_DGRAM)
    sender.setsockopt(SOL_IPV6, 17, x)
    sender.sendto(b"one", ("ff0e::9", 5000))
    assert [sock.recvfrom(9)[0] for sock in (here, there)] == [b"one", b"one"]
    sender.setsockopt(SOL_IPV6, 19, 0)
    sender.sendto(b"two", ("ff0e::9", 5000))
    assert there.recvfrom(9)[0] == b"two"
    sender.sendto(b"three", ("ff0e::9", 5001))
    for sock in (here, there, filtered):
        with pytest.raises(BlockingIOError):
            sock.recv(9)
    await red.add_address("x", "2001:db8::77/64")
    await red.wait_addresses()
    chosen = red.socket(AF_INET6, SOCK_DGRAM)
    chosen.bind(("2001:db8::77", 0))
    chosen.setsockopt(SOL_IPV6, 17, x)
    chosen.sendto(b"four", ("ff0e::9", 5001))
    assert filtered.recvfrom(9)[0] == b"four"
