"""A protocol against a bad network, in virtual time: hours take milliseconds, and a failure repeats by its seed.

laptop ── (50 ms) ── router ── (50 ms) ── server
"""

import pytest
from retrying import connect, serve

PORT = 4000


def test_every_question_is_answered_despite_loss(lab):
    """A tenth of all frames is lost on each of two wires, some come twice, some overtake: nothing of it is seen."""
    laptop, _, server = lab.line("laptop", "router", "server", delay=0.05, loss=0.1, duplicate=0.1, reorder=0.1)

    async def conversation():
        service = await serve(server.face, PORT)
        client = await connect(laptop.face, server.addr, PORT)
        answers = [await client.ask(b"question %d" % number) for number in range(20)]
        return answers, service.questions

    answers, questions = lab.run(conversation())
    assert answers == [b"QUESTION %d" % number for number in range(20)]
    assert questions > 20  # some were asked again


def test_the_first_retry_comes_after_half_a_second(lab):
    """What happens when is exact: the wire works again just before the second try."""
    laptop, _, server = lab.line("laptop", "router", "server", delay=0.05)
    lab.wires[1].set(loss=1)
    lab.after(0.499, lambda: lab.wires[1].set(loss=0))

    async def conversation():
        await serve(server.face, PORT)
        client = await connect(laptop.face, server.addr, PORT)
        return await client.ask(b"still there?")

    assert lab.run(conversation()) == b"STILL THERE?"
    assert lab.now == 500_000_000 + 4 * 50_000_000  # ns


def test_a_dead_network_is_given_up(lab):
    """0.5 + 1 + 2 + 4 + 4 × 8 seconds, which take no time here."""
    laptop, _, server = lab.line("laptop", "router", "server", loss=1)

    async def conversation():
        client = await connect(laptop.face, server.addr, PORT)
        with pytest.raises(TimeoutError, match="after 8 tries"):
            await client.ask(b"anybody?")

    lab.run(conversation())
    assert lab.now == 39_500_000_000
    assert len(laptop.sent) == 8


@pytest.mark.parametrize("seed", range(10))
def test_many_networks(seed):
    """The same with ten seeds: what fails for one of them fails for it every time."""
    from vrouter.testing import Lab

    with Lab(seed) as lab:
        laptop, _, server = lab.line("laptop", "router", "server", delay=0.05, jitter=0.04, loss=0.1, corrupt=0.05)

        async def conversation():
            await serve(server.face, PORT)
            client = await connect(laptop.face, server.addr, PORT)
            return [await client.ask(b"x") for _ in range(20)]

        assert lab.run(conversation()) == [b"X"] * 20
