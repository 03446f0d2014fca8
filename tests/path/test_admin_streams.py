"""Answers of the admin API that go on: pings, captures, events."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from scapy.utils import RawPcapNgReader

from tests.path.admin import Client, asking, serving
from vrouter.control import streaming
from vrouter.control.connection import Limits
from vrouter.stack.base.events import EventKind

PING = "/v1/netns/red/ping"


# -- ping -------------------------------------------------------------------------------------------------------------


async def test_ping_in_one_piece() -> None:
    """ping {sent, received, min_ns, avg_ns, max_ns, replies}."""
    async with asking() as (_, client):
        answer = await client.ask(
            "POST", PING, {"dst": "10.0.0.2", "count": 3, "interval_ns": 0, "size": 100, "ttl": 9}
        )
        found = answer.json
        assert list(found) == ["sent", "received", "min_ns", "avg_ns", "max_ns", "replies"]
        assert (found["sent"], found["received"]) == (3, 3)
        times = [reply["time_ns"] for reply in found["replies"]]
        assert (found["min_ns"], found["max_ns"]) == (min(times), max(times))
        assert found["avg_ns"] == sum(times) // 3
        assert [(r["seq"], r["ttl"], r["bytes"], r["from"]) for r in found["replies"]] == [
            (1, 64, 108, "10.0.0.2"),
            (2, 64, 108, "10.0.0.2"),
            (3, 64, 108, "10.0.0.2"),
        ]


async def test_ping_line_by_line() -> None:
    """With `Accept: application/x-ndjson` each reply is a line, and the summary the last one."""
    async with asking() as (_, client):
        body = {"dst": "10.0.0.2", "count": 2, "interval_ns": 1_000_000}
        answer = await client.ask("POST", PING, body, Accept="application/x-ndjson")
        assert answer.headers["content-type"] == "application/x-ndjson"
        *replies, summary = map(json.loads, answer.body.splitlines())
        assert [reply["seq"] for reply in replies] == [1, 2]
        assert list(summary) == ["sent", "received", "min_ns", "avg_ns", "max_ns"]
        assert summary["received"] == 2


async def test_ping_without_a_reply() -> None:
    """No reply: the times are null and each request has its error, the errno's name and its text."""
    async with asking() as (_, client):
        answer = await client.ask("POST", PING, {"dst": "10.0.0.9", "count": 1, "timeout_ns": 10_000_000})
        assert answer.json == {
            "sent": 1, "received": 0, "min_ns": None, "avg_ns": None, "max_ns": None,
            "replies": [{"seq": 1, "error": "ETIMEDOUT", "message": "no reply", "from": None}],
        }  # fmt: skip


async def test_a_ping_ends_with_its_client() -> None:
    """Who leaves takes the series along: its socket is closed, the router pings no more."""
    async with asking() as (router, client):
        await client.send("POST", PING, b'{"dst":"10.0.0.2","count":1000,"interval_ns":1000000000}')
        assert (await client.head()).status == 200
        sockets = router["red"].stack.sockets
        assert len(sockets) == 1
        client.close()
        await _until(lambda: not sockets)
        assert not sockets


async def _turn() -> None:
    """One turn of the loop."""
    await asyncio.sleep(0)


async def _until(condition: Callable[[], bool]) -> None:
    """Turns of the loop until the condition holds, for 5 s at most."""
    async with asyncio.timeout(5):
        while not condition():
            await _turn()


# -- capture ----------------------------------------------------------------------------------------------------------


def frames(data: bytes) -> list[tuple[str, bytes]]:
    """(interface, frame) of a pcapng file, by scapy."""
    return [(meta.ifname.decode(), frame) for frame, meta in RawPcapNgReader(io.BytesIO(data))]


async def captured(client: Client, target: str, ping: Client) -> list[tuple[str, bytes]]:
    """What a capture that ends by itself brings, while red pings blue."""
    await client.send("GET", target)
    head = await client.head()
    assert (head.status, head.headers["content-type"]) == (200, "application/x-pcapng")
    data = await client.piece()  # the capture has begun
    assert (await ping.ask("POST", PING, {"dst": "10.0.0.2", "count": 3, "interval_ns": 0})).json["received"] == 3
    async for piece in client.pieces():
        data += piece
    return frames(data)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("dev=y&netns=blue&filter=icmp&count=4", ["blue/y"] * 4),
        ("filter=icmp&count=4", ["red/x", "blue/y", "blue/y", "red/x"]),
        ("dev=x&filter=src%2010.0.0.2%20and%20icmp&count=2", ["red/x"] * 2),
        ("netns=red&filter=arp&count=1", ["red/x"]),
    ],
)
async def test_a_capture_takes_what_fits(query: str, names: list[str]) -> None:
    """Live, per device or namespace, with a filter, until `count`: as pcapng, each packet at its device."""
    async with asking() as (router, client):
        pinger = await Client.connect(client.place)
        found = await captured(client, f"/v1/capture?{query}", pinger)
        assert [name for name, _ in found] == names
        for ns in router.stack.namespaces.values():
            for dev in ns.devices.values():
                assert dev.captures == ()  # nobody watches any more
        pinger.close()


async def test_a_capture_cuts_frames_and_keeps_their_length() -> None:
    """`snaplen`: so many bytes are kept, and the length on the wire is told."""
    async with asking() as (_, client):
        pinger = await Client.connect(client.place)
        await client.send("GET", "/v1/capture?dev=x&snaplen=20&filter=icmp&count=1")
        assert (await client.head()).status == 200
        data = await client.piece()
        await pinger.ask("POST", PING, {"dst": "10.0.0.2", "count": 1})
        async for piece in client.pieces():
            data += piece
        [(frame, meta)] = list(RawPcapNgReader(io.BytesIO(data)))
        assert (len(frame), meta.wirelen) == (20, 98)
        pinger.close()


async def test_a_capture_follows_devices_that_come() -> None:
    """A device that is made later, or moved in, is watched as well; one that is gone is let go."""
    async with asking() as (router, client):
        await client.send("GET", "/v1/capture?netns=blue&filter=arp&count=1")
        assert (await client.head()).status == 200
        data = await client.piece()
        await router.add_veth("blue", "late", "green", "far")
        await _turn()  # the event is told
        await router["blue"].add_address("late", "10.66.0.1/24")  # announced at once
        async for piece in client.pieces():
            data += piece
        assert [name for name, _ in frames(data)] == ["blue/late"]


async def test_a_slow_reader_of_a_capture_loses_frames_and_is_told() -> None:
    """What waits for a reader is bounded; the statistics block says how many frames were lost."""
    async with serving() as (router, _, _):
        capture = streaming.DeviceCapture(router, "red", "x", 65535, None)
        capture.capture.limit = 1000
        blocks = capture.blocks(None)
        await anext(blocks)  # it has begun; nobody reads on
        with router["red"].socket(type=2) as sock:
            for _ in range(10):
                sock.sendto(bytes(400), ("10.0.0.2", 9))
        data = await anext(blocks)
        await blocks.aclose()
        lost = capture.capture.lost
        assert lost > 0
        assert data.endswith(capture._statistics()[-24:])
        assert lost.to_bytes(8, "little") in data[-64:]
        assert router["red"].stack.devices["x"].captures == ()


async def test_a_capture_ends_with_its_client() -> None:
    """Who leaves is noticed although nothing is captured, and the devices are free again."""
    async with asking() as (router, client):
        await client.send("GET", "/v1/capture?dev=x")
        assert (await client.head()).status == 200
        await client.piece()
        device = router["red"].stack.devices["x"]
        assert len(device.captures) == 1
        client.close()
        await _until(lambda: not device.captures)
        assert device.captures == ()


# -- events -----------------------------------------------------------------------------------------------------------


async def messages(client: Client, count: int) -> list[tuple[str, Any]]:
    """The next (event, data) of an event stream; comments are passed over."""
    data, found = b"", []
    while len(found) < count:
        *parts, data = (data + await client.piece()).split(b"\n\n")
        for part in parts:
            fields = dict(one.split(b": ", 1) for one in part.split(b"\n") if not one.startswith(b":"))
            if fields:
                found.append((fields[b"event"].decode(), json.loads(fields[b"data"])))
    return found


async def test_events_tell_what_changes() -> None:
    """Server-sent events: one for each change of state, in order, with what belongs to it."""
    async with asking() as (router, client):
        await client.send("GET", "/events")
        head = await client.head()
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        await client.piece()  # it listens now
        await router.add_netns("red/web")
        await router["red"].add_address("w", "10.5.0.2/24")
        await router["red"].set_device("w", up=False)
        await router.move_device("red", "w", "red/web", "v")
        found = await messages(client, 8)
        assert [(event, data["netns"], data["dev"]) for event, data in found] == [
            ("netns-add", "red/web", None),
            ("address-add", "red", "w"),
            ("device-state", "green", "z"),  # the other end of the pair loses its carrier
            ("device-state", "red", "w"),
            ("address-del", "red", "w"),  # the link-local one
            ("address-del", "red", "w"),
            ("address-add", "red/web", "v"),  # and it has one there
            ("device-move", "red/web", "v"),
        ]
        assert found[1][1]["address"] == "10.5.0.2/24"
        assert found[7][1]["source"] == "red"
        numbers = [data["seq"] for _, data in found]
        assert numbers == list(range(numbers[0], numbers[0] + 8))
        assert all(data["event"] == event and data["time_ns"] > 0 for event, data in found)


async def test_events_of_one_namespace() -> None:
    """`?netns=` narrows the stream."""
    async with asking() as (router, client):
        await client.send("GET", "/events?netns=blue")
        await client.head()
        await client.piece()
        await router["red"].set_device("w", up=False)
        await router["blue"].set_device("y", up=False)
        [(event, data)] = await messages(client, 1)
        assert (event, data["netns"], data["dev"]) == ("device-state", "blue", "y")


async def test_a_slow_reader_of_events_loses_the_oldest_and_is_told() -> None:
    """A bounded queue: the newest events stay, and `lost` says how many went."""
    async with serving() as (router, _, _):
        await _turn()  # what the start has changed is told first
        stream = streaming.event_stream(router, None)
        assert (await anext(stream)).startswith(b":")
        log, extra = router.stack.events, 7
        for number in range(streaming.EVENTS + extra):
            log.add(router.now(), EventKind.ROUTE_ADD, "red", to=str(number))
        router.driver.settle(router.now())
        await _turn()
        await _turn()
        data = await anext(stream)
        await stream.aclose()
        assert data.startswith(b'event: lost\ndata: {"count":%d}\n\n' % extra)
        assert data.count(b"event: route-add\n") == streaming.EVENTS
        assert b'"to":"%d"' % (streaming.EVENTS + extra - 1) in data
        assert b'"to":"%d"' % (extra - 1) not in data


async def test_streams_count_as_connections_and_end_with_the_server() -> None:
    """Streams are bounded like all connections, and a closing server ends them with the last chunk."""
    async with serving(Limits(connections=2)) as (_, server, path):
        streams = [await Client.connect(path) for _ in range(2)]
        for stream in streams:
            await stream.send("GET", "/events")
            assert (await stream.head()).status == 200
        third = await Client.connect(path)
        assert (await third.ended()).startswith(b"HTTP/1.1 503 ")
        third.close()
        await server.close()
        for stream in streams:
            assert [piece async for piece in stream.pieces()] == [b": vrouter events\n\n"]
            stream.close()
