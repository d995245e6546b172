"""Vectors of a second model beside those that are served, and the pointer that says which serve."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelChanged
from service.files.checksummed import ChecksummedFolder
from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.jobs import JobStep, LeaseLost, NewJob
from service.store.models.base import ModelPointer, NotTheTarget, SecondVectors
from service.store.redis.backup import ArchivedStore, BackupFailed, records_in
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.models.store import RedisModels
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST
from tests.service.store.records import put, read_log, record, scanned, sequence, upsert

pytestmark = pytest.mark.anyio
FIRST, NEXT, THIRD = "model-1", "model-2", "model-3"


def by(model: str, streamer_id: str, text: str = "") -> Record:
    """A record as another model makes it: other vectors of the same profile."""
    made = record(streamer_id, text)
    turned = bytes(255 - byte for byte in made.embedding)
    return replace(made, embedding=turned, content=turned[::-1], model_version=model)


def both(streamer_id: str, text: str = "", second: str = NEXT) -> Upsert:
    return replace(upsert(streamer_id, text), second=by(second, streamer_id, text))


async def set_target(store: RedisStore, state: str, model: str = NEXT) -> RedisModels:
    models = RedisModels(store.client)
    now = await models.pointer()
    moved = await models.move(now, ModelPointer(0, now.active, model, state))  # type: ignore[arg-type]
    assert moved is not None
    return models


async def put_before(store: RedisStore, streamer_id: str, text: str) -> int:
    """Write as a release does that knows no second vectors: they are left as they are."""
    made, written = record(streamer_id, text), (await store.position()).sequence + 1
    fields = ("embedding", "content", "facets", "profile", "digest", "model_version", "status")
    pairs = [part for name in fields for part in (name, getattr(made, name))]
    await store.client.ask("HSET", f"ss:record:{streamer_id}", "version", written, *pairs)
    await store.client.ask("HSET", "ss:meta", "sequence", written)
    return written


async def running_job(store: RedisStore) -> JobStep:
    jobs = RedisJobs(store.client, JobLimits(60, 10, 600, b"{}"))
    await jobs.submit(NewJob("1", "backfill", "", b"{}"))
    job = await jobs.claim([""], ["backfill"])
    assert job is not None
    return JobStep(job.lease, b"{}", 0, 1)


async def test_without_a_target_a_second_record_is_left_out(store: RedisStore) -> None:
    await put(store, "a")
    written = sequence(await store.write([both("a", "new")]))
    assert (await scanned(store.of_model(NEXT)))["a"].model_version == FIRST
    (entry,) = await read_log(store.of_model(NEXT), written - 1, written)
    assert entry.entry is not None
    assert entry.entry.model_version == FIRST


async def test_writes_lack_no_model(store: RedisStore) -> None:
    await put(store, "a")
    await set_target(store, "preparing")
    await put(store, "a", "while replicas load the model")
    await set_target(store, "backfilling")
    with pytest.raises(ModelChanged, match="takes vectors of model model-2"):
        await store.write([upsert("a", "lacks the next model's")])
    written = sequence(await store.write([both("a", "has both")]))
    for model, made in ((FIRST, record("a", "has both")), (NEXT, by(NEXT, "a", "has both"))):
        view = store.of_model(model)
        (found,) = await view.get(["a"])
        assert found == replace(made, version=written)
        assert (await scanned(view))["a"].embedding == made.embedding
        (entry,) = await read_log(view, written - 1, written)
        assert entry.entry is not None
        assert (entry.entry.embedding, entry.entry.model_version) == (made.embedding, model)
        assert await view.model_versions(["a"]) == [model]


async def test_a_backfill_leaves_newer_versions_alone(store: RedisStore) -> None:
    old, new = await put(store, "old"), await put(store, "new")
    models = await set_target(store, "backfilling")
    changed = sequence(await store.write([both("new", "changed")]))
    step = await running_job(store)
    vectors = [
        SecondVectors(by(NEXT, "old"), old),
        SecondVectors(by(NEXT, "new"), new),
        SecondVectors(by(NEXT, "gone"), 1),
    ]
    assert await models.add(vectors, step) == 1
    seen = await scanned(store.of_model(NEXT))
    assert {name: (e.version, e.embedding) for name, e in seen.items()} == {
        "old": (old, by(NEXT, "old").embedding),
        "new": (changed, by(NEXT, "new", "changed").embedding),
    }
    assert (await scanned(store))["old"].embedding == record("old").embedding
    with pytest.raises(LeaseLost):  # the step was made already
        await models.add(vectors, step)


async def test_vectors_of_a_model_that_is_no_target_are_refused(store: RedisStore) -> None:
    version = await put(store, "a")
    models = await set_target(store, "backfilling")
    step = await running_job(store)
    with pytest.raises(NotTheTarget, match="model-3"):
        await models.add([SecondVectors(by(THIRD, "a"), version)], step)
    now = await models.pointer()
    assert await models.move(now, ModelPointer(0, FIRST)) is not None
    with pytest.raises(NotTheTarget, match="model-2"):
        await models.add([SecondVectors(by(NEXT, "a"), version)], step)
    assert (await scanned(store.of_model(NEXT)))["a"].model_version == FIRST


async def test_promotion_and_rollback_move_nothing(store: RedisStore) -> None:
    await put(store, "a")
    models = await set_target(store, "backfilling")
    await store.write([both("a", "has both")])
    ready = await models.move(await models.pointer(), ModelPointer(0, FIRST, NEXT, "ready"))
    assert ready is not None
    promoted = await models.move(ready, ModelPointer(0, NEXT, FIRST, "ready"))
    assert promoted is not None
    assert await models.move(ready, ModelPointer(0, FIRST)) is None  # somebody was faster
    assert await store.kept_models() == (NEXT, FIRST)
    # Who has not heard of it yet writes as before, and the other way round.
    await store.write([both("b", "by a replica that is late")])
    await store.write([Upsert(by(NEXT, "c"), second=record("c"))])
    for model, made in ((FIRST, record), (NEXT, lambda *a: by(NEXT, *a))):
        seen = await scanned(store.of_model(model))
        assert {name: e.embedding for name, e in seen.items()} == {
            "a": made("a", "has both").embedding,
            "b": made("b", "by a replica that is late").embedding,
            "c": made("c").embedding,
        }
    # Retired: a late replica's own model is not kept, the one that serves is.
    assert await models.move(promoted, ModelPointer(0, NEXT)) is not None
    await store.write([both("b", "last")])
    seen = await scanned(store.of_model(NEXT))
    assert seen["b"].embedding == by(NEXT, "b", "last").embedding
    assert (await scanned(store.of_model(FIRST)))["b"].model_version == NEXT


async def test_a_third_model_takes_the_place_of_a_retired_one(store: RedisStore) -> None:
    await put(store, "a")
    models = await set_target(store, "backfilling")
    version = sequence(await store.write([both("a", "text")]))
    now = await models.pointer()
    assert await models.move(now, ModelPointer(0, NEXT, THIRD, "backfilling")) is not None
    step = await running_job(store)
    assert await models.add([SecondVectors(by(THIRD, "a", "text"), version)], step) == 1
    for model in (NEXT, THIRD):
        (found,) = await store.of_model(model).get(["a"])
        assert found == replace(by(model, "a", "text"), version=version)


async def test_vectors_of_an_older_version_are_not_current(store: RedisStore) -> None:
    await put(store, "a")
    models = await set_target(store, "backfilling")
    await store.write([both("a", "has both"), both("b", "too")])
    written = await put_before(store, "a", "by the release before")
    view = store.of_model(NEXT)
    assert await view.model_versions(["a", "b"]) == [FIRST, NEXT]
    (found,) = await view.get(["a"])
    assert found is not None
    assert found.embedding == record("a", "by the release before").embedding
    assert {n: e.model_version for n, e in (await scanned(view)).items()} == {"a": FIRST, "b": NEXT}
    # A backfill does not take them for its own either.
    made = by(NEXT, "a", "by the release before")
    assert await models.add([SecondVectors(made, written)], await running_job(store)) == 1
    (found,) = await view.get(["a"])
    assert found is not None
    assert (found.embedding, found.version) == (made.embedding, written)
    assert await view.model_versions(["a"]) == [NEXT]
    # With the target they go, all of them.
    now = await models.pointer()
    assert await models.move(now, ModelPointer(0, FIRST)) is not None
    await put(store, "a", "last")
    left: list[bytes] = await store.client.ask("HKEYS", "ss:record:a")
    assert [name for name in left if name.startswith(b"next_")] == []


async def test_a_third_model_takes_no_vectors_of_an_older_version(store: RedisStore) -> None:
    """Of the two sets of a record one is older: the other one is what may take the first place."""
    await put(store, "a")
    models = await set_target(store, "backfilling")
    await store.write([both("a", "has both")])
    written = await put_before(store, "a", "by the release before")
    now = await models.pointer()
    assert await models.move(now, ModelPointer(0, NEXT, THIRD, "backfilling")) is not None
    third = by(THIRD, "a", "by the release before")
    assert await models.add([SecondVectors(third, written)], await running_job(store)) == 1
    (found,) = await store.of_model(NEXT).get(["a"])
    assert found is not None
    assert found.model_version == FIRST
    assert found.embedding == record("a", "by the release before").embedding


@pytest.mark.parametrize("is_older", [False, True])
async def test_a_backup_has_what_the_active_model_made(
    embedded: EmbeddedStore, admin: Any, tmp_path: Path, *, is_older: bool
) -> None:
    archived = await ArchivedStore(embedded.url, limits=FAST).open()
    try:
        await put(archived, "a")
        models = await set_target(archived, "backfilling")
        await archived.write([both("a", "has both")])
        if is_older:
            await put_before(archived, "a", "by the release before")
        now = await models.pointer()
        assert await models.move(now, ModelPointer(0, NEXT, FIRST, "ready")) is not None
        await archived.back_up(tmp_path / "copy")
    finally:
        await archived.close()
    ((name, fields),) = records_in(ChecksummedFolder(tmp_path / "copy"))
    made = record("a", "by the release before") if is_older else by(NEXT, "a", "has both")
    assert fields is not None
    assert (name, fields["embedding"], fields["model_version"]) == (
        "a",
        made.embedding,
        made.model_version.encode(),
    )


class _SwitchingStore(ArchivedStore):
    """Another model serves while the second part of a backup is read."""

    async def chunks(self, ids: Sequence[str], max_bytes: int = 0) -> list[list[str]]:
        return [[streamer_id] for streamer_id in ids]

    async def _read_together(self, ids: Sequence[str], after: int) -> Any:
        if list(ids) != ["b"]:
            return await super()._read_together(ids, after)
        models = RedisModels(self.client)
        promoted = await models.move(await models.pointer(), ModelPointer(0, NEXT, FIRST, "ready"))
        assert promoted is not None
        part = await super()._read_together(ids, after)
        assert await models.move(promoted, ModelPointer(0, FIRST, NEXT, "ready")) is not None
        return part


async def test_a_backup_during_which_another_model_served_fails(
    embedded: EmbeddedStore, admin: Any, tmp_path: Path
) -> None:
    """It had vectors of both, and after the restore no question found those of the other one."""
    archived = await _SwitchingStore(embedded.url, limits=FAST).open()
    try:
        await put(archived, "a")
        await set_target(archived, "backfilling")
        await archived.write([both("a"), both("b")])
        with pytest.raises(BackupFailed, match="another model serves by now"):
            await archived.back_up(tmp_path / "copy")
    finally:
        await archived.close()
    assert not (tmp_path / "copy").exists()


async def test_records_of_a_second_model_are_read_once(store: RedisStore) -> None:
    await put(store, "a")
    await set_target(store, "backfilling")
    names = list("abcdef")
    await store.write([both(name) for name in names])
    await put_before(store, "f", "has one")
    views = {model: store.of_model(model) for model in (FIRST, NEXT)}

    async def reads(model: str) -> int:
        await store.client.ask("CONFIG", "RESETSTAT")
        found = [
            (each.embedding, each.model_version) for each in await views[model].get(names) if each
        ]
        made = [by(model, name) if model == NEXT else record(name) for name in names[:-1]]
        made.append(record("f", "has one"))
        assert found == [(each.embedding, each.model_version) for each in made]
        calls: int = (await store.client.ask("INFO", "commandstats"))["cmdstat_hmget"]["calls"]
        return calls

    assert [await reads(FIRST) for _ in range(2)] == [6, 6]
    assert [await reads(NEXT) for _ in range(2)] == [12, 6]
