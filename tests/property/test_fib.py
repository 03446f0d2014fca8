"""The routing table beside a slow, obvious twin."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack.base.addresses import mask
from vrouter.stack.device import Device
from vrouter.stack.l3.fib import Fib, Route

# Few distinct bits, so that prefixes nest, collide and share metrics all the time.
ADDRESSES = st.builds(
    lambda high, low: high << 28 | low, st.integers(0, 15), st.sampled_from([0, 1, 2, 3, 0x0800_0000, 0x0FFF_FFFF])
)
LENGTHS = st.sampled_from([0, 1, 3, 4, 5, 24, 30, 31, 32])
DEVICES = st.integers(0, 3)  # 3: a route without a device
STEPS = st.one_of(
    st.tuples(st.just("add"), ADDRESSES, LENGTHS, st.integers(0, 2), DEVICES, st.integers(-1, 1)),
    st.tuples(st.just("remove"), ADDRESSES, LENGTHS, st.one_of(st.none(), st.integers(0, 2)), DEVICES),
    st.tuples(st.just("flush"), st.integers(0, 2)),
    st.tuples(st.just("toggle"), st.integers(0, 2)),
    st.tuples(st.just("lookup"), ADDRESSES),
)


class Twin:
    """Routes in a list; every answer is a scan of it."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def ranked(self) -> list[Route]:
        return sorted(self.routes, key=lambda route: (-route.length, route.metric))  # stable: arrival decides ties

    def lookup(self, dst: int, dev: Device | None = None) -> Route | None:
        for route in self.ranked():
            if dst & mask(route.length) == route.prefix and (route.dev is None or route.dev.ready):
                if dev is None or route.dev is dev:
                    return route
        return None

    def add(self, new: Route) -> bool:
        for old in self.routes:
            if (old.prefix, old.length, old.metric, old.via) == (new.prefix, new.length, new.metric, new.via):
                if old.dev is new.dev:
                    return False
        self.routes.append(new)
        return True

    def remove(self, prefix: int, length: int, metric: int | None, dev: Device | None) -> Route | None:
        for route in self.ranked():
            if (route.prefix, route.length) == (prefix, length) and metric in (None, route.metric):
                if dev is None or route.dev is dev:
                    self.routes.remove(route)
                    return route
        return None

    def flush(self, dev: Device) -> list[Route]:
        gone = [route for route in self.listed() if route.dev is dev]
        self.routes = [route for route in self.routes if route.dev is not dev]
        return gone

    def listed(self) -> list[Route]:
        return sorted(self.routes, key=lambda route: (route.length, route.prefix, route.metric))


@settings(max_examples=400)
@given(steps=st.lists(STEPS, max_size=40), probes=st.lists(ADDRESSES, max_size=5))
def test_the_table_answers_as_a_scan_of_all_routes(steps: list[tuple[object, ...]], probes: list[int]) -> None:
    """RFC 1812 5.2.4.3: longest match, then metric, over routes whose device is ready, after any changes."""
    owner = SimpleNamespace(name="red", closing=False)
    devices = [Device(owner, f"d{n}", "veth", n + 1, bytes(6), 1500) for n in range(3)]
    ports = [*devices, None]
    routes, twin = Fib(32), Twin()
    for what, *rest in steps:
        if what == "add":
            address, length, metric, dev, via = rest
            new = Route(4, address & mask(length), length, metric=metric, dev=ports[dev], via=via)
            try:
                routes.add(new)
                added = True
            except FileExistsError:
                added = False
            assert added == twin.add(new)
        elif what == "remove":
            address, length, metric, dev = rest
            prefix = address & mask(length)
            try:
                gone = routes.remove(prefix, length, metric=metric, dev=ports[dev])
            except ProcessLookupError:
                gone = None
            assert gone is twin.remove(prefix, length, metric, ports[dev])
        elif what == "flush":
            assert routes.remove_device(devices[rest[0]]) == twin.flush(devices[rest[0]])
        elif what == "toggle":
            devices[rest[0]].up = not devices[rest[0]].up
            devices[rest[0]].refresh()
        else:
            assert routes.lookup(rest[0]) is twin.lookup(rest[0])
        assert len(routes) == len(twin.routes)
    assert list(routes) == twin.listed()
    for dst in probes:
        assert routes.lookup(dst) is twin.lookup(dst)
        for dev in devices:
            wanted = twin.lookup(dst, dev)
            assert routes.lookup_via(dst, dev) is wanted
