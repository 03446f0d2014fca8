"""Why packets die: one enum, one table, and the counter's index is the reason itself.

Names follow Linux's ``skb_drop_reason`` where one fits, so that they can be searched for; names are stable, numbers are
not. A member is added together with the code that produces it. Severity: *error* means that somebody is wrong,
*policy* that it was configured so, *normal* that it is part of ordinary life.

``Layer.EGRESS`` and ``Layer.NEIGHBOUR`` reasons are counted at the device that the packet was leaving by, all others at
the one it came in by.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NamedTuple


class Layer(Enum):
    """The stage of the path in which the packet died."""

    DEVICE = "device"
    CROSSING = "crossing"
    L2 = "l2"
    NEIGHBOUR = "neighbour"
    L3 = "l3"
    FRAGMENT = "fragment"
    ROUTE = "route"
    L4 = "l4"
    EGRESS = "egress"


class Severity(Enum):
    """How an operator should read a count of it."""

    ERROR = "error"
    POLICY = "policy"
    NORMAL = "normal"


class DropReason(IntEnum):
    """The one reason for which a packet was dropped; 0 is "go on"."""

    NOT_DROPPED = 0
    VNET_HDR = 1
    DEV_READY = 2
    PKT_TOO_SMALL = 3
    FRAME_TOO_LONG = 4
    NS_UNMAPPED = 5
    NS_CLOSING = 6
    CROSSING_DENIED = 7
    CROSSING_LOOP = 8
    ETH_SRC_INVALID = 9
    OTHERHOST = 10
    UNHANDLED_PROTO = 11
    ARP_INVALID = 12
    ARP_NOT_ON_LINK = 13
    ARP_RATELIMIT = 14
    NEIGH_FAILED = 15
    NEIGH_QUEUEFULL = 16
    NEIGH_TABLEFULL = 17
    HDR_TRUNC = 18
    IP_VERSION = 19
    IP_INHDR = 20
    IP_CSUM = 21
    IP_OPTIONS = 22
    IP_INVALID_SOURCE = 23
    IP_INVALID_DEST = 24
    IP_LOCAL_SOURCE = 25
    IP_LOCALNET = 26
    IP_RPFILTER = 27
    UNICAST_IN_L2_MULTICAST = 28
    DUP_FRAG = 29
    FRAG_INVALID = 30
    FRAG_OVERLAP = 31
    FRAG_TOO_FAR = 32
    FRAG_REASM_TIMEOUT = 33
    FRAG_MEM = 34
    IP_INNOROUTES = 35
    ROUTE_BLACKHOLE = 36
    ROUTE_UNREACHABLE = 37
    ROUTE_PROHIBIT = 38
    FORWARDING_DISABLED = 39
    FORWARD_LINK_LOCAL = 40
    TTL_EXPIRED = 41
    PKT_TOO_BIG = 42
    MCAST_NO_INTEREST = 43
    IP_NOPROTO = 44
    L4_HDR = 45
    UDP_CSUM = 46
    ICMP_CSUM = 47
    ICMP_TYPE = 48
    ICMP_IGNORED = 49
    ICMP_RATELIMIT = 50
    NO_SOCKET = 51
    SOCKET_RCVBUFF = 52
    IP_OUTNOROUTES = 53
    FULL_RING = 54
    TX_ERROR = 55
    NO_SOURCE_ADDR = 56
    TX_DEV_READY = 57
    NDP_INVALID = 58
    NDP_NOT_ON_LINK = 59
    NDP_RATELIMIT = 60
    VLAN_NOT_ALLOWED = 61
    BRIDGE_INGRESS_STP_STATE = 62
    BRIDGE_STORM = 63
    NO_TX_TARGET = 64
    BPDU_INVALID = 65
    IPV6DISABLED = 66
    MEMBERSHIP_INVALID = 67
    TCP_CSUM = 68
    TCP_FLAGS = 69
    TCP_INVALID_SYN = 70
    TCP_INVALID_SEQUENCE = 71
    TCP_RESET = 72
    TCP_OLD_DATA = 73
    TCP_OVERWINDOW = 74
    TCP_ZEROWINDOW = 75
    TCP_OLD_ACK = 76
    TCP_ACK_UNSENT_DATA = 77
    TCP_RFC7323_PAWS = 78
    TCP_OFO_QUEUE_PRUNE = 79
    TCP_LISTEN_OVERFLOW = 80
    TCP_CLOSE = 81


class DropInfo(NamedTuple):
    """A row of the table: where, in words, by which document, and how grave."""

    layer: Layer
    text: str
    rfc: str
    severity: Severity


_D, _X, _2, _N, _3, _F, _R, _4, _E = Layer
_ERR, _POL, _NRM = Severity

DROP_TABLE: Final[dict[DropReason, DropInfo]] = {
    DropReason.VNET_HDR: DropInfo(_D, "virtio-net header invalid or not negotiated", "VIRTIO 1.2 5.1.6", _ERR),
    DropReason.DEV_READY: DropInfo(_D, "device is down", "", _NRM),
    DropReason.PKT_TOO_SMALL: DropInfo(_D, "frame shorter than its header", "IEEE 802.3", _ERR),
    DropReason.FRAME_TOO_LONG: DropInfo(_D, "frame longer than the device's MTU allows", "IEEE 802.3", _ERR),
    DropReason.NS_UNMAPPED: DropInfo(_D, "no namespace for this device and VLAN", "", _POL),
    DropReason.NS_CLOSING: DropInfo(_D, "namespace or device is being removed", "", _NRM),
    DropReason.CROSSING_DENIED: DropInfo(_X, "target namespace does not accept this one", "RFC 1812 5.2.7.1", _POL),
    DropReason.CROSSING_LOOP: DropInfo(_X, "crossed namespaces too often", "", _ERR),
    DropReason.ETH_SRC_INVALID: DropInfo(_2, "group address as Ethernet source", "IEEE 802.3 3.2.3", _ERR),
    DropReason.OTHERHOST: DropInfo(_2, "frame for another station", "", _NRM),
    DropReason.UNHANDLED_PROTO: DropInfo(_2, "no handler for this EtherType", "", _NRM),
    DropReason.VLAN_NOT_ALLOWED: DropInfo(_2, "bridge port is not in the frame's VLAN", "IEEE 802.1Q 6.9", _POL),
    DropReason.BRIDGE_INGRESS_STP_STATE: DropInfo(_2, "bridge port does not forward", "IEEE 802.1D 7.4", _NRM),
    DropReason.BRIDGE_STORM: DropInfo(_2, "more of these frames than the bridge port may flood", "", _POL),
    DropReason.NO_TX_TARGET: DropInfo(_2, "bridge has no other port to send it by", "IEEE 802.1D 7.7", _NRM),
    DropReason.BPDU_INVALID: DropInfo(_2, "malformed or own spanning tree message", "IEEE 802.1D 9.3.4", _ERR),
    DropReason.ARP_INVALID: DropInfo(_2, "malformed ARP", "RFC 826", _ERR),
    DropReason.ARP_NOT_ON_LINK: DropInfo(_2, "ARP not about an address of this device", "RFC 826", _NRM),
    DropReason.ARP_RATELIMIT: DropInfo(_2, "more ARP than the device answers", "", _POL),
    DropReason.NDP_INVALID: DropInfo(_2, "malformed neighbour discovery", "RFC 4861 7.1", _ERR),
    DropReason.NDP_NOT_ON_LINK: DropInfo(_2, "NDP not about an address of this device", "RFC 4861 7.2.3", _NRM),
    DropReason.NDP_RATELIMIT: DropInfo(_2, "more NDP than the device answers", "RFC 6583 7", _POL),
    DropReason.NEIGH_FAILED: DropInfo(_N, "next hop did not answer", "RFC 1812 5.2.7.1", _NRM),
    DropReason.NEIGH_QUEUEFULL: DropInfo(_N, "too many packets wait for this next hop", "RFC 1122 2.3.2.2", _NRM),
    DropReason.NEIGH_TABLEFULL: DropInfo(_N, "neighbour table is full", "", _ERR),
    DropReason.IPV6DISABLED: DropInfo(_3, "IPv6 is disabled on the device", "", _POL),
    DropReason.HDR_TRUNC: DropInfo(_3, "packet ends inside its header", "RFC 1812 5.2.2", _ERR),
    DropReason.IP_VERSION: DropInfo(_3, "IP version does not fit the EtherType", "RFC 1812 5.2.2", _ERR),
    DropReason.IP_INHDR: DropInfo(_3, "header length or total length impossible", "RFC 1812 5.2.2", _ERR),
    DropReason.IP_CSUM: DropInfo(_3, "header checksum wrong", "RFC 1812 5.2.2", _ERR),
    DropReason.IP_OPTIONS: DropInfo(_3, "malformed option or source route", "RFC 7126 4", _ERR),
    DropReason.IP_INVALID_SOURCE: DropInfo(_3, "source address can be nobody's", "RFC 1812 5.3.7", _ERR),
    DropReason.IP_INVALID_DEST: DropInfo(_3, "destination address can be nobody's", "RFC 1812 5.3.7", _ERR),
    DropReason.IP_LOCAL_SOURCE: DropInfo(_3, "source is an address of this namespace", "RFC 1812 5.3.7", _ERR),
    DropReason.IP_LOCALNET: DropInfo(_3, "loopback address from a wire", "RFC 1812 5.3.7", _ERR),
    DropReason.IP_RPFILTER: DropInfo(_3, "reverse path is another device", "RFC 3704 2.2", _POL),
    DropReason.UNICAST_IN_L2_MULTICAST: DropInfo(_3, "unicast packet in a group frame", "RFC 1122 3.3.6", _ERR),
    DropReason.DUP_FRAG: DropInfo(_F, "fragment came twice", "RFC 815", _NRM),
    DropReason.FRAG_INVALID: DropInfo(_F, "fragment length or offset impossible", "RFC 791 3.2", _ERR),
    DropReason.FRAG_OVERLAP: DropInfo(_F, "fragments overlap; the datagram is given up", "RFC 5722", _ERR),
    DropReason.FRAG_TOO_FAR: DropInfo(_F, "fragment of a datagram that was given up", "RFC 815", _NRM),
    DropReason.FRAG_REASM_TIMEOUT: DropInfo(_F, "fragments missing too long", "RFC 1122 3.3.2", _NRM),
    DropReason.FRAG_MEM: DropInfo(_F, "no memory left for reassembly", "", _POL),
    DropReason.IP_INNOROUTES: DropInfo(_R, "no route to the destination", "RFC 1812 5.2.7.1", _NRM),
    DropReason.ROUTE_BLACKHOLE: DropInfo(_R, "blackhole route", "", _POL),
    DropReason.ROUTE_UNREACHABLE: DropInfo(_R, "unreachable route", "RFC 1812 5.2.7.1", _POL),
    DropReason.ROUTE_PROHIBIT: DropInfo(_R, "prohibit route", "RFC 1812 5.2.7.1", _POL),
    DropReason.FORWARDING_DISABLED: DropInfo(_R, "not for this host, and forwarding is off", "RFC 1122 3.3.4.2", _POL),
    DropReason.FORWARD_LINK_LOCAL: DropInfo(_R, "link-scope packet is not forwarded", "RFC 1812 5.3.4", _NRM),
    DropReason.TTL_EXPIRED: DropInfo(_R, "time to live reached zero", "RFC 1812 5.3.1", _NRM),
    DropReason.PKT_TOO_BIG: DropInfo(_R, "larger than the next link, and must not be fragmented", "RFC 1191 4", _NRM),
    DropReason.MCAST_NO_INTEREST: DropInfo(_R, "nobody here joined this group", "RFC 1112", _NRM),
    DropReason.IP_NOPROTO: DropInfo(_4, "no handler for this protocol", "RFC 1122 3.2.2.1", _NRM),
    DropReason.L4_HDR: DropInfo(_4, "transport header truncated or its length impossible", "RFC 768", _ERR),
    DropReason.UDP_CSUM: DropInfo(_4, "UDP checksum wrong", "RFC 1122 4.1.3.4", _ERR),
    DropReason.ICMP_CSUM: DropInfo(_4, "ICMP checksum wrong", "RFC 792", _ERR),
    DropReason.ICMP_TYPE: DropInfo(_4, "unknown ICMP type", "RFC 1122 3.2.2", _NRM),
    DropReason.ICMP_IGNORED: DropInfo(_4, "ICMP message that settings say to ignore", "RFC 1122 3.2.2.6", _POL),
    DropReason.MEMBERSHIP_INVALID: DropInfo(_4, "malformed IGMP or MLD, or not of this link", "RFC 3376 9", _ERR),
    DropReason.ICMP_RATELIMIT: DropInfo(_4, "own ICMP message not sent: rate limit", "RFC 1812 4.3.2.8", _POL),
    DropReason.NO_SOCKET: DropInfo(_4, "no socket on this port", "RFC 1122 4.1.3.1", _NRM),
    DropReason.SOCKET_RCVBUFF: DropInfo(_4, "socket's receive buffer is full", "", _NRM),
    DropReason.TCP_CSUM: DropInfo(_4, "TCP checksum wrong", "RFC 9293 3.1", _ERR),
    DropReason.TCP_FLAGS: DropInfo(_4, "segment with flags that nothing answers", "RFC 9293 3.10.7", _ERR),
    DropReason.TCP_INVALID_SYN: DropInfo(_4, "SYN where none may be", "RFC 5961 4", _ERR),
    DropReason.TCP_INVALID_SEQUENCE: DropInfo(_4, "sequence number outside the window", "RFC 9293 3.10.7.4", _ERR),
    DropReason.TCP_RESET: DropInfo(_4, "reset that is not believed", "RFC 5961 3", _ERR),
    DropReason.TCP_OLD_DATA: DropInfo(_4, "all of it came before", "RFC 9293 3.10.7.4", _NRM),
    DropReason.TCP_OVERWINDOW: DropInfo(_4, "data beyond the offered window", "RFC 9293 3.10.7.4", _NRM),
    DropReason.TCP_ZEROWINDOW: DropInfo(_4, "data while the offered window is zero", "RFC 9293 3.8.6", _NRM),
    DropReason.TCP_OLD_ACK: DropInfo(_4, "acknowledges what was acknowledged long ago", "RFC 5961 5", _ERR),
    DropReason.TCP_ACK_UNSENT_DATA: DropInfo(_4, "acknowledges what was never sent", "RFC 5961 5", _ERR),
    DropReason.TCP_RFC7323_PAWS: DropInfo(_4, "timestamp older than the last", "RFC 7323 5", _NRM),
    DropReason.TCP_OFO_QUEUE_PRUNE: DropInfo(_4, "no memory left for data out of order", "RFC 9293 3.8", _POL),
    DropReason.TCP_LISTEN_OVERFLOW: DropInfo(_4, "the listener's queue is full", "RFC 4987 2", _POL),
    DropReason.TCP_CLOSE: DropInfo(_4, "the program closed the connection it is for", "RFC 9293 3.10.4", _NRM),
    DropReason.IP_OUTNOROUTES: DropInfo(_R, "no route for a packet made here", "", _NRM),
    DropReason.FULL_RING: DropInfo(_E, "device's transmit queue is full", "", _NRM),
    DropReason.NO_SOURCE_ADDR: DropInfo(_R, "no address to send it from", "RFC 1122 3.2.1.3", _NRM),
    DropReason.TX_DEV_READY: DropInfo(_E, "the device to leave by is down", "", _NRM),
    DropReason.TX_ERROR: DropInfo(_E, "the device refused the frame", "", _ERR),
}

N_REASONS: Final = len(DropReason)
EGRESS_REASONS: Final = tuple(r for r, row in DROP_TABLE.items() if row.layer in (Layer.EGRESS, Layer.NEIGHBOUR))
IS_EGRESS: Final = tuple(r in EGRESS_REASONS for r in DropReason)
