"""Erasure: nothing of a streamer is left in the store, and the rest is named."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.app import create_app
from service.errors import StreamerNotFound
from service.features.models.live.counting import ShadowCounts
from service.features.streamers.erasure import Erasure, Known
from service.settings import Settings
from service.store.redis.store import RedisStore
from tests.service.conftest import Serve
from tests.service.process import run, wait_until
from tests.service.store.records import put, read_log, remove
from tests.service.valkey import Server

BIO = "a bio that nobody else has"
MILVUS = "Milvus, with every model that is kept"
SECURITY = Path(__file__).parents[4] / "docs" / "security.md"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(bundle: Path, tmp_path: Path, server: Server) -> Iterator[TestClient]:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path / "data", "redis_url": server.url}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        for number in range(3):
            client.put(f"/v1/streamers/s-{number}", json={"tags": ["music"]}).raise_for_status()
        for bio in (BIO, BIO + " and changed"):
            client.put("/v1/streamers/gone", json={"bio": bio}).raise_for_status()
        yield client


def kept(server: Server, needle: bytes) -> list[str]:
    """Keys of the store whose value names something."""
    found: list[str] = []
    with Redis.from_url(server.url) as redis:
        for key in redis.scan_iter():
            kind = redis.type(key)
            value: object = None
            if kind == b"hash":
                value = redis.hgetall(key)
            elif kind == b"stream":
                value = redis.xrange(key)
            elif kind == b"zset":
                value = redis.zrange(key, 0, -1)
            elif kind == b"string":
                value = redis.get(key)
            if needle in repr(value).encode() or needle in key:
                found.append(key.decode())
    return found


def files_with(server: Server, needle: bytes) -> list[Path]:
    found: list[Path] = []
    for path in server.folder.rglob("appendonly.aof.*"):
        with contextlib.suppress(FileNotFoundError):  # rewritten this moment
            if needle in path.read_bytes():
                found.append(path)
    return found


def test_nothing_is_left_in_the_store_and_its_file(client: TestClient, server: Server) -> None:
    assert files_with(server, BIO.encode())
    answer = client.delete("/v1/streamers/gone", params={"erase": True})
    assert answer.status_code == 200
    erased = answer.json()
    assert (erased["streamer_id"], erased["log_entries"]) == ("gone", 2)
    assert erased["sequence"] == 6
    assert erased["rewriting"]
    places = {"backups", "audit log", "other replicas", "files of jobs"}
    assert {p["where"] for p in erased["persists"]} >= places
    assert client.get("/v1/streamers/gone").status_code == 404
    # The log's entry of the delete has the id: other replicas have to know. Events are of ids.
    assert sorted(kept(server, b"gone")) == ["ss:events:writes", "ss:log"]
    assert kept(server, BIO.encode()) == []
    wait_until(lambda: not files_with(server, BIO.encode()), "the file is rewritten")


def _by_http(client: TestClient, _: Server, __: Path) -> list[str]:
    erased = client.delete("/v1/streamers/gone", params={"erase": True}).raise_for_status()
    return [place["where"] for place in erased.json()["persists"]]


def _by_command(_: TestClient, server: Server, folder: Path) -> list[str]:
    erased = run("erase", "gone", "--json", "--data-dir", folder, REDIS_URL=server.url)
    assert erased.returncode == 0, erased.stderr
    assert "this replica" not in erased.stdout
    return [place["where"] for place in json.loads(erased.stdout)["persists"]]


@pytest.mark.slow
@pytest.mark.parametrize("erase", [_by_http, _by_command], ids=["http", "command"])
def test_both_ways_remove_it_from_all_that_people_and_models_keep(
    client: TestClient,
    server: Server,
    tmp_path: Path,
    erase: Callable[[TestClient, Server, Path], list[str]],
) -> None:
    seeds = [{"streamer_id": "s-0"}, {"streamer_id": "gone"}]
    client.put("/v1/lists/named", json={"question": {"positive": seeds}}).raise_for_status()
    client.post("/v1/outreach", json={"ids": ["gone", "s-1"]}).raise_for_status()
    question = {"positive": ["s-0"], "negative": []}
    rating = {"question": question, "streamer_id": "gone", "rating": 2}
    client.put("/v1/ratings", json=rating).raise_for_status()
    report = ShadowCounts("next", "now", "run", 0.0, sampled=1)
    report.compare(["gone"], ["s-1"], ["s-0"])
    live = client.app_state["services"].live  # type: ignore[index]
    assert client.portal is not None
    client.portal.call(live.reports.begin, report)
    persists = {*erase(client, server, tmp_path)}
    assert {"jobs", "files that `encode` wrote, and its rejected rows"} <= persists
    # The command does not know what services use.
    assert (MILVUS in persists) == (erase is _by_command)
    assert sorted(kept(server, b"gone")) == ["ss:events:writes", "ss:log"]


def test_the_documentation_names_what_persists(client: TestClient) -> None:
    (section,) = re.findall(r"(?ms)^## Erasure$(.*?)^## ", SECURITY.read_text(encoding="utf-8"))
    rows = re.findall(r"(?m)^\| (.*?) \|", section)
    persists = client.delete("/v1/streamers/gone?erase=true").json()["persists"]
    places = {place for each in persists for place in each["where"].split(", ")} | {MILVUS}
    assert {place for place in places if not any(place in row for row in rows)} == set()


def test_others_stay_and_go_on(client: TestClient) -> None:
    client.delete("/v1/streamers/gone?erase=true").raise_for_status()
    sequence = client.put("/v1/streamers/s-9", json={"tags": ["music"]}).json()["sequence"]
    hits = client.get(f"/v1/streamers/s-0/similar?after_sequence={sequence}").json()["hits"]
    assert {hit["streamer_id"] for hit in hits} == {"s-1", "s-2", "s-9"}


def test_who_was_deleted_before_is_erased_later(client: TestClient, server: Server) -> None:
    client.delete("/v1/streamers/gone").raise_for_status()
    with Redis.from_url(server.url) as redis:
        before = redis.xlen("ss:log")
        erased = client.delete("/v1/streamers/gone?erase=true").json()
        assert (erased["sequence"], erased["log_entries"]) == (None, 2)
        assert redis.xlen("ss:log") == before - 2
    again = client.delete("/v1/streamers/gone?erase=true").json()
    assert (again["sequence"], again["log_entries"]) == (None, 0)


def test_a_version_that_does_not_hold_erases_nothing(client: TestClient, server: Server) -> None:
    answer = client.delete("/v1/streamers/gone?erase=true", headers={"If-Match": '"1"'})
    assert answer.status_code == 412
    assert "ss:record:gone" in kept(server, BIO.encode())


def test_the_audit_log_says_that_it_was_an_erasure(client: TestClient, tmp_path: Path) -> None:
    client.delete("/v1/streamers/gone?erase=true").raise_for_status()
    entries = client.get("/v1/audit?streamer_id=gone").json()["entries"]
    last = entries[-1]
    assert (last["method"], last["action"], last["results"]) == ("DELETE", "erase", 1)


@pytest.mark.slow
def test_a_replica_that_was_away_resyncs(
    client: TestClient, server: Server, serve: Serve, tmp_path: Path
) -> None:
    """Its place in the log is before the gap that the erasure left."""
    variables = {
        "REDIS_URL": server.url,
        "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "0",
        "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    }
    other = tmp_path / "other"
    assert serve(data_dir=other, **variables).stop() == 0
    assert list((other / "index").glob("[0-9]*"))
    client.put("/v1/streamers/later", json={"bio": BIO}).raise_for_status()
    client.delete("/v1/streamers/later?erase=true").raise_for_status()
    client.delete("/v1/streamers/s-1").raise_for_status()
    back = serve(data_dir=other, **variables)
    assert set(back.streamers()) == {"s-0", "s-2", "gone"}
    found = back.client.get("/v1/streamers/s-0/similar").json()["hits"]
    assert "s-1" not in {hit["streamer_id"] for hit in found}


@pytest.mark.slow
def test_the_saved_index_of_the_replica_is_removed(serve: Serve, tmp_path: Path) -> None:
    variables = {
        "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "0",
        "STREAMER_INDEX__SNAPSHOT_CHANGES": "1000",
    }
    service = serve(**variables)
    service.put("gone", bio=BIO)
    assert service.stop() == 0
    service = serve(**variables)
    index = tmp_path / "data" / "index"
    before = {path.name for path in index.glob("[0-9]*")}
    assert before
    service.client.delete("/v1/streamers/gone?erase=true").raise_for_status()
    assert not before & {path.name for path in index.glob("[0-9]*")}


@pytest.mark.slow
def test_the_command_erases_past_a_running_service(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    service.put("gone", bio=BIO)
    sequence = service.put("s-1", tags=["music"])
    done = run("erase", "gone", "--data-dir", tmp_path / "data", STREAMER_PAGING__KEEP_S="7")
    assert done.returncode == 0, done.stderr
    assert "gone: deleted" in done.stdout
    assert " 7 s after a page was asked for" in done.stdout
    assert "its vectors: 1 removed" in done.stdout
    assert "backups" in done.stdout
    assert "gone" not in service.streamers()
    assert service.similar(after_sequence=sequence + 1, tags=["music"]) == {"s-1"}


def test_a_made_up_id_is_refused(tmp_path: Path) -> None:
    done = run("erase", "no id", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "must be the id of a streamer" in done.stderr


def test_what_is_written_while_nobody_is_erased_stays_in_the_log(server: Server) -> None:
    async def run() -> None:
        store = await RedisStore(server.url).open()
        await put(store, "gone", "before")
        await remove(store, "gone")

        async def delete(streamer_id: str, _: int | None) -> int:
            assert await store.get([streamer_id]) == [None]
            await put(store, streamer_id, "after")
            raise StreamerNotFound(streamer_id)

        async def nowhere(_: str) -> int:
            return 0

        async def drop(_: str) -> None:
            return None

        known = Known(None, 0.0, 0.0, has_files=False, may_have_milvus=True)
        erased = await Erasure(store, delete, drop, known, nowhere).erase("gone", None)
        assert (erased.sequence, erased.log_entries) == (None, 1)
        assert MILVUS in {left.where for left in erased.persists}
        left = await read_log(store, 1, 3)
        assert [entry.sequence for entry in left] == [2, 3]
        await store.close()

    asyncio.run(run())
