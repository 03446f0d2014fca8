"""A routing table of the size of the Internet's, the same for every run with the same seed.

    python -m benchmarks.full_table VIA4 VIA6 DEV [IPV4 [IPV6]] > FILE       for `ip -batch` and `vrouter route load`

The lengths are mixed as in the default-free zone: IPv4 /8 to /24, three of five a /24; IPv6 /19 to /48, nearly half of
them /48. The long ones lie close together, in the space that somebody was given. ``VIA4`` and ``VIA6`` are the first of
`NEXT_HOPS` gateways in a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from random import Random
from typing import Final

from vrouter.stack.base.addresses import format_address, format_prefix, parse_ipv4, parse_ipv6

IPV4, IPV6 = 1_000_000, 200_000
NEXT_HOPS: Final = 16
# Parts of a thousand, by length; the last one listed takes what is left.
MIX4: Final = {
    8: 0.02, 9: 0.02, 10: 0.04, 11: 0.1, 12: 0.3, 13: 0.6, 14: 1.2, 15: 2, 16: 13.5, 17: 8, 18: 13.5, 19: 25, 20: 45,
    21: 52, 22: 110, 23: 97, 24: 1000,
}  # fmt: skip
MIX6: Final = {
    19: 0.02, 20: 0.1, 22: 0.1, 24: 0.3, 26: 0.4, 27: 0.4, 28: 2, 29: 28, 30: 3, 31: 2, 32: 125, 33: 12, 34: 15,
    35: 7, 36: 55, 37: 6, 38: 12, 39: 7, 40: 95, 41: 8, 42: 24, 43: 6, 44: 95, 45: 12, 46: 24, 47: 20, 48: 1000,
}  # fmt: skip
_GIVEN4: Final = 30_000  # /16s
_GIVEN6: Final = 25_000  # /32s
_REGISTRIES6: Final = (0x2001, 0x2400, 0x2600, 0x2800, 0x2A00, 0x2C00)


def ipv4_prefixes(count: int = IPV4, seed: int = 1) -> list[tuple[int, int]]:
    """`count` different (prefix, length) of global unicast IPv4, in no order."""
    rng = Random(seed)
    tops = [top for top in range(1 << 8, 224 << 8) if top >> 8 not in (10, 100, 127, 169, 172, 192, 198)]
    given = rng.sample(tops, min(len(tops), max(64, _GIVEN4 * count // IPV4)))
    return _drawn(rng, count, MIX4, 32, 16, given, tops)


def ipv6_prefixes(count: int = IPV6, seed: int = 1) -> list[tuple[int, int]]:
    """`count` different (prefix, length) of global unicast IPv6, in no order."""
    rng = Random(seed)
    tops = [rng.choice(_REGISTRIES6) << 16 | rng.getrandbits(20) for _ in range(4 * _GIVEN6)]
    given = rng.sample(tops, max(64, _GIVEN6 * count // IPV6))
    return _drawn(rng, count, MIX6, 128, 32, given, tops)


def _drawn(
    rng: Random, count: int, mix: dict[int, float], bits: int, top_bits: int, given: list[int], tops: list[int]
) -> list[tuple[int, int]]:
    longest = max(mix)
    found: dict[tuple[int, int], None] = {}
    for length, share in mix.items():
        until = count if length == longest else min(count, len(found) + round(count * share / 1000))
        while len(found) < until:
            if length > top_bits:
                prefix = rng.choice(given) << (length - top_bits) | rng.getrandbits(length - top_bits)
            else:
                prefix = rng.choice(tops) >> (top_bits - length)
            found[prefix << (bits - length), length] = None
    prefixes = list(found)
    rng.shuffle(prefixes)
    return prefixes


def lines(via4: int, via6: int, dev: str, ipv4: int = IPV4, ipv6: int = IPV6, seed: int = 1) -> Iterator[str]:
    """The lines of the file: IPv4 before IPv6, each prefix by one of the next hops."""
    rng = Random(seed)
    for family, via, prefixes in ((4, via4, ipv4_prefixes(ipv4, seed)), (6, via6, ipv6_prefixes(ipv6, seed))):
        tails = [f"via {format_address(via + n, family)} dev {dev}" for n in range(NEXT_HOPS)]
        for prefix, length in prefixes:
            yield f"route add {format_prefix(prefix, length, family)} {tails[rng.randrange(NEXT_HOPS)]}\n"


def main() -> None:
    via4, via6, dev, *counts = sys.argv[1:]
    sys.stdout.writelines(lines(parse_ipv4(via4), parse_ipv6(via6), dev, *map(int, counts)))


if __name__ == "__main__":
    main()
