"""Processes that are killed or stand still, disks that are full, clients that are gone.

Whatever happens, nothing that was acknowledged is lost, and nothing that was deleted comes back.
"""

import contextlib
import json
import random
import resource
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Serve
from tests.faults.soak import (
    SETTINGS,
    Soak,
    Told,
    kill_both,
    kill_store,
    profile_of,
    under_writes,
    wait_for_more,
)
from tests.support.api import NDJSON, Api
from tests.support.bundles import write_bundle
from tests.support.machine import free_port
from tests.support.service import wait_until
from tests.support.valkey import SERVICE, Replicated, Sentinels, Server

UNGROUPED = {"STREAMER_DUPLICATES__EVALUATE": "false"}
JOBS = {**UNGROUPED, "STREAMER_JOBS__LEASE_S": "1"}


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A store of one's own."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def fill(api: Api, told: Told, count: int, prefix: str = "s") -> None:
    told.bulk(api, {f"{prefix}{i:05}": f"{prefix} {i}" for i in range(count)})
    assert told.acknowledged >= count


# kill -9


@pytest.mark.parametrize("victims", ["service", "store", "both"])
def test_what_was_acknowledged_just_before_a_kill_is_there(
    serve: Serve, told: Told, victims: str
) -> None:
    port = free_port()
    service = serve(port=port, **UNGROUPED)
    with under_writes(service.url, told):
        for turn in range(2):
            wait_for_more(told, 60)
            fill(service.api, told, 200, f"{turn}-")  # most of it is not in the index yet
            if victims == "store":
                kill_store(service)
                continue
            if victims == "service":
                service.kill()
            else:
                kill_both(service, store_first=turn == 0)
            service = serve(port=port, **UNGROUPED)
            wait_for_more(told, 20)
    told.check(service.api)
    service.api.put_streamer("last", tags=["cooking"])
    hits = service.api.ok("GET", "/v1/streamers/last/similar?k=100")["hits"]
    assert len(hits) == 100


def test_of_a_bulk_write_that_is_cut_off_all_lines_with_a_result_are_there(
    serve: Serve, told: Told
) -> None:
    service = serve(**UNGROUPED)
    states = {f"b{i:05}": f"state {i}" for i in range(6000)}
    for name, state in states.items():
        told.sent(name, state)
    content = "".join(
        json.dumps({"streamer_id": name, **profile_of(state)}) + "\n"
        for name, state in states.items()
    )
    with (
        contextlib.suppress(httpx.TransportError),
        service.api.stream(
            "POST", "/v1/streamers:bulk", content=content.encode(), headers=NDJSON
        ) as answer,
    ):
        for line in answer.iter_lines():
            result = json.loads(line)
            told.done(result["streamer_id"], states[result["streamer_id"]])
            if told.acknowledged == 300:
                service.kill()
    assert 300 <= told.acknowledged < 6000
    again = serve(**UNGROUPED).api
    told.check(again)
    told.bulk(again, states)
    assert {len(allowed) for allowed in told.allowed.values()} == {1}
    told.check(again)


def test_a_write_that_is_sent_again_after_a_kill_is_done_once(serve: Serve) -> None:
    service = serve(**UNGROUPED)
    key = {"Idempotency-Key": "the-same"}
    first = service.api.put("/v1/streamers/a", json=profile_of("once"), headers=key)
    other = service.api.put("/v1/streamers/b", json=profile_of("b"))
    service.kill()
    service = serve(**UNGROUPED)
    again = service.api.put("/v1/streamers/a", json=profile_of("once"), headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["version"] == first.json()["version"] < other.json()["version"]
    assert service.api.ok("GET", "/readyz")["store_sequence"] == other.json()["version"]


@pytest.mark.parametrize("victims", ["service", "both"])
def test_an_import_goes_on_and_writes_each_line_once(serve: Serve, victims: str) -> None:
    lines = [{"streamer_id": f"i{i:05}", **profile_of(f"{i}")} for i in range(4000)]
    content = "".join(json.dumps(line) + "\n" for line in lines) + "rubbish\n"
    service = serve(**JOBS)
    job = service.api.ok(
        "POST", "/v1/jobs/imports", status=202, content=content.encode(), headers=NDJSON
    )
    path = f"/v1/jobs/{job['job_id']}"
    for least in (1, 1500):
        wait_until(
            lambda: service.api.ok("GET", path)["progress"]["done"] >= least,  # noqa: B023
            "some lines are imported",
        )
        if victims == "service":
            service.kill()
        else:
            kill_both(service, store_first=True)
        service = serve(**JOBS)
    ended = service.api.finished(service.api.ok("GET", path))
    result = ended["result"]
    assert (result["lines"], result["created"], result["refused"]) == (4001, 4000, 1)
    assert (result["updated"], result["unchanged"], result["sequence"]) == (0, 0, 4000)
    assert service.api.ok("GET", "/readyz")["store_sequence"] == 4000  # each was written once
    found = service.api.all("/v1/streamers", "streamers", limit=1000)
    assert [streamer["profile"] for streamer in found] == lines


@pytest.mark.parametrize("victims", ["service", "store"])
def test_a_rebuild_of_the_index_that_is_killed_is_begun_again(
    serve: Serve, told: Told, victims: str
) -> None:
    service = serve(**JOBS)
    fill(service.api, told, 3000)
    job = service.api.ok("POST", "/v1/index:rebuild", status=202)
    path = f"/v1/jobs/{job['job_id']}"
    wait_until(lambda: service.api.ok("GET", path)["attempts"] >= 1, "it runs")
    if victims == "store":
        kill_store(service)
    else:
        service.kill()
        service = serve(**JOBS)
    ended = service.api.finished(service.api.ok("GET", path))
    assert (ended["result"]["streamers"], ended["result"]["skipped"]) == (3000, 0)
    told.check(service.api)


def test_a_backfill_goes_on_and_the_next_model_is_whole(
    serve: Serve, told: Told, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "models" / "next", seed=1)
    known = {**JOBS, "STREAMER_MODELS__FOLDER": str(tmp_path / "models")}
    port = free_port()
    service = serve(port=port, **known)
    fill(service.api, told, 2000)
    api = service.api
    api.ok("POST", "/v1/models", {"folder": "next"}, status=201)
    job = api.ok("POST", "/v1/models/test-1:backfill", {}, status=202)
    path = f"/v1/jobs/{job['job_id']}"
    wait_until(lambda: api.ok("GET", path)["progress"]["done"] > 0, "some are encoded")
    service.kill()
    service = serve(port=port, **known)
    api = service.api
    with under_writes(service.url, told):  # beside it
        wait_for_more(told, 50)
        api.finished(api.ok("GET", path))
    wait_until(
        lambda: api.ok("GET", "/v1/models/test-1")["state"] == "ready", "every streamer is encoded"
    )
    promote = "/v1/models/test-1:promote"
    wait_until(lambda: api.post(promote, json={"force": True}).is_success, "it is promoted")
    wait_until(lambda: api.ok("GET", "/readyz")["model_version"] == "test-1", "it answers")
    told.check(api)


def test_a_kill_while_the_index_is_saved_leaves_what_a_start_can_use(
    serve: Serve, told: Told, tmp_path: Path
) -> None:
    always = {**SETTINGS, "STREAMER_INDEX__SNAPSHOT_S": "0.001"}
    port, index = free_port(), tmp_path / "data" / "index"
    sources: list[str] = []
    service = serve(port=port, **always)
    for turn in range(4):
        with under_writes(service.url, told):
            wait_for_more(told, 50)
            saved = service.api.ok("GET", "/readyz")["snapshot"]
            wait_until(
                lambda: service.api.ok("GET", "/readyz")["snapshot"] != saved,  # noqa: B023
                "it is saved again",
            )
            if turn % 2:
                wait_until(lambda: any(index.glob(".*")), "it is being saved")
            kill_both(service, store_first=False)
        service = serve(port=port, **always)
        sources.append(service.api.ok("GET", "/readyz")["snapshot"]["source"])
        told.check(service.api)
    assert "snapshot" in sources


# Stores that stand still, are full, are replaced


def test_a_store_that_stands_still_comes_back_with_everything(serve: Serve, told: Told) -> None:
    service = serve(**UNGROUPED, STREAMER_LIMITS__STORE_GRACE_S="1")
    fill(service.api, told, 50)
    store = service.store
    with under_writes(service.url, told):
        wait_for_more(told, 50)
        store.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: service.api.get("/readyz").status_code == 503, "it is not ready")
            assert service.api.get("/livez").status_code == 200
            question = {"positive": [{"profile": {"tags": ["cooking"]}}], "k": 10}
            assert len(service.api.ok("POST", "/v1/similar", question)["hits"]) == 10
        finally:
            store.send_signal(signal.SIGCONT)
        service.wait_until_ready()
        wait_for_more(told, 20)
    told.check(service.api)


def test_a_full_disk_refuses_writes_and_loses_none(serve: Serve, told: Told) -> None:
    service = serve(**UNGROUPED)
    fill(service.api, told, 20)
    log = service.data_dir / "store" / "appendonlydir"
    room = max(path.stat().st_size for path in log.iterdir()) + 100_000
    codes = Counter[str]()

    def refuses() -> bool:
        """Writes one more; whether the disk is named as the reason for a refusal."""
        with contextlib.suppress(AssertionError, ProcessLookupError):  # it is being started
            resource.prlimit(service.store.pid, resource.RLIMIT_FSIZE, (room, room))
        name, state = f"f{told.acknowledged}", f"{told.acknowledged}"
        told.sent(name, state)
        answer = service.api.put(f"/v1/streamers/{name}", json=profile_of(state))
        if answer.is_success:
            told.done(name, state)
        else:
            codes[answer.json()["code"]] += 1
        return codes["store_full"] > 0

    wait_until(refuses, "a write is refused")
    assert 30 < told.acknowledged < 5000
    assert {*codes} <= {"store_full", "store_unavailable"}
    assert service.api.ok("GET", "/v1/streamers/s00000")["profile"]["name"] == "s 0"

    def has_room() -> bool:
        told.sent("more", "more")
        return service.api.put("/v1/streamers/more", json=profile_of("more")).is_success

    wait_until(has_room, "the next process of the store, which has room, takes writes")
    told.done("more", "more")
    told.check(service.wait_until_ready().api)


def test_sentinels_replace_the_primary_and_the_service_goes_on(
    serve: Serve, told: Told, tmp_path: Path
) -> None:
    with (
        Replicated(tmp_path, replicas=2) as servers,
        Sentinels(tmp_path, servers.servers[0], 1, down_after_ms=1000) as watching,
    ):
        watching.wait_until_they_know(2)
        service = serve(
            REDIS_URL=f"redis://{SERVICE}/0",
            STREAMER_STORE__SENTINELS=",".join(f"{h}:{p}" for h, p in watching.addresses),
            STREAMER_STORE__REPLICAS="1",
            **UNGROUPED,
        )
        primary = watching.primary()
        with under_writes(service.url, told):
            wait_for_more(told, 60)
            (killed,) = [each for each in servers.servers if each.port == primary]
            killed.kill()
            wait_until(lambda: watching.primary() not in (primary, None), "another is promoted")
            wait_for_more(told, 60)
        told.check(service.wait_until_ready().api)
        service.stop()


# Replicas


def test_replicas_see_each_others_writes_and_one_takes_over_the_others_job(
    serve: Serve, told: Told, server: Server, tmp_path: Path
) -> None:
    shared = {
        **JOBS,
        "REDIS_URL": server.url,
        "STREAMER_JOBS__SPOOL_DIR": str(tmp_path / "spool"),
    }
    one = serve(data_dir=tmp_path / "one", **shared)
    idle = serve(data_dir=tmp_path / "two", **shared, STREAMER_JOBS__AT_ONCE="0")
    with under_writes(one.url, told):
        wait_for_more(told, 30)
        for number in range(5):
            written = idle.api.put(f"/v1/streamers/seen-{number}", json=profile_of("seen")).json()
            told.done(f"seen-{number}", "seen")
            question = {
                "positive": [{"streamer_id": f"seen-{number}"}],
                "after_sequence": written["sequence"],
            }
            answer = one.api.ok("POST", "/v1/similar", question)
            assert answer["index_sequence"] >= written["sequence"]
    for replica in (one, idle):
        told.check(replica.api)
    version = one.api.get("/v1/streamers/seen-0").headers["etag"]
    idle.api.ok("DELETE", "/v1/streamers/seen-0")
    one.api.refused(
        *("PUT", "/v1/streamers/seen-0", profile_of("late")),
        status=412,
        code="version_conflict",
        headers={"If-Match": version},
    )
    told.done("seen-0", None)

    lines = {f"t{i:05}": f"taken {i}" for i in range(4000)}
    content = "".join(
        json.dumps({"streamer_id": name, **profile_of(state)}) + "\n"
        for name, state in lines.items()
    )
    job = one.api.ok(
        "POST", "/v1/jobs/imports", status=202, content=content.encode(), headers=NDJSON
    )
    path = f"/v1/jobs/{job['job_id']}"
    wait_until(lambda: idle.api.ok("GET", path)["progress"]["done"] > 0, "it runs")
    one.kill()
    other = serve(data_dir=tmp_path / "other", **shared).api
    ended = other.finished(other.ok("GET", path))
    assert ended["attempts"] > 1
    assert (ended["result"]["created"], ended["result"]["unchanged"]) == (4000, 0)
    for name, state in lines.items():
        told.done(name, state)
    for api in (other, idle.api):
        told.check(api)


# Clients


def test_clients_that_do_not_read_or_leave_harm_nobody(serve: Serve, told: Told) -> None:
    service = serve(**UNGROUPED)
    fill(service.api, told, 3000)
    host, port = service.url.removeprefix("http://").split(":")
    question = json.dumps({"positive": [{"streamer_id": "s00000"}], "min_score": -1}).encode()
    begun: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(20):
            slow = socket.create_connection((host, int(port)))
            stack.enter_context(slow)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            if number % 2:  # reads nothing
                slow.sendall(
                    b"POST /v1/similar/export HTTP/1.1\r\nHost: a\r\n"
                    b"Content-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(question), question)
                )
            else:  # sends two lines of three
                body = b"".join(
                    json.dumps({"streamer_id": f"left-{number}-{i}", **profile_of("x")}).encode()
                    + b"\n"
                    for i in range(3)
                )
                slow.sendall(
                    b"POST /v1/streamers:bulk HTTP/1.1\r\nHost: a\r\n"
                    b"Content-Type: application/x-ndjson\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:-20])
                )
                for i in range(3):
                    told.sent(f"left-{number}-{i}", "x")
            begun.append(slow)
        for number in range(20):  # others are answered meanwhile
            service.api.put_streamer(f"other-{number}", **profile_of("other"))
            told.done(f"other-{number}", "other")
        for leaving in random.Random(1).sample(begun, 10):
            leaving.close()
        service.api.put_streamer("after", **profile_of("after"))
        told.done("after", "after")
        told.check(service.api)
        assert service.stop() == 0  # with the rest of them connected
    assert "Traceback" not in service.output
    told.check(serve(**UNGROUPED).api)


# All of it, again and again


def test_two_rounds_of_the_soak(bundle: Path, tmp_path: Path) -> None:
    said: list[Any] = []
    soak = Soak(bundle, tmp_path / "data", seed=1)
    soak.run(2, said.append)
    assert soak.rounds.total() == 2
    assert soak.told.acknowledged > 50
    assert (soak.told.lost, soak.told.resurrected) == ([], [])
