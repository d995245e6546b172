"""Writes while two models are kept: an address is asked once, and a bad profile refuses itself."""

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi.testclient import TestClient

from model_export.contract.bundle import MANIFEST, Bundle
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import Reader, ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.work.lanes import Lane
from service.errors import Overloaded, ServiceError
from service.features.streamers import both_models
from service.features.streamers.both_models import OtherModel
from service.features.streamers.outcomes import Acknowledged
from service.features.streamers.records import record_of
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Media
from service.store.base import Record
from service.store.embedded.supervisor import EmbeddedStore
from service.store.models.base import ModelPointer
from service.store.redis.models.store import RedisModels
from service.store.redis.store import RedisStore
from tests.bundles import SPACE, TOPICS, write_bundle
from tests.media_towers import image_spec, picture
from tests.service.conftest import put
from tests.service.data_sets import NDJSON, json_line
from tests.service.features.models.test_life_cycle import FIRST, NEXT, backfilled, opened
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.features.transfers.waiting import ended, lines_of, upload
from tests.service.http.test_bad_input import pointers, problem
from tests.service.media.server import Request, Server, fetcher_for, run, serve, whole
from tests.service.process import wait_until
from tests.service.towers import media, reading

GOOD: list[dict[str, Any]] = [
    {"streamer_id": f"good{i}", "bio": TOPICS["cooking"]} for i in range(4)
]
ONLY_FIRST: dict[str, Any] = {
    "streamer_id": "only-first",
    "bio": TOPICS["music"],
    "avatar": {"vector": [1.0, 2.0, 3.0, 4.0], "space": SPACE},
}
"""The next model has a tower in place of this space."""
MIXED = [GOOD[0], ONLY_FIRST, *GOOD[1:]]


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service that writes for two models, of which one can't read vectors of a space."""
    write_bundle(folder / "other", seed=2, tower=True)
    with opened(folder, tmp_path / "data") as client:
        backfilled(client, "test-2", "other")
        yield client


def promoted(client: TestClient) -> set[str]:
    """Streamers that the other model finds, once it answers."""
    client.post("/v1/models/test-2:promote").raise_for_status()
    query = {"positive": [{"profile": {"bio": TOPICS["cooking"]}}], "k": 100}
    found: set[str] = set()

    def look() -> bool:
        answer = client.post("/v1/similar", json=query)
        answer.raise_for_status()
        assert answer.json()["model_version"] == "test-2"
        found.update(hit["streamer_id"] for hit in answer.json()["hits"])
        return len(found) >= len(GOOD)

    wait_until(look, "what was written is found")
    return found


def test_what_one_model_can_not_read_is_refused_alone(client: TestClient) -> None:
    answer = client.post(
        "/v1/streamers:bulk", content="".join(map(json_line, MIXED)), headers=NDJSON
    )
    results = lines_of(answer)
    assert [line["outcome"] for line in results] == ["created", "error", *["created"] * 3]
    assert results[1]["streamer_id"] == "only-first"
    assert pointers(results[1]["error"]) == ["/avatar/space"]
    alone = client.post("/v1/streamers:bulk", content=json_line(ONLY_FIRST), headers=NDJSON)
    assert [line["outcome"] for line in lines_of(alone)] == ["error"]
    body = problem(client.put("/v1/streamers/only-first", json=ONLY_FIRST), 422, "invalid_request")
    assert pointers(body) == ["/avatar/space"]
    assert client.get("/v1/streamers/only-first").status_code == 404
    assert promoted(client) == {profile["streamer_id"] for profile in GOOD}


def test_an_import_counts_it_as_refused(client: TestClient) -> None:
    job = ended(client, upload(client, "".join(map(json_line, [*MIXED, GOOD[0]]))))
    assert job["state"] == "succeeded", job
    result = job["result"]
    counts = {name: result[name] for name in ("lines", "created", "updated", "refused")}
    assert counts == {"lines": 6, "created": 4, "updated": 1, "refused": 1}
    (line,) = result["refused_lines"]
    assert (line["line"], line["streamer_id"]) == (2, "only-first")
    assert pointers(line["error"]) == ["/avatar/space"]
    assert job["progress"]["done"] == 6
    only = ended(client, upload(client, json_line(ONLY_FIRST)))["result"]
    assert (only["created"], only["refused"]) == (0, 1)
    assert promoted(client) == {profile["streamer_id"] for profile in GOOD}


@pytest.mark.slow
def test_an_import_waits_for_a_model_that_is_busy(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_many, refusals = EncodingPipeline.encode_many, [1, 2]

    async def busy(
        pipeline: EncodingPipeline, items: Sequence[ToRead]
    ) -> list[EncodedProfile | ServiceError]:
        done = await encode_many(pipeline, items)
        if pipeline.model_version == "test-2" and refusals:
            refusals.pop()
            done[0] = Overloaded("too many wait")
        return done

    monkeypatch.setattr(EncodingPipeline, "encode_many", busy)
    result = ended(client, upload(client, "".join(map(json_line, MIXED))))["result"]
    assert (result["created"], result["refused"], refusals) == (4, 1, [])


def test_what_a_model_saw_outlives_writes_by_the_other(media_bundle: Path, tmp_path: Path) -> None:
    """Bytes that were not kept can't be read again: each model keeps what its own towers saw."""
    folder, shown = tmp_path / "models", {"avatar": media(picture("red"))}
    shutil.copytree(media_bundle, folder / "first")
    write_bundle(folder / "next", seed=1, tower=True, media=True)
    manifest = folder / "next" / MANIFEST
    retrained = manifest.read_text(encoding="utf-8").replace(image_spec().version, "3" * 64)
    manifest.write_text(retrained, encoding="utf-8")
    with opened(folder, tmp_path / "data", media=Media(keep_bytes=False)) as client:

        def patch(name: str, bio: str) -> None:
            client.patch(f"/v1/streamers/{name}", json={"bio": bio}).raise_for_status()

        def serves(model: str) -> None:
            ready = partial(client.get, "/readyz")
            wait_until(lambda: ready().json()["model_version"] == model, f"{model} answers")

        def avatars() -> list[str]:
            found = [client.get(f"/v1/streamers/{name}").json() for name in ("before", "during")]
            return [streamer["modalities"]["avatar"] for streamer in found]

        put(client, "before", **shown)
        backfilled(client)
        put(client, "during", **shown)
        patch("during", TOPICS["music"])
        client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        serves(NEXT)
        assert avatars() == ["unsupported", "used"]
        patch("before", TOPICS["music"])
        patch("during", TOPICS["cooking"])
        client.post("/v1/models:rollback").raise_for_status()
        serves(FIRST)
        assert avatars() == ["used", "used"]
        embeddings = [client.get("/v1/streamers/before/embedding").json()["embedding"]]
        put(client, "before", bio=TOPICS["music"], **shown)
        embeddings.append(client.get("/v1/streamers/before/embedding").json()["embedding"])
        assert embeddings[0] == embeddings[1]


def test_a_large_record_is_made_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(item: EncodedProfile, model_version: str, *, keep_bytes: bool) -> Record:
        threads.append(threading.current_thread().name)
        return record_of(item, model_version, keep_bytes=keep_bytes)

    monkeypatch.setattr(both_models, "record_of", noted)
    profile = {"bio": TOPICS["cooking"], "avatar": media(picture("red"))}
    client.put("/v1/streamers/large", json=profile).raise_for_status()
    assert len(threads) == 1
    assert threads[0].startswith("lanes-")


class Second(OtherModel):
    """One that is there."""

    def __init__(self, pipeline: EncodingPipeline) -> None:
        self._pipeline = pipeline

    def pipeline(self) -> EncodingPipeline | None:
        return self._pipeline

    async def refresh(self) -> None:
        raise AssertionError("it is known already")


def pipeline_of(bundle: Bundle, reader: Reader) -> EncodingPipeline:
    encoder = OnnxEncoder(bundle)

    async def encode(features: Features) -> Encoded:
        return encoder.encode([features])[0]

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        return encoder.encode(features)

    return EncodingPipeline(reader, encode, encode_many, bundle.manifest.model_version)


@asynccontextmanager
async def writing(
    folder: Path, first: Path, authority: trustme.CA
) -> AsyncGenerator[tuple[Server, RedisStore, WritePipeline]]:
    """Writes for two models with towers, whose pictures a server has."""
    write_bundle(folder / "next", seed=1, tower=True, media=True)
    mine, other = Bundle(first), Bundle(folder / "next")
    async with (
        serve(whole(picture("red")), authority) as server,
        reading(mine, fetcher_for(server, authority).fetch) as read,
        reading(other, fetcher_for(server, authority).fetch) as read_by_other,
        EmbeddedStore(folder / "data") as embedded,
    ):
        store = await RedisStore(embedded.url, trouble=embedded.trouble).open()
        try:
            await store.set_model_version(FIRST)
            models = RedisModels(store.client)
            now = await models.pointer()
            target = ModelPointer(0, FIRST, NEXT, "ready")
            assert await models.move(now, target) is not None
            encoding = pipeline_of(mine, read.reader)
            view = store.of_model(FIRST)
            writes = WritePipeline(
                view, encoding, StoredProfiles(view, encoding, read.lanes), lanes=read.lanes
            )
            writes.other_model = Second(pipeline_of(other, read_by_other.reader))
            yield server, store, writes
        finally:
            await store.close()


def paths(server: Server) -> list[str]:
    """What was asked for since this was asked last, in some order."""
    asked: list[Request] = list(server.requests)
    server.requests.clear()
    return sorted(request.path for request in asked)


def test_an_address_is_asked_once_for_both(
    media_bundle: Path, tmp_path: Path, authority: trustme.CA
) -> None:
    async def scenario() -> None:
        async with writing(tmp_path, media_bundle, authority) as (server, store, writes):

            def shown(name: str, *addresses: str) -> StreamerProfile:
                covers = [{"url": server.url(each)} for each in addresses]
                videos = [{"video_id": f"v{i}", "cover": cover} for i, cover in enumerate(covers)]
                return StreamerProfile.model_validate(
                    {"streamer_id": name, "bio": "boss", "videos": videos}
                )

            await writes.put(shown("a", "/one"), None)
            assert paths(server) == ["/one"]
            many = [shown("b", "/two", "/three"), shown("c", "/four")]
            done = await writes.write_many(many, skip_unchanged=False)
            assert all(isinstance(each, Acknowledged) for each in done)
            assert paths(server) == ["/four", "/three", "/two"]
            await writes.put(shown("a", "/one", "/five"), None)
            assert paths(server) == ["/five", "/one"]
            await writes.patch("a", {"bio": "music"}, None)
            assert paths(server) == []
            for name in (FIRST, NEXT):
                for record in await store.of_model(name).get(["a", "b", "c"]):
                    assert record is not None
                    assert record.model_version == name
                    assert json.loads(record.modalities)["covers"] == "used"

    run(scenario())


def test_what_an_address_shows_is_the_same_to_a_backfill(
    media_bundle: Path, tmp_path: Path, authority: trustme.CA
) -> None:
    """A write for both stores what a backfill makes of the stored profile, which asks nobody."""

    async def scenario() -> None:
        async with writing(tmp_path, media_bundle, authority) as (server, store, writes):
            avatar = {"url": server.url("/red")}
            profile = StreamerProfile.model_validate({"streamer_id": "a", "avatar": avatar})
            await writes.put(profile, None)
            (stored,) = await store.of_model(FIRST).get(["a"])
            (second,) = await store.of_model(NEXT).get(["a"])
            assert stored is not None
            assert second is not None
            pipeline = writes.other_model.pipeline()
            assert pipeline is not None
            item = ToRead(profile, tower_vectors=stored.tower_vectors, stored=stored.profile)
            (made,) = await pipeline.encode_many([item])
            assert isinstance(made, EncodedProfile)
            again = await asyncio.to_thread(record_of, made, NEXT, keep_bytes=True)
            assert again.modalities == second.modalities
            assert again.embedding == second.embedding

    run(scenario())
