"""Five hundred namespaces in one process, each with the same names, addresses and ports as all the others.

::

    hub: veth pair to each ──── n0 .. n499: lan = 10.0.1.1/24, UDP port 53
"""

from __future__ import annotations

import gc
import tracemalloc

from vrouter.stack import Stack
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.socket import Socket
from vrouter.stack.netns import Netns
from vrouter.testing import frames as make

COUNT = 500
BYTES_EACH = 40 * 1024
CLIENT = "02:00:00:00:00:02"


def _tenant(stack: Stack, hub: Netns, index: int) -> tuple[Netns, Socket]:
    ns = stack.add_netns(f"n{index}")
    stack.add_veth(ns, "lan", hub, f"v{index}")
    ns.add_address("lan", "10.0.1.1/24")
    sock = ns.socket()
    sock.bind(("", 53), now=0)
    return ns, sock


def test_five_hundred_namespaces_with_one_address_all_answer() -> None:
    """Nothing is shared: one question, asked in each of them, is answered by each of them once, and counted once."""
    stack = Stack(1)
    hub = stack.add_netns("hub")
    tenants = [_tenant(stack, hub, index) for index in range(COUNT)]
    stack.poll(10**10)  # announcements are over
    for index, (ns, sock) in enumerate(tenants):
        lan = ns.devices["lan"]
        assert lan.peer is not None
        port, now = hub.devices[f"v{index}"], 10**10
        before = lan.rx_packets, port.rx_packets
        request = make.ethernet(b"\xff" * 6, CLIENT, make.ARP, make.arp_request(CLIENT, "10.0.1.2", "10.0.1.1"))
        ask = make.ipv4_udp("10.0.1.2", "10.0.1.1", 1000 + index, 53, b"who")
        for frame in (request, make.ethernet(lan.mac, CLIENT, make.IPV4, ask)):
            stack.receive(lan, frame, now)
        assert sock.recvfrom(100, now=now) == (b"who", ("10.0.1.2", 1000 + index))
        sock.sendto(f"n{index}".encode(), ("10.0.1.2", 1000 + index), now=now)
        assert (lan.rx_packets, port.rx_packets) == (before[0] + 2, before[1] + 2)  # the ARP reply and the answer
    for index, (ns, sock) in enumerate(tenants):
        counted = {stat.name: ns.stat(stat) for stat in Stat if ns.stat(stat)}
        ipv4 = {name: n for name, n in counted.items() if name.startswith(("Udp", "Ip")) and not name.startswith("Ip6")}
        assert ipv4 == {
            "IpInReceives": 1,
            "IpInDelivers": 1,
            "IpOutRequests": 1,
            "UdpInDatagrams": 1,
            "UdpOutDatagrams": 1,
        }
        # The hub's end tells of its link-local address: to nobody who asked, and of its groups to no router.
        assert ns.drop_counts() == {"NDP_NOT_ON_LINK": 1, "OTHERHOST": 2}
        assert hub.devices[f"v{index}"].rx_bytes >= 42 + 14 + 28 + len(f"n{index}")
        assert not sock.readable
    came, went = stack.accounts()
    assert sum(came.values()) == sum(went.values())
    for index in range(COUNT):
        stack.remove_netns(f"n{index}", now=10**10)
    assert list(stack.namespaces) == ["hub"]
    assert list(hub.devices) == ["lo"]
    assert stack.poll_at() is None


def test_a_namespace_takes_at_most_forty_kibibytes() -> None:
    """A namespace with `lo`, a pair, an address and a bound UDP socket: at most 40 KiB of memory, all told."""
    stack = Stack(1)
    hub = stack.add_netns("hub")
    kept = [_tenant(stack, hub, COUNT)]  # what is made once belongs to nobody
    stack.events.take()
    gc.collect()
    tracemalloc.start()
    try:
        kept += [_tenant(stack, hub, index) for index in range(COUNT)]
        stack.events.take()
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / COUNT
    finally:
        tracemalloc.stop()
    assert each <= BYTES_EACH, f"{each:.0f} bytes"
    for ns, _ in kept:
        stack.remove_netns(ns.name, now=0)
