"""The settings of IPv4, and ``net.core`` which serves both families."""

from __future__ import annotations

from typing import Final

from vrouter.stack.sysctl.records import MS, SECOND
from vrouter.stack.sysctl.settings import MOST, Group, Rule, Setting, Text, by_key, by_name, gc_settings, neigh_settings

CONF4: Final = Group(
    "net.ipv4.conf.",
    "conf4",
    by_key(
        Setting("forwarding", 0),
        Setting("rp_filter", 0, high=2, rule=Rule.MAX),
        Setting("src_valid_mark", 0, rule=Rule.OR),
        Setting("accept_redirects", 1, rule=Rule.REDIRECTS),
        Setting("secure_redirects", 1, rule=Rule.OR),
        Setting("shared_media", 1, rule=Rule.OR),
        Setting("send_redirects", 1, rule=Rule.OR),
        Setting("accept_local", 0, rule=Rule.OR),
        Setting("route_localnet", 0, rule=Rule.OR),
        Setting("bc_forwarding", 0, rule=Rule.AND),
        Setting("mc_forwarding", 0, read_only=True, inherited=False),
        Setting("proxy_arp", 0, rule=Rule.OR),
        Setting("arp_filter", 0, rule=Rule.OR),
        Setting("arp_ignore", 0, high=8, rule=Rule.MAX),
        Setting("arp_announce", 0, high=2, rule=Rule.MAX),
        Setting("arp_accept", 0, high=2, rule=Rule.MAX),
        Setting("drop_gratuitous_arp", 0, rule=Rule.OR),
        Setting("force_igmp_version", 0, high=3, rule=Rule.LEAST),
        Setting("igmpv2_unsolicited_report_interval", 10000, 1, MOST, MS),
        Setting("igmpv3_unsolicited_report_interval", 1000, 1, MOST, MS),
    ),
    with_all=True,
    reaches=True,
    configured=4,
)
NEIGH4: Final = Group("net.ipv4.neigh.", "neigh_conf", neigh_settings(100), with_all=False, reaches=True, configured=4)
NS4: Final = by_name(
    net_ipv4=(
        Setting("ip_forward", 0, attribute="v4.forwarding"),
        Setting("ip_default_ttl", 64, 1, 255),
        Setting("ip_no_pmtu_disc", 0, high=3),
        Setting("ip_forward_use_pmtu", 0),
        Setting("ip_local_port_range", "32768\t60999", text=Text.RANGE),
        Setting("ip_local_reserved_ports", "", text=Text.PORTS),
        Setting("ipfrag_high_thresh", 4 * 1024 * 1024, 0, 2**40, attribute="v4.frag_high_thresh"),
        Setting("ipfrag_time", 30, 1, MOST, SECOND, attribute="v4.frag_time"),
        Setting("icmp_echo_ignore_all", 0, attribute="v4.echo_ignore_all"),
        Setting("icmp_echo_ignore_broadcasts", 1, attribute="v4.echo_ignore_multicast"),
        Setting("icmp_errors_use_inbound_ifaddr", 0),
        Setting("icmp_ratelimit", 1000, 0, MOST, MS, attribute="v4.icmp_ratelimit"),
        Setting("icmp_ratemask", 6168, -(2**31), MOST, attribute="v4.icmp_ratemask"),
        Setting("icmp_msgs_per_sec", 1000, 0, MOST),
        Setting("icmp_msgs_burst", 50, 0, MOST),
        Setting("fib_multipath_hash_policy", 0, attribute="v4.multipath_hash_policy"),
        Setting("fib_multipath_use_neigh", 0),
        Setting("igmp_link_local_mcast_reports", 1),
        Setting("igmp_max_memberships", 20, 0, MOST),
        Setting("igmp_max_msf", 10, 0, MOST, attribute="v4.max_msf"),
        Setting("igmp_qrv", 2, 1, 7, attribute="v4.qrv"),
    ),
    net_ipv4_route=(
        Setting("min_pmtu", 552, 68, 65535, attribute="v4.min_pmtu"),
        Setting("mtu_expires", 600, 1, MOST, SECOND, attribute="v4.mtu_expires"),
    ),
    net_ipv4_neigh_default=gc_settings("v4"),
    net_core=(
        Setting("rmem_default", 212992, 2304, MOST),
        Setting("rmem_max", 4194304, 2304, MOST),
        Setting("wmem_default", 212992, 4608, MOST),
        Setting("wmem_max", 4194304, 4608, MOST),
    ),
)
