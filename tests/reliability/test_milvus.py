"""Writes without pause while Milvus and the process that writes to it are killed or stand still.

Every answer is complete, or says that it can't be had: after an acknowledged write exactly those
are found who are stored, each by its newest profile.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import TOPICS
from tests.reliability import model_changes
from tests.reliability.conftest import Replicas
from tests.reliability.test_model_change import folder as folder
from tests.reliability.test_model_change import there_and_back
from tests.service.milvus_server import MilvusServer
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

pytestmark = [pytest.mark.milvus, pytest.mark.slow]
IDS, LONG_S = 150, 240
COOKING = {"tags": ["cooking"], "bio": TOPICS["cooking"]}
GAMING = {"tags": ["cooking", "gaming"], "bio": TOPICS["gaming"]}
NEAR = 0.99
"""Those who cook are as near to a cook as can be, and the others are not."""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], MilvusServer]]:
    """Starts servers of Milvus, which can be searched; they end with the test."""
    servers: list[MilvusServer] = []

    def start(name: str) -> MilvusServer:
        (tmp_path / name).mkdir()
        servers.append(MilvusServer(tmp_path / name))
        return servers[-1].start().wait()

    try:
        yield start
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def milvus(started: Callable[[str], MilvusServer]) -> MilvusServer:
    return started("milvus")


class Truth:
    """What was acknowledged, and how answers differ from it."""

    def __init__(self, seed: int) -> None:
        self.cooks: dict[str, bool] = {}
        self.sequence = 0
        self.complete, self.refused = 0, 0
        self.wrong: list[str] = []
        self._random = random.Random(seed)

    def write(self, service: Service, streamer_id: str | None = None) -> None:
        name = streamer_id or f"s{self._random.randrange(IDS)}"
        if name in self.cooks and self._random.random() < 0.25:
            answer = service.client.delete(f"/v1/streamers/{name}").raise_for_status()
            del self.cooks[name]
        else:
            is_cook = self._random.random() < 0.5
            profile = COOKING if is_cook else GAMING
            answer = service.client.put(f"/v1/streamers/{name}", json=profile).raise_for_status()
            self.cooks[name] = is_cook
        self.sequence = answer.json()["sequence"]

    def ask(self, service: Service, **options: Any) -> bool:
        """Ask for everyone; whether there was an answer."""
        question = {
            "positive": [{"profile": COOKING}],
            "k": 1000,
            "after_sequence": self.sequence,
            **options,
        }
        answer = service.client.post("/v1/similar", json=question)
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            self.refused += 1
            return False
        hits = answer.raise_for_status().json()["hits"]
        found = {hit["streamer_id"]: hit["score"] > NEAR for hit in hits}
        if found != self.cooks:
            self.wrong.append(
                f"at {self.sequence}: missing {sorted(self.cooks.keys() - found.keys())}, deleted "
                f"{sorted(found.keys() - self.cooks.keys())}, stale "
                f"{sorted(n for n in found if self.cooks.get(n, found[n]) != found[n])}"
            )
        self.complete += 1
        return True

    def during(
        self, seconds: float, *asked: Service, until: Callable[[], bool] = lambda: True
    ) -> None:
        """Write and ask for some time, and until something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or not until():
            assert time.monotonic() < end + LONG_S
            for service in asked:
                self.write(service)
                for reader in asked:
                    self.ask(reader)
                    self.ask(reader, exact=True)


def test_mixed_writes(replicas: Replicas, server: Server, milvus: MilvusServer) -> None:
    def services(count: int) -> list[Service]:
        return replicas(*[server.url] * count, **variables(milvus))

    first, second = services(2)
    truth = Truth(seed=1)
    during = truth.during
    for i in range(IDS):
        truth.write(first, f"s{i}")
    wait_until(lambda: scanned(second) == 0, "all have settled", LONG_S, every_s=0.2)

    during(18, first, second)  # what settles meanwhile leaves the overlay
    assert truth.complete > 0
    for paused, other in ((first, second), (second, first)):  # one of them writes to Milvus
        paused.send(signal.SIGSTOP)
        during(6, other)
        paused.send(signal.SIGCONT)  # and goes on as if it still had the lease
        during(6, first, second)
    milvus.kill()
    before = truth.refused
    during(5, first, second)
    assert truth.refused > before  # never the overlay alone
    milvus.start()
    during(5, first, second, until=lambda: first.is_ready() and second.is_ready())
    first.kill()
    during(6, second)
    (third,) = services(1)
    second.kill()
    during(12, third)
    (fourth,) = services(1)
    during(5, third, fourth)
    assert truth.wrong == []
    wait_until(lambda: scanned(fourth) == 0, "all have settled", LONG_S, every_s=0.2)
    for service in (third, fourth):
        assert truth.ask(service)
        assert truth.ask(service, exact=True)
    assert truth.wrong == []


def test_one_of_two_clusters_is_killed(
    replicas: Replicas, server: Server, started: Callable[[str], MilvusServer]
) -> None:
    clusters = {name: started(name) for name in ("a", "b")}
    both = [*replicas(*[server.url] * 2, **variables(**clusters))]
    truth = Truth(seed=2)
    for i in range(IDS):
        truth.write(both[0], f"s{i}")

    def have(*names: str) -> bool:
        """Whether all services find these clusters complete."""
        states = [state for service in both for state in states_of(service)]
        mine = [state for state in states if state["name"] in names]
        return all(state["trouble"] is None and not state["overlay_rows"] for state in mine)

    wait_until(lambda: have("a", "b"), "both clusters have everything", LONG_S, every_s=0.2)
    truth.during(5, *both)
    assert serving(*both) == {"a"}
    clusters["a"].kill()
    truth.during(15, *both, until=lambda: all(degraded(s) for s in both))
    assert serving(*both) == {"b"}
    assert truth.refused == 0  # answers went on
    assert truth.complete > 0
    clusters["b"].kill()
    complete = truth.complete
    truth.during(5, *both)
    assert truth.refused > 0  # never the overlay alone
    assert truth.complete == complete
    clusters["a"].start()  # it lacks what was written since it was killed
    truth.during(5, *both, until=lambda: all(answers(s) for s in both))
    assert serving(*both) == {"a"}
    assert truth.complete > complete
    clusters["b"].start()
    wait_until(lambda: have("a", "b"), "both clusters have everything", LONG_S, every_s=0.2)
    refused = truth.refused
    clusters["a"].kill()
    truth.during(5, *both)
    assert truth.refused == refused
    assert truth.wrong == []


def states_of(service: Service) -> list[dict[str, Any]]:
    return service.client.get("/readyz").json()["index"]["clusters"]


def serving(*services: Service) -> set[str]:
    return {c["name"] for service in services for c in states_of(service) if c["serves"]}


def answers(service: Service) -> bool:
    return service.client.get("/readyz").status_code == 200


def degraded(service: Service) -> bool:
    health = service.client.get("/readyz").json()
    return health["status"] == "ok" and "cluster a is not asked" in str(health["degraded_because"])


def variables(milvus: MilvusServer | None = None, **clusters: MilvusServer) -> dict[str, str]:
    named = [f"{name}={each.uri}" for name, each in clusters.items()]
    return {
        "STREAMER_INDEX__BACKEND": "milvus",
        "STREAMER_MILVUS_URI": ",".join([milvus.uri] if milvus else named),
        "STREAMER_MILVUS__MARGIN_S": "16",
        "STREAMER_MILVUS__TIMEOUT_S": "3",
        "STREAMER_MILVUS__LEASE_S": "2",
    }


def scanned(service: Service) -> int:
    return service.client.get("/readyz").json()["index"]["scanned"]


def rounded(value: Any) -> Any:
    """Scores as people see them: Milvus adds up in another order than the overlay."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_the_model_is_changed_and_changed_back(
    replicas: Replicas,
    server: Server,
    milvus: MilvusServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept_of = model_changes.kept_of
    monkeypatch.setattr(model_changes, "kept_of", lambda answer: rounded(kept_of(answer)))
    services = replicas(*[server.url] * 2, STREAMER_MODELS__FOLDER=str(folder), **variables(milvus))
    there_and_back(services)
