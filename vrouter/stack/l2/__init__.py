"""The link layer: Ethernet input and output, ARP, the neighbour table, address conflict detection."""
