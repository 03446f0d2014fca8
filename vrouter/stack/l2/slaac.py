"""Stateless address autoconfiguration: interface identifiers, and the addresses that prefixes of advertisements make.

Identifiers are those of ``addr_gen_mode``: 0 and 1 the modified EUI-64 of the MAC (RFC 4291 appendix A); 2 a hash
(RFC 7217) of prefix, namespace, device and a count of conflicts under ``stable_secret``, or under the stack's identity
when there is none: stable over restarts; 3 the same under a key of this run. Reserved identifiers (RFC 5453) are
passed over. After a conflict the hash of the next count is tried, ``idgen_retries`` times.

`Slaac` keeps the addresses of one device: one for each prefix of 64 bits, at most ``max_addresses``. How many
identifiers were taken is forgotten with the address. Lifetimes follow RFC 4862 5.5.3 e: who advertises a short one
cannot take away in less than two hours what others promised. The caller owns the timer: `expire` does what is due,
`next_change` says when the next is.

What is to be done stands in ``ndp.actions`` (``address_add``, ``address_del``, ``state``).

Read first: RFC 4862 5.5.3, RFC 7217 5 and 6.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import LINK_LOCAL6, eui64, is_link_local6, scoped, unscoped
from vrouter.stack.device import FOREVER

if TYPE_CHECKING:
    from vrouter.stack.device import Address, Device
    from vrouter.stack.l2.ndp import Ndp
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.ndp_options import Prefix

SECOND: Final = 1_000_000_000
TWO_HOURS: Final = 7200 * SECOND
INFINITE: Final = 0xFFFFFFFF
ID_BITS: Final = 64
MAX_ADDRESSES: Final = 256  # where the setting says that there is no bound
NO_ADDRESS: Final = 1
STABLE: Final = 2
STABLE_RUN: Final = 3

_ID_MASK: Final = (1 << ID_BITS) - 1
_SUBNET_ANYCAST: Final = 0xFDFFFFFFFFFFFF80  # RFC 2526: this and the 127 above
_PROXY_MOBILE: Final = 0x02005EFFFE000000  # RFC 5453: a block of IANA's EUI-64, 24 bits


def until(now: int, seconds: int) -> int:
    """When a lifetime from the wire ends."""
    return FOREVER if seconds == INFINITE else now + seconds * SECOND


def interface_id(ns: Netns, dev: Device, prefix: int, conflicts: int = 0) -> int:
    """The 64 bits that identify `dev` behind `prefix` (a whole address, host bits 0), by ``addr_gen_mode``."""
    mode = dev.conf6.addr_gen_mode
    if mode not in (STABLE, STABLE_RUN):
        return eui64(dev.mac)
    place = "\0".join((ns.name, dev.name)).encode()
    while True:
        if mode == STABLE:
            secret = dev.conf6.stable_secret
            key = ns.stack.identity.encode() if secret < 0 else secret.to_bytes(16, "big")
            digest = blake2b(digest_size=32, person=b"vrouter-slaac")
            digest.update(len(key).to_bytes(4, "big") + key)
            digest.update(prefix.to_bytes(16, "big") + conflicts.to_bytes(4, "big") + place)
            found = int.from_bytes(digest.digest()[:8], "big")
        else:
            there = int.from_bytes(blake2b(place, digest_size=16).digest(), "big")
            found = ns.stack.rng.keyed_hash(prefix, there, conflicts)
        if not is_reserved(found):
            return found
        conflicts += 1 << 16  # beyond any count of conflicts


def is_reserved(identifier: int) -> bool:
    """Whether no single node may have the identifier (RFC 5453, RFC 2526, RFC 4291 2.6.1)."""
    return identifier == 0 or identifier >> 7 == _SUBNET_ANYCAST >> 7 or identifier >> 24 == _PROXY_MOBILE >> 24


def link_local_address(ns: Netns, dev: Device, conflicts: int = 0) -> int:
    """The link-local address (scoped) that the device gives itself (RFC 4862 5.3)."""
    return scoped(LINK_LOCAL6 | interface_id(ns, dev, LINK_LOCAL6, conflicts), dev.ifindex)


class Slaac:
    """The addresses that advertisements made for one device. Times are ns."""

    __slots__ = ("conflicts", "dev", "made", "ndp")

    def __init__(self, ndp: Ndp, dev: Device) -> None:
        self.ndp = ndp
        self.dev = dev
        self.made: dict[int, int] = {}  # prefix -> the address
        self.conflicts: dict[int, int] = {}  # prefix -> how many identifiers were taken

    def advertised(self, option: Prefix, now: int) -> None:
        """A prefix for autonomous configuration was advertised (RFC 4862 5.5.3)."""
        prefix = option.network
        if is_link_local6(prefix) or prefix >> 120 == 0xFF or option.preferred > option.valid:
            return
        if option.length != 128 - ID_BITS:
            return  # 5.5.3 d: prefix and identifier must make 128 bits
        if prefix in self.made:
            for address in self.ndp.ns.ip6.held(self.dev, self.made[prefix]):
                if address.origin == "ra":
                    self._prolong(address, option, now)
        elif option.valid:
            self._make(prefix, until(now, option.valid), until(now, option.preferred))

    def _make(self, prefix: int, valid_until: int, preferred_until: int) -> None:
        bound = self.dev.conf6.max_addresses or MAX_ADDRESSES
        if len(self.made) >= bound:
            return
        ns, dev = self.ndp.ns, self.dev
        address = prefix | interface_id(ns, dev, prefix, self.conflicts.get(prefix, 0))
        if ns.ip6.held(dev, address):
            return  # 5.5.3 d: only what is not there already
        self.made[prefix] = address
        self.ndp.actions.append(("address_add", dev, address, 64, "ra", valid_until, preferred_until))

    def _prolong(self, address: Address, option: Prefix, now: int) -> None:
        """5.5.3 e: the preferred lifetime as told; the valid one too, unless it would end too soon."""
        told = until(now, option.valid)
        if told - now > TWO_HOURS or told > address.valid_until:
            address.valid_until = told
        elif address.valid_until - now > TWO_HOURS:
            address.valid_until = now + TWO_HOURS
        address.preferred_until = min(until(now, option.preferred), address.valid_until)
        self._show(address, now)

    def _show(self, address: Address, now: int) -> None:
        """Make the state of an address in use what its preferred lifetime says (RFC 4862 5.5.4)."""
        if address.state in ("preferred", "deprecated"):
            state = "preferred" if address.preferred_until > now else "deprecated"
            if state != address.state:
                address.state = state
                self.ndp.actions.append(("state", address, state))

    def records(self) -> list[Address]:
        """The addresses that are there."""
        found: list[Address] = []
        for made in self.made.values():
            found += [a for a in self.ndp.ns.ip6.held(self.dev, made) if a.origin == "ra"]
        return found

    def expire(self, now: int) -> None:
        """Deprecate and remove what is due."""
        for address in self.records():
            if address.valid_until <= now:
                self._remove(address)
                self.conflicts.pop(address.address >> ID_BITS << ID_BITS, None)
            else:
                self._show(address, now)

    def next_change(self, now: int) -> int:
        """When `expire` has something to do, `FOREVER` if never."""
        at = FOREVER
        for address in self.records():
            at = min(at, address.valid_until)
            if address.preferred_until > now:
                at = min(at, address.preferred_until)
        return at

    def flush(self) -> None:
        """Remove all addresses: the device is down, and may come back on another link."""
        for address in self.records():
            self._remove(address)
        self.made.clear()
        self.conflicts.clear()

    def removed(self, address: Address) -> None:
        """An address was taken away, by whomever."""
        prefix = address.address >> ID_BITS << ID_BITS
        if self.made.get(prefix) == address.address:
            del self.made[prefix]
            self.conflicts.pop(prefix, None)

    def lost(self, address: Address) -> None:
        """Somebody else has an address that was made here: another identifier, if there is one (RFC 7217 6)."""
        prefix = address.address >> ID_BITS << ID_BITS
        if self.made.get(prefix) != address.address or not self._may_retry(prefix):
            return
        valid_until, preferred_until = address.valid_until, address.preferred_until
        self._remove(address)
        self._make(prefix, valid_until, preferred_until)

    def lost_link_local(self, address: Address) -> None:
        """The same for the address of `link_local_address`."""
        ns, dev = self.ndp.ns, self.dev
        count = self.conflicts.get(LINK_LOCAL6, 0)
        if address.address != link_local_address(ns, dev, count) or not self._may_retry(LINK_LOCAL6):
            return
        another = link_local_address(ns, dev, self.conflicts[LINK_LOCAL6])
        self.ndp.actions.append(("address_del", address))
        self.ndp.actions.append(("address_add", dev, another, address.length, address.origin, FOREVER, FOREVER))

    def _may_retry(self, prefix: int) -> bool:
        count = self.conflicts.get(prefix, 0)
        if self.dev.conf6.addr_gen_mode not in (STABLE, STABLE_RUN) or count >= self.ndp.ns.conf.idgen_retries:
            return False
        self.conflicts[prefix] = count + 1
        return True

    def _remove(self, address: Address) -> None:
        self.made.pop(unscoped(address.address) >> ID_BITS << ID_BITS, None)
        self.ndp.actions.append(("address_del", address))
