"""A path for one sender without a stack: a bottleneck of some rate with a queue, a delay, an ACK for each segment.

The sender sends segments while ``cwnd`` and the pace allow. Losses (drops of the queue) are told by the ACK of the next
segment that passes, and are not sent again: this is about windows and rates, not about recovery.
"""

from collections import deque
from heapq import heappop, heappush

from tests.unit.tcp.connection import MSS, sample
from vrouter.stack.l4.tcp.tcb import SECOND


class Path:
    """`rate` bytes a second, `rtt` ns without a queue, `queue` segments."""

    def __init__(self, tcb, rate, rtt, queue=1000):
        self.tcb, self.rate, self.rtt, self.queue = tcb, rate, rtt, queue
        self.now = 0
        self.free_at = 0  # of the bottleneck
        self.in_flight = self.lost = 0
        self.acks = []
        self.departures = deque()
        self.next_send = 0
        self.serial = 0
        self.limit = None  # bytes in flight that the program fills
        self.drops = 0

    def run(self, seconds):
        """Let time pass."""
        end = self.now + round(seconds * SECOND)
        while True:
            self._send()
            wake = self.acks[0][0] if self.acks else end
            if self._may_send() and self.next_send > self.now:
                wake = min(wake, self.next_send)
            if wake >= end:
                self.now = end
                return
            self.now = max(self.now, wake)
            while self.acks and self.acks[0][0] <= self.now:
                self._ack(*heappop(self.acks)[2:])

    def _may_send(self):
        room = self.tcb.cwnd if self.limit is None else min(self.tcb.cwnd, self.limit)
        return self.in_flight + MSS <= room

    def _send(self):
        tcb = self.tcb
        while self._may_send() and self.next_send <= self.now:
            if self.in_flight == 0:
                tcb.cc.on_event(tcb, 0, self.now)
                tcb.first_sent_at = tcb.delivered_at = self.now
            while self.departures and self.departures[0] <= self.now:
                self.departures.popleft()
            snapshot = (tcb.delivered, tcb.delivered_at, tcb.first_sent_at, self.now, tcb.app_limited != 0)
            tcb.snd_nxt += MSS
            tcb.last_sent_at = self.now
            if tcb.pacing_rate:
                self.next_send = max(self.next_send, self.now) + MSS * SECOND // tcb.pacing_rate
            if len(self.departures) >= self.queue:
                self.lost += MSS
                self.drops += 1
                tcb.snd_una += MSS
                continue
            self.in_flight += MSS
            self.free_at = max(self.free_at, self.now) + MSS * SECOND // self.rate
            self.departures.append(self.free_at)
            self.serial += 1
            heappush(self.acks, (self.free_at + self.rtt, self.serial, snapshot))
        tcb.cwnd_limited = self.limit is None
        if self.limit is not None and self.in_flight < tcb.cwnd:
            tcb.app_limited = tcb.delivered + self.in_flight or 1

    def _ack(self, snapshot):
        tcb, now = self.tcb, self.now
        delivered, delivered_at, first_sent_at, sent_at, app_limited = snapshot
        made = sample(MSS, rtt=now - sent_at, lost=self.lost, prior_in_flight=self.in_flight + self.lost)
        self.in_flight -= MSS
        self.lost = 0
        tcb.snd_una += MSS
        tcb.delivered += MSS
        tcb.delivered_at = now
        tcb.first_sent_at = sent_at
        if tcb.app_limited and tcb.delivered > tcb.app_limited:
            tcb.app_limited = 0
        made.prior_delivered, made.is_app_limited = delivered, app_limited
        made.delivered = tcb.delivered - delivered
        made.interval = max(now - delivered_at, sent_at - first_sent_at)
        tcb.srtt = (tcb.srtt * 7 + now - sent_at) // 8
        tcb.cc.on_ack(tcb, made, now)
