"""What memberships come to at a device, kept as counts, against a twin that looks at all filters every time."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base.group_filter import EVERYBODY, Filter
from vrouter.stack.l4.membership import change_source, hold, is_member, join, leave, leave_all, release, set_filter
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.stack.wire.ethernet import multicast_mac4, multicast_mac6

LAN = 2
GROUPS = {4: (0xEF000001, 0xEF800001), 6: (0xFF05 << 112 | 1, 0xFF0E << 112 | 1)}  # the two of a family share a MAC
SOURCES = range(0x0A000001, 0x0A000005)

FILTERS = st.builds(Filter, st.booleans(), st.frozensets(st.sampled_from(SOURCES), max_size=4))
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 3),  # the socket
        st.sampled_from((4, 6)),
        st.integers(0, 1),  # the group
        st.one_of(
            st.sampled_from(("join", "leave", "close", "hold", "release")).map(lambda name: (name, None)),
            st.tuples(st.just("filter"), FILTERS),
            st.tuples(st.just("source"), st.tuples(st.sampled_from(SOURCES), st.booleans(), st.booleans())),
        ),
    ),
    max_size=40,
)


def merged(filters: Iterable[Filter]) -> Filter | None:
    """RFC 3376 3.2, word by word: for each source on its own, asking each membership."""
    present = list(filters)
    if not present:
        return None
    excluding = [one for one in present if one.exclude]
    including = [one for one in present if not one.exclude]
    if excluding:
        return Filter(True, frozenset(
            s for s in SOURCES
            if all(s in one.sources for one in excluding) and not any(s in one.sources for one in including)
        ))  # fmt: skip
    return Filter(False, frozenset(s for s in SOURCES if any(s in one.sources for one in including)))


def apply(ns: Netns, sock: Any, family: int, group: int, held: list[int], what: str, detail: Any) -> None:
    """One action; a refusal changes nothing."""
    dev = ns.devices["lan"]
    if what == "hold":
        hold(ns, family, group, dev)
        held.append(group)
    elif what == "release":
        if group in held:
            held.remove(group)
            release(ns, family, group, dev)
    elif what == "close":
        leave_all(sock)
    else:
        try:
            if what == "join":
                join(sock, family, group, 0, LAN)
            elif what == "leave":
                leave(sock, family, group, 0, LAN)
            elif what == "filter":
                set_filter(sock, family, group, 0, LAN, detail)
            else:
                source, exclude, add = detail
                change_source(sock, family, group, 0, LAN, source, exclude=exclude, add=add)
        except OSError:
            pass


@given(actions=ACTIONS)
def test_the_state_of_a_device_is_what_its_memberships_come_to(actions: list[tuple[Any, ...]]) -> None:
    """RFC 3376 3.2, RFC 3810 4.2, after each action: the merged filters, the device's MACs, and that each change, and
    nothing else, is told, beginning with what was there before."""
    ns = Stack(seed=1).add_netns("red")
    ns.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
    dev = ns.add_device("lan")
    always = dict(dev.groups)
    socks = [ns.socket(10) for _ in range(4)]
    held: list[int] = []
    known: dict[int, Filter] = {}
    ns.group_changes.clear()
    for number, family, index, (what, detail) in actions:
        apply(ns, socks[number], family, GROUPS[family][index], held, what, detail)
        for where, of, group, before, after in ns.group_changes:
            assert (where, of) == (dev, 4 if group < 1 << 32 else 6)
            assert before == known.pop(group, None) != after
            if after is not None:
                known[group] = after
        ns.group_changes.clear()
        macs = dict(always)
        for family_of, groups in GROUPS.items():
            for group in groups:
                owners = [sock.settings_of(family_of).multicast for sock in socks]
                filters = [own.joined[group, dev].filter for own in owners if own and (group, dev) in own.joined]
                filters += [EVERYBODY] * held.count(group)
                wanted = merged(filters)
                assert known.get(group) == wanted
                state = ns.memberships.get((group, dev))
                assert (None if state is None else state.state) == wanted
                assert is_member(ns, group, dev) is bool(filters)
                for source in SOURCES:
                    heard = any(one.exclude != (source in one.sources) for one in filters)
                    assert is_member(ns, group, dev, source) is heard
                mac = (multicast_mac4 if family_of == 4 else multicast_mac6)(group)
                if filters:
                    macs[mac] = macs.get(mac, 0) + len(filters)
        assert dev.groups == macs
