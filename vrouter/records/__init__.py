"""The rows of ``show``: one function per subject, each (router, namespace's path or None for all) → list of dicts.

The Python API, the admin API and the command line all show these; the fields and their types are the contract. Every
row has ``netns``; addresses are text, times ns, sizes bytes; what a thing has not is None. An unknown path is KeyError.
Where a subject has a family, ``family`` 4 or 6 chooses among the rows.

netns       netns kind devices (how many) accept_from
devices     netns dev ifindex kind ifname mac mtu state error offload
            rx_packets tx_packets rx_bytes tx_bytes rx_drops tx_drops parent vid protocol master
addresses   netns dev address scope state family origin valid_ns preferred_ns (None: for ever)
routes      netns to via dev target_netns type metric table proto scope src mtu advmss onlink nhid nexthops
            expires_ns pref (of routes that routers advertised)
rules       netns family priority from to iif oif mark tos invert action table goto suppress_prefixlength
nexthops    netns id family via dev group blackhole onlink
neighbors   netns dev address mac state age_ns router
routers     netns dev address preference expires_ns state managed other dns search nat64: default routers, as learned
adverts     netns dev state sent, and what is advertised there
groups      netns dev group mode sources users: what this namespace is a member of
listeners   netns dev group mode sources requested version expires_ns: what a querier heard
queriers    netns dev protocol version querier elected expires_ns groups refused
mroutes     netns group source iif oifs target_netns proto packets bytes wrong_iif
bridges     netns dev ports stp … root_id root_cost root_port topology_changes vlan_filtering …
ports       netns bridge dev port state role cost priority …
fdb         netns bridge mac dev vlan state age_ns
mdb         netns bridge dev vlan group expires_ns
vlans       netns dev parent parent_netns vid protocol
sockets     netns proto state local peer rx_queue tx_queue; when asked for: timer congestion options tcp_info
crossings   from to kind accepted packets bytes denied (``netns``: where they begin)
drops       netns dev reason layer text count, non-zero only; ``dev`` is None where no device was concerned
stats       netns name value
"""

from vrouter.records.addressing import FAMILIES, addresses, adverts, neighbors, routers
from vrouter.records.chosen import Record
from vrouter.records.links import bridges, fdb, mdb, ports, vlans
from vrouter.records.multicast import groups, listeners, mroutes, queriers
from vrouter.records.namespaces import crossings, devices, drops, iter_sockets, netns, sockets, stats
from vrouter.records.routing import iter_routes, nexthops, route_record, routes, rules

__all__ = [
    "FAMILIES",
    "Record",
    "addresses",
    "adverts",
    "bridges",
    "crossings",
    "devices",
    "drops",
    "fdb",
    "groups",
    "iter_routes",
    "iter_sockets",
    "listeners",
    "mdb",
    "mroutes",
    "neighbors",
    "netns",
    "nexthops",
    "ports",
    "queriers",
    "route_record",
    "routers",
    "routes",
    "rules",
    "sockets",
    "stats",
    "vlans",
]
