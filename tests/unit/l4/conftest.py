"""A namespace on one wire, and packets that came in by it.

peer 10.0.1.2 ──── lan 10.0.1.1/24 [red]
"""

from collections.abc import Callable

import pytest

from vrouter.stack.base.packet import Packet
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.stack.wire import ipv4, udp

HERE = 0x0A000101
PEER = 0x0A000102


@pytest.fixture
def stack() -> Stack:
    """A stack with a fixed seed."""
    return Stack(seed=4)


@pytest.fixture
def ns(stack: Stack) -> Netns:
    """Namespace red with device lan, 10.0.1.1/24."""
    ns = stack.add_netns("red")
    ns.add_device("lan", mac="02:00:00:00:01:01")
    ns.add_address("lan", "10.0.1.1/24")
    stack.take_egress()
    return ns


@pytest.fixture
def came(ns: Netns) -> Callable[..., Packet]:
    """Makes a packet as layer 3 hands it on: `segment` from 10.0.1.2 by device lan."""

    def make(
        segment: bytes,
        proto: int = 17,
        *,
        src: int = PEER,
        dst: int = HERE,
        dev: str = "lan",
        ttl: int = 64,
        tos: int = 0,
    ) -> Packet:
        header = bytearray(20)
        ipv4.emit_header(
            header,
            0,
            total_length=20 + len(segment),
            ident=0,
            flags_fragment=0,
            ttl=ttl,
            proto=proto,
            src=src,
            dst=dst,
            tos=tos,
        )
        pkt = Packet.from_frame(header + segment)
        pkt.l3, pkt.l4 = pkt.start, pkt.start + 20
        pkt.src, pkt.dst, pkt.family, pkt.proto, pkt.iif = src, dst, 4, proto, ns.devices[dev]
        return pkt

    return make


@pytest.fixture
def datagram(came: Callable[..., Packet]) -> Callable[..., Packet]:
    """Makes a UDP packet from 10.0.1.2 port `sport` to `dst` port `dport`, right in every field."""

    def make(
        payload: bytes = b"data",
        *,
        sport: int = 9999,
        dport: int = 53,
        src: int = PEER,
        dst: int = HERE,
        **rest: object,
    ) -> Packet:
        segment = bytearray(8) + payload
        udp.emit(segment, 0, len(segment), sport, dport, src, dst)
        return came(bytes(segment), src=src, dst=dst, **rest)

    return make
