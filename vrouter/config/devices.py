"""`[netns.NAME.dev.DEV]`: the keys of devices of every kind, their addresses, and the kernel's end of a TAP."""

from typing import Final

from vrouter.config import bridges, router_adverts, values
from vrouter.config.draft import Draft
from vrouter.config.findings import Findings, Path, Refused
from vrouter.config.nexthop import Links
from vrouter.config.records import (
    TABLE_MAIN,
    Address,
    AddrGenMode,
    DeviceConfig,
    DeviceKind,
    HostConfig,
    HostRoute,
    Interface,
    NeighborConfig,
    PeerConfig,
    VlanProtocol,
)
from vrouter.config.section import NOT_YET, Section, table
from vrouter.config.ways import destinations, next_hop, own_source
from vrouter.stack.base.addresses import V6
from vrouter.stack.base.names import resolve

MTU_MIN: Final = 68  # RFC 791 3.2: every module must be able to forward 68 bytes
MTU_MIN6: Final = 1280  # RFC 8200 5
MTU_MAX: Final = 65521  # a frame of 65535 bytes less its Ethernet header
LO_MTU: Final = 65536

DEVICE_KINDS: Final[tuple[DeviceKind, ...]] = ("tap", "veth", "vlan", "bridge")
DEVICE_KINDS_LATER: Final = ("vxlan", "gre", "ipip", "wireguard", "packet", "host")
PROTOCOLS: Final[tuple[VlanProtocol, ...]] = ("802.1Q", "802.1ad")
ADDR_GEN_MODES: Final[tuple[AddrGenMode, ...]] = ("eui64", "none", "stable-privacy", "random")
KIND_KEYS: Final = {
    "tap": ("ifname", "queues", "offload", "host"),
    "veth": ("peer",),
    "vlan": ("parent", "vid", "protocol"),
    "bridge": bridges.BRIDGE_KEYS,
}
LO_KEYS: Final = ("addresses", "mtu")
DEVICE_KEYS: Final = (
    "kind",
    "addresses",
    "mtu",
    "mac",
    "up",
    "acd",
    "autoconf",
    "addr_gen_mode",
    "ra",
    "neighbors",
    "proxy",
    "bridge",
    "port",
    *(key for keys in KIND_KEYS.values() for key in keys),
)
HOST_KEYS: Final = ("netns", "ifname", "addresses", "routes", "autoconf")
HOST_ROUTE_KEYS: Final = ("to", "via", "src")
PEER_KEYS: Final = ("netns", "dev")
NEIGHBOR_KEYS: Final = ("address", "mac")


def device(
    findings: Findings, where: Path, path: str, name: str, value: object, links: Links, *, given: bool = False
) -> DeviceConfig | None:
    """`[netns.PATH.dev.NAME]`; None when anything in it is wrong. Its addresses are added to `links`. `given`: it is
    the tag of another namespace's device."""
    before = len(findings)
    try:
        values.device_name(name)
    except Refused as refused:
        findings.at_key(where, refused.message)
    section = table(findings, where, value)
    if section is None:
        return None
    record = _lo(section, links) if name == "lo" else _device(section, path, name, links, given=given)
    return record if len(findings) == before else None


def _lo(section: Section, links: Links) -> DeviceConfig:
    for key in section.table:
        if key in DEVICE_KEYS and key not in LO_KEYS:
            section.findings.at_key(section.at(key), "'lo' has no such setting", "it takes addresses and mtu")
    section.keys(DEVICE_KEYS)
    return DeviceConfig(
        name="lo",
        kind="lo",
        addresses=addresses(section, "lo", links, loopback=True),
        mtu=section.number("mtu", MTU_MIN, LO_MTU, LO_MTU),
    )


def _device(section: Section, path: str, name: str, links: Links, *, given: bool) -> DeviceConfig:
    default: DeviceKind = "vlan" if given else "tap"
    kind = section.choice("kind", DEVICE_KINDS, default, DEVICE_KINDS_LATER)
    written = section.table.get("kind", kind)
    if written not in DEVICE_KINDS_LATER:  # those have keys of their own, which nothing here can judge
        section.keys(DEVICE_KEYS)
    sure = written == kind
    if given:
        _tag_of_another(section, name, kind)
    elif sure:
        _only_of_kind(section, name, kind)
    own = addresses(section, name, links)
    queues = section.get("queues", int) if kind == "tap" else None
    if queues not in (None, 1):
        section.wrong("queues", f"more than one queue is {NOT_YET}" if queues > 1 else f"must be 1, not {queues}")
    stacked = kind in ("vlan", "bridge")
    is_tap, is_bridge = sure and kind == "tap", sure and kind == "bridge"
    ifname = section.parsed("ifname", values.ifname) if is_tap else None
    parent, vid = _tag(section) if sure and kind == "vlan" and not given else (None, 0)
    autoconf = section.get("autoconf", bool)
    mtu = section.number("mtu", MTU_MIN, MTU_MAX, 0 if stacked else 1500)
    if is_bridge and "bridge" in section:
        section.findings.at_key(section.at("bridge"), "a bridge cannot be a bridge's port")
    return DeviceConfig(
        name=name,
        kind=kind,
        ifname=ifname or values.default_ifname(path, name) if is_tap else None,
        addresses=own,
        mtu=mtu,
        mac=section.parsed("mac", values.mac),
        offload=section.flag("offload", True) if is_tap else True,
        up=section.flag("up", True),
        acd=section.choice("acd", ("announce", "probe"), "announce"),
        peer=peer(section, path) if sure and kind == "veth" else None,
        host=host(section, own) if is_tap else None,
        parent=parent,
        vid=vid,
        protocol=section.choice("protocol", PROTOCOLS, "802.1Q"),
        settings=bridges.settings(section) if is_bridge else None,
        bridge=section.get("bridge", str),
        port=bridges.port(section, is_bridge=kind == "bridge"),
        autoconf=autoconf,
        addr_gen_mode=section.optional_choice("addr_gen_mode", ADDR_GEN_MODES),
        ra=router_adverts.read(section, own),
        neighbors=_neighbors(section),
        proxy=section.parsed_texts("proxy", values.proxied),
    )


def _only_of_kind(section: Section, name: str, kind: str) -> None:
    for other, keys in KIND_KEYS.items():
        for key in keys if other != kind else ():
            if key in section:
                section.findings.at_key(section.at(key), f"only a {other} has this, and {name!r} is a {kind}")


def _tag_of_another(section: Section, name: str, kind: str) -> None:
    if kind != "vlan":
        section.wrong("kind", f"{name!r} is a tag that another namespace gives", 'kind = "vlan", or none')
    for keys in KIND_KEYS.values():
        for key in keys:
            if key in section:
                text = f"{name!r} is a tag that another namespace gives, which says this"
                section.findings.at_key(section.at(key), text)


def _tag(section: Section) -> tuple[str | None, int]:
    """`parent` and `vid` of a vlan device."""
    section.required("parent", "the device that the VLAN is on")
    section.required("vid", "the VLAN id")
    return section.get("parent", str), section.number("vid", 1, values.MAX_VID, 0)


def addresses(
    section: Section, dev: str, links: Links, opposite: tuple[Interface, ...] = (), *, loopback: bool = False
) -> tuple[Interface, ...]:
    """`addresses` of a device or of its kernel's end, whose router's end has the addresses `opposite`."""
    before = len(section.findings)
    accepted: list[Interface] = []
    for index, text in section.texts("addresses"):
        try:
            interface = values.interface(text, loopback=loopback)
            holder = links.holder(interface.ip, dev)
            if holder is not None:
                raise Refused(f"'{interface.ip}' is already {holder}")
            if any(interface.ip == other.ip for other in opposite):
                raise Refused(f"'{interface.ip}' is already the router's address on this link")
        except Refused as refused:
            section.findings.at_value((*section.path, "addresses", index), refused.message, refused.hint)
        else:
            links.add_address(interface, dev, f"an address of {dev!r}")
            accepted.append(interface)
    links.complete &= len(section.findings) == before
    return tuple(accepted)


def _neighbors(section: Section) -> tuple[NeighborConfig, ...]:
    """`neighbors` of a device."""
    found: dict[Address, bytes] = {}
    for _, entry in section.tables("neighbors", "write neighbors = [{ address = …, mac = … }]"):
        entry.keys(NEIGHBOR_KEYS)
        whole = entry.required("address", "whose MAC address it is") & entry.required("mac", "its MAC address")
        address, mac = entry.parsed("address", values.neighbor), entry.parsed("mac", values.mac)
        if whole and address is not None and mac is not None:
            if address in found:
                entry.wrong("address", f"'{address}' is given twice")
            found[address] = mac
    return tuple(NeighborConfig(address=address, mac=mac) for address, mac in found.items())


def peer(section: Section, inside: str) -> PeerConfig | None:
    """`peer` of a veth."""
    if not section.required("peer", "a veth names its other end"):
        return None
    end = section.child("peer")
    if end is None:
        return None
    end.keys(PEER_KEYS)
    named = end.required("netns", "the other end's namespace") & end.required("dev", "the other end's device")
    path, dev = netns_name(end, "netns", inside), end.parsed("dev", values.device_name)
    return PeerConfig(netns=path, dev=dev) if named and path is not None and dev is not None else None


def netns_name(section: Section, key: str, inside: str) -> str | None:
    """The absolute name of the namespace that `key` names."""
    text = section.get(key, str)
    if text is None:
        return None
    try:
        return resolve(inside, text)
    except ValueError as error:
        section.wrong(key, str(error))
        return None


def host(section: Section, own: tuple[Interface, ...]) -> HostConfig | None:
    """`host` of a tap whose own addresses are `own`."""
    end = section.child("host")
    if end is None:
        return None
    end.keys(HOST_KEYS)
    links = Links()
    ifname = end.parsed("ifname", values.ifname)
    kernel_end = ifname or "host"
    given = addresses(end, kernel_end, links, own)
    routes = [
        record
        for index, entry in end.tables("routes", "write routes = [{ to = …, via = … }]")
        for record in host_routes(entry, index, links, kernel_end)
    ]
    return HostConfig(
        netns=end.parsed("netns", values.host_netns),
        ifname=ifname,
        addresses=given,
        routes=tuple(routes),
        autoconf=end.flag("autoconf", False),
    )


def host_routes(section: Section, index: int, links: Links, dev: str) -> list[HostRoute]:
    """One of `routes` of a host; without `via` its prefix is on the link, and "default" one of each family."""
    section.keys(HOST_ROUTE_KEYS)
    via, _ = next_hop(section, links, None, link=dev)
    src = own_source(section, links)
    found = destinations(section, links, (via, None, src), TABLE_MAIN, 0, f"the destination of routes[{index}]")
    if "via" not in section:
        for to in found:
            links.connect(to, dev)
    return [HostRoute(to=to, via=via, src=src) for to in found]


def check_ipv6(findings: Findings, draft: Draft) -> None:
    """Where a device has no IPv6 (RFC 8200 5: its MTU; ``disable_ipv6``) it has no IPv6 address."""
    for name, dev in (draft.devices or {}).items():
        if dev is None or not any(address.version == V6 for address in dev.addresses):
            continue
        first = next(at for at, address in enumerate(dev.addresses) if address.version == V6)
        place = (*draft.where, "dev", name, "addresses", first)
        if 0 < dev.mtu < MTU_MIN6:
            text = f"IPv6 needs an MTU of {MTU_MIN6} bytes, and {name!r} has one of {dev.mtu}"
            findings.at_value(place, text)
        elif int(_setting(draft, name, "disable_ipv6")):
            findings.at_value(place, f"IPv6 is disabled on {name!r} by net.ipv6.conf.*.disable_ipv6")
    for name, dev in (draft.devices or {}).items():
        if dev is not None and dev.ra is not None and not int(_setting(draft, name, "forwarding")):
            text = "nothing is advertised while the device is no router"
            findings.warn((*draft.where, "dev", name, "ra"), text, 'set "net.ipv6.conf.all.forwarding" = 1')


def _setting(draft: Draft, dev: str, key: str) -> int | str:
    """What a setting of IPv6 is at a device by the file alone: its own, or the last of those for all and default."""
    own = draft.sysctl.get(f"net.ipv6.conf.{dev}.{key}")
    if own is not None:
        return own
    default = draft.sysctl.get(f"net.ipv6.conf.default.{key}")
    return default if default is not None else draft.sysctl.get(f"net.ipv6.conf.all.{key}", 0)
