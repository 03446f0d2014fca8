"""The driver on real TAPs: bursts and turns, a full TAP, one that is down, one that is deleted, and foreign tags.

kernel, where the test runs ── TAP ══ driver ── lan, namespace red
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import groupby

import pytest
import pytest_asyncio

from tests.superframes import udp
from vrouter import kernel
from vrouter.driver import BURST, Driver
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import Event, EventKind
from vrouter.stack.capture import RX, Capture, CapturedFrame
from vrouter.stack.device import TX_QUEUE, TX_QUEUE_BYTES, Device
from vrouter.stack.stack import Stack
from vrouter.tap import VNET_HEADER_LEN, Tap

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

ETHERTYPE = b"\x88\xb5"  # IEEE 802, local experimental
BROADCAST, MAC = b"\xff" * 6, bytes.fromhex("020000000099")
PEER, PEER_MAC = "10.0.0.2", bytes.fromhex("020000000002")
ETH_P_ALL = 3
Opener = Callable[..., Tap]


class Bed:
    """A stack with its driver; `lan` makes a device of red on a TAP of its own."""

    def __init__(self, open_tap: Opener) -> None:
        self.open_tap = open_tap
        self.stack = Stack(1)
        self.driver = Driver(self.stack, asyncio.get_running_loop())
        self.red = self.stack.add_netns("red", now=self.driver.clock())
        self.red.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1  # its messages would be among those counted here
        self.changes: asyncio.Queue[Event] = asyncio.Queue()
        self.driver.on_event(self.changes.put_nowait)

    def add(self, tap: Tap, name: str = "lan", reopen: Callable[[], None] | None = None) -> Device:
        dev = self.driver.call(self.red.add_device, name, kind="tap", vnet_hdr=True)
        self.driver.add_port(tap, dev, reopen)
        self.driver.call(self.red.add_address, dev, "10.0.0.1/24")
        self.red.neigh4.add_static(dev, 0x0A000002, PEER_MAC, self.driver.clock())
        return dev

    def lan(self, name: str = "lan") -> tuple[Tap, Device]:
        tap = self.open_tap()
        kernel.setup_host_end(tap.ifname, None, mtu=1500, group=0)

        def reopen() -> None:
            tap.reopen()
            kernel.setup_host_end(tap.ifname, None, mtu=1500, group=0)

        return tap, self.add(tap, name, reopen)

    async def next_state(self, dev: Device) -> tuple[str, str]:
        """(state, error) that the next change of a device's state tells."""
        while True:
            event = await self.changes.get()
            if event.kind is EventKind.DEVICE_STATE and event.dev == dev.name:
                return event.fields["state"], event.fields["error"]

    def send(self, count: int = 1) -> None:
        sock = self.red.socket()
        for number in range(count):
            with contextlib.suppress(OSError):  # ENETUNREACH once the device has no carrier
                self.driver.call(sock.sendto, b"%04d" % number, (PEER, 9))
        self.driver.call(sock.close)

    def lost(self) -> dict[str, int]:
        """What was to leave and did not; the kernel's own chatter comes in and is of no interest."""
        return {reason: n for reason, n in self.red.drop_counts().items() if reason in ("FULL_RING", "TX_ERROR")}


@pytest_asyncio.fixture
async def bed(open_tap: Opener) -> AsyncIterator[Bed]:
    one = Bed(open_tap)
    yield one
    await one.driver.close()
    came, went = one.stack.accounts()
    assert sum(came.values()) == sum(went.values())


@pytest.fixture
def wire() -> Iterator[Callable[[Tap], socket.socket]]:
    """Opens raw sockets at the kernel's end of TAPs."""
    sockets = []

    def open_one(tap: Tap) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sockets.append(sock)
        sock.setblocking(False)
        sock.bind((tap.ifname, ETH_P_ALL))
        return sock

    yield open_one
    for sock in sockets:
        sock.close()


async def readable(sock: socket.socket) -> None:
    """Until there is something to read."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 5)
    finally:
        loop.remove_reader(sock)


async def datagrams(sock: socket.socket, count: int) -> list[bytes]:
    """The payloads of so many UDP frames with four bytes of data."""
    found: list[bytes] = []
    while len(found) < count:
        try:
            frame = sock.recv(2048)
        except BlockingIOError:
            await readable(sock)
            continue
        if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == b"\x00\x09":
            found.append(frame[42:46])
    return found


async def test_frames_cross_between_tap_and_stack(bed: Bed, wire: Callable[[Tap], socket.socket]) -> None:
    """What the stack sends arrives at the kernel's end without the virtio-net header, in order."""
    tap, dev = bed.lan()
    end = wire(tap)
    bed.send(100)
    assert await datagrams(end, 100) == [b"%04d" % number for number in range(100)]
    assert bed.lost() == {}
    assert dev.ready


async def test_taps_take_turns(bed: Bed, wire: Callable[[Tap], socket.socket]) -> None:
    """A flooded TAP does not keep another waiting: at most a burst of 64 frames is taken in one go."""
    capture = Capture(matches=lambda frame: frame[12:14] == ETHERTYPE)
    devices = []
    for name in ("one", "two"):
        tap, dev = bed.lan(name)
        capture.attach(dev)
        devices.append(dev)
        end = wire(tap)
        for _ in range(200):
            end.send(BROADCAST + MAC + ETHERTYPE + bytes(46))
    frames = []
    while len(frames) < 400:
        await asyncio.sleep(0)
        frames += [frame for frame in capture.take() if frame.direction == RX]
    runs = [len(list(run)) for _, run in groupby(frame.dev.name for frame in frames)]
    assert max(runs) <= BURST
    assert sum(runs) == 400
    assert len(runs) >= 7


async def test_foreign_tags_are_nobodys(bed: Bed, wire: Callable[[Tap], socket.socket]) -> None:
    """A frame with a VLAN id that nobody owns is NS_UNMAPPED, under no namespace; a priority tag is red's own."""
    tap, dev = bed.lan()
    end = wire(tap)
    capture = Capture(matches=lambda frame: ETHERTYPE in frame[12:18])
    capture.attach(dev)
    for ethertype, tci in ((b"\x81\x00", 200), (b"\x88\xa8", 5), (b"\x81\x00", 0x6000)):
        end.send(BROADCAST + MAC + ethertype + tci.to_bytes(2, "big") + ETHERTYPE + bytes(46))
    end.send(BROADCAST + MAC + ETHERTYPE + bytes(46))
    frames: list[CapturedFrame] = []
    async with asyncio.timeout(5):
        while len(frames) < 2:
            await asyncio.sleep(0)
            frames += capture.take()
    assert [frame.data[12:16] for frame in frames] == [b"\x81\x00\x60\x00", ETHERTYPE + bytes(2)]
    assert bed.stack.unmapped == 2
    assert bed.stack.drops[DropReason.NS_UNMAPPED] == 2


async def test_a_full_tap_keeps_a_bounded_queue(bed: Bed, open_tap: Opener) -> None:
    """EAGAIN: 1000 frames (txqueuelen) wait in order until the descriptor is writable, the rest is FULL_RING.

    A TAP fills only while a device behind the kernel's end is slow, so a full socket takes the descriptor's place.
    """
    tap = open_tap()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    with ours, theirs:
        os.dup2(ours.fileno(), tap.fd, inheritable=False)
        os.set_blocking(tap.fd, False)
        dev = bed.add(tap)
        port = dev.port
        theirs.recv(2048)  # the address was announced
        sent = dev.tx_packets
        bed.send(3000)
        assert len(port.backlog) == TX_QUEUE
        lost = bed.lost()["FULL_RING"]
        assert bed.lost() == {"FULL_RING": lost}
        assert dev.tx_packets - sent == 3000 - lost
        assert dev.ready
        found: list[bytes] = []
        while len(found) < 3000 - lost:
            try:
                found.append(theirs.recv(2048)[VNET_HEADER_LEN:][-4:])
            except BlockingIOError:
                await readable(theirs)
        assert found == [b"%04d" % number for number in range(3000 - lost)]
        assert not port.backlog
        bed.send(1)
        assert theirs.recv(2048)[-4:] == b"0000"

        bed.send(1200)
        waiting = len(port.backlog)
        assert waiting > 0
        await bed.driver.remove_port(port)
        assert bed.lost()["TX_ERROR"] == waiting
        bed.send(1)
        assert bed.lost()["TX_ERROR"] == waiting + 1  # nobody moves its frames


async def test_a_backlog_is_bounded_in_bytes(bed: Bed, open_tap: Opener) -> None:
    """Superframes are few and large: 4 MiB wait; each that does not fit counts as the segments that it stands for."""
    tap = open_tap(offload=True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        os.dup2(ours.fileno(), tap.fd, inheritable=False)
        os.set_blocking(tap.fd, False)
        dev = bed.add(tap)
        assert (dev.offload, dev.uso) == (True, tap.uso)
        port = dev.port
        packet = udp("10.0.9.9", PEER, bytes(60_000))
        lan = bed.driver.call(bed.red.add_device, "from", vnet_hdr=True)
        lan.offload = lan.uso = True
        bed.red.sysctl["net.ipv4.ip_forward"] = 1
        bed.red.sysctl["net.ipv4.conf.from.rp_filter"] = 0
        bed.driver.call(bed.red.add_address, lan, "10.0.9.1/24")
        sent, lost = dev.tx_packets, 0
        frame = packet.vnet(1000) + lan.mac + MAC + b"\x08\x00" + packet.raw()
        for number in range(1, 101):
            bed.driver.call(bed.stack.receive, lan, frame)
            assert port.backlog_bytes == sum(map(len, port.backlog)) <= TX_QUEUE_BYTES
            lost = bed.lost().get("FULL_RING", 0)
            assert dev.tx_packets - sent + lost == 60 * number
        assert lost
        assert lost % 60 == 0
        assert sum(len(one) == len(frame) for one in port.backlog) == TX_QUEUE_BYTES // len(frame)
        waiting = bed.lost().get("TX_ERROR", 0)  # the other device has no wire for its announcement
        waiting += sum(60 if len(one) == len(frame) else 1 for one in port.backlog)
        await bed.driver.remove_port(port)
        assert bed.lost()["TX_ERROR"] == waiting
        assert port.backlog_bytes == 0


async def test_a_tap_that_is_down(bed: Bed, wire: Callable[[Tap], socket.socket], ip: Callable[..., str]) -> None:
    """EIO: the frame is TX_ERROR and the device has no carrier, without a busy loop, until the link is up again."""
    tap, dev = bed.lan()
    ip("link", "set", tap.ifname, "down")
    bed.send(1)
    assert await bed.next_state(dev) == ("no-carrier", "the link is down in the kernel")
    assert bed.lost() == {"TX_ERROR": 1}
    bed.send(1)
    assert bed.lost()["TX_ERROR"] == 1
    for _ in range(100):
        await asyncio.sleep(0)
        assert not dev.carrier  # the kernel does not call the TAP writable
    ip("link", "set", tap.ifname, "up")
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("up", "")
    end = wire(tap)
    bed.send(2)
    assert await datagrams(end, 2) == [b"0000", b"0001"]
    assert not asyncio.get_running_loop().remove_writer(tap.fd)


async def test_a_deleted_tap_comes_back(bed: Bed, wire: Callable[[Tap], socket.socket], ip: Callable[..., str]) -> None:
    """EBADFD: no busy loop, the device says why, and a TAP that we had made is opened again within two seconds."""
    tap, dev = bed.lan()
    begun, used = time.monotonic(), time.process_time()
    ip("link", "del", tap.ifname)
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("no-carrier", "the link was deleted")
    assert not dev.ready
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("up", "")
    assert 0.9 < time.monotonic() - begun < 2.5
    assert time.process_time() - used < 0.6
    end = wire(tap)
    bed.send(2)
    assert await datagrams(end, 2) == [b"0000", b"0001"]


async def test_what_cannot_be_reopened_says_why(bed: Bed, ip: Callable[..., str]) -> None:
    """While opening fails the device tells the reason; removing the port ends the trying."""
    tap, dev = open_failing(bed)
    ip("link", "del", tap.ifname)
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("no-carrier", "the link was deleted")
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("no-carrier", "held by somebody")
    await bed.driver.remove_port(dev.port)
    assert bed.driver.ports == []


def open_failing(bed: Bed) -> tuple[Tap, Device]:
    tap = bed.open_tap()
    kernel.setup_host_end(tap.ifname, None, mtu=1500, group=0)

    def reopen() -> None:
        raise OSError(16, "held by somebody")

    return tap, bed.add(tap, reopen=reopen)


async def test_a_removal_that_is_cancelled_waits_for_the_reopening(bed: Bed, ip: Callable[..., str]) -> None:
    """What a thread opens again is the caller's to close, so the removal ends after the thread, however it ends."""
    tap = bed.open_tap()
    opening, go_on, opened = threading.Event(), threading.Event(), threading.Event()

    def reopen() -> None:
        opening.set()
        assert go_on.wait(10)
        opened.set()

    dev = bed.add(tap, reopen=reopen)
    ip("link", "del", tap.ifname)
    await bed.driver.loop.run_in_executor(None, opening.wait, 10)
    removal = asyncio.ensure_future(bed.driver.remove_port(dev.port))
    for _ in range(3):  # also more than once
        await asyncio.sleep(0)
        removal.cancel()
    await asyncio.sleep(0)
    assert not removal.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await removal
    assert opened.is_set()
    assert bed.driver.ports == []


async def test_a_link_that_vanishes_under_a_write(bed: Bed, ip: Callable[..., str]) -> None:
    """A deletion that is met by a write first: TX_ERROR, and the same way back."""
    tap, dev = bed.lan()
    ip("link", "del", tap.ifname)
    bed.send(3)
    assert dev.error == "the link was deleted"
    assert bed.lost() == {"TX_ERROR": 1}
    assert await asyncio.wait_for(bed.next_state(dev), 5) == ("no-carrier", "the link was deleted")
    await bed.driver.remove_port(dev.port)


async def test_a_frame_that_waited_is_no_carrier(
    bed: Bed, wire: Callable[[Tap], socket.socket], ip: Callable[..., str]
) -> None:
    """What the kernel had queued before the link went down is dropped as DEV_READY, and does not bring the carrier."""
    tap, dev = bed.lan()
    end = wire(tap)
    end.send(BROADCAST + MAC + ETHERTYPE + bytes(46))
    ip("link", "set", tap.ifname, "down")
    bed.send(1)
    assert not dev.carrier
    async with asyncio.timeout(5):
        while not bed.red.drop_counts().get("DEV_READY"):
            await bed.driver.loop.run_in_executor(None, os.sched_yield)
    assert not dev.carrier
    assert bed.lost() == {"TX_ERROR": 1}
