"""Bulk writes of the client: what is read when, what is sent again, and what comes back."""

import asyncio
import io
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.client import Invalid, Patience, Unavailable, UnexpectedAnswer, Unreachable
from service.client.lines import Chunk, LineSplitter, chunks_of
from service.client.models import StreamerProfile
from service.client.parallel import async_results, results, sleep
from tests.machine import HANGS_S
from tests.service.client.scripted import AT_ONCE, Script, lines, problem, refused, stored


def bodies(script: Script) -> list[bytes]:
    return [request.content for request in script.seen]


def test_lines_without_a_result_are_sent_again() -> None:
    script = Script(
        lines(stored(1), refused(2, 503, "overloaded"), then=lambda: httpx.ReadError("cut")),
        lines(refused(1, 422, "invalid_request")),  # and no more: the answer was cut at a line
        lines(stored(1)),
    )
    said: list[int] = []
    given = ['{"a":1}\n', b"\n", {"streamer_id": "b"}, StreamerProfile(streamer_id="c")]
    found = list(script.client().load(given, progress=said.append))
    assert [(result.line, result.outcome) for result in found] == [
        (1, "created"),
        (3, "error"),
        (4, "created"),
    ]
    assert said == [4]
    first, second, third = b'{"a":1}\n', b'{"streamer_id":"b"}\n', b'{"streamer_id":"c"}\n'
    assert bodies(script) == [first + second + third, second + third, third]
    assert {request.url.query for request in script.seen} == {b"skip_unchanged=true"}


def test_no_line_is_sent_twice_by_a_client_of_one_try() -> None:
    for answer in (
        lines(stored(1), then=lambda: httpx.ReadError("cut")),
        lines(stored(1), refused(2, 503, "overloaded")),
        lines(refused(1, 503, "media_unavailable"), refused(2, 503, "overloaded")),
    ):
        script = Script(answer)
        with pytest.raises((Unreachable, Unavailable)):
            list(script.client(Patience(attempts=1)).load([{"n": 1}, {"n": 2}]))
        assert len(script.seen) == 1


@pytest.mark.parametrize(("status", "code"), [(408, "results_not_read"), (413, "body_too_large")])
def test_what_a_request_had_no_more_room_for_is_sent_in_another(status: int, code: str) -> None:
    script = Script(
        lines(stored(1), stored(2), refused(3, status, code)), lines(stored(1), stored(2))
    )
    found = list(script.client().load([{"n": i} for i in range(4)]))
    assert [result.line for result in found] == [1, 2, 3, 4]
    assert bodies(script)[1] == b'{"n":2}\n{"n":3}\n'
    script = Script(lines(refused(1, status, code)))  # it is too long by itself
    (result,) = script.client().load([{"n": 0}])
    assert result.error is not None
    assert result.error.code == code


def test_a_picture_that_cannot_be_fetched_stops_no_other_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again, and replaces no later line."""
    monkeypatch.setattr("service.client.lines.UNFETCHED_PAUSE_S", 0)
    unfetched = refused(1, 503, "media_unavailable") | {"streamer_id": "dead"}
    later = stored(3) | {"streamer_id": "dead"}
    script = Script(
        lines(unfetched, stored(2), later),
        lines(unfetched, later | {"line": 2, "outcome": "unchanged"}),
        lines(refused(1, 503, "media_unavailable"), stored(2), refused(3, 503, "overloaded")),
        lines(unfetched, refused(2, 503, "overloaded")),
        *(lines(unfetched) for _ in range(2)),
        lines(stored(1)),
        *(lines(unfetched) for _ in range(3)),
    )
    client = script.client(Patience(attempts=2, first_pause_s=1e-4))
    found = list(client.load([{"n": i} for i in range(3)]))
    assert [(each.line, each.outcome) for each in found] == [
        (2, "created"),
        (1, "error"),
        (3, "unchanged"),
    ]
    assert found[1].error is not None
    assert found[1].error.code == "media_unavailable"
    assert bodies(script)[1:] == [b'{"n":0}\n{"n":2}\n']
    with pytest.raises(Unavailable, match="line 3: why"):
        list(client.load([{"n": i} for i in range(3)]))
    patient = script.client(Patience(attempts=None, first_pause_s=1e-4))
    for expected in ("created", "error"):
        assert [each.outcome for each in patient.load([{"n": 0}])] == [expected]
    assert script.steps == []


def test_tries_are_counted_from_the_last_line_that_was_done() -> None:
    overloaded = refused(2, 503, "overloaded")
    script = Script(
        lines(stored(1), overloaded, refused(3, 503, "overloaded")),
        lines(stored(1), overloaded),
        lines(refused(1, 503, "overloaded")),
        lines(refused(1, 503, "overloaded")),
    )
    given: list[Any] = [{"n": i} for i in range(3)]
    with pytest.raises(Unavailable) as raised:
        list(script.client(Patience(attempts=3, first_pause_s=1e-4)).load(given))
    assert raised.value.code == "overloaded"
    assert script.steps == []


def test_a_request_that_is_refused_as_a_whole_ends_it() -> None:
    for answer, kind in (
        (problem(422, "invalid_request"), Invalid),
        (httpx.Response(200, text="<p>"), UnexpectedAnswer),
        (lines({"line": 7, "outcome": "created"}), UnexpectedAnswer),
        (lines({"odd": 7}), UnexpectedAnswer),
    ):
        with pytest.raises(kind):
            list(Script(answer).client().load([{"n": 1}]))


def test_profiles_are_read_as_they_are_sent() -> None:
    drawn: list[int] = []

    def profiles() -> Iterator[dict[str, int]]:
        for i in range(1000):
            drawn.append(i)
            yield {"n": i}

    script = Script(*[lines(stored(1), stored(2)) for _ in range(500)])
    found = script.client().load(profiles(), chunk_lines=2, at_once=1)
    assert next(found).line == 1
    assert len(drawn) == 3  # a chunk, and what shows that it is full
    assert [result.line for result in found] == list(range(2, 1001))


def test_chunks_are_bounded_and_cover_every_line() -> None:
    given = [b"%d\n" % i for i in range(10)]
    for most_lines, most_bytes, sizes in ((4, 99, [4, 4, 2]), (99, 6, [3, 3, 3, 1])):
        assert [c.size for c in chunks_of(given, most_lines, most_bytes)] == sizes
    assert [c.size for c in chunks_of([b"x" * 50, b"y"], 4, 10)] == [1, 1]
    assert list(chunks_of([], 4, 10)) == []
    (chunk,) = chunks_of(io.BytesIO(b'{"a":"\xe2\x80\xa8"}\n\r\n\nno end'), 99, 99)
    assert chunk.body() == b'{"a":"\xe2\x80\xa8"}\nno end\n'
    with pytest.raises(ValueError, match="profile 2 has a line break in its JSON"):
        list(chunks_of(["{}", '{\n"a": 1}'], 4, 10))


def test_a_chunk_of_blank_lines_is_not_sent() -> None:
    script = Script()
    said: list[int] = []
    assert list(script.client().load([b"\n", b" \n"], progress=said.append)) == []
    assert (script.seen, said) == ([], [2])
    assert Chunk(1, [b"\n"]).is_done


def test_lines_end_at_line_feeds_alone() -> None:
    splitter = LineSplitter()
    text = '{"a":"\u2028\x85"}\n\n{"b":1}\r\n{"c"'.encode()
    found = [line for i in range(len(text)) for line in splitter.feed(text[i : i + 1])]
    assert found == ['{"a":"\u2028\x85"}'.encode(), b'{"b":1}\r']


@pytest.mark.parametrize("at_once", [1, 3])
def test_work_is_done_some_at_once_and_the_first_error_ends_it(at_once: int) -> None:
    def work(item: int) -> int:
        if item == 7:
            raise Unreachable("gone")
        return -item

    async def later(item: int) -> int:
        await asyncio.sleep(0)
        return work(item)

    async def all_of(count: int) -> list[int]:
        return [result async for result in async_results(later, range(count), at_once)]

    assert sorted(results(work, range(7), at_once)) == sorted(-i for i in range(7))
    assert sorted(asyncio.run(all_of(7))) == sorted(-i for i in range(7))
    with pytest.raises(Unreachable):
        list(results(work, range(20), at_once))
    with pytest.raises(Unreachable):
        asyncio.run(all_of(20))


def test_what_is_done_comes_before_the_error_that_ends_it() -> None:
    async def work(item: int) -> int:
        if item == 0:
            raise Unreachable("gone")
        return item

    async def all_of() -> None:
        async for result in async_results(work, range(9), 9):
            found.append(result)

    found: list[int] = []
    with pytest.raises(Unreachable):
        asyncio.run(all_of())
    assert sorted(found) == [*range(1, 9)]


class Item:
    def __init__(self, number: int) -> None:
        self.number = number


def test_what_threads_have_done_comes_before_the_error_that_ends_it() -> None:
    def work(item: Item) -> int:
        number = item.number
        del item  # so that it is gone once this is done, though a traceback has this frame
        if number == 0:
            raise Unreachable("gone")
        return number

    def items() -> Iterator[Item]:
        for _ in range(10):
            yield made()
        for event in gone[:-1]:  # `results` still has the last
            assert event.wait(HANGS_S)
        yield made()

    def made() -> Item:
        item = Item(len(gone))
        gone.append(threading.Event())
        weakref.finalize(item, gone[-1].set)
        return item

    gone: list[threading.Event] = []
    found: list[int] = []
    with pytest.raises(Unreachable):
        found.extend(results(work, items(), 11))
    assert {*range(1, 9)} <= {*found}


def test_nobody_waits_for_the_pauses_of_work_that_is_not_wanted() -> None:
    def work(item: int) -> int:
        if item:
            sleep(HANGS_S)
        return item

    working = results(work, range(4), 4)
    assert next(working) == 0
    begin = time.monotonic()
    working.close()
    assert time.monotonic() - begin < HANGS_S


def test_the_asynchronous_client_loads_too() -> None:
    cut = lines(stored(1), then=lambda: httpx.ReadError("cut"))
    script = Script(cut, lines(stored(1)))

    async def load() -> list[int]:
        async with script.async_client(AT_ONCE) as client:
            return [result.line async for result in client.load([{"n": 1}, {"n": 2}])]

    assert asyncio.run(load()) == [1, 2]
    assert bodies(script)[1] == b'{"n":2}\n'
