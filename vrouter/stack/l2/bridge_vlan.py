"""VLAN filtering of a bridge: which VLAN a frame is of, who may have it, and with or without its tag.

A port's membership is a set of VLAN ids, each sent tagged or untagged, and the *pvid*, the VLAN of frames that come in
without a tag (0: such frames are refused). An access port is a member of its pvid alone, untagged; a trunk of many,
tagged; a trunk's native VLAN is its pvid. The bridge device has a membership of its own, as a port to the host.

Inside the bridge a frame has its VLAN id beside it (`ingress`), and its bytes as they came; `egress` makes of them what
the port it leaves by wants. Tags other than 802.1Q's are the frame's content.

Read first: IEEE 802.1Q 6.9 (VID and priority of what comes in), 8.8.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from vrouter.stack.l2.vlan import MAX_VID, pop_tag, push_tag, set_vid, tag
from vrouter.stack.wire.ethernet import ETHERTYPE_VLAN, VID_MASK

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet

DEFAULT_PVID: Final = 1
REFUSED: Final = -1


class Membership:
    """What one port of a filtering bridge is a member of: ``vids`` says of each VLAN whether it leaves untagged.
    ``lent`` are those of the bridge device that are there for vlan devices above it alone."""

    __slots__ = ("lent", "pvid", "vids")

    def __init__(self, pvid: int = DEFAULT_PVID) -> None:
        self.pvid = pvid
        self.vids: dict[int, bool] = {pvid: True} if pvid else {}
        self.lent: set[int] = set()

    def lend(self, vid: int) -> None:
        """A vlan device wants the frames of a VLAN."""
        if vid not in self.vids:
            self.vids[vid] = False
            self.lent.add(vid)

    def take_back(self, vid: int) -> None:
        """It wants them no more: the membership ends if it was there for that alone."""
        if vid in self.lent:
            self.lent.discard(vid)
            del self.vids[vid]

    def change(
        self,
        *,
        pvid: int | None = None,
        untagged: Iterable[int] | None = None,
        tagged: Iterable[int] | None = None,
    ) -> None:
        """Another pvid, other sets; what is None stays. The pvid is a member in any case: untagged, unless it is named
        among the tagged ones. OSError EINVAL for what is no VLAN id, or tagged and untagged at once."""
        without = {v for v, bare in self.vids.items() if bare} if untagged is None else set(untagged)
        within = {v for v, bare in self.vids.items() if not bare} if tagged is None else set(tagged)
        if pvid is not None:
            check_vid(pvid, 0)
            if pvid != self.pvid and untagged is None:
                without.discard(self.pvid)
        for vid in without | within:
            check_vid(vid)
        if untagged is None:
            without -= within
        elif tagged is None:
            within -= without
        both = without & within
        if both:
            raise OSError(errno.EINVAL, f"VLAN {min(both)} is both tagged and untagged")
        if pvid is not None:
            self.pvid = pvid
        self.lent.difference_update(() if untagged is None else without, () if tagged is None else within)
        within |= self.lent - without
        if self.pvid and self.pvid not in within:
            without.add(self.pvid)
        self.vids = {vid: vid in without for vid in sorted(without | within)}

    def ingress(self, pkt: Packet) -> int:
        """The VLAN of a frame that comes in here, or REFUSED."""
        tci = tag(pkt, ETHERTYPE_VLAN)
        vid = (tci & VID_MASK if tci > 0 else 0) or self.pvid
        return vid if vid in self.vids else REFUSED

    def rows(self) -> list[dict[str, object]]:
        """The memberships, as ``bridge vlan show`` has them."""
        return [{"vlan": vid, "pvid": vid == self.pvid, "untagged": bare} for vid, bare in self.vids.items()]


def egress(pkt: Packet, vid: int, untagged: bool) -> None:
    """Make the frame one of VLAN `vid` with a tag, or without."""
    tci = tag(pkt, ETHERTYPE_VLAN)
    if untagged:
        if tci >= 0:
            pop_tag(pkt)
    elif tci < 0:
        push_tag(pkt, ETHERTYPE_VLAN, vid)
    elif tci & VID_MASK != vid:
        set_vid(pkt, vid)


def check_vid(vid: int, least: int = 1) -> None:
    """OSError EINVAL unless `vid` is a VLAN id."""
    if not least <= vid <= MAX_VID:
        raise OSError(errno.EINVAL, f"a VLAN id is {least} to {MAX_VID}, not {vid}")
