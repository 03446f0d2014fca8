"""Is a next hop reachable? Judged while the configuration is checked, so that no route can need another to be resolved.

A next hop is a neighbour on a connected network (RFC 1812 5.2.4): one in which a device other than lo has an address.
At the kernel's end of a TAP an earlier route without a gateway connects a network too, as Linux has it; in a namespace
of the router it does not, because the stack looks at addresses alone.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from vrouter.config.findings import Findings, Path
from vrouter.stack.base.addresses import BROADCAST4, format_ipv4, mask

_LISTED = 3  # networks named in a hint


class Links:
    """The addresses and the connected networks of one side: of a namespace, or of the kernel's end of a TAP.

    `own` says of each address whose it is; `complete` is False when some of them could not be understood, so that
    nothing can be said about what is missing.
    """

    def __init__(self) -> None:
        self.own: dict[int, str] = {}
        self.routed: dict[tuple[IPv4Network, int], str] = {}  # (prefix, metric) -> by what
        self.complete = True
        self._loops: list[IPv4Network] = []  # all of which is this side's own, as in Linux
        self._reserved: dict[int, str] = {}  # addresses of connected networks that are no neighbour's
        self._by_length: dict[int, dict[int, list[str]]] = {}

    def add_address(self, interface: IPv4Interface, dev: str, whose: str) -> None:
        """`dev` has `interface`; `whose` names it in messages."""
        self.own[int(interface)] = whose
        network = interface.network
        if dev == "lo":
            self._loops.append(network)
        if network.prefixlen < 32 and dev != "lo":
            self.routed[network, 0] = f"the connected network of {dev!r}"
            self.connect(network, dev)
        if network.prefixlen < 31 and dev != "lo":
            first = int(network.network_address)
            self._reserved.setdefault(first, f"the own address of {network}")
            self._reserved.setdefault(first | BROADCAST4 >> network.prefixlen, f"the broadcast address of {network}")

    def connect(self, network: IPv4Network, dev: str) -> None:
        """`network` is on the link of `dev`."""
        devices = self._by_length.setdefault(network.prefixlen, {}).setdefault(int(network.network_address), [])
        if dev not in devices:
            devices.append(dev)

    def claim_route(self, findings: Findings, path: Path, to: IPv4Network, metric: int, name: str) -> None:
        """Refuse a second route with the same prefix and metric, as Linux does (EEXIST)."""
        holder = self.routed.setdefault((to, metric), name)
        if holder != name:
            findings.at_value(path, f"'{to}' with metric {metric} is already {holder}")

    def check(self, findings: Findings, path: Path, via: IPv4Address, dev: str | None) -> None:
        """Report what is wrong with the next hop `via`, given at `path`, out of `dev` or of any device."""
        address = int(via)
        if address in self.own:
            findings.at_value(path, f"'{via}' is {self.own[address]} itself, not a next hop")
            return
        if address in self._reserved:
            findings.at_value(path, f"'{via}' is {self._reserved[address]}")
        elif self._find(address, dev) is None and self.complete:
            of = f" of {dev!r}" if dev is not None else ""
            findings.at_value(path, f"'{via}' is on no connected network{of}", self._hint(address, dev))
        elif (loop := next((network for network in self._loops if via in network), None)) is not None:
            findings.at_value(path, f"'{via}' is in {loop} of 'lo', all of which is this namespace's own")

    def _find(self, address: int, dev: str | None) -> str | None:
        """The device, `dev` if that is given, on whose connected network `address` is."""
        for length, networks in self._by_length.items():
            devices = networks.get(address & mask(length))
            if devices and (dev is None or dev in devices):
                return dev or devices[0]
        return None

    def _hint(self, address: int, dev: str | None) -> str:
        elsewhere = self._find(address, None) if dev is not None else None
        if elsewhere is not None:
            return f"it is on that of {elsewhere!r}"
        connected = [
            f"{format_ipv4(network)}/{length} of {name!r}"
            for length, networks in self._by_length.items()
            for network, devices in networks.items()
            for name in devices
            if dev is None or name == dev
        ]
        if not connected:
            return ""
        return "connected: " + ", ".join(connected[:_LISTED]) + (", …" if len(connected) > _LISTED else "")
