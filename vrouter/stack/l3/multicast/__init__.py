"""Multicast beyond one host's sockets: who listens where, and what is forwarded to them.

dialect     Dialect, IGMP, MLD      what the two protocols differ in, as data
host        Speaker                 what is told of the groups of this namespace, by each device
listeners   Listeners               who listens at a device: the timers of one group
querier     Querier                 who asks at a device, and the groups that were reported there
mroute      MulticastRoute          what is forwarded by configuration
proxy       Proxy                   what is forwarded because somebody downstream listens
mdns        MdnsReflector           multicast DNS between links
groups      GroupTables             all of this for one namespace
"""
