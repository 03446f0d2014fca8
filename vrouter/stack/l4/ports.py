"""Ephemeral ports (RFC 6056): hard to guess, never in use already, found with a bounded number of probes.

An unconnected socket gets a random port (RFC 6056 3.3.2, but probing on by a random stride that meets each port once,
so that a nearly full range costs one round and no more). A socket that connects gets the simple hash-based one
(RFC 6056 3.3.3): a keyed hash of the addresses gives each peer an offset of its own, and a counter that moves by random
increments (RFC 6056 3.3.5) makes ports to one peer differ for as long as possible.

The range is ``net.ipv4.ip_local_port_range``; ``ip_local_reserved_ports`` are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vrouter.stack.base.rng import Rng
    from vrouter.stack.sysctl import NsConf

MAX_INCREMENT: Final = 8


class PortAllocator:
    """The choice of ephemeral ports for one protocol of one namespace."""

    __slots__ = ("_counter", "_rng")

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._counter = -1  # the first use draws it

    def random(self, conf: NsConf, is_free: Callable[[int], bool]) -> int:
        """A random port of the range for which `is_free`; 0 when there is none."""
        low, high = conf.ip_local_port_range
        count = high - low + 1
        start = self._rng.below(count)
        stride = 1 + self._rng.below(count)
        while gcd(stride, count) != 1:
            stride += 1
        return _first(conf, (low + (start + i * stride) % count for i in range(count)), is_free)

    def hashed(self, conf: NsConf, local: int, remote: int, remote_port: int, is_free: Callable[[int], bool]) -> int:
        """A port for a connection from `local` (0: not known) to (`remote`, `remote_port`); 0 when there is none."""
        low, high = conf.ip_local_port_range
        count = high - low + 1
        if self._counter < 0:
            self._counter = self._rng.u16()
        self._counter += 1 + self._rng.below(MAX_INCREMENT)
        start = self._rng.keyed_hash(local, remote, remote_port) + self._counter
        return _first(conf, (low + (start + i) % count for i in range(count)), is_free)


def _first(conf: NsConf, candidates: Iterator[int], is_free: Callable[[int], bool]) -> int:
    reserved = conf.ip_local_reserved_ports
    return next((port for port in candidates if port not in reserved and is_free(port)), 0)
