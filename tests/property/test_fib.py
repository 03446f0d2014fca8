"""The routing table beside a slow, obvious twin: for both families, interpreted and compiled."""

from collections import Counter
from random import Random
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.full_table import ipv4_prefixes, ipv6_prefixes
from tests.twins import both_twins
from vrouter.stack.device import Device
from vrouter.stack.l3.fib import Entry, Fib, Route
from vrouter.stack.l3.lpm import Lpm

# Few distinct bits, so that prefixes nest, collide and share metrics all the time; both sides of where tables are cut.
ADDRESSES4 = st.builds(
    lambda high, low: high << 28 | low,
    st.integers(0, 15),
    st.sampled_from([0, 1, 2, 3, 0x0001_8000, 0x0800_0000, 0x0FFF_FFFF]),
)
ADDRESSES6 = st.builds(
    lambda zone, high, low: zone << 128 | high << 124 | low,
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([0, 2, 15]),
    st.sampled_from([0, 1, 1 << 64, 3 << 63, 1 << 96, 3 << 95, 1 << 80, (1 << 124) - 1]),
)
LENGTHS4 = [0, 1, 3, 4, 5, 15, 16, 17, 24, 30, 31, 32]
LENGTHS6 = [0, 3, 4, 31, 32, 33, 48, 60, 63, 64, 65, 66, 127, 128]
DEVICES = st.integers(0, 3)  # 3: a route without a device


def steps(addresses: st.SearchStrategy[int], lengths: list[int]) -> st.SearchStrategy[list[tuple[object, ...]]]:
    length = st.sampled_from(lengths)
    new = st.tuples(addresses, length, st.integers(0, 2), DEVICES, st.integers(-1, 1), st.integers(0, 2))
    return st.lists(
        st.one_of(
            st.tuples(st.just("add"), new),
            st.tuples(st.just("load"), st.lists(new, max_size=6)),
            st.tuples(st.just("remove"), addresses, length, st.one_of(st.none(), st.integers(0, 2)), DEVICES),
            st.tuples(st.just("flush"), st.integers(0, 2)),
            st.tuples(st.just("unsource"), st.integers(1, 2)),
            st.tuples(st.just("sweep"), st.integers(1, 3)),
            st.tuples(st.just("toggle"), st.integers(0, 2)),
            st.tuples(st.just("lookup"), addresses),
        ),
        max_size=40,
    )


class Twin:
    """Routes in a list; every answer is a scan of it."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.entries: list[Entry] = []

    def ranked(self) -> list[Entry]:
        return sorted(self.entries, key=lambda entry: (-entry[1], entry[2].metric))  # stable: arrival decides ties

    def match(self, dst: int, dev: Device | None = None) -> Entry | None:
        for prefix, length, route in self.ranked():
            if dst >> self.bits - length == prefix >> self.bits - length and (route.dev is None or route.dev.ready):
                if dev is None or route.dev is dev:
                    return prefix, length, route
        return None

    def lookup(self, dst: int, dev: Device | None = None) -> Route | None:
        found = self.match(dst, dev)
        return None if found is None else found[2]

    def add(self, prefix: int, length: int, new: Route) -> bool:
        for entry in self.entries:
            old = entry[2]
            if (*entry[:2], old.metric, old.via, old.dev) == (prefix, length, new.metric, new.via, new.dev):
                return False
        self.entries.append((prefix, length, new))
        return True

    def remove(self, prefix: int, length: int, metric: int | None, dev: Device | None) -> Route | None:
        for entry in self.ranked():
            route = entry[2]
            if entry[:2] == (prefix, length) and metric in (None, route.metric) and dev in (None, route.dev):
                self.entries.remove(entry)
                return route
        return None

    def drop(self, gone: list[Entry]) -> dict[Route, int]:
        self.entries = [entry for entry in self.entries if entry not in gone]
        return Counter(route for _, _, route in gone)

    def listed(self) -> list[Entry]:
        return sorted(self.entries, key=lambda entry: (entry[1], entry[0], entry[2].metric))


def check(bits: int, index: type[Lpm], todo: list[tuple[object, ...]], probes: list[int]) -> None:
    owner = SimpleNamespace(name="red", closing=False)
    devices = [Device(owner, f"d{n}", "veth", n + 1, bytes(6), 1500) for n in range(3)]
    ports = [*devices, None]
    routes, twin = Fib(bits, index), Twin(bits)

    def entry(new: tuple[int, int, int, int, int, int]) -> Entry:
        address, length, metric, dev, via, src = new
        route = routes.intern(Route(4 if bits == 32 else 6, metric=metric, dev=ports[dev], via=via, src=src))
        return address >> bits - length << bits - length, length, route

    for what, *rest in todo:
        if what == "add":
            new = entry(rest[0])
            try:
                routes.add(*new)
                added = True
            except FileExistsError:
                added = False
            assert added == twin.add(*new)
        elif what == "load":
            entries = [entry(new) for new in rest[0]]
            refused = [at for at, new in enumerate(entries) if not twin.add(*new)]
            assert [at for at, _ in routes.load(entries)] == refused
        elif what == "remove":
            address, length, metric, dev = rest
            prefix = address >> bits - length << bits - length
            try:
                gone = routes.remove(prefix, length, metric=metric, dev=ports[dev])
            except ProcessLookupError:
                gone = None
            assert gone is twin.remove(prefix, length, metric, ports[dev])
        elif what == "flush":
            dev = devices[rest[0]]
            assert routes.remove_device(dev) == twin.drop([entry for entry in twin.listed() if entry[2].dev is dev])
            assert len(list(routes)) == len(twin.entries)
        elif what == "unsource":
            gone = [entry for entry in twin.listed() if entry[2].src == rest[0]]
            assert routes.sourced(rest[0]) == {entry[2] for entry in gone}
            assert routes.purge(routes.sourced(rest[0])) == twin.drop(gone)
        elif what == "sweep":
            routes.sweep(rest[0])
        elif what == "toggle":
            devices[rest[0]].up = not devices[rest[0]].up
            devices[rest[0]].refresh()
        else:
            assert routes.lookup(rest[0]) is twin.lookup(rest[0])
        assert len(routes) == len(twin.entries)
    assert list(routes) == twin.listed()
    for dst in probes:
        assert routes.lookup(dst) is twin.lookup(dst)
        assert routes.match(dst) == twin.match(dst)
        for dev in devices:
            assert routes.lookup_via(dst, dev) is twin.lookup(dst, dev)
    # What nothing uses any more is not kept.
    assert set(routes._routes) == {route for _, _, route in twin.entries}
    for _ in range(100):
        if routes.sweep(10):
            break
    assert routes.sweep(0)
    assert sum(routes._uses) == len({entry[:2] for entry in twin.entries}) == len(routes._index)
    assert list(routes) == twin.listed()
    assert sum(map(bool, routes._ways)) + len(routes._free) == len(routes._ways)


@both_twins
@settings(max_examples=300)
@given(todo=steps(ADDRESSES4, LENGTHS4), probes=st.lists(ADDRESSES4, max_size=5))
def test_the_table_of_ipv4_answers_as_a_scan_of_all_routes(
    index: type[Lpm], todo: list[tuple[object, ...]], probes: list[int]
) -> None:
    """RFC 1812 5.2.4.3: longest match, then metric, over routes whose device is ready, after any changes."""
    check(32, index, todo, probes)


@both_twins
@settings(max_examples=300)
@given(todo=steps(ADDRESSES6, LENGTHS6), probes=st.lists(ADDRESSES6, max_size=5))
def test_the_table_of_ipv6_answers_as_a_scan_of_all_routes(
    index: type[Lpm], todo: list[tuple[object, ...]], probes: list[int]
) -> None:
    """The same with 128 bits, and zones above them (RFC 4007)."""
    check(128, index, todo, probes)


@both_twins
def test_a_table_of_many_prefixes_answers_as_a_dictionary(index: type[Lpm]) -> None:
    """Where the small examples do not reach: thousands of prefixes come, change and go, and no other is disturbed."""
    rng = Random(5)
    for bits, drawn in ((32, ipv4_prefixes(90_000)), (128, ipv6_prefixes(90_000))):
        for prefix, length in drawn[:9000]:  # hosts and small nets in what is there
            longer = min(bits, length + rng.randrange(1, 12))
            drawn.append((prefix | rng.getrandbits(longer - length) << bits - longer, longer))
        drawn = list(dict.fromkeys(drawn))
        ways = [(Route(4, metric=n),) for n in range(300)]
        table, twin = index(bits, ways), {}
        for prefix, length in drawn:
            number = rng.randrange(300)
            assert table.insert(prefix, length, number) == -1
            twin[length, prefix] = number
        for prefix, length in rng.sample(drawn, 60_000):
            assert table.insert(prefix, length, 0) == table.get(prefix, length) == twin[length, prefix]
            if rng.random() < 0.8:
                table.delete(prefix, length)
                del twin[length, prefix]
                assert table.get(prefix, length) == -1
            else:
                table.replace(prefix, length, 7)
                twin[length, prefix] = 7
        assert len(table) == len(twin)
        assert [(length, prefix, number) for prefix, length, number in table] == [
            (*key, number) for key, number in sorted(twin.items())
        ]
        assert sorted(table.find({7, 8})) == sorted(
            (prefix, length, number) for (length, prefix), number in twin.items() if number in (7, 8)
        )
        for prefix, length in rng.sample(drawn, 3000):
            dst = prefix | rng.getrandbits(bits - length)
            found = None
            for longest in range(bits, -1, -1):
                number = twin.get((longest, dst >> bits - longest << bits - longest))
                if number is not None:
                    found = ways[number][0]
                    break
            assert table.lookup(dst) is found
        dead = set(range(0, 300, 2))
        gone = Counter(number for number in twin.values() if number in dead)
        for number in dead:
            ways[number] = ()
        while gone:
            gone -= Counter(table.sweep(gone, 500))
            rest = next(((length, prefix) for (length, prefix), number in twin.items() if number % 2), None)
            if rest is not None and len(gone) % 3:  # what is behind moves up, or is not there any more
                table.delete(rest[1], rest[0])
                del twin[rest]
        twin = {place: number for place, number in twin.items() if number % 2}
        assert [(length, prefix, number) for prefix, length, number in table] == [
            (*key, number) for key, number in sorted(twin.items())
        ]
        for prefix, length in rng.sample(drawn, 3000):
            dst = prefix | rng.getrandbits(bits - length)
            found = None
            for longest in range(bits, -1, -1):
                number = twin.get((longest, dst >> bits - longest << bits - longest))
                if number is not None:
                    found = ways[number][0]
                    break
            assert table.lookup(dst) is found
        for length, prefix in list(twin):
            table.delete(prefix, length)
        assert (len(table), list(table), table.lookup(1)) == (0, [], None)
