"""(2) TAG: which device, and thus which namespace, a frame belongs to: (port, VLAN id) → device.

A *port* is the driver's side of one TAP. Untagged frames, and those that carry a priority alone (VLAN id 0), belong to
the port's own device; each VLAN id belongs to whom it was given, or to nobody. A device belongs to exactly one
namespace, so that the device is the tag: from here on it is an explicit argument, and the same device names, addresses
and ports may exist in every namespace at once.

Expects: frames as a TAP gives them, with `header` bytes (the virtio-net header) in front of Ethernet.
Sets:    nothing; a frame that nobody owns is counted by `Stack.receive_unmapped` as NS_UNMAPPED.
Next:    `Stack.receive`.

The rules of namespace names are `stack.base.names`; `absolute` is the one that calls from outside follow.

Read first: IEEE 802.1Q 6.9 and 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.names import check_path, resolve

if TYPE_CHECKING:
    from vrouter.stack.device import Device

UNTAGGED: Final = 0
MAX_VID: Final = 4094
VID_MASK: Final = 0x0FFF
_TYPE_AT: Final = 12  # bytes of Ethernet in front of the EtherType
_CUSTOMER_TAG: Final = b"\x81\x00"
_SERVICE_TAG: Final = b"\x88\xa8"


class NsMap:
    """One router's map. A port may be any hashable object; the driver uses its `Port`."""

    __slots__ = ("_owners",)

    def __init__(self) -> None:
        self._owners: dict[tuple[Any, int], Device] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, port: Any, device: Device, vid: int = UNTAGGED) -> None:
        """Give a VLAN id of `port` (0: untagged) to `device`; ValueError when it is taken or no VLAN id."""
        if not 0 <= vid <= MAX_VID:
            raise ValueError(f"a VLAN id is 1 to {MAX_VID}, not {vid}")
        owner = self._owners.get((port, vid))
        if owner is not None:
            raise ValueError(f"VLAN id {vid} of this port belongs to {owner!r}")
        self._owners[port, vid] = device

    def remove(self, port: Any) -> None:
        """Forget everything about `port`."""
        for key in [key for key in self._owners if key[0] is port]:
            del self._owners[key]

    def lookup(self, port: Any, vid: int = UNTAGGED) -> Device | None:
        """The device that owns this VLAN id of `port`, or None when nobody does."""
        return self._owners.get((port, vid))

    def owner(self, port: Any, frame: bytes | bytearray | memoryview, header: int = 0) -> Device | None:
        """The device that `frame` from `port` belongs to, or None. A frame too short to bear a tag is untagged."""
        return self._owners.get((port, vlan_id(frame, header)))


def vlan_id(frame: bytes | bytearray | memoryview, header: int = 0) -> int:
    """The VLAN id of the outer tag of the Ethernet frame behind `header` bytes; 0 when it has none."""
    at = header + _TYPE_AT
    ethertype = bytes(frame[at : at + 2])
    if (ethertype == _CUSTOMER_TAG or ethertype == _SERVICE_TAG) and len(frame) >= at + 4:
        return (frame[at + 2] << 8 | frame[at + 3]) & VID_MASK
    return UNTAGGED


def absolute(inside: str, name: str) -> str:
    """The path of the namespace that a caller in `inside` names: counted from the top, or from here with ./ and ../.

    ValueError when it can be no namespace's path.
    """
    if name.startswith((".", "/")):
        return resolve(inside, name)
    problem = check_path(name)
    if problem:
        raise ValueError(f"{name!r}: {problem}")
    return name
