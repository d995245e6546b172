"""What follows a commit never fails the write, and no write is silently lost to another one."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from model_export.contract.bundle import Bundle
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from service.app import create_app
from service.engine.candidates.look_ups import LookUp
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.work.lanes import Lane, Lanes
from service.errors import (
    Overloaded,
    ServiceError,
    StoreUnavailable,
    VersionConflict,
    WriteContended,
)
from service.features.dedup.answers import Looked
from service.features.dedup.near_duplicates import NearDuplicates
from service.features.streamers import near_duplicates
from service.features.streamers.near_duplicates import NearDuplicatesOf
from service.features.streamers.outcomes import Acknowledged, Unchanged
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings, Work
from service.store.base import Delete, Outcome, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.jobs import JobStep
from service.store.once import Once
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore
from tests.service.conftest import Serve
from tests.service.process import wait_until

PATIENT = Limits(connect_timeout_s=10.0, answer_timeout_s=10.0)
COOKING = StreamerProfile(streamer_id="a", tags=["cooking"])


class Contended(RedisStore):
    """Before each conditional write of this store, somebody else writes the same streamer."""

    others = 0

    async def write(
        self,
        operations: Sequence[Upsert | Delete],
        *,
        once: Once | None = None,
        step: JobStep | None = None,
    ) -> list[Outcome]:
        first = operations[0]
        if self.others and isinstance(first, Upsert) and first.expected_version:
            self.others -= 1
            (stored,) = await self.get([first.record.streamer_id])
            assert stored is not None
            await super().write([Upsert(stored)])
        return await super().write(operations, once=once, step=step)


@asynccontextmanager
async def parts(
    bundle: Path, folder: Path, near: Callable[[EmbeddedStore, RedisStore], NearDuplicatesOf]
) -> AsyncGenerator[tuple[Contended, WritePipeline], None]:
    opened = Bundle(bundle)
    encoder = OnnxEncoder(opened)

    async def encode_one(features: Features) -> Encoded:
        return encoder.encode([features])[0]

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        return encoder.encode(features)

    async with EmbeddedStore(folder) as embedded:
        store = Contended(embedded.url, limits=PATIENT, trouble=embedded.trouble)
        await store.open()
        version = opened.manifest.model_version
        encoding = EncodingPipeline(Reader(opened.featurizer), encode_one, encode_many, version)
        stored = StoredProfiles(store, encoding, Lanes(Work()))
        try:
            yield store, WritePipeline(store, encoding, stored, near(embedded, store))
        finally:
            await store.close()


@dataclass
class Near(NearDuplicatesOf):
    """Calls something in place of a look."""

    call: Callable[[], Awaitable[None]]
    expected: list[str] = field(default_factory=list[str])

    def expect(self, streamer_ids: Sequence[str]) -> None:
        self.expected += streamer_ids

    def over(self, streamer_id: str, version: int | None, found: LookUp | None) -> None:
        assert found is None
        self.expected.remove(streamer_id)

    async def of(
        self, streamer_id: str, encoded: Encoded, tower_vectors: bytes, profile: StreamerProfile
    ) -> Looked:
        assert self.expected == [streamer_id]
        await self.call()
        raise AssertionError("it should have failed")


def raising(error: Exception) -> NearDuplicatesOf:
    async def call() -> None:
        raise error

    return Near(call)


def after_a_stop(embedded: EmbeddedStore, store: RedisStore) -> NearDuplicatesOf:
    """The store is gone when it is asked for what towers made of the nearest."""

    async def call() -> None:
        await embedded.stop()
        await store.tower_vectors(["b"])

    return Near(call)


def never(*_: object) -> NearDuplicatesOf:
    async def call() -> None:
        await asyncio.Event().wait()

    return Near(call)


@pytest.mark.parametrize(
    ("near", "why"),
    [
        (after_a_stop, "the store is stopped"),
        (lambda *_: raising(Overloaded("too many searches")), "too many searches"),
        (lambda *_: raising(ZeroDivisionError()), "the service's log has the cause"),
        (never, "not found within 0.05 s"),
    ],
)
def test_what_follows_the_commit_may_fail(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    near: Callable[[EmbeddedStore, RedisStore], NearDuplicatesOf],
    why: str,
) -> None:
    monkeypatch.setattr(near_duplicates, "LONGEST_S", 0.05 if near is never else 60)

    async def scenario() -> None:
        async with parts(bundle, tmp_path, near) as (_, writes):
            done = await writes.put(COOKING, None)
            then = await writes.follow_up(done)
            assert done.sequence == 1
            assert then.near_duplicates is None
            assert why in str(then.unavailable_because)

    asyncio.run(scenario())


def test_of_many_writes_with_one_cause_the_first_has_a_traceback(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with parts(bundle, tmp_path, lambda *_: raising(ZeroDivisionError())) as (_, writes):
            for _ in range(3):
                await writes.follow_up(await writes.put(COOKING, None))

    asyncio.run(scenario())
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_the_answer_is_no_error_then(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> Looked:
        raise ServiceError("the index is gone")

    monkeypatch.setattr(NearDuplicates, "of", gone)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        created = client.put("/v1/streamers/a", json={"tags": ["cooking"]})
        patched = client.patch("/v1/streamers/a", json={"name": "new"})
        thin = client.put("/v1/streamers/b", json={"name": "says nothing"})
    assert (created.status_code, patched.status_code) == (201, 200)
    for answer in (created, patched):
        assert answer.json()["near_duplicates"] is None
        assert answer.json()["near_duplicates_unavailable_because"] == "the index is gone"
    assert thin.json()["near_duplicates"] == []  # it has no vector, so nothing is asked
    assert thin.json()["near_duplicates_unavailable_because"] is None


@pytest.mark.parametrize("others", [1, 4, 100])
def test_a_patch_without_a_version_tries_again(bundle: Path, tmp_path: Path, others: int) -> None:
    async def scenario() -> None:
        async with parts(bundle, tmp_path, never) as (store, writes):
            await writes.put(COOKING, None)
            store.others = others
            if others == 100:
                with pytest.raises(WriteContended, match="during each of 5 attempts"):
                    await writes.patch("a", {"name": "new"}, None)
            else:
                await writes.patch("a", {"name": "new"}, None)
            (stored,) = await store.get(["a"])
            assert stored is not None
            assert json.loads(stored.profile).get("name") == (None if others == 100 else "new")
            store.others = 1
            with pytest.raises(VersionConflict):  # who expects a version decides
                await writes.patch("a", {"name": "newer"}, stored.version)

    asyncio.run(scenario())


def test_patches_at_once_are_all_there_or_refused(bundle: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(bundle, tmp_path, never) as (store, writes):
            await writes.put(COOKING, None)

            async def patch(i: int) -> str | None:
                try:
                    await writes.patch("a", {"attributes": {f"n{i}": i}}, None)
                except WriteContended:
                    return None
                return f"n{i}"

            told: list[Awaitable[str | None]] = [patch(i) for i in range(16)]
            done = {name for name in await asyncio.gather(*told) if name is not None}
            (stored,) = await store.get(["a"])
            assert stored is not None
            assert set(json.loads(stored.profile)["attributes"]) == done
            assert done

    asyncio.run(scenario())


def test_a_store_that_was_re_encoded_refuses_the_old_model(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    socket = service.data_dir / "store" / "run" / "store.sock"
    with Redis(unix_socket_path=str(socket)) as store:
        store.hset("ss:meta", "model_version", "another")
        answer = service.client.put("/v1/streamers/b", json={"tags": ["cooking"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "model_changed")
        assert "restart it with that model's bundle" in answer.json()["detail"]
        (line,) = service.bulk([{"streamer_id": "b", "tags": ["cooking"]}])
        assert line["error"]["code"] == "model_changed"
        wait_until(lambda: not service.is_ready(), "it says so")
        assert "vectors of model another" in service.client.get("/readyz").json()["reason"]
        store.hset("ss:meta", "model_version", "test-0")
    wait_until(service.is_ready, "it is ready again")
    assert set(service.streamers()) == {"a"}


def test_lines_that_are_sent_twice_at_once_are_written_once(bundle: Path, tmp_path: Path) -> None:
    profiles = [StreamerProfile(streamer_id=i, tags=["cooking"]) for i in ("a", "b", "c")]

    async def scenario() -> None:
        async with parts(bundle, tmp_path, lambda *_: raising(ServiceError("unused"))) as opened:
            store, writes = opened
            await writes.put(COOKING.model_copy(update={"tags": ["music"]}), None)
            both_have_compared = asyncio.Barrier(2)
            digests, compared = store.digests, 0

            async def digests_together(
                ids: Sequence[str], *, confirmed: bool = False
            ) -> list[tuple[int, str] | None]:
                nonlocal compared
                found = await digests(ids, confirmed=confirmed)
                compared += 1
                if compared <= 2:
                    await both_have_compared.wait()
                return found

            store.digests = digests_together
            done = await asyncio.gather(
                *(writes.write_many(profiles, skip_unchanged=True) for _ in range(2))
            )
            assert compared == 3
            first, second = sorted(done, key=lambda results: isinstance(results[0], Unchanged))
            assert [r.sequence for r in first if isinstance(r, Acknowledged)] == [2, 3, 4]
            assert [r.version for r in second if isinstance(r, Unchanged)] == [2, 3, 4]
            later = await writes.put(COOKING, None)
            assert later.sequence == 5

    asyncio.run(scenario())


def test_lines_that_are_on_disk_are_told_whatever_becomes_of_those_that_others_wrote(
    bundle: Path, tmp_path: Path
) -> None:
    profiles = [StreamerProfile(streamer_id=i, tags=["cooking"]) for i in ("a", "b", "c")]

    async def scenario() -> None:
        async with parts(bundle, tmp_path, lambda *_: raising(ServiceError("unused"))) as opened:
            store, writes = opened
            await writes.put(COOKING.model_copy(update={"tags": ["music"]}), None)
            store.others = 1
            digests, compared = store.digests, 0

            async def digests_once(
                ids: Sequence[str], *, confirmed: bool = False
            ) -> list[tuple[int, str] | None]:
                nonlocal compared
                compared += 1
                if compared > 1:
                    raise StoreUnavailable("it has just gone")
                return await digests(ids, confirmed=confirmed)

            store.digests = digests_once
            refused, *written = await writes.write_many(profiles, skip_unchanged=True)
            assert compared == 2
            assert isinstance(refused, StoreUnavailable)
            stored = await store.get(["b", "c"])
            assert [r.sequence for r in written if isinstance(r, Acknowledged)] == [
                record.version for record in stored if record is not None
            ]

    asyncio.run(scenario())
