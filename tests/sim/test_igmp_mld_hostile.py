"""A stranger who says anything of groups, and an operator who changes everything meanwhile.

In one sentence: nothing raises, no table exceeds its bound, the accounts balance at every moment, and when all is
switched off nothing is left to do.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from tests.path.group_bed import ALERT4, ALERT6, Loud
from vrouter.stack.l3.multicast.host import MAX_ASKED
from vrouter.stack.l3.multicast.listeners import MAX_SOURCES
from vrouter.stack.l3.multicast.querier import MAX_GROUPS
from vrouter.testing import frames, frames6

DEVICES = ("up", "x", "y")


class Stranger:
    """Three links of r, and what comes in by them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bed = bed = Loud(seed)
        bed.r = bed.stack.add_netns("r")
        bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
        self.stations = [bed.lan(bed.r, name, 5, third) for third, name in enumerate(DEVICES, 1)]
        self.sockets = [bed.r.socket(2), bed.r.socket(10)]

    def address(self, v4: bool, *, group: bool) -> str:
        """One of a few addresses, now and then an impossible one."""
        n = self.rng.randrange(8)
        if v4:
            return self.rng.choice(
                [f"239.1.1.{n}", "224.0.0.1", "224.0.0.251"] if group else [f"10.0.1.{n}", "0.0.0.0"]
            )
        return self.rng.choice(
            [f"ff05::{n:x}", "ff02::1", "ff02::fb", "ff01::1"]
            if group
            else [f"fe80::{n:x}", "::", f"2001:db8:1::{n:x}"]
        )

    def message(self, v4: bool, src: str, dst: str) -> bytes:
        """A message of IGMP or MLD, right or damaged."""
        rng = self.rng
        kind = rng.randrange(4)
        group = self.address(v4, group=rng.random() < 0.95)
        many = rng.choice([0, 0, 1, 3, 80])
        sources = [f"192.0.2.{n % 250}" if v4 else f"2001:db8::{n:x}" for n in rng.sample(range(400), many)]
        if kind == 0:
            asked = rng.choice([None, group])
            if v4:
                code = rng.randrange(256)
                found = frames.igmp_query(asked or 0, sources, version=rng.randrange(1, 4), code=code)
            else:
                code = rng.randrange(65536)
                found = frames6.mld_query(
                    src, dst, asked or "::", sources, version=rng.randrange(1, 3), max_response=code
                )
        elif kind == 1:
            leave = rng.random() < 0.5
            found = (
                frames.igmp_report(group, version=rng.randrange(1, 3), leave=leave)
                if v4
                else frames6.mld_report(src, dst, group, done=leave)
            )
        elif v4:
            found = frames.igmp3_report(*(frames.igmp_record(rng.randrange(8), group, sources) for _ in range(2)))
        else:
            records = (frames6.mld_record(rng.randrange(8), group, sources) for _ in range(2))
            found = frames6.mld2_report(src, dst, *records)
        if rng.random() < 0.1:
            cut = bytearray(found[: rng.randrange(1, len(found) + 1)])
            cut[rng.randrange(len(cut))] ^= 1 << rng.randrange(8)
            found = bytes(cut)
        return found

    def say(self) -> None:
        """A message comes in by some link."""
        rng = self.rng
        v4 = rng.random() < 0.5
        station = rng.choice(self.stations)
        src, dst = self.address(v4, group=False), self.address(v4, group=rng.random() < 0.9)
        message, ttl = self.message(v4, src, dst), rng.choice([1, 1, 1, 64])
        if v4:
            packet = frames.ipv4(src, dst, 2, message, ttl=ttl, options=rng.choice([ALERT4, b""]))
            frame = frames.ethernet(frames.group_mac(dst), station.mac, frames.IPV4, packet)
        else:
            packet = frames6.ipv6(src, dst, 0, frames6.hop_by_hop(58, message, ALERT6), hop_limit=ttl)
            frame = frames.ethernet(frames6.group_mac6(dst), station.mac, 0x86DD, packet)
        station.send_frame(frame)

    def send(self) -> None:
        """Data to a group."""
        v4 = self.rng.random() < 0.5
        group = self.address(v4, group=True)
        station = self.rng.choice(self.stations)
        if v4:
            packet = frames.ipv4_udp(self.address(True, group=False), group, 5353, 5353, bytes(40), ttl=255)
            frame = frames.ethernet(frames.group_mac(group), station.mac, frames.IPV4, packet)
        else:
            packet = frames.ipv6_udp(self.address(False, group=False), group, 5353, 5353, bytes(40), hop_limit=255)
            frame = frames.ethernet(frames6.group_mac6(group), station.mac, 0x86DD, packet)
        station.send_frame(frame)

    def administer(self) -> None:
        """Something is changed; what cannot be is an OSError and changes nothing."""
        rng, r, now = self.rng, self.bed.r, self.bed.now
        one, two = rng.sample(DEVICES, 2)
        group = self.address(rng.random() < 0.5, group=True)
        acts: list[Any] = [
            lambda: r.set_querier(one, igmp=rng.random() < 0.7, mld=rng.random() < 0.7, now=now),
            lambda: r.set_multicast_proxy(rng.choice([one, None]), [two], now=now),
            lambda: r.add_mroute(group, one, [two], join=rng.random() < 0.5, now=now),
            lambda: r.del_mroute(group, now=now),
            lambda: r.set_mdns(rng.choice([[], [one, two]]), now=now),
            lambda: r.set_device(one, up=rng.random() < 0.8, now=now),
            lambda: r.sysctl.__setitem__(f"net.ipv4.conf.{one}.force_igmp_version", rng.randrange(4)),
            lambda: r.sysctl.__setitem__(f"net.ipv6.conf.{one}.force_mld_version", rng.randrange(3)),
            lambda: r.sysctl.__setitem__(f"net.ipv6.conf.{one}.disable_ipv6", rng.random() < 0.2),
            lambda: self.join(group, one),
        ]
        with contextlib.suppress(OSError):
            rng.choice(acts)()

    def join(self, group: str, name: str) -> None:
        """A socket joins or leaves a group."""
        v4 = ":" not in group
        sock, dev = self.sockets[not v4], self.bed.r.devices[name]
        option = self.rng.choice([42, 45])
        storage = (
            (2).to_bytes(2, "little") + bytes(2) + frames.ip_int(group).to_bytes(4, "big")
            if v4
            else (10).to_bytes(2, "little") + bytes(6) + frames6.ip6_int(group).to_bytes(16, "big")
        )
        body = dev.ifindex.to_bytes(8, "little") + storage.ljust(128, b"\0")
        sock.setsockopt(0 if v4 else 41, option, body, now=self.bed.now)

    def check(self) -> None:
        """Bounds and accounts."""
        tables = self.bed.r.groups_state
        for querier in tables.queriers.values():
            assert len(querier.groups) <= MAX_GROUPS
            assert all(len(one.sources) <= MAX_SOURCES for one in querier.groups.values())
        for speaker in tables.speakers.values():
            assert set(speaker._answers) <= set(speaker.groups)
            assert all(len(answer.sources or ()) <= MAX_ASKED for answer in speaker._answers.values())
        assert not tables.dirty
        assert not tables.actions
        sources, ends = self.bed.stack.accounts()
        assert sum(sources.values()) == sum(ends.values())


@pytest.mark.parametrize("seed", range(8))
def test_anything_at_any_time(seed: int) -> None:
    """The sentence above, over 1500 steps for each seed."""
    stranger = Stranger(seed)
    bed = stranger.bed
    for _ in range(1500):
        step = stranger.rng.random()
        if step < 0.6:
            stranger.say()
        elif step < 0.75:
            stranger.send()
        elif step < 0.85:
            stranger.administer()
        else:
            bed.run_for(stranger.rng.random() ** 4 * 100)
        stranger.check()
    for name in DEVICES:
        bed.r.set_querier(name, igmp=False, mld=False, now=bed.now)
    bed.r.set_multicast_proxy(None, now=bed.now)
    bed.r.set_mdns([], now=bed.now)
    for row in bed.r.mroutes():
        bed.r.del_mroute(row["group"], row["source"], now=bed.now)
    for sock in stranger.sockets:
        sock.close(now=bed.now)
    bed.run_until_idle()
    stranger.check()
    assert [dev.allmulti for dev in bed.r.devices.values()] == [0, 0, 0, 0]
    assert bed.r.groups_state.held == {}
    assert all(value == 0 for name, value in bed.r.sysctl.items() if name.endswith("mc_forwarding"))
    for name in DEVICES:
        bed.stack.remove_device(bed.r.devices[name], now=bed.now)
    assert bed.r.groups_state.speakers == bed.r.groups_state.waiting == {}
    bed.close()
