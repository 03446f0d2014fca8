"""The settings of IPv6. For most of them ``all`` is stored and read by nobody, as in Linux: each device has its own."""

from __future__ import annotations

from typing import Final

from vrouter.stack.sysctl.records import MS, SECOND
from vrouter.stack.sysctl.settings import (
    DEFAULT,
    DEVICES,
    MOST,
    Group,
    Rule,
    Setting,
    Text,
    by_key,
    by_name,
    gc_settings,
    neigh_settings,
)

MIN_MTU6: Final = 1280  # RFC 8200 5

CONF6: Final = Group(
    "net.ipv6.conf.",
    "conf6",
    by_key(
        Setting("forwarding", 0, passed_on=(DEFAULT, DEVICES)),
        Setting("force_forwarding", 0, passed_on=(DEVICES,)),
        Setting("disable_ipv6", 0, passed_on=(DEFAULT, DEVICES)),
        Setting("hop_limit", 64, 1, 255),
        Setting("mtu", 0, MIN_MTU6, 65536, inherited=False),
        Setting("accept_redirects", 1),
        Setting("accept_ra", 1, high=2),
        Setting("accept_ra_defrtr", 1),
        Setting("accept_ra_pinfo", 1),
        Setting("accept_ra_rtr_pref", 1),
        Setting("accept_ra_rt_info_min_plen", 0, high=128),
        Setting("accept_ra_rt_info_max_plen", 0, high=128),
        Setting("accept_ra_mtu", 1),
        Setting("accept_ra_min_hop_limit", 1, high=255),
        Setting("accept_ra_from_local", 0),
        Setting("ra_defrtr_metric", 1024, 1, MOST),
        Setting("autoconf", 1),
        Setting("max_addresses", 16, 0, MOST),
        Setting("addr_gen_mode", 0, high=3, passed_on=(DEFAULT, DEVICES)),
        Setting("stable_secret", "", text=Text.SECRET),
        Setting("dad_transmits", 1, 0, MOST, at_kinds=(("veth", 0),)),
        Setting("accept_dad", 1, -1, 2, rule=Rule.MAX, at_all=0, at_kinds=(("lo", -1),)),
        Setting("enhanced_dad", 1, rule=Rule.OR),
        Setting("router_solicitations", -1, -1, MOST),
        Setting("router_solicitation_interval", 4, 1, MOST, SECOND),
        Setting("router_solicitation_max_interval", 3600, 1, MOST, SECOND),
        Setting("router_solicitation_delay", 1, 0, MOST, SECOND),
        Setting("ndisc_notify", 0, rule=Rule.OR),
        Setting("ndisc_tclass", 0, high=255),
        Setting("proxy_ndp", 0, rule=Rule.OR),
        Setting("drop_unsolicited_na", 0),
        Setting("suppress_frag_ndisc", 1),
        Setting("mc_forwarding", 0, read_only=True, inherited=False),
        Setting("force_mld_version", 0, high=2, rule=Rule.FIRST),
        Setting("mldv1_unsolicited_report_interval", 10000, 1, MOST, MS),
        Setting("mldv2_unsolicited_report_interval", 1000, 1, MOST, MS),
    ),
    with_all=True,
    reaches=False,
)
NEIGH6: Final = Group("net.ipv6.neigh.", "neigh_conf6", neigh_settings(0), with_all=False, reaches=True)
NS6: Final = by_name(
    net_ipv6=(
        Setting("auto_flowlabels", 1, high=3),
        Setting("bindv6only", 0),
        Setting("fib_multipath_hash_policy", 0, attribute="v6.multipath_hash_policy"),
        Setting("idgen_retries", 3, 0, MOST),
        Setting("ip6frag_high_thresh", 4 * 1024 * 1024, 0, 2**40, attribute="v6.frag_high_thresh"),
        Setting("ip6frag_time", 60, 1, MOST, SECOND, attribute="v6.frag_time"),
        Setting("max_dst_opts_length", MOST, 0, MOST),
        Setting("max_dst_opts_number", 8, -MOST, MOST),
        Setting("max_hbh_length", MOST, 0, MOST),
        Setting("max_hbh_opts_number", 8, -MOST, MOST),
        Setting("mld_max_msf", 64, 0, MOST, attribute="v6.max_msf"),
        Setting("mld_qrv", 2, 1, 7, attribute="v6.qrv"),
    ),
    net_ipv6_icmp=(
        Setting("echo_ignore_all", 0, attribute="v6.echo_ignore_all"),
        Setting("echo_ignore_anycast", 0),
        Setting("echo_ignore_multicast", 0, attribute="v6.echo_ignore_multicast"),
        Setting("ratelimit", 100, 0, MOST, MS, attribute="v6.icmp_ratelimit"),
        Setting("ratemask", "0-1,3-127", text=Text.TYPES, attribute="v6.icmp_ratemask"),
    ),
    net_ipv6_route=(Setting("mtu_expires", 600, 1, MOST, SECOND, attribute="v6.mtu_expires"),),
    net_ipv6_neigh_default=gc_settings("v6"),
)
