"""What wires do to frames: each fault by itself, with the exact numbers of a seed and by the law of large ones.

a ── b (probes)
"""

import subprocess

import pytest
from scapy.utils import RawPcapNgReader

from vrouter.testing import Lab, LabError, Wire, frames, match

ETHERTYPE = 0x88B5  # for local experiments (IEEE 802)


class Bench:
    """A wire between two probes, and what arrives at its end: (ns, number) of each frame."""

    def __init__(self, seed: int = 1, **options) -> None:
        self.lab = Lab(seed)
        self.a, self.b = self.lab.probe("a"), self.lab.probe("b")
        self.wire: Wire = self.lab.wire(self.a, self.b, addresses=None, **options)
        self.arrivals: list[tuple[int, int]] = []
        self._received = 0

    def frame(self, number: int, size: int = 100) -> bytes:
        """A frame that carries a number."""
        return frames.ethernet(
            self.b.mac, self.a.mac, ETHERTYPE, number.to_bytes(2, "big") + bytes(range(256))[: size - 16]
        )

    def send(self, count: int = 1000, gap: float = 0.001, size: int = 100) -> list[tuple[int, int]]:
        """Send numbered frames `gap` seconds apart, and wait until nothing is under way."""
        for number in range(count):
            frame = self.frame(number, size)
            self.lab.after(number * gap, lambda frame=frame: self.a.send_frame(frame))
        while self.lab.step():
            for frame in self.b.received[self._received :]:
                self.arrivals.append((self.lab.now, int.from_bytes(frame[14:16], "big")))
            self._received = len(self.b.received)
        self.lab.close()
        return self.arrivals

    @property
    def numbers(self) -> list[int]:
        """The numbers of the frames that arrived, in order."""
        return [number for _, number in self.arrivals]

    @property
    def stats(self):
        """What became of the frames from a to b."""
        return self.wire.towards(self.b).stats


def is_likely(count: int, of: int, fraction: float) -> bool:
    """Whether a count lies within four standard deviations of a binomial distribution."""
    return abs(count - of * fraction) <= 4 * (of * fraction * (1 - fraction)) ** 0.5


def test_a_perfect_wire() -> None:
    """Without faults every frame arrives at once, in order, as it was."""
    bench = Bench()
    assert bench.send(10) == [(number * 1_000_000, number) for number in range(10)]
    assert bench.b.received == [bench.frame(number) for number in range(10)]


def test_delay() -> None:
    """A frame arrives exactly `delay` later, whatever its size, and both ways."""
    bench = Bench(delay=0.0125)
    assert bench.send(3, gap=1) == [(12_500_000, 0), (1_012_500_000, 1), (2_012_500_000, 2)]
    assert bench.wire.towards(bench.a).impairments.delay == 0.0125


def test_loss() -> None:
    """About the fraction is lost, each frame for itself; the numbers of seed 1 are these."""
    bench = Bench(loss=0.1)
    bench.send()
    assert (bench.stats.lost, bench.stats.delivered, len(bench.numbers)) == (103, 897, 897)
    assert is_likely(bench.stats.lost, 1000, 0.1)
    assert bench.numbers == sorted(set(bench.numbers))
    missing = sorted(set(range(1000)) - set(bench.numbers))
    in_a_row = sum(1 for number in missing if number + 1 in missing)
    assert is_likely(in_a_row, len(missing), 0.1)


@pytest.mark.parametrize(("fraction", "arrived"), [(0.0, 100), (1.0, 0)])
def test_loss_of_all_and_of_nothing(fraction: float, arrived: int) -> None:
    """0 loses nothing and 1 everything, exactly."""
    bench = Bench(loss=fraction)
    bench.send(100)
    assert len(bench.numbers) == arrived


def test_duplicate() -> None:
    """About the fraction arrives twice, the copy right behind; nothing is missing."""
    bench = Bench(duplicate=0.1)
    bench.send()
    assert bench.stats.duplicated == 93
    assert is_likely(93, 1000, 0.1)
    assert len(bench.numbers) == 1093
    assert sorted(set(bench.numbers)) == list(range(1000))
    assert bench.numbers == sorted(bench.numbers)


def test_corrupt() -> None:
    """About the fraction has exactly one bit inverted, anywhere in the frame, headers included."""
    bench = Bench(corrupt=0.1)
    bench.send()
    places = []
    for number, frame in enumerate(bench.b.received):
        difference = int.from_bytes(frame, "big") ^ int.from_bytes(bench.frame(number), "big")
        if difference:
            assert difference.bit_count() == 1
            places.append(800 - difference.bit_length())
    assert len(places) == bench.stats.corrupted == 94
    assert is_likely(94, 1000, 0.1)
    assert is_likely(sum(place < 400 for place in places), 94, 0.5)


def test_reorder() -> None:
    """About the fraction skips the delay and overtakes what is under way; the others keep their order and time."""
    bench = Bench(delay=0.01, reorder=0.1)
    arrivals = bench.send()
    early = [number for now, number in arrivals if now == number * 1_000_000]
    others = [(now, number) for now, number in arrivals if number not in set(early)]
    assert bench.stats.reordered == len(early) == 88
    assert is_likely(88, 1000, 0.1)
    assert others == [(number * 1_000_000 + 10_000_000, number) for _, number in others]
    assert bench.numbers != sorted(bench.numbers)
    assert sorted(bench.numbers) == list(range(1000))


def test_jitter() -> None:
    """Travel times are spread evenly over delay ± jitter: their mean, their bounds, their halves."""
    bench = Bench(delay=0.01, jitter=0.005)
    travels = [now - number * 100_000_000 for now, number in bench.send(gap=0.1)]
    assert (min(travels), max(travels)) == (5_001_763, 14_999_919)
    mean = sum(travels) / 1000
    assert mean == pytest.approx(10_000_000, abs=4 * 10_000_000 / 12**0.5 / 1000**0.5)
    assert is_likely(sum(travel < 10_000_000 for travel in travels), 1000, 0.5)
    assert is_likely(sum(travel < 6_000_000 for travel in travels), 1000, 0.1)


def test_jitter_keeps_the_order() -> None:
    """Frames that would overtake others arrive together with them."""
    bench = Bench(delay=0.01, jitter=0.01)
    bench.send(gap=0.0001)
    assert bench.numbers == list(range(1000))
    assert len({now for now, _ in bench.arrivals}) < 1000


def test_rate() -> None:
    """Frames leave one after the other, size × 8 / rate apart (RFC 1242 3.22's sense of a full link)."""
    bench = Bench(rate=1_000_000, delay=0.5)
    assert bench.send(3, gap=0, size=125) == [(501_000_000, 0), (502_000_000, 1), (503_000_000, 2)]


def test_a_full_queue_refuses() -> None:
    """`queue` frames wait or are being sent; more do not get out, until one has left."""
    bench = Bench(rate=1_000_000, queue=4)
    assert bench.send(10, gap=0.0001, size=125) == [(n * 1_000_000 + 1_000_000, n) for n in range(4)]
    assert (bench.stats.sent, bench.stats.overflowed) == (4, 6)
    assert len(bench.a.sent) == 4


def test_a_queue_that_drains_takes_more() -> None:
    """At half the load of the rate nothing waits long enough to be refused; the link is idle between."""
    bench = Bench(rate=1_000_000, queue=1)
    assert bench.send(10, gap=0.002, size=125) == [(n * 2_000_000 + 1_000_000, n) for n in range(10)]


def test_a_full_queue_is_the_senders_drop(lab) -> None:
    """What a stack sends into a full queue it counts as FULL_RING, not as transmitted, as at a full TAP."""
    a, b = lab.line("a", "b", rate=1_000_000, queue=2)
    port = a.udp()
    told = {"IpInReceives": 2, "IpInDelivers": 2, "IcmpInMsgs": 2, "IcmpInDestUnreachs": 2}
    heard = {"IpInReceives": 2, "IpInDelivers": 2, "UdpNoPorts": 2}
    with (
        a.counters.expect(rx=2, tx=2, drops={"FULL_RING": 3}, IpOutRequests=5, UdpOutDatagrams=5, **told),
        b.counters.expect(
            rx=2, tx=2, drops={"NO_SOCKET": 2}, IpOutRequests=2, IcmpOutMsgs=2, IcmpOutDestUnreachs=2, **heard
        ),
    ):
        for _ in range(5):
            port.send(bytes(100), b, 9)
        lab.run_until_idle()


def test_settings_change_on_the_way() -> None:
    """`set` holds from then on, for both directions or for one."""
    bench = Bench(delay=1)
    lab, a, b = bench.lab, bench.a, bench.b
    a.send_frame(bench.frame(1))
    bench.wire.set(delay=0.1)
    a.send_frame(bench.frame(2))
    bench.wire.towards(b).set(loss=1)
    a.send_frame(bench.frame(3))
    b.send_frame(bench.frame(4))
    lab.run_until_idle()
    assert (b.received, a.received) == ([bench.frame(1), bench.frame(2)], [bench.frame(4)])
    assert lab.now == 1_000_000_000
    assert bench.wire.stats().lost == 1
    with pytest.raises(LabError, match="a-b does not lead to c"):
        bench.wire.towards("c")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"loss": 1.5}, "loss is a fraction of 0 to 1, not 1.5"),
        ({"duplicate": -0.1}, "duplicate is a fraction"),
        ({"delay": 0.1, "jitter": 0.2}, "can be negative"),
        ({"reorder": 0.1}, "only be reordered on a wire with a delay"),
        ({"rate": 0}, "a rate is positive"),
        ({"queue": 0}, "room for one frame"),
    ],
)
def test_impossible_settings(options: dict[str, float], complaint: str) -> None:
    """A setting that cannot be is a ValueError that says why."""
    with pytest.raises(ValueError, match=complaint):
        Bench(**options)


def test_one_fault_does_not_change_another() -> None:
    """Each fault has random numbers of its own: with duplicates switched on, the same frames are lost."""
    plain, doubled = Bench(loss=0.1), Bench(loss=0.1, duplicate=0.5)
    plain.send()
    doubled.send()
    assert sorted(set(doubled.numbers)) == plain.numbers


def _capture(tmp_path, name: str, seed: int):
    """Some traffic with every fault, from three stations, written to a file."""
    path = tmp_path / name
    with Lab(seed, resolve=True) as lab:
        lab.pcap(path)
        a, _, b = lab.line(
            "a", "r", "b", delay=0.01, jitter=0.002, loss=0.1, reorder=0.1, duplicate=0.1, corrupt=0.05, rate=1e6
        )
        b.udp(7).answer(lambda data, peer: data)
        port = a.udp()
        for number in range(50):
            lab.after(number * 0.01, lambda number=number: port.send(b"%d" % number, b, 7))
        lab.run_until_idle()
    return path


def _read(path):
    with RawPcapNgReader(str(path)) as reader:
        return list(reader)


def test_the_same_seed_gives_the_same_bytes(tmp_path) -> None:
    """Equal seeds give files that are equal byte for byte, times included; another seed gives another one."""
    one, two, other = _capture(tmp_path, "1", 1), _capture(tmp_path, "2", 1), _capture(tmp_path, "3", 2)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_a_capture_holds_what_was_put_on_the_wires(tmp_path, lab) -> None:
    """pcapng as scapy reads it: every frame, its time in ns, its wire; and what was lost says so."""
    lab.pcap(tmp_path / "lab.pcapng")
    a, _, b = lab.line("a", "r", "b", delay=0.0000015)
    a.send(frames.ipv4_echo(a, b))
    lab.run_until_idle()
    lab.wires[1].set(loss=1)
    a.send(frames.ipv4_echo(a, b, sequence=2))
    lab.run_until_idle()
    lab.close()
    packets = _read(tmp_path / "lab.pcapng")
    assert [match.Frame(data) for data, _ in packets] == [
        a.sent[0], match.icmp4(ttl=63), match.icmp4(type=0, ttl=64), match.icmp4(type=0, ttl=63),
        a.sent[1], match.icmp4(sequence=2, ttl=63),
    ]  # fmt: skip
    assert [(meta.tshigh << 32) + meta.tslow for _, meta in packets] == [0, 1500, 3000, 4500, 6000, 7500]
    assert [meta.ifname for _, meta in packets] == [b"a-r", b"r-b", b"r-b", b"a-r", b"a-r", b"r-b"]
    assert [meta.comments for _, meta in packets] == [None] * 5 + [[b"lost"]]
    assert [meta.direction for _, meta in packets] == [2, 2, 1, 1, 2, 2]


@pytest.mark.tools("tcpdump")
def test_a_capture_is_readable_by_tcpdump(tmp_path) -> None:
    """tcpdump -r shows every frame without a complaint."""
    path = _capture(tmp_path, "lab.pcapng", 1)
    run = subprocess.run(["tcpdump", "-nr", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == len(_read(path)) > 150


def test_a_lab_without_faults_is_lossless_under_load(lab) -> None:
    """A thousand datagrams over two routers: none lost, all in order, the accounts exact (checked at the end)."""
    a, _, _, b = lab.line("a", "r", "s", "b", delay=0.01, jitter=0.005, rate=10e6)
    server, port = b.udp(7), a.udp()
    for number in range(1000):
        lab.after(number * 0.001, lambda number=number: port.send(number.to_bytes(2, "big"), b, 7))
    lab.run_until_idle()
    assert [int.from_bytes(datagram.data, "big") for datagram in server.received] == list(range(1000))
