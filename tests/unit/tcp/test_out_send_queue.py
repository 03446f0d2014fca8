"""The send queue beside a plain bytes object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.l4.tcp.send_queue import SendQueue

BASE = (1 << 32) + 12345


def queue_of(*writes: bytes) -> SendQueue:
    queue = SendQueue(BASE)
    for data in writes:
        queue.append(data)
    return queue


def test_any_range_is_what_was_written() -> None:
    """RFC 9293 3.3.1: a segment carries the bytes that stand at its numbers, whatever writes they came by."""
    large = bytes(range(256)) * 40
    queue = queue_of(b"abc", large, b"def", b"ghi")
    whole = b"abc" + large + b"defghi"
    assert (queue.base, queue.end, len(queue)) == (BASE, BASE + len(whole), len(whole))
    for start, end in [(0, 3), (2, 5), (3, 3 + len(large)), (100, 200), (len(whole) - 6, len(whole)), (0, len(whole))]:
        assert queue.read(BASE + start, BASE + end) == whole[start:end]


def test_a_large_write_of_bytes_is_not_copied() -> None:
    """What cannot change needs no copy, nor does a view of it."""
    data = bytes(10_000)
    queue = queue_of(data)
    assert queue.views(BASE, BASE + 10_000)[0] is data
    queue = queue_of(memoryview(data)[1000:9000])
    (view,) = queue.views(BASE, BASE + 8000)
    assert isinstance(view, memoryview)
    assert view.obj is data


@pytest.mark.parametrize("size", [10, 10_000])
def test_what_its_owner_may_change_is_copied(size: int) -> None:
    """send(2): the buffer is the caller's again when the call is over."""
    data = bytearray(b"x" * size)
    queue = queue_of(data, memoryview(data))
    data[:] = b"y" * size
    assert queue.read(BASE, BASE + 2 * size) == b"x" * 2 * size


def test_a_view_of_words_counts_bytes() -> None:
    """A buffer's length is that of its bytes, whatever its items are."""
    words = memoryview(bytes(range(8)) * 2000).cast("I")
    queue = queue_of(words)
    assert len(queue) == 16_000
    assert queue.read(BASE + 3, BASE + 7) == bytes((3, 4, 5, 6))


def test_byte_by_byte_costs_one_piece() -> None:
    """Small writes are joined, so a segment of a thousand of them is one piece."""
    queue = queue_of(*[b"z"] * 1000)
    assert len(queue.views(BASE, BASE + 1000)) == 1


def test_release_lets_go_of_whole_chunks_only_when_all_of_them_went() -> None:
    """RFC 9293 3.4: what is acknowledged is not needed any more; the rest of its write still is."""
    queue = queue_of(b"a" * 5000, b"b" * 5000)
    assert queue.release(BASE + 6000) == 6000
    assert (queue.base, len(queue)) == (BASE + 6000, 4000)
    assert queue.read(BASE + 6000, BASE + 10_000) == b"b" * 4000
    assert queue.release(BASE + 5000) == 0
    assert queue.release(BASE + 10_001) == 4000  # the number of a FIN
    assert len(queue) == 0
    queue.append(b"c" * 10)
    assert queue.read(BASE + 10_000, BASE + 10_010) == b"c" * 10


def test_the_end_of_each_write_that_left_pushes() -> None:
    """RFC 9293 3.9.1.2: PSH stands at the end of a SEND; ends of writes that leave together are one."""
    queue = SendQueue(BASE)
    queue.append(b"a" * 100)
    queue.push(BASE)
    queue.append(b"b" * 100)
    queue.push(BASE)  # nothing has left meanwhile
    assert [queue.pushed(BASE + end) for end in (100, 150, 200)] == [False, False, True]
    queue.append(b"c" * 100)
    queue.push(BASE + 200)
    assert [queue.pushed(BASE + end) for end in (200, 250, 300)] == [True, False, True]
    queue.release(BASE + 200)
    assert [queue.pushed(BASE + end) for end in (200, 300)] == [False, True]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 9000)),
            st.tuples(st.just("read"), st.tuples(st.floats(0, 1), st.floats(0, 1))),
            st.tuples(st.just("release"), st.floats(0, 1)),
        ),
        max_size=60,
    )
)
def test_it_is_a_string_of_bytes_that_loses_its_front(steps: list[tuple[str, object]]) -> None:
    """Beside a plain bytes object, whatever the order of writes, reads and acknowledgements."""
    queue, twin, gone, seed = SendQueue(BASE), b"", 0, 0
    for kind, value in steps:
        size = len(twin)
        if kind == "write":
            assert isinstance(value, int)
            data = bytes((seed + index) % 251 for index in range(value))
            seed += value
            queue.append(data if seed % 2 else bytearray(data))
            twin += data
        elif kind == "release":
            assert isinstance(value, float)
            count = int(value * size)
            assert queue.release(BASE + gone + count) == count
            twin, gone = twin[count:], gone + count
        elif size:
            assert isinstance(value, tuple)
            start, end = sorted(int(part * size) for part in value)
            assert queue.read(BASE + gone + start, BASE + gone + end) == twin[start:end]
        assert (queue.base, len(queue)) == (BASE + gone, len(twin))
    assert queue.read(BASE + gone, BASE + gone + len(twin)) == twin
