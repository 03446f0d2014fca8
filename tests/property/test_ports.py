"""Ephemeral ports: always right while there is one, spread as RFC 6056 wants."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base.rng import Rng
from vrouter.stack.l4.ports import MAX_INCREMENT, PortAllocator
from vrouter.stack.sysctl import DEFAULT_NS

PORTS = st.integers(1000, 1040)


@given(
    seed=st.integers(0, 2**32),
    ends=st.tuples(PORTS, PORTS),
    reserved=st.frozensets(PORTS),
    taken=st.frozensets(PORTS),
    hashed=st.booleans(),
)
def test_a_free_port_is_found_exactly_when_there_is_one(
    seed: int, ends: tuple[int, int], reserved: frozenset[int], taken: frozenset[int], hashed: bool
) -> None:
    """RFC 6056 3.3: in the range, not reserved, not in use; each port is asked about at most once."""
    low, high = sorted(ends)
    conf = replace(DEFAULT_NS, ip_local_port_range=(low, high), ip_local_reserved_ports=reserved)
    free = set(range(low, high + 1)) - reserved - taken
    asked = []

    def is_free(port: int) -> bool:
        asked.append(port)
        return port in free

    allocator = PortAllocator(Rng(seed))
    port = allocator.hashed(conf, 1, 2, 3, is_free) if hashed else allocator.random(conf, is_free)
    assert port in free or (port == 0 and not free)
    assert len(asked) == len(set(asked))
    assert reserved.isdisjoint(asked)


def test_random_ports_cover_the_range_evenly() -> None:
    """RFC 6056 3.3.2: no part of the range is preferred, so that a port is as hard to guess as the range is wide."""
    allocator = PortAllocator(Rng(1))
    tenths = [0] * 10
    for _ in range(5000):
        tenths[(allocator.random(DEFAULT_NS, lambda port: True) - 32768) * 10 // 28232] += 1
    assert min(tenths) > 400
    assert max(tenths) < 600


def test_ports_to_one_peer_move_on_by_small_random_steps() -> None:
    """RFC 6056 3.3.5: ports to one peer are reused as late as possible, and how many others were used does not show."""
    allocator = PortAllocator(Rng(1))
    ports = [allocator.hashed(DEFAULT_NS, 1, 2, 3, lambda port: True) for _ in range(1000)]
    steps = {(b - a) % 28232 for a, b in pairwise(ports)}
    assert steps == set(range(1, MAX_INCREMENT + 1))
    assert len(set(ports)) == 1000


def test_each_peer_has_an_offset_of_its_own_that_another_key_changes() -> None:
    """RFC 6056 3.3.3: without the key the sequence to one peer tells nothing about another's."""

    def first(seed: int, peer: int) -> int:
        return PortAllocator(Rng(seed)).hashed(DEFAULT_NS, 1, peer, 53, lambda port: True)

    assert len({first(1, peer) for peer in range(200)}) > 190
    assert len({first(seed, 1) for seed in range(200)}) > 190
    assert first(1, 1) == first(1, 1)
