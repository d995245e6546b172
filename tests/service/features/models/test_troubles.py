"""Changes of the model that go wrong half-way: nothing is left out, and each has a way back."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.bootstrap.models.switching import ModelHost
from service.errors import StoreUnavailable, TooManyJobs
from service.features.jobs.service import Jobs
from service.features.models import backfill, following
from service.features.models.bundles import BundleFolder, Files, FoundBundle
from service.features.models.records import Registry
from service.store.jobs import Job, JobStep
from service.store.models.base import SecondVectors
from service.store.redis.models.store import RedisModels
from tests.bundles import TOPICS, write_bundle
from tests.service.conftest import put
from tests.service.features.models.test_life_cycle import (
    FIRST,
    NEXT,
    backfilled,
    everywhere,
    fill,
    model,
    opened,
    refused,
)
from tests.service.process import WAIT_S, wait_until

ALL = [f"s{i:02}" for i in range(40)]


@pytest.fixture
def bundles(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(bundle, folder / "first")
    write_bundle(folder / "next", seed=1)
    return folder


@pytest.fixture
def service(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """With 40 streamers, of which a backfill does five at once."""
    monkeypatch.setattr(backfill, "_CHUNK", 5)
    with opened(bundles, tmp_path / "data") as client:
        fill(client)
        yield client


def paused(client: TestClient, monkeypatch: pytest.MonkeyPatch, *, after: int) -> str:
    """The job of a backfill of the registered model that was paused after so many of its chunks."""
    add, is_held, chunks = RedisModels.add, threading.Event(), list[int]()

    async def held(self: RedisModels, vectors: Sequence[SecondVectors], step: JobStep) -> int:
        if len(chunks) == after:
            is_held.set()
            await asyncio.Event().wait()  # until the pause cancels it
        chunks.append(len(vectors))
        return await add(self, vectors, step)

    with monkeypatch.context() as patched:
        patched.setattr(RedisModels, "add", held)
        job = client.post(f"/v1/models/{NEXT}:backfill").json()["job_id"]
        assert is_held.wait(WAIT_S)
        client.post(f"/v1/models/{NEXT}:pause").raise_for_status()
        wait_until(lambda: model(client, NEXT)["backfill"]["state"] == "cancelled", "it pauses")
    assert model(client, NEXT)["backfill"]["progress"]["done"] == sum(chunks) == 5 * after
    return str(job)


def register(client: TestClient) -> None:
    client.post("/v1/models", json={"folder": "next"}).raise_for_status()


def ready(client: TestClient) -> None:
    wait_until(lambda: model(client, NEXT)["state"] == "ready", "it is backfilled")
    wait_until(lambda: everywhere(client, "is_indexed", NEXT), "its index is complete")


def begun_again(client: TestClient, job: str) -> None:
    client.post(f"/v1/models/{NEXT}:backfill").raise_for_status()


def job_retried(client: TestClient, job: str) -> None:
    client.post(f"/v1/jobs/{job}:retry").raise_for_status()


@pytest.mark.slow
@pytest.mark.parametrize("go_on", [begun_again, job_retried])
def test_a_model_that_was_retired_is_backfilled_from_the_beginning(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, go_on: Callable[[TestClient, str], None]
) -> None:
    register(service)
    job = paused(service, monkeypatch, after=1)
    service.post(f"/v1/models/{NEXT}:retire").raise_for_status()
    for streamer_id in ("s00", "s03"):  # behind the place where the job stopped
        put(service, streamer_id, name="changed", tags=["music"], bio=TOPICS["music"])

    async def full(*_: Any, **__: Any) -> Job:
        raise TooManyJobs("too many jobs are queued", retry_after_s=1)

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "start", full)
        assert service.post(f"/v1/models/{NEXT}:backfill").is_error
    assert model(service, NEXT)["state"] == "backfilling"
    go_on(service, job)
    ready(service)
    service.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    found = service.post(
        "/v1/similar",
        json={"positive": [{"profile": {"bio": TOPICS["music"]}}], "k": 100, "min_score": -1.0},
    ).json()
    assert found["model_version"] == NEXT
    assert sorted(hit["streamer_id"] for hit in found["hits"]) == ALL


@pytest.mark.slow
def test_the_job_of_another_backfill_goes_on_nowhere(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retried while a newer one is paused it may not think that it had done what it did before."""
    register(service)
    old = paused(service, monkeypatch, after=1)
    service.post(f"/v1/models/{NEXT}:retire").raise_for_status()
    put(service, "s00", name="changed", tags=["music"], bio=TOPICS["music"])
    # Every replica encodes for it already, and it has not come to what was changed.
    assert paused(service, monkeypatch, after=0) != old
    service.post(f"/v1/jobs/{old}:retry").raise_for_status()
    ready(service)
    service.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    versions = [service.get(f"/v1/streamers/{i}").json()["model_version"] for i in ALL]
    assert versions == [NEXT] * 40


@pytest.mark.slow
def test_paused_it_does_nothing_twice(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    add, stored = RedisModels.add, list[str]()

    async def noted(self: RedisModels, vectors: Sequence[SecondVectors], step: JobStep) -> int:
        stored.extend(each.record.streamer_id for each in vectors)
        return await add(self, vectors, step)

    monkeypatch.setattr(RedisModels, "add", noted)
    register(service)
    job = paused(service, monkeypatch, after=1)
    again = service.post(f"/v1/models/{NEXT}:backfill").json()
    assert again["job_id"] == job
    ready(service)
    assert sorted(stored) == ALL


@pytest.mark.slow
def test_paused_it_goes_on_at_another_pace(service: TestClient) -> None:
    register(service)
    path, slow, quick = f"/v1/models/{NEXT}:backfill", 0.001, 100_000
    job = service.post(path, params={"streamers_per_s": slow}).json()["job_id"]
    wait_until(lambda: model(service, NEXT)["backfill"]["progress"]["done"] == 5, "some are done")
    assert "pause it" in refused(service, path, params={"streamers_per_s": quick})
    service.post(f"/v1/models/{NEXT}:pause").raise_for_status()
    told = service.post(path, params={"streamers_per_s": quick})
    if told.status_code == 409:  # it is still on its way
        assert "is being paused" in told.json()["detail"]
    wait_until(lambda: model(service, NEXT)["backfill"]["state"] == "cancelled", "it pauses")
    again = service.post(path, params={"streamers_per_s": quick}).json()
    assert (again["job_id"], again["progress"]["done"]) == (job, 5)
    ready(service)


def test_a_promotion_whose_answer_is_lost_can_be_rolled_back(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.post("/v1/models", json={"folder": "first"}).raise_for_status()
    backfilled(service)
    why = refused(service, "/v1/models:rollback")
    assert f"POST /v1/models/{NEXT}:promote" in why
    move = RedisModels.move

    async def lost(self: RedisModels, *told: Any) -> None:
        assert await move(self, *told) is not None
        raise StoreUnavailable("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(RedisModels, "move", lost)
        assert service.post(f"/v1/models/{NEXT}:promote").status_code == 503
    wait_until(lambda: model(service, NEXT)["state"] == "active", "it was promoted all the same")
    wait_until(lambda: everywhere(service, "is_indexed", FIRST), "the other one is kept")
    service.post("/v1/models:rollback").raise_for_status()
    assert model(service, FIRST)["state"] == "active"


@pytest.mark.slow
def test_a_replica_that_loads_a_model_is_there(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_model, note = ModelHost.open, RedisModels.note_replica
    is_loading, may_go_on = threading.Event(), threading.Event()
    told: list[Mapping[str, Any]] = []

    async def slowly(self: ModelHost, bundle: FoundBundle) -> None:
        is_loading.set()
        while not may_go_on.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)
        await open_model(self, bundle)

    async def noted(self: RedisModels, replica: str, held: Mapping[str, Any]) -> None:
        await note(self, replica, held)
        told.append(held)

    monkeypatch.setattr(ModelHost, "open", slowly)
    monkeypatch.setattr(RedisModels, "note_replica", noted)
    service.post("/v1/models", json={"folder": "next"}).raise_for_status()
    service.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
    assert is_loading.wait(60)
    before = len(told)
    wait_until(lambda: len(told) >= before + 3, "it tells that it is there")
    assert all(NEXT not in held["encodes"] for held in told)
    assert model(service, NEXT)["backfill"]["progress"]["done"] == 0
    may_go_on.set()
    ready(service)


class Looks:
    """Counts how often the files of bundles are looked at, and how often they are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = self.reads = 0
        files, find = BundleFolder.files, BundleFolder.find

        def looked(folder: BundleFolder, name: str) -> Files | None:
            found = files(folder, name)
            self.looks += 1
            return found

        def read(folder: BundleFolder, name: str) -> FoundBundle:
            self.reads += 1
            return find(folder, name)

        monkeypatch.setattr(BundleFolder, "files", looked)
        monkeypatch.setattr(BundleFolder, "find", read)
        monkeypatch.setattr(following, "_AGAIN_S", 0.0)

    def go_on(self) -> None:
        """Wait for some looks."""
        before = self.looks
        wait_until(lambda: self.looks > before + 3, "it is looked at")


def test_a_wrong_bundle_is_read_again_once_it_changed(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(bundles, tmp_path / "data") as client:
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    shutil.move(bundles / "next", tmp_path / "kept")
    write_bundle(bundles / "next", seed=1, content_dim=64)  # another one in its place
    looks = Looks(monkeypatch)
    with opened(bundles, tmp_path / "data") as client:
        looks.go_on()
        assert looks.reads == 1
        assert "is another one" in model(client, NEXT)["replicas"][0]["problem"]
        shutil.rmtree(bundles / "next")
        shutil.move(tmp_path / "kept", bundles / "next")
        wait_until(lambda: everywhere(client, "has_bundle", NEXT), "it is found")
        reads = looks.reads
        assert model(client, NEXT)["replicas"][0]["problem"] in (None, "")
        assert looks.reads == reads


@pytest.mark.slow
def test_a_file_that_can_not_be_read_for_a_moment(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(bundles, tmp_path / "data") as client:
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    read_bytes, failures = Path.read_bytes, [1, 2, 3]

    def failing(path: Path) -> bytes:
        if path == bundles / "next" / "manifest.json" and failures:
            failures.pop()
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    monkeypatch.setattr(following, "_AGAIN_S", 0.0)
    with opened(bundles, tmp_path / "data") as client:
        wait_until(lambda: everywhere(client, "has_bundle", NEXT), "it is read")
        assert not failures


@pytest.mark.slow
def test_what_could_not_be_loaded_is_loaded_later(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.post("/v1/models", json={"folder": "next"}).raise_for_status()
    looks, open_model, failures = Looks(monkeypatch), ModelHost.open, [1, 2, 3]

    async def failing(self: ModelHost, bundle: FoundBundle) -> None:
        if failures:
            failures.pop()
            raise MemoryError("there is no memory left")
        await open_model(self, bundle)

    monkeypatch.setattr(ModelHost, "open", failing)
    service.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
    ready(service)
    assert not failures
    assert looks.reads == 0  # its files are as they were


def test_profiles_are_read_beside_the_event_loop(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"video_id": f"v{i}", "title": "word " * 20} for i in range(1000)]  # > 64 KiB
    put(service, "large", name="large", bio=TOPICS["music"], videos=many)
    threads: dict[str, set[str]] = {}

    def watched(name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(backfill, name)

        def noted(*given: Any, **more: Any) -> Any:
            threads.setdefault(name, set()).add(threading.current_thread().name)
            return call(*given, **more)

        return noted

    for name in ("_to_read", "record_of"):
        monkeypatch.setattr(backfill, name, watched(name))
    backfilled(service)
    assert threads.keys() == {"_to_read", "record_of"}
    for names in threads.values():
        assert all(each.startswith("lanes-") for each in names), names
    service.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    assert service.get("/v1/streamers/large").json()["model_version"] == NEXT


@pytest.mark.slow
def test_a_model_whose_retirement_was_not_written_down_asks_for_a_promotion(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.post("/v1/models", json={"folder": "first"}).raise_for_status()
    backfilled(service)
    service.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    wait_until(lambda: everywhere(service, "is_indexed", FIRST), "the other one is kept")

    async def lost(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "change", lost)
        assert service.post(f"/v1/models/{FIRST}:retire").status_code == 503
    service.post(f"/v1/models/{FIRST}:backfill").raise_for_status()
    wait_until(lambda: model(service, FIRST)["state"] == "ready", "it is kept again")
    assert "has not served yet" in refused(service, "/v1/models:rollback")


def test_a_retirement_that_stopped_half_way_is_finished_by_the_next_one(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfilled(service)

    async def lost(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "change", lost)
        assert service.post(f"/v1/models/{NEXT}:retire").status_code == 503
    assert model(service, NEXT)["state"] == "registered"
    again = service.post(f"/v1/models/{NEXT}:retire")
    assert (again.status_code, again.json()["state"]) == (200, "retired")
    assert again.json()["backfill"] is None
    assert "is not kept" in refused(service, f"/v1/models/{NEXT}:retire")


def test_backfills_that_are_begun_at_once_are_one(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(service)
    start, others = Jobs.start, list[Job]()
    models = service.app_state["services"].models  # type: ignore[index]

    async def beside(self: Jobs, *given: Any, **more: Any) -> Job:
        with monkeypatch.context() as patched:
            patched.setattr(Jobs, "start", start)
            others.append(await models.backfill(NEXT, None, None, ("", "")))
        return await start(self, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "start", beside)
        job = service.post(f"/v1/models/{NEXT}:backfill").json()
    assert [other.job_id for other in others] == [job["job_id"]]
    assert model(service, NEXT)["backfill"]["job_id"] == job["job_id"]
    ready(service)
