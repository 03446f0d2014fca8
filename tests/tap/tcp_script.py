"""Calls on stream sockets, to be made on the kernel's and on ours: what each answers, as JSON has it.

Everything happens on loopback, in a namespace that has nothing else. `World` is what differs: how a socket is made, how
its association is dissolved, and how it is waited for that the other end has heard.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from tests.tap.tcp_world import ANY, FOREIGN, GROUP, MSG_FASTOPEN, SECOND, SOL, TCP, Script, World


def calls_without_a_connection(s: Script) -> None:
    a = s.new()
    s.ask("name", a.getsockname)
    s.ask("peer", a.getpeername)
    s.ask("recv", a.recv, 1)
    s.ask("recv nothing", a.recv, 0)
    s.ask("send", a.send, b"x")
    s.ask("send nothing", a.send, b"")
    s.ask("sendto", a.sendto, b"x", (s.home, 9))
    s.ask("accept", a.accept)
    for how in (0, 1, 2, 3):
        s.ask(f"shutdown {how}", a.shutdown, how)
    s.ask("recv after shutdown", a.recv, 1)
    s.ask("send after shutdown", a.send, b"x")
    s.ask("out of band", s.new().recv, 1, socket.MSG_OOB)
    s.ask("error queue", s.new().recv, 1, socket.MSG_ERRQUEUE)
    s.ask("SO_ERROR", a.getsockopt, SOL, socket.SO_ERROR)
    b = s.new()
    s.world.dissolve(b)
    s.ask("dissolved", b.getsockname)


def calls_of_bind(s: Script) -> None:
    home, second = s.home, SECOND[s.family]
    s.ask("foreign", s.new().bind, (FOREIGN[s.family], 0))
    s.ask("group", s.new().bind, (GROUP[s.family], 4000))
    a = s.bound(0)
    s.ask("chosen", a.getsockname)
    s.ask("twice", a.bind, (home, 0))
    first = s.bound(5000)
    s.ask("taken", s.new().bind, (home, 5000))
    s.ask("wildcard", s.new().bind, (ANY[s.family], 5000))
    if s.family == socket.AF_INET:
        s.ask("beside", s.new().bind, (second, 5000))
    s.ask("REUSEADDR on one side", s.new(SO_REUSEADDR=1).bind, (home, 5000))
    both = [s.bound(5001, SO_REUSEADDR=1), s.bound(5001, SO_REUSEADDR=1)]
    s.ask("first listens", both[0].listen)
    s.ask("second listens", both[1].listen)
    s.ask("third", s.new(SO_REUSEADDR=1).bind, (home, 5001))
    s.ask("third, wildcard", s.new(SO_REUSEADDR=1).bind, (ANY[s.family], 5001))
    shared = [s.bound(5002, SO_REUSEPORT=1), s.bound(5002, SO_REUSEPORT=1)]
    s.ask("shared", shared[0].listen)
    s.ask("shared too", shared[1].listen)
    s.ask("and a third", s.new(SO_REUSEPORT=1).bind, (home, 5002))
    s.ask("REUSEADDR beside", s.new(SO_REUSEADDR=1).bind, (home, 5002))
    s.ask("nothing beside", s.new().bind, (home, 5002))
    wild = s.bound(5003, ANY[s.family])
    s.ask("below the wildcard", s.new().bind, (home, 5003))
    first.close()
    s.ask("free again", s.new().bind, (home, 5000))
    wild.close()


def calls_of_listen(s: Script) -> None:
    a = s.new()
    s.ask("unbound", a.listen, 1)
    s.ask("has a port", a.getsockname)
    s.ask("again", a.listen, 5)
    s.ask("accepts", a.getsockopt, SOL, socket.SO_ACCEPTCONN)
    s.ask("nobody", a.accept)
    s.ask("connect", a.connect, (s.home, 9))
    s.ask("recv", a.recv, 1)
    s.ask("send", a.send, b"x")
    s.ask("peer", a.getpeername)
    s.ask("bind", a.bind, (s.home, 0))
    s.ask("shutdown sending", a.shutdown, 1)
    s.ask("still", a.getsockopt, SOL, socket.SO_ACCEPTCONN)
    s.ask("shutdown receiving", a.shutdown, 0)
    s.ask("no more", a.getsockopt, SOL, socket.SO_ACCEPTCONN)
    s.ask("accept", a.accept)
    s.ask("listen anew", a.listen, 1)
    kept = s.listener(5100)
    s.world.dissolve(kept)
    s.ask("dissolved", kept.getsockname)
    s.ask("no listener", kept.accept)
    c, d = s.pair(s.listener(5101), 5101)
    s.ask("listen on a connection", c.listen, 1)
    s.ask("on the other end", d.listen, 1)


def calls_of_connect(s: Script) -> None:
    home = s.home
    ear = s.listener(5200)
    a = s.new()
    s.ask("begin", a.connect, (home, 5200))
    s.world.wait()
    s.ask("done", a.connect, (home, 5200))
    s.ask("twice", a.connect, (home, 5200))
    s.ask("name", a.getsockname)
    s.ask("peer", a.getpeername)
    s.ask("listen", a.listen, 1)
    s.ask("bind", a.bind, (home, 0))
    s.ask("accept", a.accept)
    b = s.new()
    s.ask("refused: begin", b.connect, (home, 5209))
    s.world.wait()
    s.ask("refused: told", b.connect, (home, 5209))
    s.ask("refused: anew", b.connect, (home, 5209))
    s.world.wait()
    s.ask("refused: SO_ERROR", b.getsockopt, SOL, socket.SO_ERROR)
    s.ask("refused: SO_ERROR once", b.getsockopt, SOL, socket.SO_ERROR)
    s.ask("refused: aborted", b.connect, (home, 5209))
    s.ask("refused: elsewhere", b.connect, (home, 5200))
    s.world.wait()
    s.ask("refused: done", b.connect, (home, 5200))
    c = s.new()
    c.connect_ex((home, 5209))
    s.world.wait()
    s.ask("recv tells", c.recv, 1)
    s.ask("recv once", c.recv, 1)
    s.ask("send then", c.send, b"x")
    s.ask("peer then", c.getpeername)
    d = s.new()
    d.connect_ex((home, 5209))
    s.world.wait()
    s.ask("send tells", d.send, b"x")
    s.ask("send once", d.send, b"x")
    s.ask("no route", s.new().connect, (FOREIGN[s.family], 9))
    s.ask("group", s.new().connect, (GROUP[s.family], 9))
    if s.family == socket.AF_INET:
        s.ask("everybody", s.new().connect, ("255.255.255.255", 9))
    e = s.new()
    s.ask("any", e.connect, (ANY[s.family], 5200))
    s.world.wait()
    s.ask("any is this host", e.getpeername)
    f = s.bound(5201)
    s.ask("bound", f.connect, (home, 5200))
    s.world.wait()
    s.ask("bound name", f.getsockname)
    g = s.new(SO_REUSEADDR=1)
    s.ask("port in use", g.bind, (home, 5201))
    z = s.new()
    s.ask("port 0", z.connect, (home, 0))
    s.world.wait()
    s.ask("port 0 told", z.getsockopt, SOL, socket.SO_ERROR)
    ear.accept()
    itself = s.bound(5210)
    s.ask("itself", itself.connect, (home, 5210))
    s.world.wait()
    s.ask("itself: done", itself.connect, (home, 5210))
    s.ask("itself: peer", itself.getpeername)
    s.ask("itself: send", itself.send, b"echo")
    s.world.wait()
    s.ask("itself: recv", itself.recv, 9)
    s.ask("itself: end", itself.shutdown, 1)
    s.world.wait()
    s.ask("itself: heard", itself.recv, 9)


def calls_of_dissolving(s: Script) -> None:
    ear = s.listener(5300)
    for port in (0, 5301):
        a, b = s.pair(ear, 5300) if not port else (s.bound(port), None)
        if port:
            a.connect_ex((s.home, 5300))
            s.world.wait()
            a.connect_ex((s.home, 5300))
            b = ear.accept()[0]
        s.world.dissolve(a)
        s.world.wait()
        s.ask("error", a.getsockopt, SOL, socket.SO_ERROR)
        s.ask("peer", a.getpeername)
        s.ask("recv", a.recv, 1)
        s.ask("send", a.send, b"x")
        s.ask("other end", b.recv, 1)
        s.ask("other end once", b.recv, 1)
        s.ask("other end's peer", b.getpeername)
        s.ask("connect anew", a.connect, (s.home, 5300))
        s.world.wait()
        s.ask("done", a.connect, (s.home, 5300))
        ear.accept()


def calls_of_data(s: Script) -> None:
    a, b = s.pair(s.listener(5400), 5400)
    s.ask("nothing yet", b.recv, 9)
    s.ask("send", a.send, b"hello world")
    s.world.wait()
    s.ask("peek", b.recv, 5, socket.MSG_PEEK)
    s.ask("recvfrom", b.recvfrom, 3)
    s.ask("truncated", lambda: len(b.recv(2, socket.MSG_TRUNC)))
    s.ask("the rest", b.recv, 99)
    s.ask("empty", b.recv, 99, socket.MSG_DONTWAIT)
    s.ask("nothing of nothing", b.recv, 0)
    s.ask("send nothing", a.send, b"")
    s.ask("sendmsg", a.sendmsg, [b"ab", b"", b"cd"])
    s.ask("sendmsg with TTL", a.sendmsg, [b"e"], [(socket.SOL_IP, socket.IP_TTL, struct.pack("i", 9))])
    s.ask("sendmsg with nonsense", a.sendmsg, [b"f"], [(SOL, 99, b"1234")])
    s.ask("to elsewhere", a.sendto, b"g", (FOREIGN[s.family], 9))
    s.world.wait()
    s.ask("nothing of something", b.recv, 0)
    s.ask("recvmsg", b.recvmsg, 99, 99)
    s.ask("all or what there is", b.recv, 9, socket.MSG_WAITALL)
    s.ask("more", a.send, b"12", socket.MSG_MORE)
    s.ask("and the end", a.send, b"34")
    s.world.wait()
    s.ask("together", b.recv, 99)
    buffer = bytearray(8)
    a.send(b"into")
    s.world.wait()
    s.ask("recv_into", b.recv_into, buffer)
    s.ask("it is", bytes, buffer)
    a.send(b"12345678")
    s.world.wait()
    s.ask("recv_into, few", b.recv_into, buffer, 3)
    s.ask("recv_into, thrown away", b.recv_into, buffer, 4, socket.MSG_TRUNC)
    s.ask("still", bytes, buffer)
    s.ask("last", b.recv, 9)
    s.ask("out of band without any", b.recv, 1, socket.MSG_OOB)
    s.ask("error queue", b.recv, 1, socket.MSG_ERRQUEUE)
    b.setsockopt(TCP, 36, 1)  # TCP_INQ
    a.send(b"123456")
    s.world.wait()
    s.ask("how many are left", b.recvmsg, 2, 64)
    s.ask("no room for that", b.recvmsg, 2, 0)
    s.ask("none", b.recvmsg, 2, 64)
    a.shutdown(1)
    s.world.wait()
    s.ask("the end", b.recvmsg, 2, 64)
    s.ask("the end, peeked", b.recv, 2, socket.MSG_PEEK)
    s.ask("peer", b.getpeername)


def calls_of_shutdown(s: Script) -> None:
    ear = s.listener(5500)
    a, b = s.pair(ear, 5500)
    s.ask("how", a.shutdown, 3)
    a.send(b"last words")
    s.ask("sending", a.shutdown, 1)
    s.ask("send", a.send, b"x")
    s.ask("send nothing", a.send, b"")
    s.ask("again", a.shutdown, 1)
    s.world.wait()
    s.ask("words", b.recv, 99)
    s.ask("end", b.recv, 99)
    s.ask("end again", b.recv, 99)
    s.ask("answer", b.send, b"still here")
    s.world.wait()
    s.ask("answer heard", a.recv, 99)
    s.ask("no more yet", a.recv, 99)
    s.ask("other end", b.shutdown, 1)
    s.world.wait()
    s.ask("its end", a.recv, 99)
    s.ask("name", lambda: a.getsockname()[0])
    s.ask("peer", a.getpeername)
    s.ask("peer of the other", b.getpeername)
    s.ask("shutdown of what is over", a.shutdown, 1)
    s.ask("shutdown of what is over there", b.shutdown, 0)
    s.ask("error", a.getsockopt, SOL, socket.SO_ERROR)
    s.ask("connect", a.connect, (s.home, 5500))
    c, d = s.pair(ear, 5500)
    s.ask("receiving", c.shutdown, 0)
    s.ask("recv", c.recv, 9)
    d.send(b"to deaf ears")
    s.world.wait()
    s.ask("heard all the same", c.recv, 99)
    s.ask("then nothing", c.recv, 99)
    s.ask("send", c.send, b"y")
    s.world.wait()
    s.ask("arrives", d.recv, 9)
    s.ask("both", c.shutdown, 2)
    s.world.wait()
    s.ask("end", d.recv, 9)
    s.ask("into the void", d.send, b"z")
    e = s.new()
    e.connect_ex((s.home, 5500))
    s.world.wait()
    s.ask("before it is told", e.shutdown, 1)
    s.ask("told", e.connect, (s.home, 5500))


def calls_of_reset(s: Script) -> None:
    ear = s.listener(5600)
    a, b = s.pair(ear, 5600)
    a.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
    b.send(b"unheard")
    a.send(b"heard")
    s.world.wait()
    a.close()
    s.world.wait()
    s.ask("what came before", b.recv, 99)
    s.ask("reset", b.recv, 99)
    s.ask("then the end", b.recv, 99)
    s.ask("send", b.send, b"x")
    s.ask("peer", b.getpeername)
    s.ask("shutdown", b.shutdown, 1)
    c, d = s.pair(ear, 5600)
    d.send(b"unread")
    s.world.wait()
    c.close()
    s.world.wait()
    s.ask("unread data reset", d.send, b"x")
    s.ask("once", d.send, b"x")
    s.ask("recv", d.recv, 9)
    e, f = s.pair(ear, 5600)
    e.close()
    s.world.wait()
    s.ask("end", f.recv, 9)
    s.ask("send to the closed", f.send, b"x")
    s.world.wait()
    s.ask("reset told as", f.getsockopt, SOL, socket.SO_ERROR)
    s.ask("send after it", f.send, b"x")
    s.ask("recv after it", f.recv, 9)
    g, h = s.pair(ear, 5600)
    e.close()
    s.ask("closed: recv", e.recv, 9)
    h.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
    h.close()
    s.world.wait()
    s.ask("error by option", g.getsockopt, SOL, socket.SO_ERROR)
    s.ask("recv then", g.recv, 9)
    s.ask("send then", g.send, b"x")


def calls_of_accept(s: Script) -> None:
    ear = s.listener(5700, backlog=1)
    ends = [s.new() for _ in range(4)]
    for end in ends:
        end.connect_ex((s.home, 5700))
        s.world.wait()
    s.ask("first two are there", lambda: [end.connect_ex((s.home, 5700)) for end in ends[:2]])
    s.ask("first", lambda: ear.accept()[1][0])
    taken = ear.accept()[0]
    s.ask("second's options", taken.getsockopt, TCP, socket.TCP_NODELAY)
    s.ask("none", ear.accept)
    other = s.listener(5701)
    other.setsockopt(TCP, socket.TCP_NODELAY, 1)
    other.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
    other.setsockopt(SOL, socket.SO_RCVBUF, 20000)
    other.setsockopt(TCP, socket.TCP_KEEPIDLE, 77)
    other.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
    _, child = s.pair(other, 5701)
    s.ask("child's NODELAY", child.getsockopt, TCP, socket.TCP_NODELAY)
    s.ask("child's KEEPALIVE", child.getsockopt, SOL, socket.SO_KEEPALIVE)
    s.ask("child's KEEPIDLE", child.getsockopt, TCP, socket.TCP_KEEPIDLE)
    s.ask("child's RCVBUF", child.getsockopt, SOL, socket.SO_RCVBUF)
    s.ask("child's LINGER", child.getsockopt, SOL, socket.SO_LINGER, 8)
    s.ask("child's ACCEPTCONN", child.getsockopt, SOL, socket.SO_ACCEPTCONN)
    s.ask("child's name", child.getsockname)
    s.ask("child's peer", lambda: child.getpeername()[0])
    s.ask("bind while a child lives", lambda: other.close() or s.new().bind((s.home, 5701)))
    s.ask("bind with REUSEADDR", s.new(SO_REUSEADDR=1).bind, (s.home, 5701))
    third = s.listener(5702)
    a = s.new()
    a.connect_ex((s.home, 5702))
    s.world.wait()
    s.ask("waits to be accepted", a.connect, (s.home, 5702))
    a.send(b"early")
    a.close()
    s.world.wait()
    late, _ = third.accept()
    s.ask("said before", late.recv, 99)
    s.ask("and gone", late.recv, 99)
    b = s.new()
    b.connect_ex((s.home, 5702))
    s.world.wait()
    third.close()
    s.world.wait()
    s.ask("its listener went", b.connect, (s.home, 5702))
    s.ask("recv", b.recv, 9)
    s.ask("then", b.recv, 9)
    c, d = s.listener(5703), s.new()
    d.connect_ex((s.home, 5703))
    s.world.wait()
    d.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
    d.close()
    s.world.wait()
    s.ask("reset while it waited", lambda: len(c.accept()))


def calls_of_options(s: Script) -> None:
    o = s.new()
    for name in ("SO_TYPE", "SO_PROTOCOL", "SO_DOMAIN", "SO_ACCEPTCONN", "SO_KEEPALIVE", "SO_RCVLOWAT", "SO_SNDLOWAT"):
        s.ask(name, o.getsockopt, SOL, getattr(socket, name))
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        s.ask(f"buffer {option}", o.getsockopt, SOL, option)
        for size in (10000, 0, -1, 1 << 30):
            s.ask(f"buffer {option} to {size}", o.setsockopt, SOL, option, size)
            s.ask(f"buffer {option} is", o.getsockopt, SOL, option)
    for size in (0, 1, 7, -1, 1 << 20):
        s.ask(f"RCVLOWAT {size}", o.setsockopt, SOL, socket.SO_RCVLOWAT, size)
    s.ask("SNDLOWAT", o.setsockopt, SOL, socket.SO_SNDLOWAT, 5)
    s.ask("LINGER", o.getsockopt, SOL, socket.SO_LINGER, 8)
    s.ask("LINGER short", o.setsockopt, SOL, socket.SO_LINGER, b"\1\0\0\0")
    s.ask("LINGER set", o.setsockopt, SOL, socket.SO_LINGER, struct.pack("ii", 7, 5))
    s.ask("LINGER is", o.getsockopt, SOL, socket.SO_LINGER, 8)
    s.ask("LINGER cut", o.getsockopt, SOL, socket.SO_LINGER, 4)
    s.ask("LINGER as an int", o.getsockopt, SOL, socket.SO_LINGER)
    s.ask("LINGER off", o.setsockopt, SOL, socket.SO_LINGER, struct.pack("ii", 0, 5))
    s.ask("LINGER is off", lambda: o.getsockopt(SOL, socket.SO_LINGER, 8)[:4])
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        s.ask(f"timeout {option}", o.getsockopt, SOL, option, 16)
        for seconds, micro in ((2, 500000), (0, 0), (-1, 0), (1, 1000000), (0, -1)):
            s.ask(f"timeout {seconds} {micro}", o.setsockopt, SOL, option, struct.pack("qq", seconds, micro))
            s.ask("timeout is", o.getsockopt, SOL, option, 16)
        s.ask("timeout short", o.setsockopt, SOL, option, struct.pack("i", 1))
    s.ask("pacing", o.getsockopt, SOL, 47, 8)
    s.ask("pacing set", o.setsockopt, SOL, 47, struct.pack("Q", 1 << 33))
    s.ask("pacing is", o.getsockopt, SOL, 47, 8)
    s.ask("pacing in 32 bits", o.setsockopt, SOL, 47, 1000000)
    s.ask("pacing in 32 bits is", o.getsockopt, SOL, 47)
    s.ask("pacing without end", o.setsockopt, SOL, 47, -1)
    s.ask("pacing without end is", o.getsockopt, SOL, 47, 8)
    trials = {
        1: (0, 1, 2, -1),
        2: (0, 87, 88, 1000, 32767, 32768, -1),
        3: (1, 0),
        4: (0, 1, 32767, 32768, -1),
        5: (0, 1, 32767, 32768, -1),
        6: (0, 1, 127, 128, -1),
        7: (0, 1, 127, 128, -1),
        8: (0, 1, 60, 120, 121, 3600, -1, -5),
        9: (0, 1, 2, 5, 100, -1),
        10: (0, 1, 1000, 1152, 5000, 100000),
        12: (0, 1),
        18: (0, 1, 30000, -1),
        23: (0, 5, 10000, -1),
        24: (1,),
        25: (0, 1, 16384, -1),
        30: (0, 1, 2, -1),
        34: (0, 1, 2),
        36: (0, 1, 2, -1),
    }
    for option, values in trials.items():
        s.ask(f"TCP {option}", o.getsockopt, TCP, option) if option != 24 else None
        for value in values:
            s.ask(f"TCP {option} to {value}", o.setsockopt, TCP, option, value)
            s.ask(f"TCP {option} is", o.getsockopt, TCP, option) if option != 24 else None
        s.ask(f"TCP {option} in two bytes", o.setsockopt, TCP, option, b"\1\0")
        s.ask(f"TCP {option}, two bytes", o.getsockopt, TCP, option, 2) if option != 24 else None
    s.ask("congestion reno", o.setsockopt, TCP, 13, b"reno")
    s.ask("congestion is", o.getsockopt, TCP, 13, 32)
    s.ask("congestion, cut", o.getsockopt, TCP, 13, 3)
    s.ask("congestion unknown", o.setsockopt, TCP, 13, b"nonesuch")
    s.ask("congestion empty", o.setsockopt, TCP, 13, b"")
    s.ask("CC_INFO", o.getsockopt, TCP, 26, 32)
    s.ask("unknown", o.getsockopt, TCP, 99)
    s.ask("set unknown", o.setsockopt, TCP, 99, 1)
    s.ask("info, state", lambda: o.getsockopt(TCP, 11, 1))
    s.ask("info, no more than there is", lambda: len(o.getsockopt(TCP, 11, 104)))
    s.ask("multicast TTL", o.getsockopt, socket.SOL_IP, socket.IP_MULTICAST_TTL)
    a, b = s.pair(s.listener(5800), 5800)
    for option in (2, 9, 10, 23, 30):
        for value in (0, 1, 1000):
            s.ask(f"connected: TCP {option} to {value}", a.setsockopt, TCP, option, value)
    s.ask("connected: QUICKACK", a.getsockopt, TCP, 12)
    s.ask("connected: QUICKACK off", lambda: a.setsockopt(TCP, 12, 0) or a.getsockopt(TCP, 12))
    s.ask("connected: QUICKACK on", lambda: a.setsockopt(TCP, 12, 1) or a.getsockopt(TCP, 12))
    s.ask("connected: MAXSEG", b.getsockopt, TCP, 2)
    s.ask("connected: congestion", lambda: a.setsockopt(TCP, 13, b"reno") or a.getsockopt(TCP, 13, 16))
    s.ask("connected: info, state", lambda: a.getsockopt(TCP, 11, 1))
    s.ask("connected: info, options", lambda: a.getsockopt(TCP, 11, 8)[5] & 7)
    s.ask("connected: V6ONLY", a.setsockopt, 41, 26, 1)
    s.ask("connected: OOBINLINE", a.setsockopt, SOL, socket.SO_OOBINLINE, 1)


def calls_of_info(s: Script) -> None:
    """What of ``struct tcp_info`` does not depend on the clock."""
    a, b = s.pair(s.listener(5900), 5900)
    fields = {
        "state": (0, "B"), "ca_state": (1, "B"), "retransmits": (2, "B"), "probes": (3, "B"), "backoff": (4, "B"),
        "unacked": (24, "I"), "sacked": (28, "I"), "lost": (32, "I"), "retrans": (36, "I"),
        "reordering": (88, "I"), "ssthresh": (76, "I"),
        "total_retrans": (100, "I"), "max_pacing_rate": (112, "Q"), "bytes_received": (128, "Q"),
        "segs_out": (136, "I"), "segs_in": (140, "I"), "notsent": (144, "I"), "data_segs_in": (152, "I"),
        "data_segs_out": (156, "I"), "delivered_ce": (196, "I"), "bytes_sent": (200, "Q"),
        "bytes_retrans": (208, "Q"), "dsack_dups": (216, "I"), "reord_seen": (220, "I"),
    }  # fmt: skip

    def tell(what: str, sock: Any) -> None:
        data = sock.getsockopt(TCP, 11, 232)
        for name, (offset, code) in fields.items():
            s.answers.append([f"{what}: {name}", struct.unpack_from("=" + code, data, offset)[0]])

    tell("idle client", a)
    tell("idle server", b)
    a.send(b"12345")
    s.world.wait()
    b.recv(99)
    b.send(b"abc")
    s.world.wait()
    a.recv(99)
    s.world.wait()
    tell("client", a)
    tell("server", b)
    ear = s.listener(5901, backlog=7)
    c = s.new()
    c.connect_ex((s.home, 5901))
    s.world.wait()
    data = ear.getsockopt(TCP, 11, 104)
    s.answers.append(["listener: waiting", struct.unpack_from("=I", data, 24)[0]])
    s.answers.append(["listener: backlog", struct.unpack_from("=I", data, 28)[0]])


def calls_of_both_families(s: Script) -> None:
    """An AF_INET6 socket and IPv4 (RFC 3493 3.7, 5.3)."""
    if s.family == socket.AF_INET:
        return

    def four() -> Any:
        return s.world.new(socket.AF_INET)

    ear = s.new()
    s.ask("V6ONLY", ear.getsockopt, 41, 26)
    ear.bind(("::", 6000))
    s.ask("V6ONLY when bound", ear.setsockopt, 41, 26, 1)
    ear.listen(8)
    s.ask("IPv4 beside", four().bind, ("0.0.0.0", 6000))
    s.ask("IPv4 address beside", four().bind, ("127.0.0.1", 6000))
    a = four()
    a.connect_ex(("127.0.0.1", 6000))
    s.world.wait()
    child, name = ear.accept()
    s.ask("name of an IPv4 peer", lambda: name[0])
    s.ask("its peer", lambda: child.getpeername()[0])
    s.ask("its own", child.getsockname)
    a.send(b"four")
    s.world.wait()
    s.ask("heard", child.recv, 9)
    only = s.new()
    only.setsockopt(41, 26, 1)
    only.bind(("::", 6001))
    only.listen(8)
    b = four()
    b.connect_ex(("127.0.0.1", 6001))
    s.world.wait()
    s.ask("IPv6 alone", b.getsockopt, SOL, socket.SO_ERROR)
    s.ask("IPv4 beside IPv6 alone", four().bind, ("0.0.0.0", 6001))
    s.ask("mapped on IPv6 alone", lambda: _only(s).connect(("::ffff:127.0.0.1", 6000)))
    s.ask("mapped bind on IPv6 alone", lambda: _only(s).bind(("::ffff:127.0.0.1", 0)))
    c = s.new()
    s.ask("mapped connect", c.connect, ("::ffff:127.0.0.1", 6000))
    s.world.wait()
    s.ask("mapped done", c.connect, ("::ffff:127.0.0.1", 6000))
    s.ask("mapped name", lambda: c.getsockname()[0])
    s.ask("mapped peer", c.getpeername)
    mapped = s.new()
    s.ask("mapped bind", mapped.bind, ("::ffff:127.0.0.1", 6002))
    s.ask("mapped bound name", mapped.getsockname)
    mapped.listen(8)
    d = four()
    d.connect_ex(("127.0.0.1", 6002))
    s.world.wait()
    s.ask("mapped listener's", lambda: mapped.accept()[1][0])
    e = s.new()
    e.connect_ex(("::1", 6002))
    s.world.wait()
    s.ask("not by IPv6", e.getsockopt, SOL, socket.SO_ERROR)
    f = s.new()
    f.bind(("::ffff:127.0.0.1", 0))
    s.ask("from IPv4 to IPv6", f.connect, ("::1", 6000))
    g = s.new()
    g.bind(("::1", 0))
    s.ask("from IPv6 to IPv4", g.connect, ("::ffff:127.0.0.1", 6000))
    h = s.new()
    h.bind(("::ffff:127.0.0.1", 0))
    s.ask("from IPv4 to any", h.connect, ("::", 6000))
    s.ask("mapped any", s.new().connect, ("::ffff:0.0.0.0", 6000))
    s.ask("mapped group", s.new().connect, ("::ffff:239.0.0.1", 6000))
    s.ask("link-local without a zone", s.new().connect, ("fe80::1", 6000))
    s.ask("link-local bind without a zone", s.new().bind, ("fe80::1", 0))


def _only(s: Script) -> Any:
    sock = s.new()
    sock.setsockopt(41, 26, 1)
    return sock


def calls_of_fast_open(s: Script) -> None:
    """RFC 7413, with the client's half alone (``tcp_fastopen`` 1), as is the default."""
    ear = s.listener(6100)
    a = s.new()
    s.ask("without an address", a.send, b"x", MSG_FASTOPEN)
    s.ask("asks for a cookie", a.sendto, b"early", MSG_FASTOPEN, (s.home, 6100))
    s.world.wait()
    s.ask("connected already", a.sendto, b"late", MSG_FASTOPEN, (s.home, 6100))
    b = ear.accept()[0]
    s.ask("send", a.send, b"later")
    s.world.wait()
    s.ask("recv", b.recv, 99)
    c = s.new()
    c.setsockopt(TCP, 30, 1)
    s.ask("by connect", c.connect, (s.home, 6100))
    s.world.wait()
    s.ask("done", c.connect, (s.home, 6100))


PARTS = {
    name.removeprefix("calls_").removeprefix("of_"): part
    for name, part in list(globals().items())
    if name.startswith("calls_")
}


def answers(world: World, family: int, name: str) -> list[list[Any]]:
    """What one part of the script is answered."""
    script = Script(world, family)
    PARTS[name](script)
    return script.answers
