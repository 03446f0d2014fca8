"""``GET /v1/sockets`` of very many: piece by piece, and whoever asks need not wait for the last."""

from __future__ import annotations

import json

from tests.path.admin import asking
from vrouter.control.streaming import ROWS_PER_PIECE
from vrouter.stack.l4 import constants as c

MANY = 3 * ROWS_PER_PIECE + 7


async def test_many_sockets_come_in_one_array() -> None:
    """Thousands are one JSON array, as a few are."""
    async with asking() as (router, client):
        many = await router.add_netns("many")
        opened = [many.socket(c.AF_INET, c.SOCK_DGRAM) for _ in range(MANY)]
        for sock in opened:
            sock.bind(("127.0.0.1", 0))
        answer = await client.ask("GET", "/v1/sockets?netns=many")
        names = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in opened]
        assert [row["local"] for row in answer.json] == names
        for sock in opened:
            sock.close()


async def test_they_are_looked_at_one_after_another() -> None:
    """One that is closed before its turn is left out, and nothing else."""
    async with asking() as (router, client):
        many = await router.add_netns("many")
        opened = [many.socket(c.AF_INET, c.SOCK_DGRAM) for _ in range(MANY)]
        for sock in opened:
            sock.bind(("127.0.0.1", 0))
        names = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in opened]
        await client.send("GET", "/v1/sockets?netns=many&info=true", accept="application/x-ndjson")
        assert (await client.head()).status == 200
        first = await client.piece()
        opened[-1].close()
        rest = first + b"".join([piece async for piece in client.pieces()])
        found = [json.loads(line)["local"] for line in rest.splitlines()]
        assert found in (names, names[:-1])  # the last may have had its turn
        for sock in opened:
            sock.close()
