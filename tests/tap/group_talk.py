"""Messages of group membership and frames of groups, built by Scapy: IGMP version 2 and MLD version 1."""

from __future__ import annotations

import ipaddress
from typing import Any

from scapy.layers.inet import IP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLReport,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum

RESPONSE = 0.5  # s that the querier gives for answers


class Talk:
    """One family's words."""

    group = other = local = ""

    @staticmethod
    def group_mac(group: str) -> bytes:
        """RFC 1112 6.4, RFC 2464 7."""
        packed = ipaddress.ip_address(group).packed
        return (
            b"\x33\x33" + packed[-4:] if len(packed) == 16 else b"\x01\x00\x5e" + bytes([packed[1] & 127]) + packed[2:]
        )

    def frame(self, src: bytes, packet: Any, group: str) -> bytes:
        return bytes(Ether(src=src.hex(":"), dst=self.group_mac(group).hex(":")) / packet)

    def query(self, src: bytes, group: str = "") -> bytes:
        """A router's question, for all groups or one."""
        raise AssertionError

    def report(self, src: bytes, group: str = "") -> bytes:
        raise AssertionError

    def leave(self, src: bytes, group: str = "") -> bytes:
        raise AssertionError

    def data(self, src: bytes, group: str = "") -> bytes:
        """A datagram for the group."""
        raise AssertionError


class Igmp(Talk):
    group, other, local = "239.1.2.3", "239.1.2.4", "224.0.0.251"

    def message(self, src: bytes, host: str, dst: str, kind: int, code: int, group: str) -> bytes:
        body = bytes((kind, code, 0, 0)) + ipaddress.ip_address(group).packed
        igmp = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        header = IP(src=host, dst=dst, ttl=1, proto=2, options=[IPOption_Router_Alert()])
        return self.frame(src, header / Raw(igmp), dst)

    def query(self, src: bytes, group: str = "", host: str = "10.0.0.4") -> bytes:
        return self.message(src, host, group or "224.0.0.1", 0x11, int(10 * RESPONSE), group or "0.0.0.0")

    def report(self, src: bytes, group: str = "") -> bytes:
        group = group or self.group
        return self.message(src, "10.0.0.2", group, 0x16, 0, group)

    def leave(self, src: bytes, group: str = "") -> bytes:
        return self.message(src, "10.0.0.2", "224.0.0.2", 0x17, 0, group or self.group)

    def report3(self, src: bytes, kind: int, group: str, *sources: str) -> bytes:
        """A report of version 3 with one record."""
        body = bytes((0x22, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, len(sources)))
        body += b"".join(ipaddress.ip_address(address).packed for address in (group, *sources))
        igmp = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        header = IP(src="10.0.0.2", dst="224.0.0.22", ttl=1, proto=2, options=[IPOption_Router_Alert()])
        return self.frame(src, header / Raw(igmp), "224.0.0.22")

    def data(self, src: bytes, group: str = "") -> bytes:
        group = group or self.group
        return self.frame(src, IP(src="10.0.0.1", dst=group, ttl=8) / UDP(sport=1, dport=2) / Raw(b"stream"), group)


class Mld(Talk):
    group, other, local = "ff05::1:2:3", "ff05::1:2:4", "ff02::1"

    def message(self, src: bytes, host: str, dst: str, mld: Any) -> bytes:
        header = IPv6(src=host, dst=dst, hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)])
        return self.frame(src, header / mld, dst)

    def query(self, src: bytes, group: str = "", host: str = "fe80::4") -> bytes:
        return self.message(
            src, host, group or "ff02::1", ICMPv6MLQuery(mladdr=group or "::", mrd=int(1000 * RESPONSE))
        )

    def report(self, src: bytes, group: str = "") -> bytes:
        group = group or self.group
        return self.message(src, "fe80::2", group, ICMPv6MLReport(mladdr=group))

    def leave(self, src: bytes, group: str = "") -> bytes:
        return self.message(src, "fe80::2", "ff02::2", ICMPv6MLDone(mladdr=group or self.group))

    def data(self, src: bytes, group: str = "") -> bytes:
        group = group or self.group
        return self.frame(src, IPv6(src="fe80::1", dst=group, hlim=8) / UDP(sport=1, dport=2) / Raw(b"stream"), group)


FAMILIES: dict[str, Talk] = {"igmp": Igmp(), "mld": Mld()}
