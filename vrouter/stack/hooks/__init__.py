"""The five places of netfilter at which a packet can be looked at, changed and refused."""
