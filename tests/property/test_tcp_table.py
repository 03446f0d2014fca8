"""Who may bind, listen and connect beside whom, against a list of all sockets that is looked through (Linux's
inet_csk_bind_conflict), and that nothing is left behind."""

import errno

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack import Stack
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.constants import REUSEADDR, REUSEPORT

ADDRESSES = ("0.0.0.0", "127.0.0.1", "127.0.0.2")
PORTS = (80, 81)
REUSE = (0, REUSEADDR, REUSEPORT, REUSEADDR | REUSEPORT)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("bind"), st.sampled_from(ADDRESSES), st.sampled_from(PORTS), st.sampled_from(REUSE)),
        st.tuples(st.just("listen"), st.integers(0, 9)),
        st.tuples(st.just("close"), st.integers(0, 9)),
    ),
    max_size=30,
)


class Twin:
    """The sockets that are bound, as [address, port, reuse, listens]."""

    def __init__(self):
        self.bound = []

    def conflicts(self, one):
        """Whether another one is in the way of `one`."""
        for other in self.bound:
            if other is one or other[1] != one[1]:
                continue
            if "0.0.0.0" not in (other[0], one[0]) and other[0] != one[0]:
                continue
            both = one[2] & other[2]
            if both & REUSEADDR and not other[3]:
                continue
            if both & REUSEPORT:
                continue
            return True
        return False


@settings(max_examples=150, deadline=None)
@given(steps)
def test_binding_and_listening(script):
    """Every outcome is the twin's; when all are closed, the table is empty."""
    stack = Stack(seed=1)
    ns = stack.add_netns("red")
    twin, socks = Twin(), []
    for step in script:
        if step[0] == "bind":
            _, address, port, reuse = step
            sock = ns.socket(c.AF_INET, c.SOCK_STREAM)
            for bit, option in ((REUSEADDR, c.SO_REUSEADDR), (REUSEPORT, c.SO_REUSEPORT)):
                sock.setsockopt(c.SOL_SOCKET, option, int(reuse & bit != 0))
            one = [address, port, reuse, False]
            if outcome(sock.bind, (address, port)):
                assert twin.conflicts(one)
            else:
                assert not twin.conflicts(one)
                twin.bound.append(one)
                socks.append(sock)
        elif step[1] < len(socks):
            sock, one = socks[step[1]], twin.bound[step[1]]
            if step[0] == "close":
                sock.close()
                del socks[step[1]], twin.bound[step[1]]
            elif not one[3]:
                before = twin.conflicts(one)
                assert outcome(sock.listen, 1) is before
                one[3] = not before
    for sock in socks:
        sock.close()
    assert not ns.tcp.buckets


def outcome(call, *args):
    """Whether a call fails with EADDRINUSE."""
    try:
        call(*args)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return True
    return False


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 100)), max_size=40))
def test_ports_of_connections(script):
    """Connections of a tiny range of ports, made and given up: no four numbers twice, and nothing is left behind."""
    stack = Stack(seed=1)
    ns = stack.add_netns("red")
    ns.add_device("lan", mac="02:00:00:00:00:01", mtu=1500)
    ns.add_address("lan", "10.0.0.1/24")
    ns.sysctl["net.ipv4.ip_local_port_range"] = "40000 40002"
    live = []
    for peer, port, which in script:
        if which < 30 and live:
            live.pop(which % len(live)).close()
            continue
        sock = ns.socket(c.AF_INET, c.SOCK_STREAM)
        code = sock.connect_ex((f"10.0.0.{2 + peer}", 80 + port))
        used = {one.getsockname()[1] for one in live if (one.peer & 255, one.peer_port) == (2 + peer, 80 + port)}
        if len(used) == 3:
            assert code == errno.EADDRNOTAVAIL
        else:
            assert code == errno.EINPROGRESS
            assert sock.getsockname()[1] not in used
            live.append(sock)
    for sock in live:
        sock.close()
    assert not ns.tcp.connections
    assert not ns.tcp.buckets
    assert [timer.kind for timer in stack.timers.armed() if timer.kind >= 15] == []
