"""From one model to the next and back, while the service answers."""

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.prediction.fitted import FittedGeneration
from service.engine.prediction.fitting import GenerationFitter
from service.engine.replica import presence
from service.engine.spaces.generation import Generation
from service.engine.spaces.streamer_neighbours import StreamerNeighbours
from service.errors import ServiceError, StoreUnavailable
from service.features.models.records import COLLECTION
from service.settings import Settings
from service.settings.models import Models
from service.store.documents import Put
from service.store.redis.documents.store import RedisDocuments
from tests.bundles import TOPICS, write_bundle
from tests.service.conftest import put, put_all, wait_until_visible
from tests.service.features.spaces.hand_overs import hand_over_of, send, store_streamers
from tests.service.process import WAIT_S, wait_until, when_visible

FIRST, NEXT = "test-0", "test-1"
TOPIC_NAMES = tuple(TOPICS)


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    """Of models: the one that is served first, and the next one."""
    folder = tmp_path / "models"
    shutil.copytree(bundle, folder / "first")
    write_bundle(folder / "next", seed=1)
    return folder


def opened(folder: Path, data_dir: Path, *, groups: bool = False, **more: Any) -> TestClient:
    """A service with these models; `groups`: it groups duplicates, which costs much."""
    known = {"bundle": folder / "first", "data_dir": data_dir, "models": Models(folder=folder)}
    known["duplicates"] = {"evaluate": groups}
    settings = Settings.model_validate({**known, **more})
    return TestClient(create_app(settings), base_url="http://localhost")


def profile(i: int) -> dict[str, Any]:
    bio = TOPICS["cooking"]
    return {"streamer_id": f"s{i:02}", "name": f"n{i}", "tags": [TOPIC_NAMES[i % 4]], "bio": bio}


def fill(client: TestClient) -> None:
    put_all(client, map(profile, range(39)))
    wait_until_visible(client, put_all(client, [profile(39)]))  # alone, as when it is written again


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    with opened(folder, tmp_path / "data", groups=True) as client:
        fill(client)
        yield client


def model(client: TestClient, name: str) -> dict[str, Any]:
    answer = client.get(f"/v1/models/{name}")
    answer.raise_for_status()
    return answer.json()


def everywhere(client: TestClient, what: str, name: str) -> bool:
    """Whether every replica says something of a model."""
    return all(each[what] for each in model(client, name)["replicas"])


def refused(client: TestClient, path: str, **options: Any) -> str:
    """Why it was refused with 409."""
    answer = client.post(path, **options)
    assert answer.status_code == 409, answer.text
    return str(answer.json()["detail"])


def answers(client: TestClient) -> list[Any]:
    """What is asked of a model, without how long it took and how far the index is."""
    ids = [f"s{i:02}" for i in range(40)]
    asked = [
        client.get(f"/v1/streamers/{ids[0]}/similar", params={"k": 20}),
        client.post("/v1/similar", json={"positive": [{"profile": {"tags": ["music"]}}], "k": 20}),
        client.post("/v1/dedup", json={"ids": ids[:12]}),
        client.get(f"/v1/streamers/{ids[1]}/embedding"),
    ]
    found: list[Any] = []
    for answer in asked:
        answer.raise_for_status()
        kept = answer.json()
        for name in ("took_ms", "index_sequence"):
            kept.pop(name, None)
        found.append(kept)
    return found


def backfilled(client: TestClient, name: str = NEXT, folder: str = "next") -> None:
    client.post("/v1/models", json={"folder": folder}).raise_for_status()
    answer = client.post(f"/v1/models/{name}:backfill")
    assert answer.status_code == 202, answer.text
    wait_until(lambda: model(client, name)["state"] == "ready", "it is backfilled")
    wait_until(lambda: everywhere(client, "is_indexed", name), "its index is complete")


@pytest.mark.slow
def test_there_and_back(client: TestClient) -> None:
    before = answers(client)
    registered = client.post("/v1/models", json={"folder": "next"})
    assert registered.status_code == 201
    assert registered.json()["state"] == "registered"
    assert registered.json()["replicas"][0]["has_bundle"]
    backfilled(client)
    assert answers(client) == before
    promoted = client.post(f"/v1/models/{NEXT}:promote")
    promoted.raise_for_status()
    assert promoted.json()["state"] == "active"
    assert promoted.json()["replicas"][0]["serves"]
    assert client.get("/readyz").json()["model_version"] == NEXT
    after = answers(client)
    assert {answer["model_version"] for answer in after} == {NEXT}
    assert after[0]["hits"] != before[0]["hits"]
    states = {m["model_version"]: m["state"] for m in client.get("/v1/models").json()["models"]}
    assert states == {NEXT: "active", FIRST: "ready"}
    # What is written meanwhile is there after the way back too.
    put(client, "meanwhile", tags=["travel"], bio=TOPICS["travel"])
    last = client.delete("/v1/streamers/s39").raise_for_status().json()["sequence"]
    client.post("/v1/models:rollback").raise_for_status()
    asked = {"positive": [{"profile": {"tags": ["travel"]}}], "k": 100, "after_sequence": last}
    found = when_visible(lambda: client.post("/v1/similar", json=asked)).json()
    assert found["model_version"] == FIRST
    names = {hit["streamer_id"] for hit in found["hits"]}
    assert "meanwhile" in names
    assert "s39" not in names
    put_all(client, [profile(39)])
    wait_until_visible(client, client.delete("/v1/streamers/meanwhile").json()["sequence"])
    assert answers(client) == before
    retired = client.post(f"/v1/models/{NEXT}:retire")
    assert retired.json()["state"] == "retired"
    put(client, "s38", name="other", tags=["music"])
    assert client.get("/v1/streamers/s38").json()["model_version"] == FIRST


def test_an_answer_that_was_begun_goes_on(client: TestClient) -> None:
    question = {
        "positive": [{"streamer_id": "s00"}],
        "k": 10,
        "pages": True,
        "min_score": -1.0,
    }
    first = client.post("/v1/similar", json=question).json()
    backfilled(client)
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    second = client.get("/v1/similar", params={"cursor": first["next_cursor"]})
    second.raise_for_status()
    assert second.json()["model_version"] == FIRST
    assert client.post("/v1/similar", json=question).json()["model_version"] == NEXT


@pytest.mark.slow
def test_a_model_that_was_promoted_serves_after_a_restart(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_LEAVE_S", WAIT_S)  # a process that ends is forgotten
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        before = answers(client)
        backfilled(client)
        client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        after = answers(client)
    with opened(folder, tmp_path / "data") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        assert answers(client) == after
        assert len(model(client, FIRST)["replicas"]) == 1  # none is left of the process before
        wait_until(lambda: everywhere(client, "is_indexed", FIRST), "the other one too")
        client.post("/v1/models:rollback").raise_for_status()
        assert answers(client) == before


def test_a_way_back_that_is_sent_again_does_not_undo_itself(client: TestClient) -> None:
    backfilled(client)
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()

    def ask(_: int) -> Any:
        return client.post("/v1/models:rollback", headers={"Idempotency-Key": '"back"'})

    with ThreadPoolExecutor(3) as pool:  # at once, then again
        found = [*pool.map(ask, range(3)), ask(0)]
    assert [(a.status_code, a.json()["model_version"]) for a in found] == [(200, FIRST)] * 4
    assert client.get("/readyz").json()["model_version"] == FIRST
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    assert ask(0).json()["model_version"] == NEXT  # the request was carried out before
    assert client.post("/v1/models:rollback").json()["model_version"] == FIRST


@pytest.mark.slow
def test_paused_it_goes_on_where_it_stood(client: TestClient) -> None:
    client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    slow = {"streamers_per_s": 1}
    job = client.post(f"/v1/models/{NEXT}:backfill", params=slow).json()
    again = client.post(f"/v1/models/{NEXT}:backfill", params=slow).json()
    assert again["job_id"] == job["job_id"]
    wait_until(lambda: model(client, NEXT)["backfill"]["state"] == "running", "it runs")
    client.post(f"/v1/models/{NEXT}:pause").raise_for_status()
    wait_until(lambda: model(client, NEXT)["backfill"]["state"] == "cancelled", "it pauses")
    assert "is not being backfilled" in refused(client, f"/v1/models/{NEXT}:pause")
    assert model(client, NEXT)["state"] == "backfilling"
    assert "only a model that is ready" in refused(client, f"/v1/models/{NEXT}:promote")
    assert "is being backfilled" in refused(client, "/v1/models", json={"folder": "next"})
    client.post(f"/v1/models/{NEXT}:retire").raise_for_status()
    assert model(client, NEXT)["state"] == "retired"
    backfilled(client)


@pytest.mark.slow
@pytest.mark.parametrize("can_be_fitted", [True, False])
def test_a_model_waits_until_it_has_what_spaces_serve(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, can_be_fitted: bool
) -> None:
    """Every cold start in a space failed from the promotion on until it was fitted for it."""
    ids = store_streamers(client)
    send(client, "g0", hand_over_of(client, ids).npz(), promote="true").raise_for_status()
    question = {"streamer_id": ids[3], "space": "als", "users": 3}
    client.post("/v1/cold-start", json=question).raise_for_status()
    is_begun, may_fit, fit = threading.Event(), threading.Event(), GenerationFitter.__call__

    async def slow_fit(
        fitter: GenerationFitter, generation: Generation, neighbours: StreamerNeighbours | None
    ) -> FittedGeneration:
        is_begun.set()
        await asyncio.to_thread(may_fit.wait)
        if not can_be_fitted:
            raise ValueError("it can't be fitted")
        return await fit(fitter, generation, neighbours)

    monkeypatch.setattr(GenerationFitter, "__call__", slow_fit)
    try:
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
        client.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
        wait_until(is_begun.is_set, "it is being fitted")
        assert not everywhere(client, "is_indexed", NEXT)
        assert "not ready yet" in refused(client, f"/v1/models/{NEXT}:promote")
    finally:
        may_fit.set()
    wait_until(lambda: everywhere(client, "is_indexed", NEXT), "it is fitted, or can't be")
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    assert client.post("/v1/cold-start", json=question).is_success is can_be_fitted


@pytest.mark.slow
def test_a_model_waits_for_a_space_that_could_not_be_loaded_for_a_moment(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store_streamers(client)
    send(client, "g0", hand_over_of(client, ids).npz(), promote="true").raise_for_status()
    monkeypatch.setattr("service.features.spaces.following._AGAIN_S", 0.0)
    is_begun, may_fit, fit = threading.Event(), threading.Event(), GenerationFitter.__call__
    failed: list[ServiceError] = []

    async def second_fit(
        fitter: GenerationFitter, generation: Generation, neighbours: StreamerNeighbours | None
    ) -> FittedGeneration:
        if not failed:
            failed.append(StoreUnavailable("it does not answer"))
            raise failed[0]
        is_begun.set()
        await asyncio.to_thread(may_fit.wait)
        return await fit(fitter, generation, neighbours)

    monkeypatch.setattr(GenerationFitter, "__call__", second_fit)
    try:
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
        client.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
        wait_until(is_begun.is_set, "it is being fitted again")
        assert failed
        assert not everywhere(client, "is_indexed", NEXT)
    finally:
        may_fit.set()
    wait_until(lambda: everywhere(client, "is_indexed", NEXT), "it is fitted")


def test_a_model_that_is_registered_again_keeps_what_is_noted_of_it_meanwhile(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfilled(client)
    registry = client.app_state["services"].models._registry  # type: ignore[index]
    change, first = RedisDocuments.change, [True]

    async def beaten(self: RedisDocuments, puts: Sequence[Put], *more: Any) -> list[int]:
        if first and puts[0].collection == COLLECTION and first.pop():
            await registry.update(NEXT, served=True)
        return await change(self, puts, *more)

    monkeypatch.setattr(RedisDocuments, "change", beaten)
    client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    assert client.portal is not None
    assert client.portal.call(registry.get, NEXT).served


def test_what_can_not_be_done_says_why(client: TestClient, folder: Path) -> None:
    assert client.post("/v1/models/nobody:promote").status_code == 404
    assert client.get("/v1/models/nobody").status_code == 404
    assert "is active already" in refused(client, f"/v1/models/{FIRST}:promote")
    assert "promote another one first" in refused(client, f"/v1/models/{FIRST}:retire")
    assert "no model is kept" in refused(client, "/v1/models:rollback")
    backfilled(client)
    assert "has not served yet" in refused(client, "/v1/models:rollback")
    assert "is ready: promote or retire it" in refused(client, f"/v1/models/{NEXT}:backfill")
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    assert "is active already" in refused(client, f"/v1/models/{NEXT}:promote")


def test_a_version_that_was_kept_stays_the_bundle_that_it_was(
    client: TestClient, folder: Path
) -> None:
    backfilled(client)
    write_bundle(folder / "again", seed=1, calibration=None)
    other = {"json": {"folder": "again"}}
    assert "is ready as another bundle" in refused(client, "/v1/models", **other)
    client.post(f"/v1/models/{NEXT}:retire").raise_for_status()
    assert "was kept before as another bundle" in refused(client, "/v1/models", **other)
    client.post("/v1/models", json={"folder": "next"}).raise_for_status()


def of_other_width(folder: Path) -> None:
    write_bundle(folder, seed=2, content_dim=64)


def of_other_schema(folder: Path) -> None:
    write_bundle(folder, seed=2)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))


def of_other_tokenizer(folder: Path) -> None:
    write_bundle(folder, seed=2, tower=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tower_checks"][0]["inputs_fingerprint"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def of_a_changed_file(folder: Path) -> None:
    write_bundle(folder, seed=2)
    with (folder / "encoder.onnx").open("ab") as file:
        file.write(b"x")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (of_other_width, "content_dim 64, the model that serves has 128"),
        (of_other_schema, "schema_version"),
        (of_other_tokenizer, "other inputs of tower"),
        (of_a_changed_file, "bytes"),
    ],
)
def test_a_bundle_that_can_not_serve(
    client: TestClient, folder: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(folder / "bad")
    answer = client.post("/v1/models", json={"folder": "bad"})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/folder"
    assert why in error["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../first", "nowhere", "first/../../data", "."])
def test_a_folder_elsewhere(client: TestClient, name: str) -> None:
    assert client.post("/v1/models", json={"folder": name}).status_code == 422


def test_a_replica_that_lost_the_bundle_is_named(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    shutil.rmtree(folder / "next")
    write_bundle(folder / "next", seed=1, content_dim=64)  # another one in its place
    with opened(folder, tmp_path / "data") as client:

        def problems() -> list[dict[str, Any]]:
            return [each for each in model(client, NEXT)["replicas"] if each["problem"]]

        wait_until(lambda: bool(problems()), "it tells what is wrong")
        (replica,) = problems()
        assert "is another one than was registered" in replica["problem"]
        assert replica["replica"] in refused(client, f"/v1/models/{NEXT}:backfill")
