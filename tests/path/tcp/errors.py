"""ICMP errors about segments, and connections for them to be about: one that begins, one with data on their way."""

import errno

from tests.path.tcp.bare import Bare
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.checksum import checksum, pseudo_header


def report(bare, kind, packet, info=0, size=8):
    """An ICMP error of the peer about `packet`, of which it quotes `size` bytes of the segment."""
    header = 40 if bare.six else 20
    quote = packet[: header + size]
    width = 16 if bare.six else 4
    which, code = kind[6 if bare.six else 4]
    message = bytearray(bytes((which, code, 0, 0)) + info.to_bytes(4, "big") + quote)
    ends = bare.remote.to_bytes(width, "big") + bare.local.to_bytes(width, "big")
    initial = pseudo_header(bare.remote, bare.local, 58, len(message), 128) if bare.six else 0
    message[2:4] = checksum(message, 0, len(message), initial).to_bytes(2, "big")
    if bare.six:
        head = bytes((0x60, 0, 0, 0, len(message) >> 8, len(message) & 255, 58, 64)) + ends
    else:
        total = len(message) + 20
        head = bytearray(bytes((0x45, 0, total >> 8, total & 255, 0, 0, 0, 0, 64, 1, 0, 0)) + ends)
        head[10:12] = checksum(head, 0, 20).to_bytes(2, "big")
    bare.inject(bytes(head) + bytes(message))


def connecting(version):
    """A client whose SYN is on its way: (bare, socket, the SYN's packet)."""
    bare = Bare(version)
    sock = bare.ns.socket(c.AF_INET6 if bare.six else c.AF_INET, c.SOCK_STREAM)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.EINPROGRESS
    bare.settle()
    (live,) = bare.packets
    return bare, sock, live.packet


def established(version, **sysctls):
    """A connection with 4 bytes on their way: (bare, socket, the packet of the data)."""
    bare = Bare(version, **sysctls)
    sock = bare.listener()
    bare.handshake()
    child, _ = sock.accept(now=bare.now)
    bare.sent()
    child.send(b"data", now=bare.now)
    bare.settle()
    (live,) = bare.packets
    return bare, child, live.packet
