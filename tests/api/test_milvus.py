"""A service with its vectors in Milvus answers as one with FAISS's exact scan does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.milvus import MilvusServer
from tests.support.searching import FILTERS, assert_alike, profiles
from tests.support.service import Service, wait_until

pytestmark = pytest.mark.milvus

COUNT = 600
SEEDS = [f"s{i:04}" for i in range(0, COUNT, 40)]


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    server = MilvusServer(tmp_path_factory.mktemp("milvus"))
    try:
        yield server.start().wait()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def variables(milvus: MilvusServer) -> dict[str, Any]:
    return {
        "STREAMER_INDEX__BACKEND": "milvus",
        "MILVUS_URI": milvus.uri,
        "STREAMER_MILVUS__MARGIN_S": "14",
        "STREAMER_MILVUS__TIMEOUT_S": "2",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="module")
def services(
    bundle: Path, folder: Path, variables: dict[str, Any]
) -> Iterator[tuple[Service, Service]]:
    """One with Milvus and one with FAISS, with the same streamers."""
    with (
        Service(bundle, folder / "milvus", **variables) as ours,
        Service(bundle, folder / "faiss") as other,
    ):
        for service in (ours, other):
            service.wait_until_ready().api.write(profiles(COUNT))
        yield ours, other


@pytest.mark.parametrize("condition", FILTERS)
def test_questions_and_filters_are_answered_alike(
    services: tuple[Service, Service], condition: dict[str, Any]
) -> None:
    ours, other = (service.api for service in services)
    assert_alike(ours, other, SEEDS, k=20, filter=condition)


def test_what_is_replaced_and_deleted_is_seen_at_once_and_once_it_is_settled(
    services: tuple[Service, Service],
) -> None:
    changed = [p | {"streamer_id": f"s{i:04}"} for i, p in enumerate(profiles(100, seed=1))]
    sequence = 0
    for service in services:
        service.api.write(changed)
        for i in range(100, 130):
            sequence = service.api.ok("DELETE", f"/v1/streamers/s{i:04}")["sequence"]
        service.api.wait_until_indexed(sequence)
    ours, other = (service.api for service in services)
    seeds = [seed for seed in SEEDS if not "s0100" <= seed < "s0130"]
    assert_alike(ours, other, seeds, k=50)

    def is_settled() -> bool:
        (cluster,) = ours.ok("GET", "/readyz")["index"]["clusters"]
        return cluster["settled"] >= sequence

    wait_until(is_settled, "Milvus has all writes")
    assert_alike(ours, other, seeds, k=50)


def test_a_restart_and_a_lost_server_lose_nothing(
    services: tuple[Service, Service],
    milvus: MilvusServer,
    folder: Path,
    bundle: Path,
    variables: dict[str, Any],
) -> None:
    ours, other = services
    milvus.kill()
    body = {"positive": [{"streamer_id": SEEDS[0]}]}
    wait_until(lambda: ours.api.post("/v1/similar", json=body).status_code == 503, "it is gone")
    ours.api.ok("PUT", "/v1/streamers/late", {"tags": ["cooking"]}, status=201)
    other.api.put_streamer("late", tags=["cooking"])
    milvus.start().wait()
    wait_until(lambda: ours.api.post("/v1/similar", json=body).status_code == 200, "it is back")
    assert_alike(ours.api, other.api, ["late"], k=20)
    assert ours.stop() == 0
    with Service(bundle, folder / "milvus", **variables) as again:
        again.wait_until_ready()
        assert_alike(again.api, other.api, ["late", SEEDS[-1]], k=20)
