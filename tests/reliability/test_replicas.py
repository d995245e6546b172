"""Several services on one store: each sees what any of them acknowledged, or says that it can't."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.bundles import TOPICS
from tests.reliability.conftest import Replicas
from tests.reliability.fault_proxy import FaultProxy
from tests.reliability.service_history import TAG, ServiceHistory, under_writes
from tests.support.service import WAIT_S, Service, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow

WORDS = " ".join(TOPICS.values())


def fill(service: Service, prefix: str, number: int) -> int:
    """Write many streamers; the last sequence number."""
    profiles = [
        {"streamer_id": f"{prefix}{i}", "tags": [TAG], "bio": WORDS, "name": f"{prefix}{i}"}
        for i in range(number)
    ]
    return max(result["sequence"] for result in service.bulk(profiles))


def ready(service: Service) -> tuple[int, dict[str, Any]]:
    answer = service.client.get("/readyz")
    return answer.status_code, answer.json()


@contextmanager
def suspended(service: Service) -> Iterator[None]:
    """It stands still meanwhile, connections and all."""
    service.stand_still()
    try:
        yield
    finally:
        service.go_on()


def test_what_one_acknowledged_is_seen_by_all(replicas: Replicas, server: Server) -> None:
    services = replicas(*[server.url] * 3)
    there: set[str] = set()
    for i in range(24):
        writer = services[i % 3]
        sequence = writer.put(f"s{i}", tags=[TAG])
        there.add(f"s{i}")
        for reader in services:
            assert reader.similar(sequence, tags=[TAG]) == there
        if i % 2:
            gone = f"s{i - 1}"
            answer = services[(i + 1) % 3].client.delete(f"/v1/streamers/{gone}")
            there.remove(gone)
            for reader in services:
                assert reader.similar(answer.json()["sequence"], tags=[TAG]) == there
                assert reader.client.get(f"/v1/streamers/{gone}/similar").status_code == 404
    for service in services:
        status, health = ready(service)
        assert (status, health["index_sequence"], health["index_rows"]) == (200, 36, 12)
        wait_until(lambda: ready(service)[1]["store_sequence"] == 36, "it looks")  # noqa: B023
        assert ready(service)[1]["lag_s"] < 10


def test_one_of_many_writes_over_the_same_version_wins(replicas: Replicas, server: Server) -> None:
    services = replicas(*[server.url] * 3)
    version = services[0].put("a", tags=[TAG], name="first")

    def write(number: int) -> httpx.Response:
        return services[number % 3].client.put(
            "/v1/streamers/a",
            json={"tags": [TAG], "name": f"{version} {number}"},
            headers={"If-Match": f'"{version}"'},
        )

    with ThreadPoolExecutor(9) as pool:
        for _ in range(15):
            answers = list(pool.map(write, range(9)))
            assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 8}
            (won,) = (i for i, answer in enumerate(answers) if answer.status_code == 200)
            name = f"{version} {won}"
            version = answers[won].json()["version"]
            for service in services:
                stored = service.client.get("/v1/streamers/a").json()
                assert (stored["version"], stored["profile"]["name"]) == (version, name)
    assert version == 16  # nobody else's write was counted


def test_replicas_that_are_killed_under_writes(replicas: Replicas, server: Server) -> None:
    services, told = replicas(*[server.url] * 3), ServiceHistory()
    for number in (1, 0, 2):
        with under_writes(services[0], told):
            told.wait_for_more(25)
            services[number].kill()
            if number != 0:  # with that one the writing ends
                told.wait_for_more(10)
        (services[number],) = replicas(server.url)
        for service in services:
            told.check_service(service)
    assert len(told.versions) > 100


def test_a_replica_that_stood_still_is_not_ready_before_it_caught_up(
    replicas: Replicas, server: Server
) -> None:
    # However long it stands still, it is for its lag that it is not ready.
    limits = {"STREAMER_LIMITS__MAX_LAG_S": "1", "STREAMER_LIMITS__STORE_GRACE_S": "600"}
    one, two = replicas(*[server.url] * 2, **limits)
    wait_until(lambda: ready(two)[1]["lag_s"] is not None, "it looks")
    for i in range(2):
        with suspended(two):
            last = fill(one, f"r{i}-", 1000)
            time.sleep(1.6)
        ready(
            two
        )  # a look that was under way is answered meanwhile, and is no silence of the store
        seen = Counter[int]()
        deadline = time.monotonic() + WAIT_S
        while seen[200] < 20:
            assert time.monotonic() < deadline
            status, health = ready(two)
            seen[status] += 1
            if status == 200:
                assert health["index_sequence"] >= last
            else:
                assert health["reason"].startswith("the newest writes may be missing: ")
                assert health["lag_s"] > 1


def test_a_replica_that_gets_the_log_slowly_says_so(replicas: Replicas, server: Server) -> None:
    with FaultProxy(server.port) as proxy:
        one, two = replicas(server.url, proxy.url, STREAMER_LIMITS__MAX_LAG_S="1")
        two.similar(fill(one, "first", 10), tags=[TAG])
        with suspended(two):  # however long the writes take, it has all of them before it
            last = fill(one, "s", 700)
            proxy.bytes_per_s = 100_000
        wait_until(lambda: ready(two)[1]["store_sequence"] == last, "it looks")
        wait_until(lambda: ready(two)[0] == 503, "it says so")
        health = ready(two)[1]
        assert health["index_sequence"] < last
        assert health["lag_s"] > 1
        assert re.fullmatch(
            r"the newest writes may be missing: the index is [1-9]\d*\.\d s behind, at "  # of now
            rf"sequence \d+ of {last}",
            health["reason"],
        )
        query = {"positive": [{"profile": {"tags": [TAG]}}], "k": 1000}
        answer = two.client.post("/v1/similar", json=query).json()
        assert answer["complete"] is False
        assert " s behind, at sequence " in answer["incomplete_because"]
        late = two.client.post("/v1/similar", json={**query, "after_sequence": last + 1})
        assert (late.status_code, late.json()["code"]) == (503, "not_yet_visible")
        assert two.client.get("/startupz").status_code == 200
        assert ready(one)[0] == 200
        proxy.bytes_per_s = None
        wait_until(two.is_ready, "it caught up")
        assert len(two.similar(last, tags=[TAG])) == 710


def test_a_replica_that_slept_through_a_rollback_notices(
    replicas: Replicas, server: Server, tmp_path: Path
) -> None:
    """The store goes back and then counts on, past the number where the replica was."""
    one, two = replicas(*[server.url] * 2)
    fill(one, "kept", 20)
    two.similar(20, tags=[TAG])
    server.kill()
    shutil.copytree(server.folder, tmp_path / "backup")
    server.start()
    wait_until(one.is_ready, "it is back")
    wait_until(two.is_ready, "it is back")
    two.similar(fill(one, "lost", 20), tags=[TAG])
    with suspended(two):
        server.kill()
        shutil.rmtree(server.folder)
        shutil.copytree(tmp_path / "backup", server.folder)
        server.start()
        wait_until(lambda: one.similar(tags=[TAG]) == {f"kept{i}" for i in range(20)}, "it is seen")
        last = fill(one, "new", 60)
        assert last == 80
    expected = one.similar(last, tags=[TAG])
    assert len(expected) == 80
    wait_until(lambda: two.similar(tags=[TAG]) == expected, "the sleeper begins anew")
