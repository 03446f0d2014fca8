"""Is a next hop reachable? Judged while the configuration is checked, so that no route can need another to be resolved.

A next hop is a neighbour on a connected network (RFC 1812 5.2.4): one in which a device other than lo has an address,
or one to which an earlier route without a gateway leads. A link-local one is on every link (RFC 4007), so that its
device has to be named, and is not asked for more.
"""

from vrouter.config.findings import Findings, Path
from vrouter.config.records import TABLE_MAIN, Address, Interface, Network
from vrouter.stack.base.addresses import BITS, BROADCAST4, LINK_LOCAL6, V4, V6, format_address, is_link_local6, mask

_LISTED = 3  # networks named in a hint

Key = tuple[int, int, str]  # family, address, and of a link-local one its device


class Links:
    """The addresses and the connected networks of one side: of a namespace, or of the kernel's end of a TAP.

    `own` says of each address whose it is; `complete` is False when some of them could not be understood, so that
    nothing can be said about what is missing.
    """

    def __init__(self) -> None:
        self.own: dict[Key, str] = {}
        self.routed: dict[tuple[Network, int, int], str] = {}  # (prefix, table, metric) -> by what
        self.complete = True
        self._loops: list[Network] = []  # all of which is this side's own, as in Linux
        self._reserved: dict[int, str] = {}  # addresses of connected networks that are no neighbour's
        self._by_length: dict[tuple[int, int], dict[int, list[str]]] = {}  # family, length -> network -> devices

    def holder(self, address: Address, dev: str) -> str | None:
        """Whose `address` is when it stands at `dev`, None: nobody's."""
        return self.own.get(_key(address.version, int(address), dev))

    def is_own(self, address: Address) -> bool:
        """Whether any device has `address`."""
        return any(key[:2] == (address.version, int(address)) for key in self.own)

    def add_address(self, interface: Interface, dev: str, whose: str) -> None:
        """`dev` has `interface`; `whose` names it in messages."""
        self.own[_key(interface.version, int(interface), dev)] = whose
        network = interface.network
        v4 = interface.version == V4
        if dev == "lo":
            if v4:
                self._loops.append(network)
            return
        if network.prefixlen < BITS[interface.version]:
            if v4 or int(network.network_address) >> 118 != LINK_LOCAL6 >> 118:
                self.routed[network, TABLE_MAIN, 0 if v4 else 256] = f"the connected network of {dev!r}"
            self.connect(network, dev)
        if v4 and network.prefixlen < 31:
            first = int(network.network_address)
            self._reserved.setdefault(first, f"the own address of {network}")
            self._reserved.setdefault(first | BROADCAST4 >> network.prefixlen, f"the broadcast address of {network}")

    def connect(self, network: Network, dev: str) -> None:
        """`network` is on the link of `dev`."""
        networks = self._by_length.setdefault((network.version, network.prefixlen), {})
        devices = networks.setdefault(int(network.network_address), [])
        if dev not in devices:
            devices.append(dev)

    def claim_route(self, findings: Findings, path: Path, to: Network, table: int, metric: int, name: str) -> bool:
        """Refuse a second route of the table with the same prefix and metric, as Linux does (EEXIST)."""
        if is_link_local6(int(to.network_address)) and to.version == V6:
            return True  # each link has one
        holder = self.routed.setdefault((to, table, metric), name)
        if holder != name:
            findings.at_value(path, f"'{to}' with metric {metric} is already {holder}")
        return holder == name

    def check(self, findings: Findings, path: Path, via: Address, dev: str | None, *, onlink: bool = False) -> None:
        """Report what is wrong with the next hop `via`, given at `path`, out of `dev` or of any device."""
        problem = self.problem(via, dev, onlink=onlink)
        if problem is not None:
            findings.at_value(path, *problem)

    def problem(self, via: Address, dev: str | None, *, onlink: bool = False) -> tuple[str, str] | None:
        """(what is wrong with the next hop, hint), or None. `onlink`: believed to be on the link of `dev`."""
        family, address = via.version, int(via)
        if family == V6 and is_link_local6(address):
            if dev is None:
                return f"'{via}' is link-local, so its device has to be named", f"dev = …, or '{via}%DEV'"
            onlink = True
        holder = self.holder(via, dev or "")
        if holder is not None:
            return f"'{via}' is {holder} itself, not a next hop", ""
        if family == V4 and address in self._reserved:
            return f"'{via}' is {self._reserved[address]}", ""
        if onlink and dev not in (None, "lo"):
            return None
        if self._find(family, address, dev) is None and self.complete:
            of = f" of {dev!r}" if dev is not None else ""
            return f"'{via}' is on no connected network{of}", self._hint(family, address, dev)
        loop = next((network for network in self._loops if family == V4 and via in network), None)
        if loop is not None:
            return f"'{via}' is in {loop} of 'lo', all of which is this namespace's own", ""
        return None

    def _find(self, family: int, address: int, dev: str | None) -> str | None:
        """The device, `dev` if that is given, on whose connected network `address` is."""
        bits = BITS[family]
        for (of, length), networks in self._by_length.items():
            if of == family:
                devices = networks.get(address & mask(length, bits))
                if devices and (dev is None or dev in devices):
                    return dev or devices[0]
        return None

    def _hint(self, family: int, address: int, dev: str | None) -> str:
        elsewhere = self._find(family, address, None) if dev is not None else None
        if elsewhere is not None:
            return f"it is on that of {elsewhere!r}"
        connected = [
            f"{format_address(network, family)}/{length} of {name!r}"
            for (of, length), networks in self._by_length.items()
            for network, devices in networks.items()
            for name in devices
            if of == family and (dev is None or name == dev)
        ]
        if not connected:
            return ""
        return "connected: " + ", ".join(connected[:_LISTED]) + (", …" if len(connected) > _LISTED else "")


def _key(family: int, address: int, dev: str) -> Key:
    return family, address, dev if family == V6 and is_link_local6(address) else ""
