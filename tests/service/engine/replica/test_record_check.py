"""Bad records stay out of the index, and good ones follow the log past them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from service.engine.replica.follower import _changes
from service.engine.replica.record_check import RecordCheck, SkippedRecords
from service.errors import ModelChanged
from service.index.faiss.index import FaissIndex
from service.store.base import IndexEntry, LogEntry
from tests.service.engine.replica.test_follower import DIM, MODEL, parts, until, upsert
from tests.service.index.asked import now, search

VECTOR = np.ones(DIM, "<f4")
GOOD = IndexEntry("a", 7, VECTOR.tobytes(), VECTOR.astype("<f2").tobytes(), b"{}", "m")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"model_version": "m2"}, "another model"),
        ({"version": 0}, "has no version"),
        ({"embedding": b""}, "without a content sketch, or the reverse"),
        ({"embedding": bytes(4 * DIM + 4)}, "embedding is of another width"),
        ({"embedding": bytes(4 * DIM - 1)}, "embedding is of another width"),
        ({"embedding": np.full(DIM, np.nan, "<f4").tobytes()}, "embedding is not finite"),
        ({"content": bytes(2 * DIM + 2)}, "content sketch is of another width"),
        ({"facets": b""}, "facets"),
        ({"facets": b"[]"}, "facets"),
        ({"facets": b'{"tags": "cooking"}'}, "facets"),
        ({"facets": b'{"tags": [["a"]]}'}, "facets"),
        ({"facets": b'{"attributes": {"a": {}}}'}, "facets"),
    ],
)
def test_a_bad_record_is_named_until_a_good_one_replaces_it(
    wrong: dict[str, Any], why: str
) -> None:
    check = RecordCheck(MODEL)
    assert check.accepts(GOOD)
    assert check.skipped == SkippedRecords()
    assert not check.accepts(replace(GOOD, **wrong))
    (example,) = check.skipped.examples
    assert f"'a' at version {wrong.get('version', 7)}: " in example
    assert why in example
    assert check.accepts(GOOD)
    assert check.skipped.count == 0


def test_a_streamer_without_content_and_an_old_log_entry_are_good() -> None:
    check = RecordCheck(MODEL)
    assert check.accepts(replace(GOOD, embedding=b"", content=b""))
    assert check.accepts(replace(GOOD, model_version=""))


def test_few_are_shown_of_many() -> None:
    check = RecordCheck(MODEL)
    for i in range(100):
        check.accepts(replace(GOOD, streamer_id=f"s{i}", version=0))
    assert check.skipped.count == 100
    assert len(check.skipped.examples) == 5
    check.forget("s0")
    assert check.skipped.count == 99


async def spoil(admin: Redis, streamer_id: str) -> None:
    """Double the width of a stored vector, behind the service's back."""
    await admin.hset(f"ss:record:{streamer_id}", "embedding", bytes(8 * DIM))


@pytest.mark.parametrize("read_by", ["scan", "log"])
def test_a_record_of_another_width_stops_nothing(tmp_path: Path, read_by: str) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            admin: Redis = Redis.from_url(embedded.url)
            wide = upsert("wide")
            wide = replace(wide, record=replace(wide.record, embedding=bytes(8 * DIM)))
            await store.write([upsert("before", 1)])
            if read_by == "log":
                follower.start()
                await until(lambda: follower.is_ready)
            index = follower.index if follower.is_ready else None
            await store.write([wide, upsert("after", 2)])
            if read_by == "scan":
                await spoil(admin, "after")
                await store.write([upsert("last", 3)])
                follower.start()
            await follower.wait_for(3 if read_by == "log" else 4, 20_000)
            assert index in (None, follower.index)  # nothing was scanned again
            assert (follower.failure, follower.behind_because) == (None, None)
            expected = {"log": {"before", "after"}, "scan": {"before", "last"}}[read_by]
            assert {row.streamer_id async for row in follower.index.rows()} == expected
            assert follower.skipped.count == {"log": 1, "scan": 2}[read_by]
            assert "'wide' at version 2: its embedding is of another width" in (
                follower.skipped.examples
            )
            sequence = await store.write([upsert("wide", 4)])
            await follower.wait_for(sequence[0].sequence, 20_000)  # pyright: ignore[reportAttributeAccessIssue]
            assert await follower.index.vector("wide") is not None
            assert follower.skipped.count == {"log": 0, "scan": 1}[read_by]
            await admin.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "stays"),
    [
        ({"facets": b'{"attributes": {"banned": [true]}}'}, False),
        ({"embedding": bytes(8 * DIM)}, False),
        ({"version": 0}, False),
        ({"version": 0, "model_version": ""}, False),
        ({"model_version": "m2"}, True),
    ],
)
def test_of_who_was_written_as_a_bad_record_nothing_is_found_any_more(
    wrong: dict[str, Any], *, stays: bool
) -> None:
    """Nor has an index that is built of the store. Of another model's, it keeps what it had."""
    check, index = RecordCheck(MODEL), FaissIndex(DIM, DIM)
    bad = replace(replace(GOOD, version=8), **wrong)
    now(index.apply(_changes([LogEntry(7, "a", GOOD), LogEntry(8, "a", bad)], check)))
    assert check.skipped.count == 1
    found = [hit.streamer_id for hit in search(index, VECTOR).hits]
    assert found == (["a"] if stays else [])
    now(index.apply(_changes([LogEntry(9, "a", replace(GOOD, version=9))], check)))
    assert [hit.streamer_id for hit in search(index, VECTOR).hits] == ["a"]


def test_two_models_never_mix(tmp_path: Path) -> None:
    """While a replica serves one model, the store is re-encoded for another of the same width."""

    async def scenario() -> None:
        async with parts(tmp_path) as (_, store, follower):
            await store.write([upsert("a", 1), upsert("b", 2)])
            assert await store.model_version() == "m"  # the first write named it
            follower.start()
            await until(lambda: follower.is_ready)
            await store.set_model_version("incomplete:m2")
            with pytest.raises(ModelChanged, match="of model incomplete:m2"):
                await store.write([upsert("c", 3)])
            new = upsert("a", 4)
            await store.write([replace(new, record=replace(new.record, model_version="m2"))])
            await store.set_model_version("m2")
            await follower.wait_for(3, 20_000)
            await until(lambda: "of model m2" in str(follower.behind_because))
            assert follower.skipped.examples == (
                "'a' at version 3: it was encoded by another model",
            )
            vector = await follower.index.vector("a")
            assert vector is not None
            assert vector.embedding is not None
            assert vector.embedding.tobytes() == upsert("a", 1).record.embedding
            with pytest.raises(ModelChanged, match="restart it with that model's bundle"):
                await store.write([upsert("c", 3)])
            assert await store.get(["c"]) == [None]

    asyncio.run(scenario())
