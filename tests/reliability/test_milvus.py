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

from tests.bundles import TOPICS
from tests.reliability import model_changes
from tests.reliability.conftest import Replicas
from tests.reliability.test_model_change import folder as folder
from tests.reliability.test_model_change import there_and_back
from tests.service.milvus_server import MilvusServer
from tests.service.process import Service, wait_until
from tests.service.valkey import Server

pytestmark = [pytest.mark.milvus, pytest.mark.slow, pytest.mark.timeout(900)]
IDS, LONG_S = 150, 240
COOKING = {"tags": ["cooking"], "bio": TOPICS["cooking"]}
GAMING = {"tags": ["cooking", "gaming"], "bio": TOPICS["gaming"]}
NEAR = 0.99
"""Those who cook are as near to a cook as can be, and the others are not."""


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    (tmp_path / "milvus").mkdir()
    server = MilvusServer(tmp_path / "milvus").start()
    try:
        yield server.wait()
    finally:
        server.kill()


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


def test_mixed_writes(replicas: Replicas, server: Server, milvus: MilvusServer) -> None:
    def services(count: int) -> list[Service]:
        return replicas(*[server.url] * count, **variables(milvus))

    first, second = services(2)
    truth = Truth(seed=1)
    for i in range(IDS):
        truth.write(first, f"s{i}")
    wait_until(lambda: scanned(second) == 0, "all have settled", LONG_S, every_s=0.2)

    def during(seconds: float, *asked: Service, until: Callable[[], bool] = lambda: True) -> None:
        """Write and ask for some time, and until something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or not until():
            assert time.monotonic() < end + LONG_S
            for service in asked:
                truth.write(service)
                for reader in asked:
                    truth.ask(reader)
                    truth.ask(reader, exact=True)

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


def variables(milvus: MilvusServer) -> dict[str, str]:
    return {
        "STREAMER_INDEX__BACKEND": "milvus",
        "STREAMER_MILVUS_URI": milvus.uri,
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
