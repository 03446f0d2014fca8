"""Is a next hop reachable? Judged while the configuration is checked, so that no route can need another to be resolved.

RFC 1812 5.2.4.1 gives a packet to a next hop on a connected network. As in Linux, a network is connected when an
address of a device lies in it, or when an earlier route names a device and no gateway.
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
        self._by_length: dict[int, dict[int, list[str]]] = {}

    def add_address(self, interface: IPv4Interface, dev: str, whose: str) -> None:
        """`dev` has `interface`; `whose` names it in messages."""
        self.own[int(interface)] = whose
        network = interface.network
        if network.prefixlen < 32:
            self.routed[network, 0] = f"the connected network of {dev!r}"
            self.connect(network, dev)

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
        found = self._find(address, dev)
        if found is not None:
            network, length, _ = found
            if length < 31 and address in (network, network | BROADCAST4 >> length):
                which = "own" if address == network else "broadcast"
                findings.at_value(path, f"'{via}' is the {which} address of {format_ipv4(network)}/{length}")
        elif self.complete:
            of = f" of {dev!r}" if dev is not None else ""
            findings.at_value(path, f"'{via}' is on no connected network{of}", self._hint(address, dev))

    def _find(self, address: int, dev: str | None) -> tuple[int, int, str] | None:
        """The longest connected network that holds `address`: (network, length, device)."""
        for length in sorted(self._by_length, reverse=True):
            network = address & mask(length)
            devices = self._by_length[length].get(network)
            if devices and (dev is None or dev in devices):
                return network, length, dev or devices[0]
        return None

    def _hint(self, address: int, dev: str | None) -> str:
        elsewhere = self._find(address, None) if dev is not None else None
        if elsewhere is not None:
            return f"it is on that of {elsewhere[2]!r}"
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
