"""``GET /v1/sockets`` of very many: piece by piece, and whoever asks need not wait for the last."""

from __future__ import annotations

from tests.path.admin import asking
from vrouter.control.streaming import ROWS_PER_PIECE
from vrouter.stack.l4 import constants as c

MANY = 3 * ROWS_PER_PIECE + 7


async def test_many_sockets_come_in_pieces() -> None:
    """A list of thousands is made while it is sent; those that are closed meanwhile are left out, and nothing else."""
    async with asking() as (router, client):
        red = await router.add_netns("many")
        opened = [red.socket(c.AF_INET, c.SOCK_DGRAM) for _ in range(MANY)]
        for sock in opened:
            sock.bind(("127.0.0.1", 0))
        whole = await client.ask("GET", "/v1/sockets?netns=many")
        assert sorted(row["local"] for row in whole.json) == sorted(
            f"127.0.0.1:{sock.getsockname()[1]}" for sock in opened
        )
        await client.send("GET", "/v1/sockets?netns=many&info=true", accept="application/x-ndjson")
        head = await client.head()
        assert head.status == 200
        first = await client.piece()
        assert first.count(b"\n") == ROWS_PER_PIECE
        closed = opened[-1]
        name = f"127.0.0.1:{closed.getsockname()[1]}".encode()
        closed.close()
        rest = first + b"".join([piece async for piece in client.pieces()])
        assert rest.count(b"\n") in (MANY, MANY - 1)  # the last may have been made before it was closed
        assert (name in rest) == (rest.count(b"\n") == MANY)
        for sock in opened:
            sock.close()
