"""Neighbour discovery: what is asked of us, what is answered to us, what we ask; and a place for all that grows on it.

`Ndp.input` *expects* a packet for this namespace with ``l4`` at an ICMPv6 header of type 133 to 137 whose checksum is
right, ``ttl`` its hop limit, ``src`` and ``dst`` scoped; returns ``(0, messages to send)`` when it was used, ``(reason,
[])`` when it dies; *next* is whatever stands in ``actions`` afterwards. Its order:

1. form (NDP_INVALID; RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1): hop limit 255 (so no router let it pass), code 0,
   lengths, each option's length, the addresses that each type may have, no group where one node is meant. A message
   that came in fragments is refused too (RFC 6980), as is one with a link-layer address that no station can have;
2. a solicitation for an address of this device is answered, its sender learned (STALE); without a source it is a probe
   (`dad`). A tentative address answers nobody. The subnet-router anycast address of a prefix (while we are a router)
   and proxied addresses are answered after a random delay of up to `MAX_ANYCAST_DELAY`, without override, so that who
   really has it comes first. Other solicitations teach nothing and die as NDP_NOT_ON_LINK, as does one from a sender
   that has neither a prefix nor a route at this device;
3. an advertisement updates a neighbour that is known, never makes one (RFC 4861 7.2.5). For an address of our own it
   is a conflict (`dad`);
4. router solicitations go to the device's `Advertiser`, advertisements to the device's host side (`discovery`) and, to
   be compared, to its own advertiser. Where nobody wants them, they die as ICMP_IGNORED;
5. a redirect becomes the action ``("redirect", dev, source, redirect)``: layer 3 knows whether to believe it, and calls
   `redirected` if so.

Answers are limited by `answer_rate` for each device (NDP_RATELIMIT); delayed ones to `MAX_DELAYED` for the namespace.

``actions``, which the pipeline empties after each call and timer, in order:

- ``("message", pkt)``: send this ICMPv6 message; ``src`` 0 stays ``::``;
- ``("state", address, state)``: already set; routes follow by the caller (preferred and deprecated ones are usable);
- ``("address_add", dev, address, length, origin, valid_until, preferred_until)``, ``("address_del", address)``: those
  of origin ``ra`` are SLAAC's and have no prefix route of their own; who adds one calls ``dad.start``;
- ``("route_add", dev, prefix, length, via, metric)``, ``("route_del", dev, prefix, length, via, metric)``: proto ``ra``
  of the main table; via -1 is on-link;
- ``("join", dev, group)``, ``("leave", dev, group)``: the solicited-node groups of proxied addresses, and the groups of
  routers;
- ``("sysctl", name, value)``: what a router advertised for the device, as Linux writes it;
- ``("redirect", dev, source, redirect)`` and ``("disable", dev)`` (no IPv6 there any more).

Deviations: Linux and RFC 4861 7.2.3 answer a sender from anywhere; here, as for ARP, it must have a prefix or a route
at the device. RFC 4861 7.2.4 delays every answer for an anycast address; who asks by unicast asks nobody else.

Read first: RFC 4861, RFC 4862, RFC 6583, RFC 6980.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import (
    ALL_NODES6,
    ALL_ROUTERS6,
    ALL_ROUTERS_OF_SITE6,
    V6,
    is_link_local6,
    is_multicast6,
    mask,
    scoped,
    solicited_node,
)
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import FRAGMENT, REASSEMBLED, Packet
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l2.answer_rate import spend
from vrouter.stack.l2.dad import USABLE, Dad
from vrouter.stack.l2.discovery import Discovery
from vrouter.stack.l2.ndp_message import frame_source, is_station, message
from vrouter.stack.l2.neighbour import FAILED, REACHABLE, STALE
from vrouter.stack.l2.router_advert import Advertiser, RaConf
from vrouter.stack.l2.slaac import NO_ADDRESS, link_local_address
from vrouter.stack.wire import icmpv6
from vrouter.stack.wire import ndp as wire
from vrouter.stack.wire.ext_headers import SKIM, walk
from vrouter.stack.wire.ipv6 import HEADER_LEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.device import Address, Device
    from vrouter.stack.l2.discovery import Host
    from vrouter.stack.l2.neighbour import Neigh
    from vrouter.stack.netns import Netns

SECOND: Final = 1_000_000_000
MAX_ANYCAST_DELAY: Final = SECOND  # RFC 4861 10: MAX_ANYCAST_DELAY_TIME
MAX_DELAYED: Final = 64
# All routers, and the solicited-node group of the subnet-router addresses of prefixes up to /104.
ROUTER_GROUPS: Final = (ALL_ROUTERS6, ALL_ROUTERS_OF_SITE6, solicited_node(0))

_INVALID: Final = int(DropReason.NDP_INVALID)
_NOT_ON_LINK: Final = int(DropReason.NDP_NOT_ON_LINK)
_RATELIMIT: Final = int(DropReason.NDP_RATELIMIT)
_IGNORED: Final = int(DropReason.ICMP_IGNORED)

Result = tuple[int, list[Packet]]


class Delayed:
    """An answer that waits for who has the address himself."""

    __slots__ = ("dev", "ndp", "source", "target", "timer")

    def __init__(self, ndp: Ndp, dev: Device, source: int, target: int) -> None:
        self.ndp = ndp
        self.dev = dev
        self.source = source  # of the question, 0 for none
        self.target = target
        self.timer = Timer(TimerKind.NDP_ANSWER, self)


class Ndp:
    """Neighbour discovery of one namespace."""

    __slots__ = ("_busy_until", "_delayed", "_routing", "actions", "advertisers", "dad", "hosts", "ns", "proxies")

    def __init__(self, ns: Netns) -> None:
        self.ns = ns
        self.actions: list[tuple[Any, ...]] = []
        self.dad = Dad(self)
        self.hosts = Discovery(self)
        self.advertisers: dict[Device, Advertiser] = {}
        self.proxies: dict[tuple[Device, int], None] = {}  # (device, address) that is answered for there
        self._delayed: dict[tuple[Device, int, int], Delayed] = {}
        self._routing: dict[Device, None] = {}  # devices that have joined `ROUTER_GROUPS`
        self._busy_until: dict[Device, int] = {}  # the state of each device's `answer_rate`

    def take_actions(self) -> list[tuple[Any, ...]]:
        """What is to be done since the last call, in order."""
        actions, self.actions = self.actions, []
        return actions

    def send(self, pkt: Packet) -> None:
        """Have a message sent."""
        self.actions.append(("message", pkt))

    # -- what comes in -------------------------------------------------------------------------------------------------

    def input(self, dev: Device, pkt: Packet, now: int) -> Result:
        """Handle a message of neighbour discovery that came in by `dev`; see the module's text."""
        if not dev.with_arp or pkt.ttl != wire.HOP_LIMIT:
            return _INVALID, []
        if dev.conf6.suppress_frag_ndisc and _is_fragmented(pkt):
            return _INVALID, []
        buf, off, end = pkt.buf, pkt.l4, pkt.end
        type_ = buf[off]
        if type_ == icmpv6.NEIGHBOUR_SOLICITATION:
            solicitation = wire.NeighbourSolicitation.parse(buf, off, end)
            return (_INVALID, []) if solicitation is None else self._solicited(dev, pkt, solicitation, now)
        if type_ == icmpv6.NEIGHBOUR_ADVERTISEMENT:
            advertisement = wire.NeighbourAdvertisement.parse(buf, off, end)
            return _INVALID if advertisement is None else self._advertised(dev, pkt, advertisement, now), []
        if type_ == icmpv6.ROUTER_SOLICITATION:
            question = wire.RouterSolicitation.parse(buf, off, end)
            return _INVALID if question is None else self._router_solicited(dev, pkt, question, now), []
        if type_ == icmpv6.ROUTER_ADVERTISEMENT:
            answer = wire.RouterAdvertisement.parse(buf, off, end)
            return _INVALID if answer is None else self._router_advertised(dev, pkt, answer, now), []
        redirect = wire.Redirect.parse(buf, off, end)
        return _INVALID if redirect is None else self._redirect(dev, pkt, redirect), []

    def _solicited(self, dev: Device, pkt: Packet, ns_: wire.NeighbourSolicitation, now: int) -> Result:
        """RFC 4861 7.1.1, 7.2.3, 7.2.4; RFC 4862 5.4.3."""
        src, mac = pkt.src, ns_.source_mac
        if not is_station(mac) or (src == 0 and (mac is not None or not _is_solicited_node(pkt.dst))):
            return _INVALID, []
        target = scoped(ns_.target, dev.ifindex)
        owner = self.owner(dev, target)
        if owner is not None and owner.state == "tentative":
            if src:
                return _NOT_ON_LINK, []
            self.dad.solicited(owner, frame_source(pkt), ns_.nonce, now)
            return 0, []
        is_ours = owner is not None and owner.state in USABLE
        if not is_ours and not self._is_anycast(dev, target) and not self._is_proxied(dev, target):
            return _NOT_ON_LINK, []
        if src and (self.ns.ip6.is_local(src) or not self._is_reached_by(dev, src)):
            return _NOT_ON_LINK, []
        if not self._may_answer(dev, now):
            return _RATELIMIT, []
        if src and mac is not None:
            self.ns.neigh6.learn(dev, src, mac, now, state=STALE, override=True, create=True)
        if is_ours:
            return 0, [self._answer(dev, src, target, override=True)]
        if not is_multicast6(pkt.dst):
            return 0, [self._answer(dev, src, target, override=False)]
        return self._delay(dev, src, target, now), []

    def _advertised(self, dev: Device, pkt: Packet, na: wire.NeighbourAdvertisement, now: int) -> int:
        """RFC 4861 7.1.2, 7.2.5; RFC 4862 5.4.4."""
        mac = na.target_mac
        to_group = is_multicast6(pkt.dst)
        if not is_station(mac) or (na.solicited and to_group):
            return _INVALID
        if dev.conf6.drop_unsolicited_na and not na.solicited:
            return _IGNORED
        target = scoped(na.target, dev.ifindex)
        owner = self.owner(dev, target)
        if owner is not None:
            claimant = mac or frame_source(pkt)
            # Known already; or an echo of our own, which never says so of an address that is tentative: another station
            # with our MAC does (RFC 4862 appendix A).
            if owner.state == "conflict" or (owner.state != "tentative" and claimant in self.ns.macs):
                return _NOT_ON_LINK
            self.dad.advertised(owner, claimant, now)
            return 0
        table = self.ns.neigh6
        neigh = table.get(dev, target)
        if neigh is None or neigh.state is FAILED:  # who did not answer in time is unknown again (RFC 4861 7.3.3)
            return _NOT_ON_LINK
        if neigh.header is None and mac is None:
            return _NOT_ON_LINK  # nothing that could be used
        if mac is None:
            mac = neigh.mac
        if neigh.header is not None and mac != neigh.mac and not na.override:
            table.doubt(neigh, now)
            return 0
        table.learn(dev, target, mac, now, state=REACHABLE if na.solicited else STALE, override=True)
        self._note_router(neigh, na.router, now)
        if na.solicited and na.router:
            self.hosts.router_answered(dev, target, now)
        return 0

    def _router_solicited(self, dev: Device, pkt: Packet, rs: wire.RouterSolicitation, now: int) -> int:
        """RFC 4861 6.1.1, 6.2.6."""
        src, mac = pkt.src, rs.source_mac
        if not is_station(mac) or (src == 0 and mac is not None):
            return _INVALID
        advertiser = self.advertisers.get(dev)
        if advertiser is None or not advertiser.active:
            return _IGNORED
        if src:
            if self.ns.ip6.is_local(src) or not self._is_reached_by(dev, src):
                return _NOT_ON_LINK
            if mac is not None:
                self.ns.neigh6.learn(dev, src, mac, now, state=STALE, override=True, create=True)
            neigh = self.ns.neigh6.get(dev, src)
            if neigh is not None:
                self._note_router(neigh, False, now)
        advertiser.solicited(now)
        return 0

    def _router_advertised(self, dev: Device, pkt: Packet, ra: wire.RouterAdvertisement, now: int) -> int:
        """RFC 4861 6.1.2; what is made of it is told in `discovery` and `router_advert`."""
        if not is_link_local6(pkt.src) or not is_station(ra.source_mac):
            return _INVALID
        if self.ns.ip6.is_local(pkt.src) and not dev.conf6.accept_ra_from_local:
            return _NOT_ON_LINK
        advertiser = self.advertisers.get(dev)
        compares = advertiser is not None and advertiser.active
        hears = self.hosts.hears(dev)
        if not compares and not hears:
            return _IGNORED
        if ra.source_mac is not None:
            self.ns.neigh6.learn(dev, pkt.src, ra.source_mac, now, state=STALE, override=True, create=True)
        neigh = self.ns.neigh6.get(dev, pkt.src)
        if neigh is not None:
            neigh.router = True  # RFC 4861 6.3.4
        if advertiser is not None and compares:
            advertiser.heard(pkt.src, ra, now)
        if hears:
            self.hosts.advertised(dev, pkt.src, ra, now)
        return 0

    def _redirect(self, dev: Device, pkt: Packet, redirect: wire.Redirect) -> int:
        """RFC 4861 8.1: what can be told without routes."""
        if not is_link_local6(pkt.src) or not is_station(redirect.target_mac):
            return _INVALID
        if not dev.conf6.accept_redirects:
            return _IGNORED
        redirect.target = scoped(redirect.target, dev.ifindex)
        redirect.destination = scoped(redirect.destination, dev.ifindex)
        self.actions.append(("redirect", dev, pkt.src, redirect))
        return 0

    def redirected(self, dev: Device, redirect: wire.Redirect, now: int) -> None:
        """Layer 3 believed a redirect: learn the link-layer address that came with it (RFC 4861 8.3)."""
        mac, target = redirect.target_mac, redirect.target
        if mac is not None:
            self.ns.neigh6.learn(dev, target, mac, now, state=STALE, override=True, create=True)
        neigh = self.ns.neigh6.get(dev, target)
        if neigh is not None and target != redirect.destination:
            neigh.router = True

    # -- what goes out -------------------------------------------------------------------------------------------------

    def solicit(self, neigh: Neigh, unicast: bool, pkt_src: int, now: int) -> Packet | None:
        """The question for a neighbour: to its solicited-node group, or to itself with `unicast` (RFC 4861 7.2.2).

        Its source is that of the packet that waits (`pkt_src`, 0 without one) if the device has it, else the
        link-local address. None when the device has no address to ask from: only a probe comes from ``::``.
        """
        dev = neigh.dev
        source = 0
        if pkt_src:
            owner = self.owner(dev, pkt_src)
            source = pkt_src if owner is not None and owner.state in USABLE else 0
        source = source or self.link_local_source(dev)
        if not source:
            return None
        dst = neigh.addr if unicast and neigh.header is not None else solicited_node(neigh.addr)
        return message(dev, source, dst, wire.NeighbourSolicitation(neigh.addr, dev.mac))

    def link_local_source(self, dev: Device) -> int:
        """A link-local address of the device that may be used as a source; 0 when there is none."""
        for address in dev.addresses:
            if address.family == V6 and address.state in USABLE and is_link_local6(address.address):
                return address.address
        return 0

    def link_local(self, dev: Device) -> int:
        """The link-local address (scoped) that the device is to give itself; 0 with ``addr_gen_mode`` 1."""
        return 0 if dev.conf6.addr_gen_mode == NO_ADDRESS else link_local_address(self.ns, dev)

    def owner(self, dev: Device, target: int) -> Address | None:
        """The device's record of an address, whatever its state: one in use if it has it with several lengths."""
        held = self.ns.ip6.held(dev, target)
        for address in held:
            if address.state in USABLE:
                return address
        return held[0] if held else None

    def _answer(self, dev: Device, src: int, target: int, *, override: bool) -> Packet:
        """RFC 4861 7.2.4: to the asker, or to all nodes when he asked without an address."""
        dst = src or ALL_NODES6
        owner = self.owner(dev, target)
        source = target if owner is not None and owner.state in USABLE else self.ns.ip6.select_source(dev, dst)
        value = wire.NeighbourAdvertisement(
            target, dev.mac, router=dev.conf6.forwarding, solicited=src != 0, override=override
        )
        return message(dev, source, dst, value)

    def _delay(self, dev: Device, src: int, target: int, now: int) -> int:
        """RFC 4861 7.2.7, 7.2.8: several may answer, and who has the address himself comes first."""
        key = dev, target, src
        if key in self._delayed:
            return 0  # one answer serves both
        if len(self._delayed) >= MAX_DELAYED:
            return _RATELIMIT
        delayed = self._delayed[key] = Delayed(self, dev, src, target)
        self.ns.stack.timers.arm(delayed.timer, now + self.ns.stack.rng.below(MAX_ANYCAST_DELAY + 1))
        return 0

    def _may_answer(self, dev: Device, now: int) -> bool:
        busy_until = spend(self._busy_until.get(dev, 0), now)
        if busy_until >= 0:
            self._busy_until[dev] = busy_until
        return busy_until >= 0

    def _is_reached_by(self, dev: Device, addr: int) -> bool:
        return is_link_local6(addr) or self.ns.ip6.on_link(dev, addr) or self.ns.ip6.out_device(addr) is dev

    def _is_anycast(self, dev: Device, target: int) -> bool:
        """RFC 4291 2.6.1: the subnet-router address of a prefix of the device, while it is a router's."""
        if not dev.conf6.forwarding or target not in self.ns.ip6.zeros:
            return False
        return any(
            own.family == V6
            and own.length < 127  # RFC 6164: not on links between two routers
            and own.state in USABLE
            and own.address & mask(own.length, 128) == target
            for own in dev.addresses
        )

    def _is_proxied(self, dev: Device, target: int) -> bool:
        return (dev, target) in self.proxies and dev.conf6.proxy_ndp and dev.conf6.forwarding

    def _note_router(self, neigh: Neigh, is_router: bool, now: int) -> None:
        """RFC 4861 7.2.5, 7.3.3: who stopped to be a router is no default router any more."""
        was, neigh.router = neigh.router, is_router
        if was and not is_router:
            self.hosts.router_left(neigh.dev, neigh.addr, now)
            self.ns.ip6.gateway_left(neigh.addr)

    # -- what changes --------------------------------------------------------------------------------------------------

    def device_ready(self, dev: Device, now: int) -> None:
        """The device became ready. (Its addresses get a `Dad.start` each from whoever says so.)"""
        self._join_as_router(dev)
        self.hosts.device_ready(dev, now)
        self._refresh(dev, now)

    def device_stopping(self, dev: Device, now: int) -> None:
        """The device is about to go down, or away, and is still ready: hosts are told (RFC 4861 6.2.5)."""
        advertiser = self.advertisers.get(dev)
        if advertiser is not None and dev.ready:
            advertiser.cease(now)

    def stopping(self, now: int) -> None:
        """The namespace is about to end, with all its devices still there: as `device_stopping` for each."""
        for dev in list(self.advertisers):
            self.device_stopping(dev, now)

    def device_unready(self, dev: Device, now: int) -> None:
        """The device lost its carrier, or went down: when it is administratively down, what was learned there ends."""
        for delayed in [one for one in self._delayed.values() if one.dev is dev]:
            self._forget(delayed)
        self.hosts.device_unready(dev, now)
        self._refresh(dev, now)

    def device_removed(self, dev: Device, now: int) -> None:
        """The device left the namespace, or has no IPv6 any more: forget all about it, but in the second case not what
        was configured."""
        for delayed in [one for one in self._delayed.values() if one.dev is dev]:
            self._forget(delayed)
        self.hosts.device_removed(dev)
        advertiser = self.advertisers.get(dev)
        if advertiser is not None:
            advertiser.silence()
        self._leave_as_router(dev)
        if not dev.removed:
            return
        self.advertisers.pop(dev, None)
        for key in [key for key in self.proxies if key[0] is dev]:
            self.del_proxy(*key)
        self._busy_until.pop(dev, None)

    def conf_changed(self, dev: Device, now: int) -> None:
        """``conf6`` of the device changed: it may be a router now, or a host, or hear routers no more."""
        self._join_as_router(dev)
        self.hosts.conf_changed(dev, now)
        self._refresh(dev, now)

    def mac_changed(self, dev: Device, now: int) -> None:
        """The device has another MAC (RFC 4861 7.2.6)."""
        self.dad.announce(dev, now)

    def address_added(self, address: Address, now: int) -> None:
        """An address was configured; `Dad.start` is called for it besides."""
        self.hosts.address_added(address, now)
        self._refresh(address.dev, now)

    def address_removed(self, address: Address, now: int) -> None:
        """An address was taken away; it is not in ``dev.addresses`` any more."""
        self.dad.stop(address)
        self.hosts.address_removed(address)
        advertiser = self.advertisers.get(address.dev)
        if advertiser is not None:
            advertiser.source_removed(address.address, now)
        self._refresh(address.dev, now)

    def became_usable(self, address: Address, now: int) -> None:
        """Detection is over (`Dad`): what waited for an address may go on."""
        if is_link_local6(address.address):
            self.hosts.link_local_usable(address.dev, now)
        self._refresh(address.dev, now)

    def next_hop_failed(self, dev: Device, address: int, now: int) -> None:
        """A neighbour did not answer: if it is a default router, others go before it (RFC 4861 6.3.6)."""
        self.hosts.router_failed(dev, address, now)

    def lost(self, address: Address, now: int) -> None:
        """Detection found the address taken (`Dad`)."""
        self.hosts.lost(address)
        self._refresh(address.dev, now)

    def set_ra(self, dev: Device, conf: RaConf | None, now: int) -> None:
        """Configure what the device advertises, None for nothing; ValueError for what RFC 4861 6.2.1 forbids."""
        problems = [] if conf is None else conf.problems()
        if problems:
            raise ValueError("; ".join(f"{field} {text}" for field, text in problems))
        advertiser = self.advertisers.get(dev)
        if advertiser is not None:
            advertiser.configure(conf, now)
        elif conf is not None:
            advertiser = self.advertisers[dev] = Advertiser(self, dev, conf)
            advertiser.refresh(now)

    def add_proxy(self, dev: Device, address: int) -> None:
        """Answer for `address` (scoped) at `dev`, as far as its settings let it; OSError EEXIST when it does so."""
        if (dev, address) in self.proxies:
            raise FileExistsError(errno.EEXIST, "the device is a proxy for this address already")
        self.proxies[dev, address] = None
        self.actions.append(("join", dev, solicited_node(address)))

    def del_proxy(self, dev: Device, address: int) -> None:
        """Answer for `address` no more; OSError ENOENT when nobody did."""
        if (dev, address) not in self.proxies:
            raise FileNotFoundError(errno.ENOENT, "the device is no proxy for this address")
        del self.proxies[dev, address]
        self.actions.append(("leave", dev, solicited_node(address)))

    def answer_due(self, delayed: Delayed) -> None:
        """The timer of a delayed answer (TimerKind.NDP_ANSWER) is due."""
        self._forget(delayed)
        dev, target = delayed.dev, delayed.target
        if dev.ready and (self._is_proxied(dev, target) or self._is_anycast(dev, target)):
            self.send(self._answer(dev, delayed.source, target, override=False))

    def _join_as_router(self, dev: Device) -> None:
        """RFC 4291 2.8: a router's devices have groups that a host's have not."""
        if not dev.conf6.forwarding or not dev.with_ipv6:
            self._leave_as_router(dev)
        elif dev not in self._routing:
            self._routing[dev] = None
            self.actions += [("join", dev, group) for group in ROUTER_GROUPS]

    def _leave_as_router(self, dev: Device) -> None:
        if dev in self._routing:
            del self._routing[dev]
            self.actions += [("leave", dev, group) for group in ROUTER_GROUPS]

    def _forget(self, delayed: Delayed) -> None:
        self.ns.stack.timers.cancel(delayed.timer)
        del self._delayed[delayed.dev, delayed.target, delayed.source]

    def _refresh(self, dev: Device, now: int) -> None:
        advertiser = self.advertisers.get(dev)
        if advertiser is not None:
            advertiser.refresh(now)


def _is_fragmented(pkt: Packet) -> bool:
    """Whether there is, or was, a fragment header: that of an atomic fragment (RFC 6946) counts too."""
    if pkt.flags & (FRAGMENT | REASSEMBLED):
        return True
    if pkt.l4 - pkt.l3 == HEADER_LEN:
        return False
    return walk(pkt.buf, pkt.l3, pkt.end, SKIM).fragment >= 0


def _is_solicited_node(group: int) -> bool:
    return solicited_node(group) == group


def _dad_due(address: Address, now: int) -> Netns:
    ns = address.dev.ns
    ns.ndp.dad.timer_fired(address, now)
    return ns


def _answer_due(delayed: Delayed, now: int) -> Netns:
    delayed.ndp.answer_due(delayed)
    return delayed.ndp.ns


def _advert_due(advertiser: Advertiser, now: int) -> Netns:
    advertiser.timer_fired(now)
    return advertiser.ndp.ns


def _solicitation_due(host: Host, now: int) -> Netns:
    host.discovery.solicitation_due(host, now)
    return host.discovery.ns


def _lifetime_due(host: Host, now: int) -> Netns:
    host.discovery.lifetime_due(host, now)
    return host.discovery.ns


# For the stack's dispatch table: kind of timer -> what is called with its owner, and returns the namespace.
NDP_TIMERS: Final[dict[int, Callable[[Any, int], Netns]]] = {
    TimerKind.DAD: _dad_due,
    TimerKind.NDP_ANSWER: _answer_due,
    TimerKind.ROUTER_ADVERT: _advert_due,
    TimerKind.ROUTER_SOLICIT: _solicitation_due,
    TimerKind.AUTOCONF: _lifetime_due,
}
