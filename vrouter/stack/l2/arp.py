"""ARP: what is asked of us, what is answered to us, and what we ask.

`arp_input` *expects* a packet that `ethernet_input` let through with EtherType ARP, *sets* nothing in it, and returns
``(0, reply or None)`` when the packet was used, ``(reason, None)`` when it dies; *next* is the egress of the reply, and
whatever stands in ``ns.neigh4.actions`` and ``ns.acd.actions`` afterwards. Its order is that of RFC 826 with the checks
of RFC 5227 in front:

1. form and addresses (ARP_INVALID): other hardware or protocol than IPv4 over Ethernet, another operation than request
   or reply; a sender MAC that is a group (RFC 1812 3.3.2), zero, or our own, which is an echo (RFC 5227 2.1.1); a
   sender or target address that no single station has;
2. address conflicts (`acd`): such a packet is counted and used up there; it teaches and gets nothing;
3. a request for an address of ours is answered, and its sender learned (STALE) on the way, as packets for it follow
   soon. A probe (sender address 0) is answered and teaches nothing (RFC 5227 2.5);
4. anything else only refreshes an entry that exists (RFC 826's merge flag), or it dies as ARP_NOT_ON_LINK. A unicast
   reply makes it REACHABLE; a request, or what was broadcast, proves no reachability (STALE). A gratuitous packet
   (sender = target) replaces a known MAC at once, another one only after `locktime`. With ``arp_accept`` gratuitous
   packets and replies make entries too (2: only for addresses in a prefix of the device); with ``drop_gratuitous_arp``
   gratuitous packets teach nothing and die as ARP_NOT_ON_LINK.

Settings, as in Linux: ``arp_ignore`` 0 answers for every address of the namespace, 1 for those of this device alone,
2 only to senders in their prefix besides, 3 for all but those of host scope, 8 never. ``arp_filter`` answers only where
the way back to the sender leaves by this device. ``arp_announce`` chooses the sender address of questions: 0 the
packet's own source, 1 the same if it is in a prefix of the device together with the target, 2 the best of the device.
``proxy_arp`` answers for addresses behind other devices (RFC 1027), if the device forwards.

The sender MAC is the one inside the ARP packet, as RFC 826 says; the frame's may differ (bonds, proxies). A request
that came by unicast is answered like any other (RFC 1122 2.3.2.1). Answers are limited for each device by
`answer_rate`; beyond it a request dies as ARP_RATELIMIT.

Deviations from Linux: a sender that has neither a prefix nor a route at this device is not answered (ARP_NOT_ON_LINK),
where Linux answers as long as ``rp_filter`` is off; a proxy's answer is not delayed by a random time.

Read first: RFC 826, RFC 1122 2.3.2, RFC 1812 3.3.2, RFC 5227.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import NULL_MAC, is_multicast4, mask
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import HEADROOM, LINK_GROUP, LOCAL_OUT, Packet
from vrouter.stack.l2.answer_rate import spend
from vrouter.stack.l2.neighbour import REACHABLE, STALE
from vrouter.stack.wire import ethernet
from vrouter.stack.wire.arp import ARP_LEN, REPLY, REQUEST, Arp
from vrouter.stack.wire.ethernet import BROADCAST, ETHERTYPE_ARP, HEADER_LEN

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.neighbour import Neigh
    from vrouter.stack.netns import Netns

_LOOPBACK_NET: Final = 127
_FRAME_LEN: Final = HEADER_LEN + ARP_LEN

_IGNORE_OTHER_DEVICES: Final = (1, 2)
_IGNORE_HOST_SCOPE: Final = 3
_IGNORE_ALL: Final = 8


def arp_input(ns: Netns, dev: Device, pkt: Packet, now: int) -> tuple[int, Packet | None]:
    """Handle an ARP packet that came in by `dev`: (drop reason or 0, the frame to send back or None)."""
    arp = Arp.parse(pkt.buf, pkt.start, pkt.end)
    if arp is None or not _is_valid(ns, dev, arp):
        return DropReason.ARP_INVALID, None
    is_request = arp.op == REQUEST
    ns.stats[Stat.ArpInRequests if is_request else Stat.ArpInReplies] += 1
    if ns.acd.arp_seen(dev, arp, now):
        return 0, None
    spa, tpa = arp.spa, arp.tpa
    if spa == tpa and dev.conf4.drop_gratuitous_arp:
        return DropReason.ARP_NOT_ON_LINK, None
    if spa == 0:
        if is_request and _answers_for(ns, dev, arp):
            return _answer(ns, dev, arp, now)
        return DropReason.ARP_NOT_ON_LINK, None
    if ns.ip4.is_local(spa) or not _is_reached_by(ns, dev, spa):
        return DropReason.ARP_NOT_ON_LINK, None
    if is_request and spa != tpa and (_answers_for(ns, dev, arp) or _proxies_for(ns, dev, tpa)):
        return _answer(ns, dev, arp, now)
    return _merge(ns, dev, arp, pkt, now), None


def build_request(dev: Device, spa: int, tpa: int, *, dst: bytes = BROADCAST, tha: bytes = NULL_MAC) -> Packet:
    """The frame that asks at `dev` who has `tpa`, on behalf of `spa` (0 = an ARP probe, RFC 5227 2.1.1)."""
    return _build(dev, Arp(REQUEST, dev.mac, spa, tha, tpa), dst)


def build_reply(dev: Device, spa: int, tpa: int, tha: bytes) -> Packet:
    """The frame that tells `tha`, which has `tpa`, that `spa` is at this device."""
    return _build(dev, Arp(REPLY, dev.mac, spa, tha, tpa), tha)


def solicit(ns: Netns, neigh: Neigh, unicast: bool, pkt_src: int) -> Packet:
    """The question for a neighbour: broadcast, or to its known MAC with `unicast` (RFC 1122 2.3.2.1 (2)).

    `pkt_src` is the source of the packet that waits, 0 without one; ``arp_announce`` says whether it may be told.
    """
    ns.stats[Stat.ArpOutRequests] += 1
    source = _source_for(ns, neigh.dev, neigh.addr, pkt_src)
    return build_request(neigh.dev, source, neigh.addr, dst=neigh.mac if unicast and neigh.mac else BROADCAST)


def _is_valid(ns: Netns, dev: Device, arp: Arp) -> bool:
    if arp.op != REQUEST and arp.op != REPLY:
        return False
    sha, spa, tpa = arp.sha, arp.spa, arp.tpa
    if sha[0] & 1 or sha == NULL_MAC or sha == dev.mac:
        return False
    # 240/4 and 255.255.255.255 lie above the groups: from 224 on nothing is one station's.
    if spa and (spa >> 24 in (0, _LOOPBACK_NET) or spa >> 28 >= 0xE or ns.ip4.is_broadcast(spa)):
        return False
    return not (
        is_multicast4(tpa) or (tpa >> 24 == _LOOPBACK_NET and not dev.conf4.route_localnet) or ns.ip4.is_broadcast(tpa)
    )


def _is_reached_by(ns: Netns, dev: Device, addr: int) -> bool:
    return ns.ip4.on_link(dev, addr) or ns.ip4.out_device(addr) is dev


def _answers_for(ns: Netns, dev: Device, arp: Arp) -> bool:
    """Whether the target is an address of ours, and the settings let this device answer for it."""
    if not ns.ip4.is_local(arp.tpa):
        return False
    conf = dev.conf4
    ignore = conf.arp_ignore
    if ignore:
        if ignore in _IGNORE_OTHER_DEVICES:
            if not _has(ns, dev, arp.tpa, arp.spa if ignore == 2 and arp.spa else arp.tpa):
                return False
        elif ignore == _IGNORE_HOST_SCOPE:
            owner = ns.ip4.owner(arp.tpa)
            if owner is None or owner.scope == "host":
                return False
        elif ignore == _IGNORE_ALL:
            return False
    return not conf.arp_filter or arp.spa == 0 or ns.ip4.out_device(arp.spa) is dev


def _has(ns: Netns, dev: Device, addr: int, peer: int) -> bool:
    """Whether `addr` is an address of `dev`, in whose prefix `peer` is."""
    return any(own.state == "preferred" and not (addr ^ peer) & mask(own.length) for own in ns.ip4.held(dev, addr))


def _proxies_for(ns: Netns, dev: Device, tpa: int) -> bool:
    if not (dev.conf4.proxy_arp and dev.conf4.forwarding) or tpa == 0 or ns.ip4.is_local(tpa):
        return False  # what is said of the namespace's own addresses is said by arp_ignore
    out = ns.ip4.out_device(tpa)
    return out is not None and out is not dev


def _answer(ns: Netns, dev: Device, arp: Arp, now: int) -> tuple[int, Packet | None]:
    busy_until = spend(dev.arp_busy_until, now)
    if busy_until < 0:
        return DropReason.ARP_RATELIMIT, None
    dev.arp_busy_until = busy_until
    if arp.spa:
        ns.neigh4.learn(dev, arp.spa, arp.sha, now, state=STALE, override=True, create=True)
    ns.stats[Stat.ArpOutReplies] += 1
    return 0, build_reply(dev, arp.tpa, arp.spa, arp.sha)


def _merge(ns: Netns, dev: Device, arp: Arp, pkt: Packet, now: int) -> int:
    table = ns.neigh4
    neigh = table.get(dev, arp.spa)
    is_reply = arp.op == REPLY
    gratuitous = arp.spa == arp.tpa and (not is_reply or arp.tha == arp.sha)
    create = False
    if neigh is None:
        accept = dev.conf4.arp_accept
        create = accept > 0 and (gratuitous or is_reply) and (accept == 1 or ns.ip4.on_link(dev, arp.spa))
        if not create:
            return DropReason.ARP_NOT_ON_LINK
    state = REACHABLE if is_reply and not pkt.flags & LINK_GROUP else STALE
    override = gratuitous or neigh is None or not table.locked(neigh, now)
    table.learn(dev, arp.spa, arp.sha, now, state=state, override=override, create=create)
    return 0


def _source_for(ns: Netns, dev: Device, target: int, pkt_src: int) -> int:
    announce = dev.conf4.arp_announce
    if pkt_src and announce < 2 and pkt_src >> 24 != _LOOPBACK_NET and ns.ip4.is_local(pkt_src):
        if announce == 0 or ns.ip4.same_link(dev, target, pkt_src):
            return pkt_src
    return ns.ip4.select_source(dev, target)


def _build(dev: Device, arp: Arp, dst: bytes) -> Packet:
    buf = bytearray(HEADROOM + _FRAME_LEN)
    ethernet.emit(buf, HEADROOM, dst, dev.mac, ETHERTYPE_ARP)
    arp.emit(buf, HEADROOM + HEADER_LEN)
    pkt = Packet(buf, HEADROOM, HEADROOM + _FRAME_LEN)
    pkt.l2 = HEADROOM
    pkt.l3 = HEADROOM + HEADER_LEN
    pkt.ethertype = ETHERTYPE_ARP
    pkt.flags = LOCAL_OUT
    pkt.oif = dev
    return pkt
