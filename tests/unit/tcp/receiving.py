"""A connection for tests of what it receives: real, but for its socket and namespace; a quarter MiB of buffer."""

from types import SimpleNamespace

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.packet import Packet
from vrouter.stack.base.timers import TimerHeap
from vrouter.stack.l4.tcp.state import TcpState
from vrouter.stack.l4.tcp.tcb import ESTABLISHED, MS, Tcb
from vrouter.stack.sysctl.records import NsConf
from vrouter.stack.wire.tcp import ACK, Segment

START = 1 << 33  # rcv_nxt at the beginning
MSS = 1000


class Namespace:
    """Settings, counters and timers, and nothing else."""

    def __init__(self, **tcp):
        conf = NsConf()
        self.conf = type(conf)(tcp=type(conf.tcp)(**tcp))
        self.stats = [0] * len(Stat)
        self.stack = SimpleNamespace(timers=TimerHeap(), rng=SimpleNamespace(random_bytes=bytes))


class Program:
    """A socket: how large its buffer is, and how often it was woken."""

    def __init__(self, rcvbuf):
        self.rcvbuf = rcvbuf
        self.locked = 0
        self.shut = 0
        self.rcvlowat = 1
        self.woken = 0

    def wake(self, mask):
        self.woken += 1


def receiver(rcvbuf=1 << 18, window=1 << 16, **tcp):
    """An established connection that offers `window` bytes from `START` on, unscaled, with SACK."""
    ns = Namespace(**tcp)
    tcb = Tcb(Program(rcvbuf), SimpleNamespace(ns=ns, family=4), TcpState(ns))
    tcb.state = ESTABLISHED
    tcb.irs = START - 1
    tcb.rcv_nxt = tcb.copied_seq = tcb.last_ack_sent = START
    tcb.rcv_wnd = tcb.rcv_ssthresh = window
    tcb.rcv_adv = START + window
    tcb.window_clamp = 1 << 20
    tcb.adv_mss = tcb.mss = tcb.rcv_mss = MSS
    tcb.rto = 200 * MS
    tcb.snd_una = tcb.snd_nxt = tcb.write_seq = 1 << 34
    tcb.iss = tcb.snd_una - 1
    tcb.sack_ok = True
    return tcb


def segment(data=b"", flags=ACK, headroom=54, slack=0, tos=0, **fields):
    """A segment with `data`, in a packet of its own: IPv4 header at 14, TCP header of 20 bytes at 34."""
    buf = bytearray(headroom) + data + bytes(slack)
    buf[15] = tos
    pkt = Packet(buf, 14, headroom + len(data))
    pkt.l3, pkt.l4, pkt.family = 14, headroom - 20, 4
    seg = Segment()
    seg.pkt, seg.flags, seg.data, seg.end = pkt, flags, headroom, headroom + len(data)
    seg.seq = seg.ack = seg.window = seg.urgent = seg.tsval = seg.tsecr = 0
    for name, value in fields.items():
        setattr(seg, name, value)
    return seg


def octets(start, end):
    """The bytes with these numbers, each of which tells its number."""
    return bytes(number * 7 + (number >> 8) & 0xFF for number in range(start, end))
