"""Texts of the configuration and what they mean; each parser gives the value or raises `Refused`.

The rules that need no other part of the configuration are here: an address that no interface can have (RFC 1122
3.2.1.3, RFC 1812 4.2.2.11), a prefix with host bits, a MAC that is no station's own.
"""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_interface

from vrouter.config.findings import Refused
from vrouter.stack.base.addresses import BROADCAST4, format_ipv4, is_host4, is_multicast4, mask, parse_ipv4
from vrouter.stack.base.names import check_device

_MAC = re.compile("[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_LENGTH = re.compile("0|[1-9][0-9]?")
_PORT = re.compile("0|[1-9][0-9]{0,4}")
_PLAIN = re.compile("[A-Za-z0-9_.-]+")
IFNAME_BYTES = 15


def _ipv4(text: str, whole: str, example: str) -> int:
    """The address in `text`, which is the address part of `whole`."""
    try:
        return parse_ipv4(text)
    except ValueError:
        pass
    if ":" in text:
        try:
            is_v6 = isinstance(ip_interface(whole), IPv6Interface)
        except ValueError:
            is_v6 = False
        if is_v6:
            raise Refused(f"IPv6 ({whole!r}) is not supported yet")
    raise Refused(f"{whole!r} is not an IPv4 {example}")


def _no_interface_has(address: int, whole: str, *, loopback: bool) -> None:
    """Refuse what is never the address of a single interface."""
    if address >> 24 == 0:
        raise Refused(f"{whole!r} is in 0.0.0.0/8, which no interface can have")
    if is_multicast4(address):
        raise Refused(f"{whole!r} is a multicast address")
    if address == BROADCAST4:
        raise Refused(f"{whole!r} is the broadcast address")
    if not is_host4(address):
        raise Refused(f"{whole!r} is in 240.0.0.0/4, which no interface can have")
    if not loopback and address >> 24 == 127:
        raise Refused(f"{whole!r} is a loopback address, which only lo can have")


def interface(text: str, *, loopback: bool = False) -> IPv4Interface:
    """`ADDRESS/LENGTH` of an interface; `loopback` for lo, which may have 127.0.0.0/8."""
    head, slash, tail = text.partition("/")
    address = _ipv4(head, text, "address with its prefix length")
    if not slash:
        raise Refused(f"{text!r} needs a prefix length", f"such as '{text}/24'")
    if not _LENGTH.fullmatch(tail) or not 1 <= int(tail) <= 32:
        raise Refused(f"the prefix length of {text!r} must be 1 to 32")
    length = int(tail)
    _no_interface_has(address, text, loopback=loopback)
    if length < 31 and not loopback:  # RFC 3021 2.1: a prefix of 31 bits has neither; lo reaches no network
        host = address & ~mask(length) & BROADCAST4
        if host == 0:
            raise Refused(f"{text!r} is the network's own address", "an interface needs one of the hosts' addresses")
        if host == BROADCAST4 >> length:
            raise Refused(f"{text!r} is the network's broadcast address")
    return IPv4Interface((address, length))


def prefix(text: str) -> IPv4Network:
    """`default`, `NETWORK/LENGTH` or one bare address."""
    if text == "default":
        return IPv4Network((0, 0))
    head, slash, tail = text.partition("/")
    address = _ipv4(head, text, "prefix")
    if slash and (not _LENGTH.fullmatch(tail) or int(tail) > 32):
        raise Refused(f"the prefix length of {text!r} must be 0 to 32")
    length = int(tail) if slash else 32
    network = address & mask(length)
    if network != address:
        raise Refused(f"{text!r} has host bits set", f"did you mean '{format_ipv4(network)}/{length}'?")
    return IPv4Network((network, length))


def gateway(text: str) -> IPv4Address:
    """The address of a next hop."""
    address = _ipv4(text, text, "address")
    _no_interface_has(address, text, loopback=False)
    return IPv4Address(address)


def source(text: str) -> IPv4Address:
    """An address of one's own to send from."""
    return IPv4Address(_ipv4(text, text, "address"))


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
    if host.startswith("[") and host.endswith("]"):
        _ipv4(host[1:-1], host[1:-1], "address")
    try:
        parse_ipv4(host)
    except ValueError:
        raise Refused(f"{host!r} is not an IPv4 address", "names are not looked up") from None
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
