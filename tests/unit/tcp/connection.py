"""A connection for tests of what rules its window: real, but for its socket and namespace; nothing is under way."""

from types import SimpleNamespace

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.rng import Rng
from vrouter.stack.l4.tcp.cc import BY_NAME
from vrouter.stack.l4.tcp.rate import RateSample
from vrouter.stack.l4.tcp.tcb import ESTABLISHED, MS, Tcb
from vrouter.stack.sysctl.records import NsConf

MSS = 1000


def connection(name="cubic", cwnd=10, rtt=100 * MS, now=0, seed=1):
    """An established connection of `cwnd` segments of 1000 bytes, its window in full use."""
    ns = SimpleNamespace(conf=NsConf(), stats=[0] * len(Stat), stack=SimpleNamespace(rng=Rng(seed)))
    tcb = Tcb(None, SimpleNamespace(ns=ns, family=4), None)
    tcb.state = ESTABLISHED
    tcb.mss = MSS
    tcb.cwnd = cwnd * MSS
    tcb.srtt = rtt
    tcb.rto = 300 * MS
    tcb.snd_una = tcb.snd_nxt = tcb.write_seq = 1 << 33
    tcb.cc = BY_NAME[name]
    tcb.cc.begin(tcb, now)
    tcb.cwnd_limited = True
    return tcb


def sample(newly, rtt=-1, lost=0, delivered=-1, interval=-1, prior_delivered=0, prior_in_flight=0, app_limited=False):
    """What an acknowledgement told."""
    made = RateSample()
    made.newly = made.acked = newly
    made.rtt, made.lost, made.delivered, made.interval = rtt, lost, delivered, interval
    made.prior_delivered, made.prior_in_flight, made.is_app_limited = prior_delivered, prior_in_flight, app_limited
    return made


def send(tcb, size):
    """`size` bytes leave."""
    tcb.snd_nxt += size
    tcb.write_seq = tcb.snd_nxt


def ack(tcb, size, now, **told):
    """An acknowledgement of `size` bytes more."""
    tcb.snd_una += size
    tcb.snd_nxt = max(tcb.snd_nxt, tcb.snd_una)
    tcb.delivered += size
    tcb.cc.on_ack(tcb, sample(size, **told), now)


def flight(tcb, now, pieces=None, **told):
    """A whole window is sent and acknowledged at `now`, in `pieces` (one for each segment when not said)."""
    cwnd = tcb.cwnd
    send(tcb, cwnd)
    pieces = pieces or cwnd // tcb.mss
    for piece in range(pieces):
        ack(tcb, cwnd * (piece + 1) // pieces - cwnd * piece // pieces, now, **told)
