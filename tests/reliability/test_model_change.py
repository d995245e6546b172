"""The model of two replicas is changed and changed back under questions and writes."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import write_bundle
from tests.reliability.conftest import Replicas
from tests.reliability.model_changes import (
    FIRST,
    NEXT,
    Traffic,
    answers,
    bundles_in,
    everywhere,
    fill,
    model,
)
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    return bundles_in(tmp_path / "models", bundle, partial(write_bundle, seed=1))


def register(service: Service, replicas: int) -> None:
    service.client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    wait_until(everywhere(service, "has_bundle", replicas), "every replica has the bundle")


def test_there_and_back_under_load(replicas: Replicas, server: Server, folder: Path) -> None:
    there_and_back(replicas(*[server.url] * 2, STREAMER_MODELS__FOLDER=str(folder)))


def there_and_back(services: list[Service]) -> None:
    """Change the model of two services that hold nothing yet, and change it back."""
    one, other = services
    fill(*services)
    expected = {FIRST: answers(one.client)}
    traffic = Traffic(services, per_s=50)
    with traffic.running():
        register(one, 2)
        job = one.client.post(f"/v1/models/{NEXT}:backfill", params={"streamers_per_s": 40})
        assert job.status_code == 202, job.text
        wait_until(lambda: model(one)["state"] == "ready", "it is backfilled")
        wait_until(everywhere(one, "is_indexed", 2), "every replica has its index")
        other.client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        expected[NEXT] = answers(one.client)
        assert {each["model_version"] for each in expected[NEXT]} == {NEXT}
        assert answers(other.client) == expected[NEXT]
        counted = traffic.answers
        wait_until(lambda: traffic.answers > counted + 100, "the next model is asked")
        one.client.post("/v1/models:rollback").raise_for_status()
        assert answers(one.client) == expected[FIRST]
        assert answers(other.client) == expected[FIRST]
        counted = traffic.answers
        wait_until(lambda: traffic.answers > counted + 100, "the first model is asked again")
        one.client.post(f"/v1/models/{NEXT}:retire").raise_for_status()
        counted = traffic.answers
        wait_until(lambda: traffic.answers > counted + 50, "one model is kept")
    assert traffic.errors == []
    assert all(set(by_model) == {FIRST, NEXT} for by_model in traffic.seen)
    traffic.check_not_mixed(expected)
    for service in services:
        traffic.check_stored(service)
        assert service.is_ready()


@pytest.mark.parametrize("moment", ["preparing", "backfilling", "ready", "promoted", "rolled back"])
def test_a_killed_replica_changes_nothing(
    bundle: Path, tmp_path: Path, server: Server, folder: Path, moment: str
) -> None:
    settings: dict[str, Any] = {
        "REDIS_URL": server.url,
        "STREAMER_MODELS__FOLDER": str(folder),
        "STREAMER_JOBS__LEASE_S": "1",
    }
    with ExitStack() as running:

        def start() -> Service:
            service = running.enter_context(Service(bundle, tmp_path / "unused", **settings))
            return service.wait_until_ready()

        one, victim = start(), start()
        fill(one)
        expected = {FIRST: answers(one.client)}
        register(one, 2)
        traffic = Traffic([one], per_s=20)
        with traffic.running():
            pace = {"streamers_per_s": 20}
            one.client.post(f"/v1/models/{NEXT}:backfill", params=pace).raise_for_status()
            if moment == "preparing":
                victim.kill()
            wait_until(lambda: (model(one)["backfill"]["progress"]["done"] or 0) > 0, "it began")
            if moment == "backfilling":
                victim.kill()
            wait_until(lambda: model(one)["state"] == "ready", "it is backfilled")
            if moment == "ready":
                victim.kill()
                victim = start()
            alive = 1 + victim.is_running
            wait_until(everywhere(one, "is_indexed", alive), "every replica has its index")
            wait_until(lambda: len(model(one)["replicas"]) == alive, "the dead one is forgotten")
            one.client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
            if moment == "promoted":
                victim.kill()
            expected[NEXT] = answers(one.client)
            victim = victim if victim.is_running else start()
            assert answers(victim.client) == expected[NEXT]
            wait_until(everywhere(one, "is_indexed", 2, FIRST), "the first one may come back")
            wait_until(lambda: len(model(one)["replicas"]) == 2, "the dead one is forgotten")
            one.client.post("/v1/models:rollback").raise_for_status()
            if moment == "rolled back":
                victim.kill()
                victim = start()
            assert answers(one.client) == expected[FIRST]
            assert answers(victim.client) == expected[FIRST]
        assert traffic.errors == []
        traffic.check_not_mixed(expected)
        for service in (one, victim):
            traffic.check_stored(service)
