"""The sending half of a connection by hand: real recovery and congestion control, sequence numbers counted from 0.

What leaves is a list of (start, end, again); an ACK is `ack(number, *blocks)`. Time moves with `at` only.
"""

from types import SimpleNamespace

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.rng import Rng
from vrouter.stack.base.timers import TimerHeap
from vrouter.stack.l4.tcp import rack, recovery
from vrouter.stack.l4.tcp.ack import ack_received
from vrouter.stack.l4.tcp.cc import BY_NAME
from vrouter.stack.l4.tcp.tcb import ESTABLISHED, MS, REXMIT_NONE, REXMIT_REO, REXMIT_RTO, REXMIT_TLP, Tcb
from vrouter.stack.l4.tcp.timestamps import clock
from vrouter.stack.sysctl.records import NsConf, TcpConf
from vrouter.stack.wire import tcp as wire

MSS = 1000
BASE = 1 << 33
ISS = BASE - 1


class Sender:
    """A sender with a window of `cwnd` segments of 1000 bytes and SACK, of namespace settings `conf`."""

    def __init__(self, cwnd=10, sack=True, timestamps=False, cc="reno", rtt=100 * MS, window=1 << 20, **conf):
        stack = SimpleNamespace(rng=Rng(1), timers=TimerHeap())
        self.stats = [0] * len(Stat)
        ns = SimpleNamespace(conf=NsConf(tcp=TcpConf(**conf)), stats=self.stats, stack=stack)
        self.tcb = tcb = Tcb(SimpleNamespace(), SimpleNamespace(ns=ns, family=4), SimpleNamespace())
        tcb.state = ESTABLISHED
        tcb.iss = ISS
        tcb.mss = MSS
        tcb.sack_ok = sack
        tcb.ts_ok = timestamps
        tcb.snd_una = tcb.snd_nxt = tcb.write_seq = BASE
        tcb.high_seq = tcb.rtt_seq = BASE - 1
        tcb.snd_wnd = tcb.max_window = window
        self.now = 1000 * MS
        tcb.cwnd = cwnd * MSS
        tcb.cc = BY_NAME[cc]
        tcb.cc.begin(tcb, self.now)
        self.log = []
        if rtt:
            self.send(1)
            self.at(rtt)
            self.ack(1)
            tcb.cwnd = cwnd * MSS
            tcb.cwnd_limited = True
            self.clear()

    def clear(self):
        """Sequence numbers begin with 0 here, and counters too."""
        self.zero = self.tcb.snd_una
        self.log = []
        for index in range(len(self.stats)):
            self.stats[index] = 0

    zero = BASE

    def at(self, later):
        """`later` ns go by; timers that come up do what they do, and what may leave then leaves."""
        end = self.now + later
        tcb = self.tcb
        heap = tcb.ns.stack.timers
        while (timer := heap.pop_due(end)) is not None:
            deadline = tcb.rexmit_at
            if deadline > end:
                heap.arm(timer, deadline)
                break
            self.now = max(self.now, deadline)
            kind, tcb.rexmit_kind = tcb.rexmit_kind, REXMIT_NONE
            {REXMIT_RTO: recovery.rto, REXMIT_TLP: rack.tlp, REXMIT_REO: rack.reorder_due}[kind](tcb, self.now)
            self.output()
        self.now = end

    def write(self, segments):
        """So many segments wait to be sent, and leave as far as they may."""
        self.tcb.write_seq += int(segments * MSS)
        self.output()

    def send(self, segments, superframe=True):
        """So many segments leave, whatever the window says."""
        size = int(segments * MSS)
        tcb = self.tcb
        tcb.write_seq = max(tcb.write_seq, tcb.snd_nxt + size)
        for part in [size] if superframe else [MSS] * (size // MSS):
            start = tcb.snd_nxt
            tcb.snd_nxt += part
            recovery.sent(tcb, start, tcb.snd_nxt, self.now, False)

    def output(self):
        """As `output.output` does it: retransmissions, then new data."""
        tcb = self.tcb
        while (again := recovery.next_retransmission(tcb, self.now)) is not None:
            start, end = again
            self.log.append((start - self.zero, end - self.zero, True))
            tcb.total_retrans += -(-(end - start) // MSS)
            recovery.sent(tcb, start, end, self.now, True)
        room = recovery.room(tcb, self.now)
        size = min(tcb.write_seq - tcb.snd_nxt, room // MSS * MSS, tcb.snd_una + tcb.snd_wnd - tcb.snd_nxt)
        if size > 0:
            start = tcb.snd_nxt
            tcb.snd_nxt += size
            self.log.append((start - self.zero, tcb.snd_nxt - self.zero, False))
            recovery.sent(tcb, start, tcb.snd_nxt, self.now, False)

    def ack(self, segments, *blocks, window=0, data=0, ece=False, echo=None):
        """An ACK of so many segments, SACK blocks in segments too; `echo`: when what it echoes was sent. What left."""
        tcb = self.tcb
        self.log = []
        seg = SimpleNamespace(
            window=window or tcb.snd_wnd,
            data=0,
            end=data,
            ts=tcb.ts_ok,
            tsecr=clock(tcb, self.now if echo is None else echo) if tcb.ts_ok else 0,
            flags=wire.ACK | (wire.ECE if ece else 0),
        )
        sacks = tuple((self.zero + int(left * MSS), self.zero + int(right * MSS)) for left, right in blocks)
        self.result = ack_received(tcb, seg, self.zero + int(segments * MSS), sacks, self.now)
        self.output()
        return self.log

    def counted(self):
        """What was counted, by name."""
        return {stat.name: self.stats[stat] for stat in Stat if self.stats[stat]}

    @property
    def pipe(self):
        """Segments in flight."""
        return recovery.pipe(self.tcb) / MSS

    @property
    def cwnd(self):
        """The window in segments."""
        return self.tcb.cwnd / MSS
