"""Readers and writers beside a change of the model, and what every answer has to be.

Readers ask about streamers that nobody writes, so that each answer is the one or the other model's,
known beforehand hit by hit and score by score; anything else is a mixture. Writers write others.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import TOPICS
from tests.support.service import Service, wait_until

FIRST, NEXT = "test-0", "test-1"
STILL = 60
_WORDS = [word for words in TOPICS.values() for word in words.split()]
_ONLY_STILL = {"must": [{"field": "category", "any": ["still"]}]}


def profile_of(number: int) -> dict[str, Any]:
    """A streamer that nobody writes any more."""
    words = random.Random(number).sample(_WORDS, 6)
    return {"streamer_id": f"still{number}", "category": "still", "bio": " ".join(words)}


def fill(*services: Service) -> None:
    """Write those that readers ask about, by the first one, and wait until each has them all."""
    results = services[0].bulk([profile_of(i) for i in range(STILL)])
    assert {result["outcome"] for result in results} == {"created"}
    last = max(result["sequence"] for result in results)
    for service in services:
        service.similar(last, bio=_WORDS[0])


def questions() -> list[tuple[str, dict[str, Any]]]:
    """What readers ask, again and again."""
    return [
        ("/v1/similar", {"positive": [{"streamer_id": "still0"}], "k": 20, "filter": _ONLY_STILL}),
        (
            "/v1/similar",
            {"positive": [{"profile": {"bio": _WORDS[0]}}], "k": 20, "filter": _ONLY_STILL},
        ),
        ("/v1/dedup", {"ids": [f"still{i}" for i in range(20)]}),
    ]


def kept_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What of an answer does not change with time."""
    passing = ("took_ms", "index_sequence", "complete", "incomplete_because", "exact")
    return {name: value for name, value in answer.items() if name not in passing}


def answers(client: httpx.Client) -> list[dict[str, Any]]:
    """The answer to each question."""
    found: list[dict[str, Any]] = []
    for path, body in questions():
        answer = client.post(path, json=body)
        answer.raise_for_status()
        found.append(kept_of(answer.json()))
    return found


def model(service: Service, name: str = NEXT) -> dict[str, Any]:
    """What the service says of a model."""
    answer = service.client.get(f"/v1/models/{name}")
    answer.raise_for_status()
    return answer.json()


def everywhere(service: Service, what: str, replicas: int, name: str = NEXT) -> Callable[[], bool]:
    """Whether as many replicas say something of a model."""

    def holds() -> bool:
        return sum(each[what] for each in model(service, name)["replicas"]) >= replicas

    return holds


class Traffic:
    """Readers of each service and writers, until they are stopped.

    Attributes:
        errors: whatever was not answered as it should be.
        seen: by the question's number, the different answers by their model.
        written: sequence of the last write that was acknowledged, by streamer; -1 = deleted.
    """

    def __init__(self, services: list[Service], *, per_s: float) -> None:
        """Ask and write nothing yet; `per_s` writes a second."""
        self._services = services
        self._pause_s = 1 / per_s
        self._is_over = threading.Event()
        self.errors: list[str] = []
        self.seen: list[dict[str, list[dict[str, Any]]]] = [{} for _ in questions()]
        self.answers = 0
        self.written: dict[str, int] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask and write meanwhile."""
        threads = [threading.Thread(target=self._write)]
        threads += [threading.Thread(target=self._read, args=(s,)) for s in self._services]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _read(self, service: Service) -> None:
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            while not self._is_over.is_set():
                for number, (path, body) in enumerate(questions()):
                    try:
                        answer = client.post(path, json=body)
                    except httpx.TransportError as error:
                        self.errors.append(repr(error))
                        continue
                    if answer.status_code != 200:
                        self.errors.append(answer.text)
                        continue
                    kept = kept_of(answer.json())
                    known = self.seen[number].setdefault(kept["model_version"], [])
                    self.answers += 1
                    if kept not in known:
                        known.append(kept)

    def _write(self) -> None:
        choices = random.Random(7)
        clients = [
            httpx.Client(base_url=s.url, timeout=60, trust_env=False) for s in self._services
        ]
        due = time.monotonic()
        while not self._is_over.is_set():
            name = f"moving{choices.randrange(200)}"
            client, path = choices.choice(clients), f"/v1/streamers/{name}"
            try:
                if name in self.written and self.written[name] > 0 and choices.random() < 0.2:
                    answer = client.delete(path)
                    sequence = -1
                else:
                    bio = " ".join(choices.sample(_WORDS, 5))
                    answer = client.put(path, json={"category": "moving", "bio": bio})
                    sequence = 1
                if answer.is_success:
                    self.written[name] = sequence
                else:
                    self.errors.append(answer.text)
            except httpx.TransportError as error:
                self.errors.append(repr(error))
            due += self._pause_s
            self._is_over.wait(max(0.0, due - time.monotonic()))
        for client in clients:
            client.close()

    def check_not_mixed(self, expected: dict[str, list[dict[str, Any]]]) -> None:
        """Every answer was the one of its model."""
        for number, by_model in enumerate(self.seen):
            for name, found in by_model.items():
                assert found == [expected[name][number]], (number, name)

    def check_stored(self, service: Service) -> None:
        """What was acknowledged is found, and what was deleted is not."""
        there = {name for name, sequence in self.written.items() if sequence > 0}
        filtered = {"must": [{"field": "category", "any": ["moving"]}]}
        body = {"positive": [{"profile": {"bio": _WORDS[0]}}], "k": 1000, "filter": filtered}

        def found() -> set[str]:
            answer = service.client.post("/v1/similar", json=body)
            answer.raise_for_status()
            return {hit["streamer_id"] for hit in answer.json()["hits"]}

        wait_until(lambda: found() == there, "the index has what was acknowledged")


def bundles_in(folder: Path, first: Path, write: Callable[[Path], object]) -> Path:
    """A folder of models with the next one, beside the first one's bundle."""
    folder.mkdir()
    (folder / "first").symlink_to(first)
    write(folder / "next")
    return folder
