"""TAPs on the running kernel.

test ══ AF_PACKET ══ vrNAME (the kernel's end) ══ Tap (fd) ══ test
"""

import errno
import fcntl
import gc
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.superframes import tcp
from vrouter.errors import PrivilegeError
from vrouter.rtnetlink import Rtnetlink
from vrouter.tap import (
    DOWN,
    FAILED,
    FULL,
    GONE,
    READ_SIZE,
    VNET_HEADER_LEN,
    WRITTEN,
    Tap,
    ask_for_offload,
    close_taps,
    describe_holders,
    find_link,
)

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

TUNGETVNETHDRSZ = 0x800454D7
NO_HEADER = bytes(VNET_HEADER_LEN)
ETHERTYPE = 0x88B5  # IEEE 802, local experimental
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

Opener = Callable[..., Tap]


def frame(number: int, size: int = 60) -> bytes:
    header = b"\x02\x00\x00\x00\x00\x02" + b"\x02\x00\x00\x00\x00\x01" + struct.pack("!HI", ETHERTYPE, number)
    return header + bytes(size - len(header))


def set_up(tap: Tap, mtu: int = 1500) -> None:
    """The kernel's end goes up; it is silent, so that only the test's frames are seen."""
    quiet = Path(f"/proc/sys/net/ipv6/conf/{tap.ifname}/disable_ipv6")
    if quiet.exists():
        quiet.write_text("1")
    with Rtnetlink() as rtnetlink:
        rtnetlink.set_link(find_link(tap.ifname).index, up=True, mtu=mtu)


def set_down(tap: Tap) -> None:
    with Rtnetlink() as rtnetlink:
        rtnetlink.set_link(find_link(tap.ifname).index, up=False)


def delete(tap: Tap) -> None:
    with Rtnetlink() as rtnetlink:
        assert rtnetlink.delete_link(find_link(tap.ifname).index)


@contextmanager
def kernel_end(tap: Tap, ethertype: int = ETHERTYPE) -> Iterator[socket.socket]:
    """A packet socket on the kernel's end: sends into the TAP and hears what was written to it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype)) as packet:
        packet.bind((tap.ifname, ethertype))
        packet.settimeout(5)
        yield packet


@pytest.mark.parametrize("by_pytun", [True, False])
def test_opening_makes_a_tap_that_ends_with_its_descriptor(open_tap: Opener, by_pytun: bool) -> None:
    """A TAP that is missing is made, and removed with the descriptor; either opener does the same."""
    tap = open_tap(by_pytun=by_pytun)
    link = find_link(tap.ifname)
    assert (tap.created, tap.state, tap.error) == (True, "up", "")
    assert (link.tap, link.persistent, link.multi_queue, link.up) == (True, False, False, False)
    assert not os.get_blocking(tap.fd)
    assert not os.get_inheritable(tap.fd)
    assert fcntl.ioctl(tap.fd, TUNGETVNETHDRSZ, bytes(4)) == struct.pack("i", 12)
    tap.close()
    assert find_link(tap.ifname) is None
    assert (tap.fd, tap.state) == (-1, "gone")
    tap.close()


@pytest.mark.parametrize("vnet_hdr", [True, False])
def test_a_persistent_tap_is_attached_to_and_stays(
    open_tap: Opener, new_link: Callable[..., str], vnet_hdr: bool
) -> None:
    """A TAP that exists already is used, with or without `vnet_hdr` at its making, and not deleted."""
    name = new_link("tuntap", "mode", "tap", *(["vnet_hdr"] if vnet_hdr else []))
    tap = open_tap(name)
    assert not tap.created
    set_up(tap)
    with kernel_end(tap) as kernel:
        kernel.send(frame(1))
        assert tap.read_burst(8) == [NO_HEADER + frame(1)]
    tap.close()
    assert find_link(name) is not None
    assert not open_tap(name).created


def test_frames_pass_both_ways_in_order_with_the_header(open_tap: Opener) -> None:
    """VIRTIO 1.2 section 5.1.6: each frame begins with a header of 12 bytes, all zero without offloads."""
    tap = open_tap()
    set_up(tap)
    with kernel_end(tap) as kernel:
        for number in range(5):
            assert tap.write(NO_HEADER + frame(number)) == WRITTEN
        assert [kernel.recv(2048) for _ in range(5)] == [frame(number) for number in range(5)]
        for number in range(5):
            kernel.send(frame(number))
        assert tap.read_burst(64) == [NO_HEADER + frame(number) for number in range(5)]


def tcp_superframe(size: int) -> bytes:
    """A frame of `size` bytes of data with its virtio-net header, for nobody."""
    packet = tcp("10.0.0.1", "10.0.0.2", bytes(size))
    return packet.vnet(1400) + bytes.fromhex("0200000000aa0200000000bb0800") + packet.raw()


@pytest.mark.tools("ethtool")
def test_offloads(open_tap: Opener) -> None:
    """tun(4): what was asked for, and a kernel that does not know superframes of UDP is not asked for them again."""
    tap = open_tap(offload=True)
    assert (tap.offload, tap.state) == (True, "up")
    plain = open_tap()
    assert (plain.offload, plain.uso) == (False, False)
    for one, wanted in ((tap, True), (plain, False)):
        shown = subprocess.run(["ethtool", "-k", one.ifname], capture_output=True, text=True, check=True).stdout
        features = dict(line.strip().split(": ", 1) for line in shown.splitlines() if ": " in line)
        for name in (
            "tx-checksum-ip-generic",
            "tx-tcp-segmentation",
            "tx-tcp6-segmentation",
            "tx-tcp-ecn-segmentation",
        ):
            assert (features[name] == "on") == wanted, name
        if "tx-udp-segmentation" in features and tap.uso:
            assert (features["tx-udp-segmentation"] == "on") == wanted


def test_an_old_kernel_is_asked_for_less() -> None:
    """Linux before 6.2 refuses the whole request with EINVAL when it contains what it does not know."""
    asked = []

    def old_kernel(flags: int) -> None:
        asked.append(flags)
        if flags & 0x60:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    assert not ask_for_offload(old_kernel)
    assert asked == [0x6F, 0x0F]
    assert ask_for_offload(asked.append)
    assert asked[2:] == [0x6F]


def test_another_refusal_is_none_of_its_age() -> None:
    """A link that is gone does not become one without offload."""

    def gone(flags: int) -> None:
        raise OSError(errno.EBADFD, os.strerror(errno.EBADFD))

    with pytest.raises(OSError, match="bad state"):
        ask_for_offload(gone)


@pytest.mark.parametrize("offload", [True, False])
def test_superframes_are_taken_and_handed_over(open_tap: Opener, offload: bool) -> None:
    """VIRTIO 1.2 5.1.6.2: a frame of 60 KiB goes in whole; it comes out whole with offload, and else in segments."""
    one, other = open_tap(offload=offload), open_tap(offload=offload)
    for tap in (one, other):
        set_up(tap)
    with kernel_end(one, 0x0800) as near, kernel_end(other, 0x0800) as far:
        assert one.write(tcp_superframe(60_000)) == WRITTEN
        assert len(near.recv(70_000)) == 60_054
        far.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
        far.send(tcp_superframe(60_000)[:10] + tcp_superframe(60_000)[12:])
        frames = other.read_burst(64)
    assert [len(frame) for frame in frames] == ([60_066] if offload else [1466] * 42 + [1266])
    if offload:
        assert frames[0][:10] == tcp_superframe(60_000)[:10]


def test_a_burst_of_superframes_ends_sooner(open_tap: Opener) -> None:
    """So that what was read is still at hand when it is written: 256 KiB and the frame that exceeds them."""
    tap = open_tap(offload=True)
    set_up(tap)
    frame = tcp_superframe(60_000)
    with kernel_end(tap, 0x0800) as kernel:
        kernel.setsockopt(263, 15, 1)
        for _ in range(12):
            kernel.send(frame[:10] + frame[12:])
        assert [len(tap.read_burst(64)) for _ in range(4)] == [5, 5, 2, 0]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_can_be_written(open_tap: Opener, kind: type) -> None:
    """A frame is any bytes-like object."""
    tap = open_tap()
    set_up(tap)
    with kernel_end(tap) as kernel:
        assert tap.write(kind(NO_HEADER + frame(7))) == WRITTEN
        assert kernel.recv(2048) == frame(7)


def test_a_burst_keeps_to_its_budget(open_tap: Opener) -> None:
    """One device's burst is bounded, and the rest waits for the next; without frames there is an empty one."""
    tap = open_tap()
    set_up(tap)
    with kernel_end(tap) as kernel:
        for number in range(10):
            kernel.send(frame(number))
        assert [len(tap.read_burst(4)) for _ in range(4)] == [4, 4, 2, 0]
        assert tap.read_burst(0) == []
        assert (tap.state, tap.error) == ("up", "")


def test_the_largest_frame_is_read_whole(open_tap: Opener) -> None:
    """The kernel cuts a frame that is longer than the read; none that it can send is."""
    tap = open_tap()
    mtu = 65_521  # the driver's most: 65,535 with the Ethernet header
    set_up(tap, mtu)
    with kernel_end(tap) as kernel:
        kernel.send(frame(1, mtu + 14))
        assert tap.read_burst(2) == [NO_HEADER + frame(1, mtu + 14)]
    assert READ_SIZE > VNET_HEADER_LEN + 14 + 8 + 65_535


def test_a_link_that_is_down_and_comes_back(open_tap: Opener) -> None:
    """EIO: the frame is lost and the state says so; the next write tries again, and its success is the way back."""
    tap = open_tap()
    assert tap.write(NO_HEADER + frame(1)) == DOWN
    assert (tap.state, tap.error) == ("down", "the link is down in the kernel")
    assert tap.read_burst(4) == []
    assert tap.state == "down"
    set_up(tap)
    assert tap.write(NO_HEADER + frame(2)) == WRITTEN
    assert (tap.state, tap.error) == ("up", "")
    set_down(tap)
    assert tap.write(NO_HEADER + frame(3)) == DOWN
    tap.link_changed(up=True)
    assert (tap.state, tap.error) == ("up", "")
    tap.link_changed(up=False)
    assert (tap.state, tap.error) == ("down", "the link is down in the kernel")


@pytest.mark.parametrize("seen_by", ["read", "write"])
def test_a_link_deleted_under_us_is_gone_until_reopened(open_tap: Opener, seen_by: str) -> None:
    """EBADFD: the state is "gone" for good, nothing raises, and a TAP that we had made is made again by `reopen`."""
    tap = open_tap()
    set_up(tap)
    delete(tap)
    if seen_by == "read":
        assert tap.read_burst(4) == []
    else:
        assert tap.write(NO_HEADER + frame(1)) == GONE
    assert (tap.state, tap.error) == ("gone", "the link was deleted")
    tap.link_changed(up=True)
    assert tap.state == "gone"
    tap.reopen()
    assert (tap.state, tap.error, tap.created) == ("up", "", True)
    set_up(tap)
    assert tap.write(NO_HEADER + frame(1)) == WRITTEN


def test_a_tap_of_somebody_else_is_not_made_again(
    open_tap: Opener, new_link: Callable[..., str], ip: Callable[..., str]
) -> None:
    """`reopen` of a TAP that we had only attached to waits for its owner."""
    tap = open_tap(new_link("tuntap", "mode", "tap"))
    delete(tap)
    assert tap.write(NO_HEADER + frame(1)) == GONE
    with pytest.raises(OSError, match="deleted by its owner") as caught:
        tap.reopen()
    assert caught.value.errno == errno.ENODEV
    assert (tap.fd, tap.state, find_link(tap.ifname)) == (-1, "gone", None)
    ip("tuntap", "add", "dev", tap.ifname, "mode", "tap")
    tap.reopen()
    assert (tap.state, tap.created) == ("up", False)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        NO_HEADER,
        NO_HEADER + frame(1)[:13],  # shorter than an Ethernet header
        b"\x00\x7f" + bytes(10) + frame(1),  # a kind of segmentation that there is not
        b"\x01\x00" + bytes(4) + b"\xff\xff\xff\xff" + bytes(2) + frame(1),  # a checksum behind the frame
    ],
)
def test_a_frame_that_the_kernel_refuses(open_tap: Opener, bad: bytes) -> None:
    """A bad frame fails alone: the state stays "up" and the next frame passes."""
    tap = open_tap()
    set_up(tap)
    assert tap.write(bad) == FAILED
    assert (tap.state, tap.error) == ("up", "the kernel refused a frame: Invalid argument")
    assert tap.write(NO_HEADER + frame(1)) == WRITTEN
    assert tap.error == ""


def test_a_full_queue_keeps_the_state(open_tap: Opener) -> None:
    """EAGAIN: the caller keeps the frame and waits for the descriptor.

    A TAP fills only while a device behind the kernel's end is slow, so a full socket takes the descriptor's place.
    """
    tap = open_tap()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        os.dup2(ours.fileno(), tap.fd, inheritable=False)
        results = [tap.write(frame(number)) for number in range(2000)]
        assert results == sorted(results)
        assert set(results) == {WRITTEN, FULL}
        assert (tap.state, tap.error) == ("up", "")
        theirs.recv(2048)
        assert tap.write(frame(1)) == WRITTEN


def test_a_closed_tap_is_gone_and_raises_nothing(open_tap: Opener) -> None:
    """What is on its way when a TAP closes is lost without an error."""
    tap = open_tap()
    tap.close()
    assert tap.write(NO_HEADER + frame(1)) == GONE
    assert tap.read_burst(4) == []
    assert tap.state == "gone"


def test_a_tap_held_by_this_process(open_tap: Opener) -> None:
    """A name held by somebody else is refused with who holds it."""
    name = open_tap().ifname
    with pytest.raises(OSError, match=f"TAP {name} cannot be opened: it is held by this process itself") as caught:
        open_tap(name)
    assert caught.value.errno == errno.EBUSY


def test_a_tap_held_by_another_process(
    open_tap: Opener, new_name: Callable[[], str], start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """The holder is named by process id and command, which nothing of what it calls itself can make a terminal obey."""
    name = new_name()
    program = "import sys; from vrouter.tap import Tap; tap = Tap(sys.argv[1]); print('open', flush=True); input()"
    holder = start_python(f"'\x1b[2J'; {program}", name)
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(OSError, match=rf"held by process {holder.pid} \(.*python -c '\?\[2J'") as caught:
        open_tap(name)
    assert caught.value.errno == errno.EBUSY
    holder.communicate("\n")
    assert describe_holders(name) == ""
    assert open_tap(name).created


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("a" * 16, errno.ENAMETOOLONG, "16 bytes, an interface name has at most 15"),
        ("ä" * 8, errno.ENAMETOOLONG, "16 bytes"),
        ("", errno.EINVAL, "not an interface name"),
        ("a b", errno.EINVAL, "not an interface name"),
        ("a/b", errno.EINVAL, "not an interface name"),
        ("..", errno.EINVAL, "not an interface name"),
        ("tap%d", errno.EINVAL, "not an interface name"),
    ],
)
def test_names_that_no_interface_can_have(open_tap: Opener, name: str, code: int, text: str) -> None:
    """Device names are 1–15 bytes as in Linux; a pattern is no name either."""
    with pytest.raises(OSError, match=text) as caught:
        open_tap(name)
    assert caught.value.errno == code


@pytest.mark.parametrize(
    ("what", "words", "text"),
    [
        ("link", ("type", "bridge"), "a bridge interface of that name exists already, not a TAP"),
        ("tuntap", ("mode", "tun"), "a tun device of layer 3 of that name exists already, not a TAP"),
        (
            "tuntap",
            ("mode", "tap", "multi_queue"),
            "it was made with multi_queue; make it again without: ip tuntap del",
        ),
    ],
)
@pytest.mark.parametrize("by_pytun", [True, False])
def test_an_interface_that_cannot_be_opened_as_a_tap(
    open_tap: Opener, new_link: Callable[..., str], what: str, words: tuple[str, ...], text: str, by_pytun: bool
) -> None:
    """Where the kernel only says "Invalid argument", the error says what the interface is."""
    name = new_link(what, *words)
    with pytest.raises(OSError, match=text):
        open_tap(name, by_pytun=by_pytun)


def test_a_failed_opening_closes_no_descriptor_of_others(open_tap: Opener, new_link: Callable[..., str]) -> None:
    """pytun-pmd3 closes the descriptor of a failed opening a second time in its finalizer, whoever has it then."""
    name = new_link("link", "type", "bridge")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="bridge") as caught:
        open_tap(name)
    with open("/proc/self/stat") as file:  # takes the number that became free
        del caught
        gc.collect()
        assert file.read().startswith(f"{os.getpid()} ")
    assert os.listdir("/proc/self/fd") == before


OPEN_AND_TELL = """
import os, sys
from vrouter.errors import PrivilegeError
from vrouter.tap import Tap
import pytun_pmd3
if len(sys.argv) > 2:
    os.setresgid(*3 * [int(sys.argv[2])])
    os.setresuid(*3 * [int(sys.argv[2])])
try:
    tap = Tap(sys.argv[1])
    print("created" if tap.created else "attached", tap.write(bytes(80)))
except PrivilegeError as error:
    print(error)
"""


@pytest.mark.tools("setpriv")
def test_without_privileges_a_tap_cannot_be_made(new_name: Callable[[], str], outcome: Callable[..., str]) -> None:
    """Missing privileges come with what to do about it."""
    name = new_name()
    make = f"ip tuntap add dev {name} mode tap user root vnet_hdr"
    assert outcome(OPEN_AND_TELL, name, under=NO_CAPABILITIES) == (
        f"TAP {name} cannot be opened: needs CAP_NET_ADMIN, or create the TAP beforehand: {make}"
    )


@pytest.mark.tools("setpriv")
def test_without_privileges_an_own_tap_opens(new_link: Callable[..., str], outcome: Callable[..., str]) -> None:
    """A TAP that exists already and is owned by the user opens without privileges."""
    name = new_link("tuntap", "mode", "tap", "user", "0")
    assert outcome(OPEN_AND_TELL, name, under=NO_CAPABILITIES) == f"attached {DOWN}"


@pytest.mark.tools("setpriv")
def test_without_privileges_the_tap_of_another_user_does_not_open(
    new_link: Callable[..., str], outcome: Callable[..., str]
) -> None:
    """The error says whose it is."""
    name = new_link("tuntap", "mode", "tap", "user", "65534")
    told = outcome(OPEN_AND_TELL, name, under=NO_CAPABILITIES)
    assert told.startswith(f"TAP {name} cannot be opened: it belongs to user 65534; needs CAP_NET_ADMIN")


def test_a_user_who_may_not_open_the_device_file(new_name: Callable[[], str], outcome: Callable[..., str]) -> None:
    """The device file's own permissions are told apart from those of the TAP."""
    name = new_name()
    told = outcome(OPEN_AND_TELL, name, "65534")
    everybody = os.stat("/dev/net/tun").st_mode & 0o006 == 0o006
    reason = "needs CAP_NET_ADMIN" if everybody else "device /dev/net/tun may not be opened: run as root"
    assert told.startswith(f"TAP {name} cannot be opened: {reason}")


@pytest.mark.tools("unshare", "mount", "sh")
def test_without_the_device_file(new_name: Callable[[], str], outcome: Callable[..., str]) -> None:
    """A container without `--device /dev/net/tun` is told that."""
    name = new_name()
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")
    assert outcome(OPEN_AND_TELL, name, under=hide) == (
        f"TAP {name} cannot be opened: device /dev/net/tun is missing: "
        "run the container with --device /dev/net/tun (or: modprobe tun)"
    )


def test_privileges_missing_are_a_permission_error() -> None:
    """`PrivilegeError(VrouterError, PermissionError)`."""
    assert issubclass(PrivilegeError, PermissionError)


def test_many_taps_close_together(open_tap: Opener) -> None:
    """Each closing waits in the kernel by itself; `close_taps` closes all of them, those already closed included."""
    taps = [open_tap() for _ in range(40)]
    taps[7].close()
    close_taps(taps)
    assert [tap.fd for tap in taps] == [-1] * 40
    assert [tap.ifname for tap in taps if find_link(tap.ifname)] == []
    close_taps([])
