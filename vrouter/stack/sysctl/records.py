"""What the data path reads of the settings: immutable objects, replaced and never changed when somebody writes.

- `NsConf`, one for each namespace as ``ns.conf``. What both families have is in its `FamilyConf` ``v4`` and ``v6``
  (`NsConf.of` for code that serves both); the rest has the name of its setting.
- `DevConf4` and `DevConf6`, one for each device as ``dev.conf4`` and ``dev.conf6``: *effective* values, in which
  ``all`` and the device's own are combined already.
- `NeighConf`, one for each device and family as ``dev.neigh_conf`` and ``dev.neigh_conf6``.

All who have the same values share one object; until the first write that is a default of this module, so that a
namespace or a device costs no copy. Times are ns, sizes bytes, whatever unit the setting is written in.

`table.SysctlTable` replaces the objects; `docs/sysctl.md` lists the settings behind each attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class DevConf4:
    """What IPv4 does at one device."""

    forwarding: bool = False
    rp_filter: int = 0  # 0 off, 1 strict, 2 loose (RFC 3704 2.2, 2.4)
    src_valid_mark: bool = False  # the reverse path is looked up with the packet's mark
    accept_redirects: bool = True
    secure_redirects: bool = True
    shared_media: bool = True
    send_redirects: bool = True
    accept_local: bool = False
    route_localnet: bool = False
    bc_forwarding: bool = False
    proxy_arp: bool = False
    arp_filter: bool = False
    arp_ignore: int = 0
    arp_announce: int = 0
    arp_accept: int = 0
    drop_gratuitous_arp: bool = False
    force_igmp_version: int = 0  # 0: as the queriers speak
    igmpv2_unsolicited_report_interval: int = 10 * SECOND
    igmpv3_unsolicited_report_interval: int = SECOND


@dataclass(frozen=True, slots=True)
class DevConf6:
    """What IPv6 does at one device.

    Whether packets are forwarded is the namespace's alone (``ns.conf.v6.forwarding``), or `force_forwarding` at the
    device where they come in; ``forwarding`` here is whether the device speaks as a router or as a host (RFC 4861).
    """

    forwarding: bool = False
    force_forwarding: bool = False
    disable_ipv6: bool = False
    hop_limit: int = 64  # of what is sent by it; an advertisement may change it (RFC 4861 6.3.4)
    mtu: int = 0  # 0: the device's own, else at most this
    accept_redirects: bool = True
    accept_ra: int = 1  # 0 never, 1 as a host, 2 as a router too; see `hears_routers`
    accept_ra_defrtr: bool = True
    accept_ra_pinfo: bool = True
    accept_ra_rtr_pref: bool = True
    accept_ra_rt_info_min_plen: int = 0
    accept_ra_rt_info_max_plen: int = 0
    accept_ra_mtu: bool = True
    accept_ra_min_hop_limit: int = 1
    accept_ra_from_local: bool = False
    ra_defrtr_metric: int = 1024
    autoconf: bool = True
    max_addresses: int = 16  # made of advertisements; 0: no bound
    addr_gen_mode: int = 0  # of interface identifiers: 0 EUI-64, 1 none, 2 stable with the secret, 3 stable at random
    stable_secret: int = -1  # 128 bits (RFC 7217), -1: none
    dad_transmits: int = 1
    accept_dad: int = 1  # 0 no detection, 1 detection, 2 and no IPv6 after a conflict over the link-local of the MAC
    enhanced_dad: bool = True  # RFC 7527
    router_solicitations: int = -1  # -1: until one answers (RFC 7559)
    router_solicitation_interval: int = 4 * SECOND
    router_solicitation_max_interval: int = 3600 * SECOND
    router_solicitation_delay: int = SECOND
    ndisc_notify: bool = False
    ndisc_tclass: int = 0
    proxy_ndp: bool = False
    drop_unsolicited_na: bool = False
    suppress_frag_ndisc: bool = True  # RFC 6980
    force_mld_version: int = 0  # 0: as the queriers speak
    mldv1_unsolicited_report_interval: int = 10 * SECOND
    mldv2_unsolicited_report_interval: int = SECOND

    @property
    def hears_routers(self) -> bool:
        """Whether router advertisements are for this device: a router hears none unless told to."""
        return self.accept_ra == 2 or (self.accept_ra == 1 and not self.forwarding)


@dataclass(frozen=True, slots=True)
class NeighConf:
    """Timing of neighbour resolution at one device for one family."""

    base_reachable_time: int = 30 * SECOND
    retrans_time: int = SECOND
    delay_first_probe_time: int = 5 * SECOND
    gc_stale_time: int = 60 * SECOND
    locktime: int = SECOND
    mcast_solicit: int = 3  # questions to all before a new neighbour has failed
    ucast_solicit: int = 3  # probes of a known neighbour
    mcast_resolicit: int = 0  # then questions to all before it has failed (RFC 7048)
    unres_qlen: int = 101  # packets that wait for one neighbour


@dataclass(frozen=True, slots=True)
class FamilyConf:
    """Settings of a whole namespace that each family has; the defaults are IPv4's."""

    forwarding: bool = False  # ip_forward; conf.all.forwarding of IPv6
    frag_high_thresh: int = 4 * 1024 * 1024
    frag_time: int = 30 * SECOND
    icmp_ratelimit: int = SECOND  # ns between two errors to one peer
    icmp_ratemask: int = 6168  # bit = ICMP type: 3, 4, 11, 12
    echo_ignore_all: bool = False
    echo_ignore_multicast: bool = True  # and broadcasts, which IPv4 has
    min_pmtu: int = 552  # a message that tells of less is taken for this
    mtu_expires: int = 600 * SECOND
    gc_thresh1: int = 128
    gc_thresh2: int = 512
    gc_thresh3: int = 1024
    gc_interval: int = 30 * SECOND
    multipath_hash_policy: int = 0  # 0: addresses, 1: ports too
    max_msf: int = 10  # sources in one socket's filter of one group
    qrv: int = 2  # robustness of the group protocol, until a querier tells


DEFAULT_V4: Final = FamilyConf()
DEFAULT_V6: Final = FamilyConf(
    frag_time=60 * SECOND,  # RFC 8200 4.5
    icmp_ratelimit=100 * MS,
    icmp_ratemask=(1 << 128) - 1 & ~(1 << 2),  # all errors but Packet Too Big
    echo_ignore_multicast=False,
    min_pmtu=1280,  # RFC 8201 4; no setting
    max_msf=64,
)


@dataclass(frozen=True, slots=True)
class TcpConf:
    """Settings of TCP in a namespace, of both families (``net.ipv4.tcp_*``)."""

    abort_on_overflow: bool = False
    base_mss: int = 1024  # where path MTU probing begins (RFC 4821 7.2)
    challenge_ack_limit: int = 1000  # a second, in the whole namespace (RFC 5961 7)
    congestion_control: str = "cubic"
    dsack: bool = True
    early_retrans: int = 3  # 0: no tail loss probe (RFC 8985 7)
    ecn: int = 2  # 0 never, 1 asks and answers, 2 answers
    ecn_fallback: bool = True
    fastopen: int = 1  # 1 client, 2 server, 4 data without a cookie, 0x200 server without a cookie, 0x400 all listeners
    fastopen_key: tuple[bytes, ...] = ()  # of 16 bytes; the first makes cookies, both know them; (): one of our own
    fin_timeout: int = 60 * SECOND
    frto: int = 2
    invalid_ratelimit: int = 500 * MS  # between answers to out-of-window segments of one connection
    keepalive_intvl: int = 75 * SECOND
    keepalive_probes: int = 9
    keepalive_time: int = 7200 * SECOND
    max_orphans: int = 4096
    max_reordering: int = 300
    max_syn_backlog: int = 512
    max_tw_buckets: int = 16384
    mem: tuple[int, int, int] = (16384, 24576, 32768)  # pages of 4096 bytes: low, pressure, high
    min_rtt_wlen: int = 300 * SECOND
    min_snd_mss: int = 48
    moderate_rcvbuf: bool = True
    mtu_probe_floor: int = 48
    mtu_probing: int = 1  # 0 never, 1 when a black hole is suspected, 2 always (RFC 4821, RFC 8899)
    no_metrics_save: bool = False
    notsent_lowat: int = 2**32 - 1
    orphan_retries: int = 0  # 0: 8
    pacing_ca_ratio: int = 120  # per cent
    pacing_ss_ratio: int = 200
    probe_interval: int = 600 * SECOND
    probe_threshold: int = 8
    recovery: int = 1  # 1: RACK
    reordering: int = 3
    retries1: int = 3
    retries2: int = 15
    rfc1337: bool = False
    rmem: tuple[int, int, int] = (4096, 131072, 6291456)
    rto_max: int = 120 * SECOND
    rto_min: int = 200 * MS
    sack: bool = True
    slow_start_after_idle: bool = True
    syn_linear_timeouts: int = 4
    syn_retries: int = 6
    synack_retries: int = 5
    syncookies: int = 1  # 2: always
    thin_linear_timeouts: bool = False
    timestamps: int = 1  # 0 none, 1 with an offset for each connection, 2 without
    tso_win_divisor: int = 3
    tw_reuse: int = 2  # 1 everywhere, 2 on lo
    window_scaling: bool = True
    wmem: tuple[int, int, int] = (4096, 16384, 4194304)
    somaxconn: int = 4096  # net.core


DEFAULT_TCP: Final = TcpConf()


@dataclass(frozen=True, slots=True)
class NsConf:
    """Settings of a whole namespace."""

    v4: FamilyConf = DEFAULT_V4
    v6: FamilyConf = DEFAULT_V6
    tcp: TcpConf = DEFAULT_TCP
    ip_default_ttl: int = 64
    ip_no_pmtu_disc: int = 0  # 0 discover, 1 only the least is learned, 2 nothing, 3 by protocols that can verify
    ip_forward_use_pmtu: bool = False
    ip_local_port_range: tuple[int, int] = (32768, 60999)  # both ends included
    ip_local_reserved_ports: frozenset[int] = frozenset()
    icmp_errors_use_inbound_ifaddr: bool = False
    icmp_msgs_per_sec: int = 1000  # errors of both families
    icmp_msgs_burst: int = 50
    fib_multipath_use_neigh: bool = False
    igmp_max_memberships: int = 20
    igmp_link_local_mcast_reports: bool = True
    bindv6only: bool = False
    auto_flowlabels: int = 1  # 0 never, 1 unless the socket says no, 2 if it says yes, 3 always
    echo_ignore_anycast: bool = False
    idgen_retries: int = 3  # RFC 7217 6
    max_dst_opts_number: int = 8  # below 0: as many, and none that is unknown
    max_dst_opts_length: int = 2**31 - 1
    max_hbh_opts_number: int = 8
    max_hbh_length: int = 2**31 - 1
    rmem_default: int = 212992
    rmem_max: int = 4194304
    wmem_default: int = 212992
    wmem_max: int = 4194304

    def of(self, family: int) -> FamilyConf:
        """The settings of a family, 4 or 6."""
        return self.v4 if family == 4 else self.v6

    @property
    def ip_forward(self) -> bool:
        """net.ipv4.ip_forward."""
        return self.v4.forwarding

    @property
    def ipfrag_high_thresh(self) -> int:
        """net.ipv4.ipfrag_high_thresh, in bytes."""
        return self.v4.frag_high_thresh

    @property
    def icmp_echo_ignore_all(self) -> bool:
        """net.ipv4.icmp_echo_ignore_all."""
        return self.v4.echo_ignore_all

    @property
    def icmp_echo_ignore_broadcasts(self) -> bool:
        """net.ipv4.icmp_echo_ignore_broadcasts."""
        return self.v4.echo_ignore_multicast

    @property
    def min_pmtu(self) -> int:
        """net.ipv4.route.min_pmtu, in bytes."""
        return self.v4.min_pmtu

    @property
    def mtu_expires(self) -> int:
        """net.ipv4.route.mtu_expires, in ns."""
        return self.v4.mtu_expires

    @property
    def gc_thresh3(self) -> int:
        """net.ipv4.neigh.default.gc_thresh3."""
        return self.v4.gc_thresh3


DEFAULT_DEV4: Final = DevConf4()
DEFAULT_DEV6: Final = DevConf6()
VETH_DEV6: Final = DevConf6(dad_transmits=0)  # who is at the other end is configured, not found out
LO_DEV6: Final = DevConf6(accept_dad=0)
DEFAULT_NEIGH: Final = NeighConf()
DEFAULT_NEIGH6: Final = NeighConf(locktime=0)
DEFAULT_NS: Final = NsConf()


def default_dev6(kind: str) -> DevConf6:
    """What IPv6 does at a device of a kind (tap, veth …) before anybody writes a setting."""
    if kind == "veth":
        return VETH_DEV6
    return LO_DEV6 if kind == "lo" else DEFAULT_DEV6
