"""Who has to wait for whom, and that nobody waits for ever; with real towers."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from model_export.contract import pieces
from model_export.contract.bundle import Bundle
from model_export.contract.text import readable
from model_export.contract.towers import Prepared
from service.engine.encoding.profile_reader import Reader, Reading, ToRead
from service.engine.encoding.tower_jobs import TowerJobs
from service.engine.encoding.tower_vectors import TowerCache
from service.engine.work.lanes import Lane
from service.errors import Overloaded
from service.settings import Work
from tests import towers
from tests.media_towers import picture
from tests.service.towers import media, nobody, profile, reading, titles

QUESTION = "boss gaming music"
"""As many tokens as no title below has."""


@pytest.fixture(scope="module")
def bundle(media_bundle: Path) -> Bundle:
    return Bundle(media_bundle)


def bulk(profiles: int, pieces: int) -> list[ToRead]:
    """Profiles that show different titles, of one word."""
    return [
        ToRead(profile(videos=titles(*(f"w{p}x{i}" for i in range(pieces)))))
        for p in range(profiles)
    ]


def test_long_texts_are_normalised_beside_the_event_loop(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noted(text: str) -> str:
        threads.append(threading.get_ident())
        return readable(text)

    monkeypatch.setattr(pieces, "readable", noted)

    async def scenario() -> None:
        async with reading(bundle) as read:
            jobs = TowerJobs(read.work, TowerCache(0), nobody)
            reader = Reader(bundle.featurizer, read.work.specs, jobs, read.lanes)
            long = profile(bio="boss gaming 音乐 " * 100, videos=titles("boss", "music"))
            assert (await reader.read(ToRead(long))).features.usable

    asyncio.run(scenario())
    assert len(threads) == 3  # once each
    assert threading.get_ident() not in threads


@pytest.mark.slow
def test_a_question_does_not_wait_for_a_long_list(bundle: Bundle) -> None:
    asked = threading.Event()
    went_on = threading.Event()
    answered_at: list[int] = []

    async def scenario() -> None:
        async with reading(bundle) as read:

            def hold(prepared: Sequence[Prepared]) -> None:
                if len(read.towers.runs) == 3:  # the list is under way
                    asked.set()
                    went_on.wait(20)
                if any(len(tokens) > 3 for tokens in prepared):
                    answered_at.append(len(read.towers.runs))

            read.towers.before_run = hold
            long = asyncio.create_task(read.reader.read_many(bulk(64, 20)))
            await asyncio.to_thread(asked.wait, 20)
            assert (await read(bio=QUESTION)).features.usable
            assert not long.done()
            went_on.set()
            assert all(isinstance(r, Reading) for r in await long)
            assert max(read.towers.runs) <= 16
            assert sum(read.towers.runs) == 64 * 20 + 1

    asyncio.run(scenario())
    assert answered_at == [4]  # beside the part that ran when it came


def test_pieces_of_several_requests_are_one_run(bundle: Bundle) -> None:
    begun, release = threading.Event(), threading.Event()

    async def scenario() -> None:
        async with reading(bundle) as read:

            def hold(_: Sequence[Prepared]) -> None:
                begun.set()
                release.wait(20)

            read.towers.before_run = hold
            first = asyncio.create_task(read(bio="boss"))
            await asyncio.to_thread(begun.wait, 20)
            rest = [asyncio.create_task(read(bio=word)) for word in towers.WORDS[4:] * 2]
            while read.lanes.waiting(Lane.INTERACTIVE) < len(rest):  # noqa: ASYNC110
                await asyncio.sleep(0)
            release.set()
            await asyncio.gather(first, *rest)
            assert read.towers.runs == [1, len(rest)]

    asyncio.run(scenario())


def test_a_full_queue_and_a_deadline_are_refusals_that_pass(bundle: Bundle) -> None:
    begun, release = threading.Event(), threading.Event()

    async def scenario() -> None:
        bounds = Work(max_queue=16, deadline_ms=10_000)
        async with reading(bundle, work_settings=bounds, max_batch=1) as read:

            def hold(_: Sequence[Prepared]) -> None:
                begun.set()
                release.wait(60)

            read.towers.before_run = hold
            first = asyncio.create_task(read(bio="boss"))
            await asyncio.to_thread(begun.wait, 20)
            second = asyncio.create_task(read(videos=titles(*(f"w{i}" for i in range(16)))))
            while read.lanes.waiting(Lane.INTERACTIVE) < 16 and not second.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="16 pieces are waiting"):
                await read(bio="music")
            for one in (first, second):
                with pytest.raises(Overloaded, match="pieces: not done within 10 s"):
                    await one
            release.set()
            assert (await read(bio="music")).features.usable

    asyncio.run(scenario())


def test_what_was_refused_is_not_encoded_for_nobody(bundle: Bundle) -> None:
    begun, release = threading.Event(), threading.Event()

    async def scenario() -> None:
        async with reading(bundle, max_batch=1) as read:

            def hold(_: Sequence[Prepared]) -> None:
                begun.set()
                release.wait(20)

            read.towers.before_run = hold
            left = asyncio.create_task(read(videos=titles(*(f"w{i}" for i in range(10)))))
            await asyncio.to_thread(begun.wait, 20)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            release.set()
            await read(bio="music")
            assert read.towers.runs == [1, 1]

    asyncio.run(scenario())


@pytest.mark.slow
def test_pictures_of_a_long_list_leave_room_to_decode_others(bundle: Bundle) -> None:
    async def scenario() -> None:
        async with reading(bundle) as read:
            covers = [media(picture("red", size=(900 + i, 900))) for i in range(64)]
            items = [ToRead(profile(avatar=cover)) for cover in covers]
            long = asyncio.create_task(read.reader.read_many(items))
            while read.work.decoded["test-image"] < 5:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await read(avatar=media(picture("blue")))
            assert not long.done()
            assert all(isinstance(r, Reading) for r in await long)

    asyncio.run(scenario())


@pytest.mark.slow
def test_the_loop_is_free_while_pictures_are_decoded(bundle: Bundle) -> None:
    large = media(picture("red", size=(5000, 5000)))

    async def scenario() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with reading(bundle) as read:
            begin, longest = loop.time(), 0.0
            task = asyncio.create_task(read(avatar=large))
            while not task.done():
                before = loop.time()
                await asyncio.sleep(0.001)
                longest = max(longest, loop.time() - before)
            await task
            return loop.time() - begin, longest

    def is_free() -> bool:
        took, longest = asyncio.run(scenario())
        return longest < took / 3

    # What holds the loop up does so each time, a machine that does something else does not.
    assert any(is_free() for _ in range(5))
