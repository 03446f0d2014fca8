"""Values of settings: what a user may write, the text or number that is stored, and what the data path reads of it.

A number may be written as text. Ports and types are lists such as ``1,5-7``, which Linux prints in the shortest form;
a secret is written as an IPv6 address and shown in full length. Three numbers are written with space between them, or
as a list.
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.sysctl.settings import Setting, Text

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_EXAMPLES: Final = {"port": "8080,9000-9100", "type": "1,3-4"}


def clean(name: str, setting: Setting, value: object) -> int | str:
    """The value as it is stored; ValueError when the setting `name` cannot have it."""
    if setting.read_only:
        raise ValueError(f"{name}: can only be read; multicast routes decide it")
    if setting.text is Text.RANGE:
        low, high = _port_range(name, value)
        return f"{low}\t{high}"
    if setting.text is Text.PORTS:
        return _shortest(_numbers(name, value, 65535, "port"))
    if setting.text is Text.TYPES:
        return _shortest(_numbers(name, value, 255, "type"))
    if setting.text is Text.SECRET:
        return _secret_text(name, value)
    if setting.text is Text.KEYS:
        return ",".join(_key_text(key) for key in _keys(name, value))
    if setting.text is Text.TRIPLE:
        return "\t".join(map(str, _triple(name, setting, value)))
    if setting.text is Text.WORD:
        if value not in setting.words:
            raise ValueError(f"{name}: {value!r} is not one of {', '.join(setting.words)}")
        return str(value)
    number: object = value
    if isinstance(value, str):
        try:
            number = int(value, 10)
        except ValueError:
            number = None
    if not isinstance(number, int):
        raise ValueError(f"{name}: {value!r} is not a number")
    if not setting.low <= number <= setting.high:
        raise ValueError(f"{name}: {number} is not within {setting.low} to {setting.high}")
    return int(number)


def attribute(setting: Setting, value: int | str) -> object:
    """What the conf object holds for a stored value."""
    if isinstance(value, int):
        return setting.value(value)
    if setting.text is Text.RANGE:
        return _port_range(setting.key, value)
    if setting.text is Text.PORTS:
        return frozenset(_numbers(setting.key, value, 65535, "port"))
    if setting.text is Text.TYPES:
        return sum(1 << number for number in _numbers(setting.key, value, 255, "type"))
    if setting.text is Text.TRIPLE:
        return _triple(setting.key, setting, value)
    if setting.text is Text.KEYS:
        return _keys(setting.key, value)
    if setting.text is Text.WORD:
        return value
    return parse_ipv6(value) if value else -1


def _port_range(name: str, value: object) -> tuple[int, int]:
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, list | tuple) and len(words) == 2:
        low, high = (_number(word, 65535) for word in words)
        if 1 <= low <= high:
            return low, high
    raise ValueError(f"{name}: {value!r} is not a first and a last port of 1 to 65535")


def _triple(name: str, setting: Setting, value: object) -> tuple[int, int, int]:
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, list | tuple) and len(words) == 3:
        low, middle, high = (_number(word, setting.high) for word in words)
        if setting.low <= low <= middle <= high:
            return low, middle, high
    raise ValueError(f"{name}: {value!r} is not three numbers from {setting.low} up that do not decrease")


def _keys(name: str, value: object) -> tuple[bytes, ...]:
    """Keys as Linux writes them: four numbers of 32 bits in hexadecimal digits, each little-endian in the key."""
    text = value.strip() if isinstance(value, str) else None
    if text == "":
        return ()
    found = []
    for key in text.split(",") if text is not None else ():
        words = key.strip().split("-")
        if len(words) != 4 or not all(1 <= len(word) <= 8 and set(word) <= _HEX for word in words):
            break
        found.append(b"".join(int(word, 16).to_bytes(4, "little") for word in words))
    else:
        if 1 <= len(found) <= 2:
            return tuple(found)
    raise ValueError(f"{name}: {value!r} is not one or two keys such as 00112233-44556677-8899aabb-ccddeeff")


def _key_text(key: bytes) -> str:
    return "-".join(f"{int.from_bytes(key[at : at + 4], 'little'):08x}" for at in range(0, 16, 4))


def _numbers(name: str, value: object, highest: int, noun: str) -> list[int]:
    """The numbers of a list of numbers and ranges, sorted."""
    found: set[int] = set()
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    for item in value.split(",") if isinstance(value, str) and value.strip() else ():
        first, dash, last = item.partition("-")
        low, high = _number(first, highest), _number(last if dash else first, highest)
        if not 0 <= low <= high:
            raise ValueError(f"{name}: {item.strip()!r} is neither a {noun} nor a range of {noun}s")
        found.update(range(low, high + 1))
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is not a list of {noun}s such as {_EXAMPLES[noun]!r}")
    return sorted(found)


def _number(word: object, highest: int) -> int:
    """A number up to `highest`, -1 when the word is none."""
    text = str(word).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= highest else -1


def _shortest(numbers: list[int]) -> str:
    """The shortest text of sorted numbers, as Linux prints it."""
    pieces: list[str] = []
    first = last = -2
    for number in [*numbers, -1]:
        if number != last + 1:
            if first >= 0:
                pieces.append(str(first) if first == last else f"{first}-{last}")
            first = number
        last = number
    return ",".join(pieces)


def _secret_text(name: str, value: object) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError
        digits = f"{parse_ipv6(value.strip()):032x}"
    except ValueError:
        raise ValueError(f"{name}: {value!r} is not a secret, which is written as an IPv6 address") from None
    return ":".join(digits[i : i + 4] for i in range(0, 32, 4))
