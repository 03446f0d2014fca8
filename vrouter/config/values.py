"""Texts of the configuration and what they mean; each parser gives the value or raises `Refused`.

The rules that need no other part of the configuration are here: an address that no interface can have (RFC 1122
3.2.1.3, RFC 1812 4.2.2.11, RFC 4291 2.5), a prefix with host bits, a MAC that is no station's own.
"""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from vrouter.config.findings import Refused
from vrouter.config.records import Address, Interface, Network
from vrouter.stack.base.addresses import (
    BITS,
    BROADCAST4,
    LOOPBACK6,
    MAX6,
    V4,
    V6,
    format_address,
    is_host4,
    is_host6,
    is_link_local6,
    is_multicast4,
    is_multicast6,
    mapped_ipv4,
    mask,
    parse_ipv4,
    parse_ipv6,
)
from vrouter.stack.base.names import check_device

_MAC = re.compile("[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_LENGTH = re.compile("0|[1-9][0-9]{0,2}")
_PORT = re.compile("0|[1-9][0-9]{0,4}")
_PLAIN = re.compile("[A-Za-z0-9_.-]+")
_TABLES: Final = {"main": 254, "default": 253, "local": 255}
_MAX_TABLE: Final = 0xFFFFFFFF
MAX_VID: Final = 4094
IFNAME_BYTES = 15


def _parse(text: str, whole: str, noun: str) -> tuple[int, int]:
    """(family, address) of `text`, which is the address part of `whole`."""
    family = V6 if ":" in text else V4
    try:
        return family, parse_ipv6(text) if family == V6 else parse_ipv4(text)
    except ValueError:
        pass
    if family == V6 and "%" in text:
        raise Refused(f"{whole!r} has a zone, which belongs to a next hop alone")
    raise Refused(f"{whole!r} is not an IPv{family} {noun}")


def _address(family: int, address: int) -> Address:
    return IPv4Address(address) if family == V4 else IPv6Address(address)


def _no_interface_has(family: int, address: int, whole: str, *, loopback: bool) -> None:
    """Refuse what is never the address of a single interface."""
    if (is_multicast4 if family == V4 else is_multicast6)(address):
        raise Refused(f"{whole!r} is a multicast address")
    if family == V6:
        if address == 0:
            raise Refused(f"{whole!r} is the unspecified address, which no interface can have")
        if mapped_ipv4(address) is not None or not is_host6(address):
            raise Refused(f"{whole!r} is an IPv4-mapped address, which no interface can have")
        if not loopback and address == LOOPBACK6:
            raise Refused(f"{whole!r} is the loopback address, which only lo can have")
        return
    if address >> 24 == 0:
        raise Refused(f"{whole!r} is in 0.0.0.0/8, which no interface can have")
    if address == BROADCAST4:
        raise Refused(f"{whole!r} is the broadcast address")
    if not is_host4(address):
        raise Refused(f"{whole!r} is in 240.0.0.0/4, which no interface can have")
    if not loopback and address >> 24 == 127:
        raise Refused(f"{whole!r} is a loopback address, which only lo can have")


def interface(text: str, *, loopback: bool = False) -> Interface:
    """`ADDRESS/LENGTH` of an interface; `loopback` for lo, which may have 127.0.0.0/8 and ::1."""
    head, slash, tail = text.partition("/")
    family, address = _parse(head, text, "address with its prefix length")
    bits = BITS[family]
    if not slash:
        raise Refused(f"{text!r} needs a prefix length", f"such as '{text}/{24 if family == V4 else 64}'")
    if not _LENGTH.fullmatch(tail) or not 1 <= int(tail) <= bits:
        raise Refused(f"the prefix length of {text!r} must be 1 to {bits}")
    length = int(tail)
    _no_interface_has(family, address, text, loopback=loopback)
    if length < bits - 1 and not loopback:  # RFC 3021 2.1, RFC 6164 4: two addresses have neither; lo has no network
        host = address & ~mask(length, bits) & ((1 << bits) - 1)
        if host == 0:
            own = "the network's own address" if family == V4 else "the subnet-router anycast address"
            raise Refused(f"{text!r} is {own}", "an interface needs one of the hosts' addresses")
        if family == V4 and host == BROADCAST4 >> length:
            raise Refused(f"{text!r} is the network's broadcast address")
    return IPv4Interface((address, length)) if family == V4 else IPv6Interface((address, length))


def prefix(text: str) -> Network:
    """`NETWORK/LENGTH` or one bare address."""
    head, slash, tail = text.partition("/")
    family, address = _parse(head, text, "prefix")
    bits = BITS[family]
    if slash and (not _LENGTH.fullmatch(tail) or int(tail) > bits):
        raise Refused(f"the prefix length of {text!r} must be 0 to {bits}")
    length = int(tail) if slash else bits
    network = address & mask(length, bits)
    if network != address:
        raise Refused(f"{text!r} has host bits set", f"did you mean '{format_address(network, family)}/{length}'?")
    return IPv4Network((network, length)) if family == V4 else IPv6Network((network, length))


def prefix6(text: str) -> IPv6Network:
    """The same, of IPv6 and with its length."""
    found = prefix(text)
    if isinstance(found, IPv4Network):
        raise Refused(f"{text!r} is not an IPv6 prefix")
    if "/" not in text:
        raise Refused(f"{text!r} needs a prefix length", f"such as '{text}/64'")
    return found


def gateway(text: str) -> tuple[Address, str]:
    """The address of a next hop, and the device that its zone names (`fe80::1%lan`), "" for none."""
    head, mark, zone = text.partition("%")
    family, address = _parse(head if mark and ":" in head else text, text, "address")
    _no_interface_has(family, address, text, loopback=False)
    if mark and not is_link_local6(address):
        raise Refused(f"{text!r} has a zone, but is no link-local address")
    if mark and check_device(zone) is not None:
        raise Refused(f"{text!r} has no device's name behind the %")
    return _address(family, address), zone


def source(text: str) -> Address:
    """An address of one's own to send from."""
    return _address(*_parse(text, text, "address"))


def neighbor(text: str) -> Address:
    """The address of a station on the link."""
    family, address = _parse(text, text, "address")
    _no_interface_has(family, address, text, loopback=False)
    return _address(family, address)


def station(text: str) -> Address:
    """The address of any station, this one included."""
    family, address = _parse(text, text, "address")
    _no_interface_has(family, address, text, loopback=True)
    return _address(family, address)


def proxied(text: str) -> IPv6Address:
    """An address to answer for."""
    found = neighbor(text)
    if isinstance(found, IPv4Address):
        raise Refused(f"{text!r} is not an IPv6 address", "for IPv4 there is net.ipv4.conf.DEV.proxy_arp")
    return found


def address6(text: str) -> IPv6Address:
    """One IPv6 address."""
    family, address = _parse(text, text, "address")
    if family == V4 or not is_host6(address & MAX6):
        raise Refused(f"{text!r} is not the IPv6 address of a host")
    return IPv6Address(address)


def group(text: str) -> Address:
    """A multicast group that is forwarded (RFC 5771 4, RFC 4291 2.7)."""
    family, address = _parse(text, text, "address")
    if not (is_multicast4 if family == V4 else is_multicast6)(address):
        raise Refused(f"{text!r} is no multicast group")
    if address >> 8 == 0xE00000 if family == V4 else address >> 112 & 15 <= 2:
        raise Refused(f"{text!r} has the scope of one link, and is never forwarded")
    return _address(family, address)


def table(name: str | int) -> int:
    """The number of a routing table, by number or name."""
    number = _TABLES.get(str(name), -1)
    if number < 0 and (isinstance(name, int) or (name.isascii() and name.isdigit())):
        number = int(name)
    if not 1 <= number <= _MAX_TABLE:
        raise Refused(f"{name!r} is no routing table", f"main, default or a number of 1 to {_MAX_TABLE}")
    return number


def vids(entry: int | str) -> range:
    """VLAN ids: one number, or a range such as "10-20"."""
    texts = [str(entry)] if isinstance(entry, int) else entry.split("-", 1)
    numbers = [int(text) if text.isascii() and text.isdigit() else -1 for text in texts]
    if not all(1 <= number <= MAX_VID for number in numbers):
        raise Refused(f"{entry!r} is no VLAN id", f'a number of 1 to {MAX_VID}, or a range such as "10-20"')
    if numbers[0] > numbers[-1]:
        raise Refused(f"{entry!r} ends before it begins")
    return range(numbers[0], numbers[-1] + 1)


def mac(text: str) -> bytes:
    """A station's own MAC, as six bytes."""
    if not _MAC.fullmatch(text):
        raise Refused(f"{text!r} is not a MAC address", "six bytes such as '02:00:00:00:01:01'")
    value = bytes.fromhex(text.replace(":", ""))
    if value[0] & 1:
        raise Refused(f"{text!r} is a group address; a device needs a unicast MAC")
    if not any(value):
        raise Refused(f"{text!r} is no station's address")
    return value


def endpoint(text: str) -> str:
    """`ADDRESS:PORT` to listen on; port 0 lets the kernel choose."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise Refused(f"{text!r} is not ADDRESS:PORT", "such as '127.0.0.1:9473'")
    try:
        if host.startswith("[") and host.endswith("]"):
            parse_ipv6(host[1:-1])
        else:
            parse_ipv4(host)
    except ValueError:
        kind = "IPv6 address in brackets" if ":" in host else "IPv4 address"
        raise Refused(f"{host!r} is not an {kind}", "names are not looked up") from None
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise Refused(f"port {port!r} must be 0 to 65535")
    return text


def socket_path(text: str) -> str:
    """The path of a Unix socket; "" means none."""
    if "\0" in text:
        raise Refused("a path has no NUL character")
    if len(text.encode("utf-8", "replace")) > 107:
        raise Refused("the path of a Unix socket has at most 107 bytes")
    return text


def nonempty(text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise Refused("must not be empty")
    return text


def device_name(text: str) -> str:
    """A device's name within its namespace."""
    wrong = check_device(text)
    if wrong:
        raise Refused(f"{text!r}: {wrong}")
    return text


def ifname(text: str) -> str:
    """The kernel's name of a network interface."""
    device_name(text)
    if "%" in text:
        raise Refused(f"{text!r}: the kernel would take the % for a place to put a number in")
    return text


def host_netns(text: str) -> str:
    """The name of a kernel namespace: a file name below /run/netns."""
    if not text or text in (".", "..") or "/" in text or not text.isprintable() or " " in text or len(text) > 64:
        raise Refused(f"{text!r} cannot be the name of a kernel namespace")
    return text


def default_ifname(path: str, device: str) -> str:
    """The TAP's kernel name when the file gives none: `red-lan`, `red-web-lan`; where that would be longer than the
    kernel allows or could also mean another device, `vr-` and twelve hexadecimal digits that depend on both names."""
    name = f"{path}-{device}".replace("/", "-")
    if len(name) <= IFNAME_BYTES and name.count("-") == path.count("/") + 1 and _PLAIN.fullmatch(name):
        return name
    from hashlib import blake2s  # rarely needed, slow to import

    return "vr-" + blake2s(f"{path}\0{device}".encode(), digest_size=6).hexdigest()
