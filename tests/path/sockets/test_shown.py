"""Raw and packet sockets as ``ss -w`` and ``ss -0`` show them, and their end from outside (``ss -K``)."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

import vrouter
from vrouter.sockets import awaiting
from vrouter.stack.l4 import constants as c

Pair = tuple[vrouter.Netns, vrouter.Netns]


def rows(netns: vrouter.Netns, **wanted: Any) -> list[tuple[Any, ...]]:
    return [(row["proto"], row["state"], row["local"], row["peer"]) for row in netns.socket_records(**wanted)]


async def test_rows(pair: Pair) -> None:
    """ss(8): raw sockets by address and protocol, packet sockets by protocol and device."""
    red, _ = pair
    opened = [red.socket(*numbers) for numbers in ((2, 3, 1), (10, 3, 58), (2, 3, 253), (2, 3, 253))]
    opened[2].bind(("10.0.0.1", 0))
    opened[3].connect(("10.0.0.2", 0))
    packets = [red.socket(17, kind, proto) for kind, proto in ((3, 0x0300), (2, 0x0008), (3, 0xB588), (3, 0))]
    packets[1].bind(("x", 0))
    raw = [
        ("raw", "UNCONN", "0.0.0.0:1", "0.0.0.0:*"),
        ("raw", "UNCONN", "*:58", "*:*"),
        ("raw", "UNCONN", "10.0.0.1:253", "0.0.0.0:*"),
        ("raw", "ESTAB", "10.0.0.1:253", "10.0.0.2:0"),
    ]
    shown = [
        ("p_raw", "UNCONN", "*:*", "*"),
        ("p_dgr", "UNCONN", "ip:x", "*"),
        ("p_raw", "UNCONN", "[34997]:*", "*"),
        ("p_raw", "UNCONN", "[0]:*", "*"),
    ]
    assert rows(red) == raw + shown
    assert rows(red, proto="raw") == raw
    assert rows(red, proto="packet") == shown
    assert rows(red, proto="udp") == []
    assert rows(red, listening=True) == raw[:3] + shown
    for sock in opened + packets:
        sock.close()
    assert rows(red) == []


async def test_killed(pair: Pair) -> None:
    """``ss -K``: the program gets ECONNABORTED, also one that waits."""
    red, _ = pair
    raw, packet = red.socket(2, 3, 253), red.socket(c.AF_PACKET, 3, 0x0300)
    packet.bind(("x", 0))
    waiting = [asyncio.ensure_future(awaiting.recv(sock, 9)) for sock in (raw, packet)]
    await asyncio.sleep(0)
    assert red.kill_sockets("0.0.0.0:253", "0.0.0.0:*", proto="raw") == 1
    assert red.kill_sockets("*:x", "*", proto="packet") == 1
    for one in waiting:
        with pytest.raises(OSError, match="abort") as caught:
            await one
        assert caught.value.errno == errno.ECONNABORTED
    for arguments in (("*:y", "*", "packet"), ("*:x", "*", "raw"), ("0.0.0.0:254", "0.0.0.0:*", None)):
        with pytest.raises(FileNotFoundError):
            red.kill_sockets(*arguments[:2], proto=arguments[2])
    raw.close()
    packet.close()
