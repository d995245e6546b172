"""What is answered while the collection is late or short, or a write comes in between."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from service.errors import IndexUnavailable, InvalidRequest, NotReady
from service.index.base import Change
from service.index.milvus import answering, merging
from service.index.milvus.base import digest_of
from service.index.milvus.directory import Directory, Newest
from service.index.query import Query, ScoringSpec
from tests.service.index.milvus.without_server import DIM, Alone


def test_a_newer_version_is_in_the_overlay_before_the_directory_knows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def write() -> None:
        alone = Alone()
        await alone.serve(0)
        alone.memory.insert([alone.write("s0")], ())
        await alone.serve(1)
        assert alone.index.overlay_rows == 0
        apply, kept = Directory.apply, list[int]()

        def watched(self: Directory, change: Change) -> None:
            kept.append(alone.index.overlay_rows)
            apply(self, change)

        monkeypatch.setattr(Directory, "apply", watched)
        alone.write("s0")
        assert kept == [1]

    asyncio.run(write())


def test_versions_that_come_again_after_a_restore_are_no_garbage() -> None:
    alone = Alone()
    alone.base.note_superseded(3, by=5)
    alone.base.forget_superseded()  # and version 3 is another streamer's from now on
    assert alone.base.take_garbage(10) == []
    alone.base.note_superseded(6, by=7)
    assert alone.base.take_garbage(10) == [6]
    assert alone.base.take_garbage(10) == []
    alone.base.note_superseded(8, by=10)  # told late
    alone.base.note_superseded(9, by=11)
    assert alone.base.take_garbage(10) == [8]
    assert alone.base.take_garbage(11) == [9]


def test_an_answer_that_lacks_someone_is_none() -> None:
    async def ask() -> None:
        alone = Alone()
        rows = [alone.write(f"s{i}") for i in range(5)]
        alone.memory.insert(rows[1:], ())
        await alone.serve(5)
        assert len(await alone.found(4)) == 4  # nobody can tell by their number
        with pytest.raises(IndexUnavailable, match="fewer than the 5 streamers"):
            await alone.found(5, exact=True)
        assert alone.base.is_audit_due
        alone.memory.insert(rows[:1], ())
        assert len(await alone.found(5, exact=True)) == 5

    asyncio.run(ask())


def test_rows_that_a_collection_has_twice_hide_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MOST_HITS", 40)

    async def ask() -> None:
        alone = Alone()
        rows = [alone.write(f"s{i}") for i in range(40)]
        for _ in range(2):
            alone.memory.insert(rows, ())
        await alone.serve(40)
        assert len(await alone.found(35, exact=True)) == 35
        first = np.eye(1, DIM, dtype=np.float32)[0]
        everyone = Query(ScoringSpec.nearest(first), 1, min_score=-2)
        assert len((await alone.index.matches(everyone)).ids) == 40
        assert [asked.limit for asked in alone.memory.asked] == [67, 268, 42, 168]

    asyncio.run(ask())


def test_what_was_found_long_before_it_is_merged_is_asked_again() -> None:
    async def ask() -> None:
        alone = Alone(fresh_s=1)
        alone.memory.insert([alone.write("s0")], ())
        await alone.serve(1)
        waits = [1.2]
        alone.memory.during = lambda: time.sleep(waits.pop() if waits else 0)
        assert await alone.found() == {"s0"}
        first, *more = alone.memory.asked
        assert more  # several times, where a merge takes long
        assert all(asked == first for asked in more)

    asyncio.run(ask())


def test_hits_of_many_seeds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_BYTES", 1 << 20)

    async def ask() -> None:
        alone = Alone()
        rows = [alone.write(f"s{i}") for i in range(200)]
        alone.memory.insert(rows, ())
        await alone.serve(200)
        seeds = np.tile(np.eye(1, DIM, dtype=np.float32), (20, 1))
        many = Query(ScoringSpec(seeds, [1.0] * 20, "best_score"), 10, min_score=-2)
        with pytest.raises(InvalidRequest, match="fewer than 20 seeds"):
            await alone.index.search(many)
        assert max(asked.limit for asked in alone.memory.asked) == 102

    asyncio.run(ask())


def test_rows_tell_who_is_established_only_if_all_were_written_by_the_same_list() -> None:
    async def ask() -> None:
        alone = Alone(established={"s1", "s3"})
        alone.memory.insert([alone.write(f"s{i}") for i in range(5)], ())
        for digest in (alone.base.established, digest_of({"s1", "s2"}), ""):
            await alone.serve(5, established=digest)
            assert await alone.found(2, established_only=True) == {"s1", "s3"}
        told = [asked.expression != "" for asked in alone.memory.asked]
        assert told == [True, False, False]
        assert digest_of(["s3", "s1"]) == alone.base.established

    asyncio.run(ask())


def test_an_index_with_too_much_that_is_new_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        alone = Alone()
        assert "not known yet" in (alone.index.trouble or "")
        await alone.serve(0)
        for i in range(1000):
            alone.write(f"s{i}")
        assert alone.index.trouble is None
        alone.write("s1000")
        assert "STREAMER_MILVUS__OVERLAY_ROWS" in (alone.index.trouble or "")
        with pytest.raises(NotReady, match="STREAMER_MILVUS__OVERLAY_ROWS"):
            await alone.found()
        newest, looked = Directory.newest, list[int]()

        def watched(self: Directory, above: int = 0, up_to: int | None = None, **_: Any) -> Newest:
            looked.append(above)
            return newest(self, above, up_to)

        monkeypatch.setattr(Directory, "newest", watched)
        for settled in (0, 0, 1, 1, 1):
            await alone.serve(settled)
        assert looked == [0, 1]  # nothing that has not settled leaves
        await alone.serve(1001)
        assert alone.index.trouble is None

    asyncio.run(write())
