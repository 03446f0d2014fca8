"""Transport: UDP and ICMP datagram sockets, their ports, and the lookup from a packet to its socket.

Knows packets and the namespace that they are in, which it is handed; never another layer. What it sends it gives to the
namespace's ``send_ip``.
"""
