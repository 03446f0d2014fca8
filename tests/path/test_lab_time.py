"""The lab's time: it jumps, knows when nothing will happen any more, and carries asyncio along.

a (10.0.1.2) ── (10.0.1.1) r (10.0.2.1) ── (10.0.2.2) b
"""

import asyncio
import threading

import pytest

from vrouter.testing import Lab, LabError, frames, match

HOUR = 3_600_000_000_000


def test_time_moves_only_when_told(lab) -> None:
    """`run_for` moves it by exactly so much, in ns, whether anything happens or not."""
    a, _ = lab.line("a", "b", delay=0.25)
    assert lab.now == 0
    lab.run_for(1.5)
    assert lab.now == 1_500_000_000
    a.send(frames.ipv4_echo(a, "10.0.1.2"))
    lab.run_for(0.25)
    assert (lab.now, len(lab["b"].received), len(a.received)) == (1_750_000_000, 1, 0)
    lab.run_for(0.2499)
    assert a.received == []
    lab.run_for(0.0001)
    assert len(a.received) == 1


def test_planned_functions_run_in_order(lab) -> None:
    """Of what is due at the same instant, what was planned first comes first; what it causes comes after."""
    seen = []
    lab.after(1, lambda: seen.append("first"))
    lab.after(1, lambda: lab.after(0, lambda: seen.append("caused")))
    lab.after(0.5, lambda: seen.append("early"))
    lab.after(1, lambda: seen.append("third"))
    lab.run_until_idle()
    assert (seen, lab.now) == (["early", "first", "third", "caused"], 1_000_000_000)


def test_idle_waits_for_what_will_still_happen(lab) -> None:
    """Reassembly that will time out (30 s) is waited for: its ICMP message is there afterwards (RFC 792)."""
    a, b = lab.line("a", "b")
    a.send(frames.fragments(frames.ipv4_udp(a, b, 1, 2, bytes(2000)), 1500)[0])
    lab.run_until_idle()
    assert lab.now == 30_000_000_000
    assert a.received == [match.icmp4(type=11, code=1, src=b)]


def test_idle_waits_for_a_resolution_that_fails(lab) -> None:
    """Three requests, a second apart, and the sender is told: host unreachable (RFC 1812 5.2.7.1)."""
    a, r, b = lab.line("a", "r", "b")
    a.send(frames.ipv4_echo(a, "10.0.2.9"))
    lab.run_until_idle()
    assert lab.now == 3_000_000_000
    assert b.received_arp == [match.arp(op=1, tpa="10.0.2.9")] * 3
    assert a.received == [match.icmp4(type=3, code=1, src=r)]


def test_idle_does_not_wait_for_housekeeping(lab) -> None:
    """A crowded neighbour table is cleaned every 30 s for as long as it is crowded; that keeps nobody busy."""
    a, b = lab.line("a", "b")
    b.ns.sysctl["net.ipv4.neigh.default.gc_thresh1"] = 1
    for host in range(10, 20):
        mac = bytes((2, 0, 0, 0, 9, host))
        a.send_frame(frames.ethernet(frames.BROADCAST, mac, frames.ARP, frames.arp_request(mac, f"10.0.1.{host}", b)))
    lab.run_until_idle()
    assert (lab.now, lab.idle) == (0, True)
    assert len(b.ns.devices["a"].neigh4) == 11
    lab.run_for(3600)
    assert len(b.ns.devices["a"].neigh4) == 1


def test_a_network_that_never_rests_is_told_so(lab) -> None:
    """After the limit of steps the error says what is still to happen."""
    lab.line("a", "b", delay=0.001)

    def again() -> None:
        lab.after(0.001, again)

    again()
    with pytest.raises(LabError, match=r"not idle after 1,000 steps \(1 s of its time\): still to happen: .*again"):
        lab.run_until_idle(limit=1000)
    assert lab.now == 1_000_000_000


def test_a_loop_of_hubs_is_told_so(lab) -> None:
    """Two hubs joined twice repeat a frame for ever, at one instant: `run_for` notices that time stands still."""
    a = lab.probe("a")
    one, two = lab.hub("one", a), lab.hub("two")
    lab.wire(one, two, delay=0.001, addresses=None)
    lab.wire(one, two, delay=0.001, addresses=None)
    a.send_frame(frames.ethernet(frames.BROADCAST, a.mac, 0x88B5, b"storm"))
    with pytest.raises(LabError, match=r"still to happen: .* of one-two"):
        lab.run_until_idle(limit=1000)
    for wire in lab.wires:
        wire.cut()
    lab.run_until_idle()
    assert lab.idle


def test_run_until(lab) -> None:
    """Time stops where the condition becomes true; a condition that does not is an error after the timeout."""
    a, b = lab.line("a", "b", delay=0.5)
    a.send(frames.ipv4_echo(a, b))
    lab.run_until(lambda: b.received)
    assert lab.now == 500_000_000
    with pytest.raises(LabError, match="waited for 2 s in vain; nothing is left to happen"):
        lab.run_until(lambda: len(a.received) > 1, timeout=2)
    assert lab.now == 2_500_000_000


def test_time_is_not_moved_from_within(lab) -> None:
    """A function of the plan cannot run the plan, nor can a coroutine."""
    lab.after(1, lambda: lab.run_for(1))
    with pytest.raises(LabError, match="run_for within run_until_idle"):
        lab.run_until_idle()

    async def main() -> None:
        lab.run_for(1)

    with pytest.raises(LabError, match="run_for within run: the time is moving already"):
        lab.run(main())


# ------------------------------------------------------------------------------------------------------------ asyncio


def test_sleeping_takes_no_time(lab) -> None:
    """`asyncio.sleep` ends at exactly its instant of the lab's time; the network goes on meanwhile."""
    a, b = lab.line("a", "b", delay=0.5)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        a.send(frames.ipv4_echo(a, b))
        began = loop.time()
        await _nothing_for(3600)
        assert loop.time() - began == 3600
        return "done"

    assert lab.run(main()) == "done"
    assert lab.now == HOUR
    assert len(a.received) == 1


async def _nothing_for(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


def test_timers_and_frames_are_interleaved(lab) -> None:
    """What is due first happens first, whether it is the loop's or the network's."""
    a, b = lab.line("a", "b", delay=0.1)
    service, port = b.udp(7), a.udp()
    service.answer(lambda data, peer: data)
    seen = []

    async def tick() -> None:
        for number in range(4):
            await _nothing_for(0.09)
            seen.append((lab.now, number))

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        port.send(b"x", b, 7)
        datagram = await port.wait()
        seen.append((datagram.now, datagram.data))
        await ticking

    lab.run(main())
    assert seen == [(90_000_000, 0), (180_000_000, 1), (200_000_000, b"x"), (270_000_000, 2), (360_000_000, 3)]


def test_faces_work_as_in_a_program(lab) -> None:
    """`Node.face` is the asyncio face of a namespace: endpoints, ping, routes and errors, in the lab's time."""
    a, r, b = lab.line("a", "r", "b", delay=0.01)

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport) -> None:
            self.transport = transport

        def datagram_received(self, data, addr) -> None:
            self.transport.sendto(data, addr)

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.heard = asyncio.Queue()

        def datagram_received(self, data, addr) -> None:
            self.heard.put_nowait((data, addr, lab.now))

        def error_received(self, exc) -> None:
            self.heard.put_nowait(type(exc))

    async def main():
        server, _ = await b.face.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 53))
        transport, client = await a.face.create_datagram_endpoint(Client, remote_addr=(b.addr, 53))
        transport.sendto(b"question")
        answer = await client.heard.get()
        server.close()
        await asyncio.sleep(0)
        transport.sendto(b"question")
        refusal = await client.heard.get()
        transport.close()
        return answer, refusal, await a.face.ping(b.addr)

    answer, refusal, rtt = lab.run(main())
    assert answer == (b"question", (b.addr, 53), 40_000_000)
    assert (refusal, rtt) == (ConnectionRefusedError, 0.04)
    assert [route["to"] for route in r.face.routes() if route["to"].endswith("/24")] == ["10.0.1.0/24", "10.0.2.0/24"]


def test_a_face_has_no_taps(lab) -> None:
    """A device of a lab is a wire's end; a TAP would leave the lab, and is refused."""
    a, _ = lab.line("a", "b")
    with pytest.raises(LabError, match="a lab has no TAPs"):
        lab.run(a.face.add_device("tap0"))
    assert sorted(a.ns.devices) == ["b", "lo"]


def test_a_deadlock_names_the_tasks(lab) -> None:
    """When nothing will happen any more and all wait, the error says who waits where; and the lab can go on."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(LabError, match=r"deadlock: .*\n  Task-\d+ at .*test_lab_time.py:\d+"):
        lab.run(main())
    assert lab.run(asyncio.to_thread(str.upper, "still there")) == "STILL THERE"


def test_time_stands_still_for_threads(lab) -> None:
    """While a function runs in a thread the lab's time does not move, however long that takes."""
    lab.line("a", "b")
    go = threading.Event()

    async def main() -> tuple[str, int]:
        asyncio.get_running_loop().call_later(3600, go.set)
        waiting = asyncio.to_thread(lambda: "no" if go.wait(0.05) else "not set")
        return await waiting, lab.now

    assert lab.run(main()) == ("not set", 0)


def test_an_error_in_a_callback_is_not_lost(lab) -> None:
    """What nobody handles ends the run with that error, instead of a line in a log."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError):
        lab.run(main())
    a, b = lab.line("a", "b")
    a.udp(7).answer(lambda data, peer: 1 // 0)
    b.udp().send(b"x", a, 7)
    with pytest.raises(ZeroDivisionError):
        lab.run_until_idle()


def test_a_task_that_is_left_over_is_told() -> None:
    """A lab that is closed with a task still running says which."""

    async def main() -> None:
        main.kept = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        await asyncio.sleep(0)

    with pytest.raises(LabError, match=r"a task is left over: .*forgotten"), Lab() as lab:
        lab.run(main())
