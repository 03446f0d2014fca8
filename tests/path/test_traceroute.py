"""Traceroute over the lab: who answers, in order; what ends the way; the path's MTU.

a 10.0.1.2 ── 10.0.1.1 r1 10.0.2.1 ── 10.0.2.2 r2 10.0.3.1 ── 10.0.3.2 r3 10.0.4.1 ── 10.0.4.2 b
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.sockets.world import turns
from vrouter.stack.base.drop import DropReason
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab, Node, frames, match
from vrouter.traceroute import trace_results, traceroute

METHODS = ("udp", "icmp", "tcp")
FAMILIES = (4, 6)
EVERY = [pytest.param(method, family, id=f"{method}{family}") for method in METHODS for family in FAMILIES]
WAY = {
    4: ["10.0.1.1", "10.0.2.2", "10.0.3.2", "10.0.4.2"],
    6: [f"fd00:0:{n}::{h}" for n, h in enumerate((1, 2, 2, 2), 1)],
}


class Chain:
    """Four wires, 10 ms each."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.nodes: list[Node] = self.lab.line("a", "r1", "r2", "r3", "b", delay=0.01)
        self.a, self.r1, self.r2, self.r3, self.b = self.nodes

    def to(self, family: int) -> str:
        return self.b.addr if family == 4 else self.b.addr6

    def trace(self, dst: str, **options: Any) -> dict[str, Any]:
        face = self.a.face
        return self.lab.run(traceroute(face.router.driver, face.stack, dst, **options))


@pytest.fixture
def chain() -> Iterator[Chain]:
    made = Chain()
    yield made
    left = [repr(sock) for sock in made.a.ns.sockets]
    made.lab.close()
    assert left == [], "a socket was left open"


def addresses(found: dict[str, Any]) -> list[tuple[int, int, str | None]]:
    return [(record["hop"], record["probe"], record["address"]) for record in found["probes"]]


@pytest.mark.parametrize(("method", "family"), EVERY)
def test_through_three_routers(chain: Chain, method: str, family: int) -> None:
    """RFC 1812 5.3.1, RFC 4443 3.3: each router answers for its hop, the host for itself; three probes each, in order,
    none beyond, and the time of each is that of its way."""
    found = chain.trace(chain.to(family), method=method)
    assert addresses(found) == [(hop, n, WAY[family][hop - 1]) for hop in range(1, 5) for n in (1, 2, 3)]
    assert [record["rtt_ns"] for record in found["probes"][::3]] == [20_000_000 * hop for hop in range(1, 5)]
    assert [record["reached"] for record in found["probes"]] == [False] * 9 + [True] * 3
    assert (found["dst"], found["reached"], found["mtu"]) == (chain.to(family), True, None)
    assert all(set(record) == {"hop", "probe", "address", "rtt_ns", "reached"} for record in found["probes"])


@pytest.mark.parametrize(("method", "family"), EVERY)
def test_from_one_hop_to_another(chain: Chain, method: str, family: int) -> None:
    """`first_hop`, `max_hops`, `probes`: what is asked for, and an end that was not reached."""
    found = chain.trace(chain.to(family), method=method, first_hop=2, max_hops=3, probes=1)
    assert addresses(found) == [(2, 1, WAY[family][1]), (3, 1, WAY[family][2])]
    assert found["reached"] is False


@pytest.mark.parametrize(("method", "family"), EVERY)
def test_a_router_that_says_nothing(chain: Chain, method: str, family: int) -> None:
    """A hop without an answer is told after `timeout` as ETIMEDOUT, and the way goes on; probes wait side by side."""
    drop_icmp(chain.r2)
    before = chain.lab.now
    found = chain.trace(chain.to(family), method=method, probes=2, timeout=0.5)
    assert [address for _, _, address in addresses(found)] == [
        None if hop == 1 else WAY[family][hop] for hop in range(4) for _ in range(2)
    ]
    silent = found["probes"][2]
    assert (silent["error"], silent["message"], silent["reached"]) == ("ETIMEDOUT", "no answer", False)
    assert "rtt_ns" not in silent
    assert chain.lab.now - before < 1_000_000_000
    assert found["reached"]


def tcp_of(frame: bytes) -> bytes:
    """The TCP header and what follows, or as many zeros."""
    at, proto = (54, frame[20]) if frame[12] == 0x86 else (34, frame[23])
    return frame[at:] if proto == 6 else bytes(20)


def drop_icmp(node: Node) -> None:
    """It sends no ICMP of its own."""

    def refuse(ns: Any, pkt: Any, now: int) -> int:
        return int(DropReason.ICMP_RATELIMIT) if pkt.proto in (1, 58) else 0

    node.ns.hooks = hook.Hooks()
    node.ns.hooks.register(hook.OUTPUT, 0, refuse)


@pytest.mark.parametrize(("method", "family"), EVERY)
@pytest.mark.parametrize(
    ("kind", "mark4", "mark6", "code4", "code6"),
    [("unreachable", "!H", "!N", "EHOSTUNREACH", "ENETUNREACH"), ("prohibit", "!X", "!X", "EHOSTUNREACH", "EACCES")],
)
def test_a_router_that_refuses(
    chain: Chain, method: str, family: int, kind: str, mark4: str, mark6: str, code4: str, code6: str
) -> None:
    """RFC 1812 5.2.7.1, RFC 4443 3.1: what a router says instead ends the way, with traceroute(8)'s mark."""
    prefix = "10.0.4.2/32" if family == 4 else "fd00:0:4::2/128"
    chain.r2.ns.add_route(prefix, type=kind, now=chain.lab.now)
    found = chain.trace(chain.to(family), method=method)
    assert [record["hop"] for record in found["probes"]] == [1, 1, 1, 2, 2, 2]
    last = found["probes"][-1]
    assert (last["address"], last["mark"]) == (WAY[family][1], mark4 if family == 4 else mark6)
    assert (last["error"], last["reached"]) == (code4 if family == 4 else code6, False)
    assert last["message"]
    assert found["reached"] is False


@pytest.mark.parametrize(("method", "family"), EVERY)
def test_the_mtu_of_the_path(method: str, family: int) -> None:
    """RFC 1191, RFC 8201: probes of the size that the path takes; each hop with that which got there."""
    with Lab() as lab:
        a, r1, r2, b = lab.host("a"), lab.router("r1"), lab.router("r2"), lab.host("b")
        for one, other, mtu in ((a, r1, 1500), (r1, r2, 1400), (r2, b, 1300)):
            lab.wire(one, other, mtu=mtu)
        lab.set_routes()
        face = a.face
        dst = b.addr if family == 4 else b.addr6
        found = lab.run(traceroute(face.router.driver, face.stack, dst, method=method, find_mtu=True, probes=1))
        assert [(record["hop"], record["mtu"]) for record in found["probes"]] == [(1, 1500), (2, 1400), (3, 1300)]
        assert (found["reached"], found["mtu"]) == (True, 1300)
        assert max(len(frame) for frame in a.sent) == 1514
        again = lab.run(traceroute(face.router.driver, face.stack, dst, method=method, find_mtu=True, probes=1))
        assert {record["mtu"] for record in again["probes"]} == {1300}, "it is known now"


@pytest.mark.parametrize("family", FAMILIES)
def test_tcp_leaves_nothing_behind(chain: Chain, family: int) -> None:
    """RFC 9293 3.5.2: a listener's SYN-ACK is answered with a reset, as no connection is known; none comes of it."""
    listener = chain.b.tcp_listen(443, "0.0.0.0" if family == 4 else "::")
    found = chain.trace(chain.to(family), method="tcp", port=443, probes=1)
    assert found["reached"]
    chain.lab.run_for(1)
    flags = [tcp_of(frame)[13] for frame in chain.a.sent]
    assert set(flags) == {2, 4}
    assert flags.count(2) >= 4
    assert flags.count(4) == len([frame for frame in chain.b.sent if tcp_of(frame)[13] == 18])
    table = chain.b.ns.tcp if family == 4 else chain.b.ns.tcp6
    assert table.connections == {}
    listener.close()
    refused = chain.trace(chain.to(family), method="tcp", port=444, probes=1)
    assert refused["reached"], "a reset is an answer"


def test_ports_of_sockets_are_left_alone(chain: Chain) -> None:
    """A port that a socket of the namespace has is nobody else's source."""
    held = []
    for port in range(32768, 60768, 7):
        sock = chain.a.ns.socket(c.AF_INET, c.SOCK_STREAM, 0)
        sock.bind(("0.0.0.0", port), now=chain.lab.now)
        held.append(port)
    chain.trace(chain.b.addr, method="tcp")
    sources = {int.from_bytes(tcp_of(frame)[:2], "big") for frame in chain.a.sent}
    assert len(sources) >= 12
    assert sources.isdisjoint(held)
    for sock in list(chain.a.ns.sockets):
        sock.close(now=chain.lab.now)


def test_somebody_has_the_port(chain: Chain) -> None:
    """UDP to a port that answers: an answer is an answer."""
    echo = chain.b.udp(33434 + 9)
    echo.answer(lambda data, peer: data)
    found = chain.trace(chain.b.addr, probes=3)
    assert [record["reached"] for record in found["probes"][-3:]] == [True] * 3


@pytest.mark.parametrize("method", METHODS)
def test_source_and_device(chain: Chain, method: str) -> None:
    """`src` and `device` choose; what is not there is refused at once."""
    chain.a.ns.add_address("r1", "10.9.9.9/32", now=chain.lab.now)
    for node, via in ((chain.r1, "10.0.1.2"), (chain.r2, "10.0.2.1"), (chain.r3, "10.0.3.1"), (chain.b, "10.0.4.1")):
        node.ns.add_route("10.9.9.9/32", via=via, now=chain.lab.now)
    found = chain.trace(chain.b.addr, method=method, src="10.9.9.9", device="r1", probes=1)
    assert found["reached"]
    assert {match.decode(frame).layers["ipv4"]["src"] for frame in chain.a.sent} == {0x0A090909}
    for options, code in (
        ({"src": "10.9.9.8"}, errno.EADDRNOTAVAIL),
        ({"device": "nothing"}, errno.ENODEV),
    ):
        with pytest.raises(OSError) as caught:
            chain.trace(chain.b.addr, method=method, **options)
        assert caught.value.errno == code


@pytest.mark.parametrize("method", METHODS)
def test_what_is_near(chain: Chain, method: str) -> None:
    """This host, and a neighbour by its link-local address and device."""
    assert addresses(chain.trace("127.0.0.1", method=method, probes=1)) == [(1, 1, "127.0.0.1")]
    assert addresses(chain.trace("::1", method=method, probes=1)) == [(1, 1, "::1")]
    near = f"{chain.r1.link_local(chain.a)}"
    found = chain.trace(f"{near.partition('%')[0]}%r1", method=method, probes=1)
    assert found["reached"]
    assert found["probes"][0]["address"].endswith("%r1")


def test_what_cannot_be(chain: Chain) -> None:
    """Numbers and texts that mean nothing are ValueError, a host without a route OSError, before anything is sent."""
    for options in (
        {"method": "sctp"},
        {"first_hop": 0},
        {"first_hop": 5, "max_hops": 4},
        {"max_hops": 256},
        {"probes": 0},
        {"probes": 11},
        {"port": 65536},
        {"parallel": 65},
        {"src": "::1"},
    ):
        with pytest.raises(ValueError, match=r".+"):
            chain.trace(chain.b.addr, **options)
    chain.a.ns.add_route("203.0.113.0/24", type="unreachable", now=chain.lab.now)
    with pytest.raises(OSError, match="No route to host"):
        chain.trace("203.0.113.1")
    assert chain.a.sent == []


def test_it_is_bounded(chain: Chain) -> None:
    """At most so many probes are under way as asked for."""
    for node in chain.nodes[1:]:
        drop_icmp(node)
    chain.b.ns.sysctl["net.ipv4.icmp_echo_ignore_all"] = 1
    face, lab = chain.a.face, chain.lab
    sent = []

    async def watch() -> None:
        async for _ in trace_results(face.router.driver, face.stack, chain.b.addr, max_hops=8, timeout=1, parallel=4):
            sent.append(len(chain.a.sent))

    lab.run(watch())
    assert len(chain.a.sent) == 24
    assert sent[:4] == [4, 5, 6, 7] or sent[:4] == [4, 4, 4, 4]


def test_its_reader_goes_away(chain: Chain) -> None:
    """Closing the iterator, or cancelling, closes the sockets at once."""
    face = chain.a.face

    async def once() -> None:
        records = trace_results(face.router.driver, face.stack, chain.b.addr)
        assert (await anext(records))["hop"] == 1
        await records.aclose()
        assert list(chain.a.ns.sockets) == []
        task = asyncio.ensure_future(traceroute(face.router.driver, face.stack, chain.b.addr, first_hop=4))
        await turns(3)
        assert len(chain.a.ns.sockets) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    chain.lab.run(once())


def test_forged_answers_are_nobodys(chain: Chain) -> None:
    """What quotes no probe, or another one's, decides nothing."""
    face = chain.a.face

    async def run() -> dict[str, Any]:
        task = asyncio.ensure_future(
            traceroute(face.router.driver, face.stack, chain.b.addr, method="tcp", first_hop=4, max_hops=4, probes=1)
        )
        await turns(3)
        quote = frames.ipv4(chain.a.addr, chain.b.addr, 6, b"\x80\0\0\x50\0\0\0\0" + bytes(12))
        for packet in (quote, quote[:20] + b"\1\1\1\1" + quote[24:]):
            error = frames.icmp_error(11, 0, packet)
            chain.r1.send_packet(frames.ipv4("10.6.6.6", chain.a.addr, 1, error), "a")
        return await task

    found = chain.lab.run(run())
    assert addresses(found) == [(4, 1, chain.b.addr)]
