"""The store is gone, silent, or has no room while the service runs: it says so, and recovers."""

import os
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.service.conftest import Serve
from tests.service.process import START_S, Service, median_s, wait_until

pytestmark = pytest.mark.slow

LONG = [{"video_id": f"v{i}", "title": "kitchen " * 60} for i in range(40)]
"""Videos that fill a disk before there are more streamers than one answer may have."""


def put(service: Service, streamer_id: str, **more: Any) -> httpx.Response:
    return service.client.put(f"/v1/streamers/{streamer_id}", json={"tags": ["cooking"], **more})


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    """A refusal that tells when to come again."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def check_consistent(service: Service, acknowledged: set[str]) -> None:
    """Store and index hold the same streamers, and all that were acknowledged."""
    sequence = service.put("last", tags=["cooking"])
    stored = set(service.streamers())
    assert stored >= acknowledged | {"last"}
    assert service.similar(sequence, tags=["cooking"]) == stored
    assert service.client.get("/readyz").json()["index_rows"] == len(stored)


def log_file(service: Service) -> Path:
    (path,) = (service.data_dir / "store" / "appendonlydir").glob("*.incr.aof")
    return path


@contextmanager
def outage(service: Service) -> Iterator[None]:
    """Kill the store, and let it not come up again before the end."""
    path = log_file(service)
    whole, other = path.read_bytes(), path.with_suffix(".other")
    other.write_bytes(b"?" + whole[1:])
    other.replace(path)
    service.store.kill()
    try:
        yield
    finally:
        other.write_bytes(whole)
        other.replace(path)


def test_the_store_is_gone_for_a_while(serve: Serve) -> None:
    service = serve()
    for streamer_id in ("a", "b", "c"):
        service.put(streamer_id, tags=["cooking"])
    sequence = service.put("d", tags=["cooking"])
    similar = service.client.get(
        "/v1/streamers/a/similar", params={"after_sequence": sequence}
    ).json()["hits"]
    with outage(service):
        wait_until(lambda: put(service, "x").status_code == 503, "writes are refused")
        client = service.client
        check_problem(put(service, "x"), 503, "store_unavailable")
        check_problem(client.patch("/v1/streamers/a", json={}), 503, "store_unavailable")
        check_problem(client.delete("/v1/streamers/a"), 503, "store_unavailable")
        check_problem(client.get("/v1/streamers/a"), 503, "store_unavailable")
        check_problem(client.get("/v1/streamers"), 503, "store_unavailable")
        results = service.bulk([{"streamer_id": f"bulk-{i}"} for i in range(3)])
        assert [r["error"]["status"] for r in results] == [503] * 3
        # What is in memory is answered.
        wait_until(
            lambda: client.get("/v1/streamers/a/similar").json()["complete"] is False,
            "answers say that they may be old",
        )
        answer = client.get("/v1/streamers/a/similar")
        assert answer.status_code == 200
        assert answer.json()["hits"] == similar
        assert "the newest writes may be missing" in answer.json()["incomplete_because"]
        assert service.similar(tags=["cooking"]) == {"a", "b", "c", "d"}
        dedup = client.post("/v1/dedup", json={"ids": ["a", "b"]})
        cold_start = client.post("/v1/cold-start", json={"profile": {"tags": ["music"]}})
        assert (dedup.status_code, cold_start.status_code) == (200, 200)
        assert (dedup.json()["complete"], cold_start.json()["complete"]) == (False, False)
        later = client.get("/v1/streamers/a/similar", params={"after_sequence": str(sequence + 1)})
        check_problem(later, 503, "not_yet_visible")
        # The probes tell apart what is broken.
        # The log has the store's own words, of the last attempt to start it, which name files.
        words = re.compile("the log in .* is damaged")
        wait_until(lambda: words.search(service.output) is not None, "the damage is named")
        wait_until(lambda: "(the log has the reason)" in degraded(service), "it leads to them")
        assert str(service.data_dir) not in degraded(service)
        wait_until(lambda: client.get("/readyz").status_code == 503, "it lasts: it is unready")
        assert "the store is restarting" in client.get("/readyz").json()["reason"]
        assert client.get("/livez").status_code == 200
        assert client.get("/startupz").status_code == 200
        # Who asks the store once a second says so once.
        lines = [line for line in service.output.splitlines() if " service.features." in line]
        assert max(Counter(line.split(" ", 2)[2] for line in lines).values()) <= 2, lines
    wait_until(service.is_ready, "it recovers by itself")
    assert set(service.streamers()) >= {"a", "b", "c", "d"}
    service.client.delete("/v1/streamers/d").raise_for_status()
    check_consistent(service, {"a", "b", "c"})
    assert "d" not in service.streamers()


def test_the_store_is_silent_for_a_while(serve: Serve) -> None:
    service = serve()
    assert service.similar(service.put("a", tags=["cooking"]), tags=["cooking"]) == {"a"}
    store = service.store
    store.suspend()
    try:
        begun = time.monotonic()
        check_problem(put(service, "unknown"), 503, "store_unavailable")
        assert time.monotonic() - begun > 1
        wait_until(lambda: not service.is_ready(), "it notices")
        assert service.similar(tags=["cooking"]) == {"a"}
        # It does not wait for the store, which takes 5 s.
        assert median_s(lambda: service.similar(tags=["cooking"])) < 4
    finally:
        store.resume()
    wait_until(service.is_ready, "it recovers by itself")
    assert service.store.pid == store.pid
    check_consistent(service, {"a"})


def test_a_log_entry_that_the_index_can_not_take_in(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    odd = {"op": "upsert", "id": "odd", "embedding": "odd", "content": "odd", "facets": "{}"}
    with Redis(unix_socket_path=str(service.data_dir / "store" / "run" / "store.sock")) as store:
        assert store.hincrby("ss:meta", "sequence", 1) == 2
        store.xadd("ss:log", {**odd}, id="2-0")
    service.put("b", tags=["cooking"])
    check_consistent(service, {"a", "b"})
    skipped = service.client.get("/readyz").json()["skipped_records"]
    assert skipped["count"] == 1
    assert "'odd' at version 2: its embedding is of another width" in skipped["examples"]
    metrics = service.client.get("/metrics").text
    assert "\nstreamer_index_skipped_records 1.0\n" in metrics


# No room


def fill(service: Service) -> set[str]:
    """Write until the service refuses; what it acknowledged."""
    acknowledged: set[str] = set()
    for i in range(900):
        answer = put(service, f"s{i}", videos=LONG)
        if not answer.is_success:
            assert answer.status_code in (503, 507), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            return acknowledged
        acknowledged.add(f"s{i}")
    raise AssertionError("the disk never was full")


def degraded(service: Service) -> str:
    return str(service.client.get("/readyz").json()["degraded_because"])


def check_full(service: Service, acknowledged: set[str]) -> None:
    """Writes are refused, everything else goes on."""
    refused: list[httpx.Response] = []
    told: list[str] = []

    def is_full() -> bool:  # a store that met a quota is so for a second or two
        told.append(degraded(service))
        answer = put(service, "more")
        if answer.status_code == 507:
            refused.append(answer)
        return bool(refused) and any("disk is full" in reason for reason in told)

    wait_until(is_full, "it knows why, and the probes tell", every_s=0.001)
    check_problem(refused[0], 507, "store_full")
    assert "disk is full" in refused[0].json()["detail"]
    assert set(service.streamers()) >= acknowledged
    wait_until(lambda: service.similar(tags=["cooking"]) >= acknowledged, "all are found")


def test_a_store_that_meets_a_quota(serve: Serve) -> None:
    service = serve()
    service.put("first", tags=["cooking"])
    limit = log_file(service).stat().st_size + 300_000
    resource.prlimit(service.store.pid, resource.RLIMIT_FSIZE, (limit, limit))
    acknowledged = fill(service)
    assert len(acknowledged) > 10
    check_full(service, acknowledged | {"first"})
    wait_until(service.is_ready, "it recovers: the next store process has no quota")
    check_consistent(service, acknowledged | {"first"})
    # Nor is anything lost afterwards.
    service.kill()
    check_consistent(serve(), acknowledged | {"first", "last"})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 4 MiB more than the store keeps in reserve, and 28 MiB of ballast."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    (folder / "ballast").write_bytes(bytes(28 << 20))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full(bundle: Path, small_disk: Path) -> None:
    data_dir = small_disk / "data"
    with Service(bundle, data_dir) as service:
        service.wait_until_ready()
        acknowledged = fill(service)
        assert acknowledged
        check_full(service, acknowledged)
        assert service.client.get("/readyz").status_code == 200  # what can be read is read
        service.kill()
    # It starts on the full disk, to answer what needs no writing.
    with Service(bundle, data_dir) as service:
        check_full_after_start(service, acknowledged)
        (small_disk / "ballast").unlink()
        wait_until(service.is_ready, "it recovers by itself")
        check_consistent(service, acknowledged)


def check_full_after_start(service: Service, acknowledged: set[str]) -> None:
    wait_until(lambda: service.client.get("/startupz").status_code == 200, "the index is built")
    check_full(service, acknowledged)


def test_a_full_disk_and_nothing_stored(bundle: Path, small_disk: Path) -> None:
    (small_disk / "more-ballast").write_bytes(bytes(5 << 20))
    with Service(bundle, small_disk / "data") as service:
        assert service.process.wait(START_S) == 1
        said = service.output.splitlines()[-1]
        assert said.startswith(f"error: there is no room for a new store in {small_disk}/data: ")
        assert "choose another --data-dir" in said
        assert "Traceback" not in service.output


def test_a_store_that_is_killed_comes_back_at_once(serve: Serve) -> None:
    service = serve()
    for i in range(5):
        service.put(f"s{i}", tags=["cooking"])
        store = service.store
        os.kill(store.pid, signal.SIGKILL)
        wait_until(lambda: service.is_ready() and service.store.pid != store.pid, "it is back")  # noqa: B023
    check_consistent(service, {f"s{i}" for i in range(5)})
    metrics = service.client.get("/metrics").text
    assert "\nstreamer_store_restarts_total 5.0\n" in metrics
    assert "\nstreamer_store_durable 1.0\n" in metrics
    assert re.search(r'\nstreamer_log_records_total\{level="error"\} [1-9]', metrics)
