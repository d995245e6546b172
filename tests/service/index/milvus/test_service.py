"""A service whose index is in Milvus."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.index.milvus.collection import Collection, Shape
from service.store.documents import PROJECTIONS
from tests.bundles import DIM, TOPICS
from tests.service.milvus_server import MilvusServer
from tests.service.process import Service, error_line, run, wait_until
from tests.service.valkey import Server

pytestmark = [pytest.mark.milvus, pytest.mark.slow]
LONG_S = 180
Start = Callable[..., Service]


def variables(milvus: MilvusServer, **more: Any) -> dict[str, Any]:
    return {
        "STREAMER_INDEX__BACKEND": "milvus",
        "STREAMER_MILVUS_URI": milvus.uri,
        "STREAMER_MILVUS__MARGIN_S": "16",
        "STREAMER_MILVUS__TIMEOUT_S": "3",
        "STREAMER_MILVUS__LEASE_S": "3",
        **{name: str(value) for name, value in more.items()},
    }


@pytest.fixture
def start(bundle: Path, tmp_path: Path, milvus: MilvusServer) -> Iterator[Start]:
    """Starts services on Milvus; they end with the test."""
    with ExitStack() as running:

        def start(**more: Any) -> Service:
            service = Service(bundle, tmp_path / "data", **variables(milvus, **more))
            running.enter_context(service)
            wait_until(service.is_ready, "the service is ready", LONG_S, every_s=0.1)
            return service

        yield start


def scanned(service: Service) -> int:
    return service.client.get("/readyz").json()["index"]["scanned"]


def wait_until_settled(service: Service) -> None:
    wait_until(lambda: scanned(service) == 0, "everything has settled", LONG_S, every_s=0.2)


def collections(milvus: MilvusServer) -> set[str]:
    client = milvus.client()
    try:
        return set(client.list_collections())
    finally:
        client.close()


def test_written_searched_and_started_again(start: Start, milvus: MilvusServer) -> None:
    before = collections(milvus)
    service = start()
    everyone = {f"s{i}" for i in range(40)}
    for i in range(40):
        topic = "cooking" if i % 2 else "gaming"
        sequence = service.put(f"s{i}", tags=["cooking"], bio=TOPICS[topic], name=f"n{i}")
        assert f"s{i}" in service.similar(sequence, tags=["cooking"])  # at once
    assert service.similar(tags=["cooking"]) == everyone
    wait_until_settled(service)
    assert service.similar(tags=["cooking"]) == everyone
    service.client.delete("/v1/streamers/s3").raise_for_status()
    service.put("s4", tags=["music"], bio=TOPICS["music"])
    everyone -= {"s3"}
    assert service.similar(tags=["cooking"]) == everyone
    (nearest,) = service.similar(tags=["music"], bio=TOPICS["music"], k=1)
    assert nearest == "s4"
    answer = service.client.get("/v1/streamers/s7/similar", params={"k": 3}).json()
    assert len(answer["hits"]) == 3
    assert service.client.get("/v1/streamers/s3/similar").status_code == 404
    assert service.stop() == 0
    service = start()
    assert service.similar(tags=["cooking"]) == everyone
    assert service.similar(tags=["music"], bio=TOPICS["music"], k=1) == {"s4"}
    wait_until_settled(service)
    assert service.similar(tags=["cooking"]) == everyone
    assert len(collections(milvus) - before) == 1  # it went on with the same one


def test_a_collection_is_dropped_or_altered_by_hand(start: Start, milvus: MilvusServer) -> None:
    before = collections(milvus)
    service = start()
    everyone = {result["streamer_id"] for result in service.bulk(some(20))}
    wait_until_settled(service)
    (name,) = collections(milvus) - before
    client = milvus.client()
    try:
        client.drop_collection(name)
        wait_until(lambda: not service.is_ready(), "it is noticed")
        wait_until(lambda: answers(service, everyone), "it is built anew", LONG_S)
        assert "it was dropped" in service.output or "no collection" in service.output
        for dim in (DIM // 2, DIM):  # of another width, and the same but empty
            (name,) = collections(milvus) - before
            client.drop_collection(name)
            create_other(client, name, dim)
            wait_until(lambda: not service.is_ready(), "it is noticed")
            wait_until(lambda: answers(service, everyone), "it is built anew", LONG_S)
            client.drop_collection(name)
    finally:
        client.close()


def answers(service: Service, everyone: set[str]) -> bool:
    """Whether there is an answer; if there is, it is complete."""
    answer = service.client.post("/v1/similar", json=question(k=100))
    if answer.status_code == 503:
        return False
    hits = answer.raise_for_status().json()["hits"]
    assert {hit["streamer_id"] for hit in hits} == everyone
    return True


def some(count: int) -> list[dict[str, Any]]:
    return [{"streamer_id": f"s{i}", "tags": ["cooking"], "name": f"n{i}"} for i in range(count)]


def question(**options: Any) -> dict[str, Any]:
    return {"positive": [{"profile": {"tags": ["cooking"]}}], **options}


def create_other(client: Any, name: str, dim: int) -> None:
    """A collection of that name with the same fields."""
    known = Shape("by hand", dim, 64, 64)
    Collection(client, name, known, timeout_s=30).create()


def test_rows_are_deleted_by_hand(start: Start, milvus: MilvusServer) -> None:
    before = collections(milvus)
    service = start(STREAMER_MILVUS__AUDIT_S=10)
    everyone = {result["streamer_id"] for result in service.bulk(some(20))}
    wait_until_settled(service)
    (name,) = collections(milvus) - before
    client = milvus.client()
    try:
        client.delete(name, filter="version in [3, 5]")
        wait_until(lambda: "2 rows were missing" in service.output, "the audit misses them", LONG_S)
        wait_until(lambda: answers(service, everyone), "all are back", LONG_S)
    finally:
        client.close()


def test_a_place_ahead_of_the_store(start: Start, milvus: MilvusServer, server: Server) -> None:
    service = start(REDIS_URL=server.url)
    everyone = {result["streamer_id"] for result in service.bulk(some(20))}
    wait_until_settled(service)
    service.stop()
    with Redis.from_url(server.url) as redis:
        alter(redis)
    service = start(REDIS_URL=server.url)
    wait_until(lambda: "ahead of the store" in service.output, "it is noticed", LONG_S)
    assert service.similar(tags=["cooking"]) == everyone


def alter(redis: Any) -> None:
    """Let the record of the collection be ahead."""
    (key,) = [k for k in redis.keys(f"*{PROJECTIONS}*") if redis.type(k) == b"hash"]
    for field, value in redis.hgetall(key).items():
        start = value.find(b"{")
        record = json.loads(value[start:])
        record["sequence"] += 1000
        redis.hset(key, field, value[:start] + json.dumps(record).encode())


def test_settings_that_do_not_fit(bundle: Path, tmp_path: Path, milvus: MilvusServer) -> None:
    options = ("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0)
    done = run(*options, STREAMER_INDEX__BACKEND="milvus")
    assert done.returncode != 0
    assert "STREAMER_MILVUS_URI" in error_line(done)
    done = run(*options, **variables(milvus, STREAMER_MILVUS__MARGIN_S=7))
    assert "STREAMER_MILVUS__MARGIN_S=7" in error_line(done)
