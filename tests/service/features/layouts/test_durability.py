"""Fits that are killed go on; layouts survive a restart and a backup, and forget the erased."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.app import create_app
from service.engine.layouts.anchors import keys_of
from service.features.layouts import jobs
from service.settings import Settings
from tests.bundles import TOPICS
from tests.service.conftest import Serve, put
from tests.service.features.layouts.maps import (
    drawn,
    ended,
    fitted,
    place_of,
    profile_of,
    state_of,
    store,
    until_indexed,
    until_placed,
)
from tests.service.features.transfers.waiting import submitted
from tests.service.http.test_bad_input import problem
from tests.service.process import Service, is_gone, run, wait_until
from tests.service.valkey import Server

pytestmark = pytest.mark.slow
EACH = 12
COUNT = EACH * len(TOPICS)


def places(client: Any) -> dict[str, tuple[float, float]]:
    names = [f"{topic}-{i:02}" for topic in TOPICS for i in range(EACH)]
    return {name: place_of(client, name) for name in names}


def workers_of(service: Service) -> list[psutil.Process]:
    """Its processes that fit layouts."""
    found: list[psutil.Process] = []
    parent = psutil.Process(service.process.pid)
    for child in parent.children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def slow_library(folder: Path) -> dict[str, str]:
    """An environment in which the library's import takes an hour."""
    (folder / "umap.py").write_text("import time\ntime.sleep(3600)\nraise ImportError\n")
    return {"PYTHONPATH": str(folder)}


def test_a_fit_that_is_killed_begins_anew_and_ends(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    service = serve(STREAMER_JOBS__LEASE_S="2", **slow_library(tmp_path / "slow"))
    store(service.client, EACH)
    path = submitted(service.client.post("/v1/layouts:fit"))
    wait_until(lambda: bool(workers_of(service)), "the worker has begun")
    workers = workers_of(service)
    service.kill()
    wait_until(lambda: all(map(is_gone, workers)), "the worker ends with its parent")
    files = tmp_path / "data" / "layouts"
    assert len(list(files.iterdir())) == 1
    service = serve(STREAMER_JOBS__AT_ONCE="0").wait_until_ready()  # nothing is fitted here
    assert list(files.iterdir()) == []
    assert service.stop() == 0
    service = serve(STREAMER_JOBS__LEASE_S="2")
    job = ended(service.client, path)
    assert job["state"] == "succeeded", job
    assert job["attempts"] >= 2
    assert list(files.iterdir()) == []
    assert drawn(service.client).head["count"] == COUNT


def test_a_worker_that_is_killed_fails_the_job_with_a_reason(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    service = serve(**slow_library(tmp_path / "slow"))
    store(service.client, EACH)
    path = submitted(service.client.post("/v1/layouts:fit"))
    wait_until(lambda: bool(workers_of(service)), "the worker has begun")
    for worker in workers_of(service):
        worker.kill()
    job = ended(service.client, path)
    assert job["state"] == "failed"
    assert "lack of memory" in job["error"]["detail"]


def test_a_cancelled_fit_leaves_no_process(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    service = serve(STREAMER_JOBS__LEASE_S="1", **slow_library(tmp_path / "slow"))
    store(service.client, EACH)
    path = submitted(service.client.post("/v1/layouts:fit"))
    wait_until(lambda: bool(workers_of(service)), "the worker has begun")
    service.client.post(f"{path}:cancel").raise_for_status()
    assert ended(service.client, path)["state"] == "cancelled"
    wait_until(lambda: not workers_of(service), "the worker has ended")


def opened(bundle: Path, data_dir: Path, **settings: Any) -> TestClient:
    ungrouped = {"duplicates": {"evaluate": False}}
    known = Settings.model_validate(
        {"bundle": bundle, "data_dir": data_dir, **ungrouped, **settings}
    )
    return TestClient(create_app(known), base_url="http://localhost")


def test_a_layout_survives_a_restart_and_a_backup(bundle: Path, tmp_path: Path) -> None:
    with opened(bundle, tmp_path / "data") as client:
        store(client, EACH)
        fitted(client)
        before = places(client)
        done = run("backup", "--data-dir", tmp_path / "data", "--out", tmp_path / "copy")
        assert done.returncode == 0, done.stderr
    with opened(bundle, tmp_path / "data") as client:
        until_placed(client, COUNT)
        assert places(client) == before
        second = fitted(client)["layout_id"]
    done = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    with opened(bundle, tmp_path / "data") as client:
        until_placed(client, COUNT)
        assert state_of(client)["served"] != second
        assert places(client) == before


def test_an_erased_streamer_is_no_anchor_any_more(bundle: Path, tmp_path: Path) -> None:
    with opened(bundle, tmp_path / "data") as client:
        store(client, EACH)
        layout_id = fitted(client)["layout_id"]
        name = "music-03"
        assert keys_of([name])[0] in anchors(tmp_path / "data", layout_id)
        client.delete(f"/v1/streamers/{name}", params={"erase": "true"}).raise_for_status()
        kept = anchors(tmp_path / "data", layout_id)
        assert keys_of([name])[0] not in kept
        assert len(kept) == COUNT - 1
        until_placed(client, COUNT - 1)


def test_who_is_erased_while_a_layout_is_fitted_is_no_anchor(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is erased, another one erased and written anew: neither is as the fit had it."""
    fit, gone, other = jobs.fit, "music-03", "travel-05"
    with opened(bundle, tmp_path / "data") as client:
        store(client, EACH)

        def erase() -> None:
            for name in (gone, other):
                path = f"/v1/streamers/{name}"
                client.delete(path, params={"erase": "true"}).raise_for_status()
            put(client, other, **profile_of("cooking", 2))

        async def fit_and_erase(*arguments: Any) -> np.ndarray:
            places = await fit(*arguments)
            await asyncio.to_thread(erase)
            return places

        monkeypatch.setattr(jobs, "fit", fit_and_erase)
        result = fitted(client)
        kept = anchors(tmp_path / "data", result["layout_id"])
        assert not np.isin(keys_of([gone, other]), kept).any()
        assert len(kept) == COUNT - 2
        until_placed(client, COUNT - 1)


def test_a_layout_of_which_nobody_is_left_says_so_and_another_one_can_be_fitted(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(bundle, tmp_path / "data") as client:
        store(client, 3)
        fitted(client)
        for topic in TOPICS:
            for i in range(3):
                path = f"/v1/streamers/{topic}-{i:02}"
                client.delete(path, params={"erase": "true"}).raise_for_status()
    with opened(bundle, tmp_path / "data") as client:
        wait_until(lambda: "was erased" in (state_of(client)["problem"] or ""), "it says so")
        asked = {"near": {"x": 1, "y": 1}}
        told = problem(client.post("/v1/layouts/current:select", json=asked), 503, "not_ready")
        assert "POST /v1/layouts:fit" in told["detail"]
        store(client, EACH)
        assert fitted(client)["shared"] == 0
        until_placed(client, COUNT)
        assert state_of(client)["problem"] is None
    assert "can't be kept up to date" not in caplog.text


def test_another_one_can_be_fitted_after_a_layout_that_is_destroyed(
    bundle: Path, tmp_path: Path
) -> None:
    with opened(bundle, tmp_path / "data") as client:
        store(client, EACH)
        layout_id = fitted(client)["layout_id"]
        documents = client.app_state["services"].layouts._follower._layouts._documents  # type: ignore[index]
        assert client.portal is not None
        client.portal.call(documents.drop, f"layouts:{layout_id}")
        assert fitted(client)["shared"] == 0
        until_placed(client, COUNT)


def test_files_that_can_not_be_written_fail_the_job_with_a_reason(
    serve: Serve, tmp_path: Path
) -> None:
    service = serve()
    store(service.client, EACH)
    folder = tmp_path / "data" / "layouts"
    folder.write_bytes(b"")  # in the way
    job = ended(service.client, submitted(service.client.post("/v1/layouts:fit")))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "layout_not_fitted"
    assert str(folder) in job["error"]["detail"]
    assert "Make room" in job["error"]["detail"]
    folder.unlink()
    service.client.post(f"/v1/jobs/{job['job_id']}:retry").raise_for_status()
    assert ended(service.client, f"/v1/jobs/{job['job_id']}")["state"] == "succeeded"


def anchors(data: Path, layout_id: str) -> np.ndarray:
    """Keys of the stored anchors."""
    with Redis(unix_socket_path=str(data / "store" / "run" / "store.sock")) as redis:
        parts: Any = redis.hvals(f"ss:document:layouts:{layout_id}")
        found = [json.loads(part.split(b" ", 1)[1])["keys"] for part in parts]
    return np.concatenate([np.frombuffer(base64.b64decode(one), "<u8") for one in found])


@pytest.fixture
def replicas(bundle: Path, tmp_path: Path) -> Iterator[tuple[TestClient, TestClient]]:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    with ExitStack() as running:
        running.callback(server.kill)

        def begin(name: str) -> TestClient:
            client = opened(bundle, tmp_path / name, redis_url=server.url)
            return running.enter_context(client)

        yield begin("one"), begin("other")


def test_replicas_serve_the_same_map(replicas: tuple[TestClient, TestClient]) -> None:
    one, other = replicas
    store(one, EACH)
    layout_id = fitted(one)["layout_id"]
    wait_until(lambda: state_of(other)["served"] == layout_id, "the other one serves it")
    last = put(other, "newcomer", **profile_of("gaming", 4))
    for replica in replicas:
        until_indexed(replica, last)
        until_placed(replica, COUNT + 1)
    assert drawn(one).all() == drawn(other).all()
    assert place_of(one, "newcomer") == place_of(other, "newcomer")
