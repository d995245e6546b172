"""A change of the model and the way back, in which a process is killed (kill -9) at any moment.

Two services share a store. A round registers the next model, backfills, promotes, rolls back and
retires it; what fails is asked for again, as a person or a script would. Meanwhile streamers are
written, and questions asked whose answers are known beforehand. In the end the first model answers
as it did, nothing acknowledged is lost, and no answer was of two models.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.reliability.model_changes import (
    FIRST,
    NEXT,
    answers,
    fill,
    kept_of,
    questions,
)
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

VICTIMS = ("service", "other service", "store")
STEPS = ("register", "backfill", "open", "promote", "roll back", "retire")
_LATEST_S = 1.5
"""A process is killed so long after the beginning of a step, at most."""
_PACE = 40
_STEP_S = 120
_PASSING = (409, 503)
"""Statuses after which one asks again: something is under way, or the store is away."""


class Installation:
    """Two services and their store, of which each may be killed and started again.

    Attributes:
        services: that run now; the first is asked first.
    """

    def __init__(self, bundle: Path, models: Path, server: Server, running: ExitStack) -> None:
        """Start them on `server`; they end with `running`."""
        self._bundle = bundle
        self._running = running
        self._server = server
        self._variables: dict[str, Any] = {
            "REDIS_URL": server.url,
            "STREAMER_MODELS__FOLDER": str(models),
            "STREAMER_JOBS__LEASE_S": "1",
        }
        self.services = [self._start() for _ in range(2)]
        for service in self.services:
            service.wait_until_ready()

    def _start(self) -> Service:
        data_dir = self._server.folder / "unused"
        return self._running.enter_context(Service(self._bundle, data_dir, **self._variables))

    def kill(self, victim: str) -> None:
        """Kill it, and start it again."""
        if victim == "store":
            self._server.kill()
            self._server.start()
        else:
            place = VICTIMS.index(victim)
            self.services[place].kill()
            self.services[place] = self._start()

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """What one of the services answers, once one does."""
        deadline = time.monotonic() + _STEP_S
        while True:
            for service in self.services:
                try:
                    answer = service.client.request(method, path, **request)
                except (httpx.TransportError, AssertionError):  # it has just been killed, or starts
                    continue
                if answer.status_code != 503:
                    return answer
            assert time.monotonic() < deadline, f"nobody answers {method} {path}"
            time.sleep(0.05)

    def next_model(self) -> dict[str, Any]:
        """What is known of the next model; nothing if it is not registered."""
        answer = self.ask("GET", f"/v1/models/{NEXT}")
        return answer.json() if answer.status_code == 200 else {"state": None, "replicas": []}

    def is_in(self, state: str) -> bool:
        """Whether the next model is in a state."""
        return self.next_model()["state"] == state

    def everywhere(self, what: str) -> bool:
        """Whether two replicas say something of the next model, and no dead one counts."""
        replicas = self.next_model()["replicas"]
        return len(replicas) == 2 and all(each[what] for each in replicas)

    def until(self, path: str, is_done: Callable[[], bool], **request: Any) -> None:
        """Ask for something until it is done."""
        deadline = time.monotonic() + _STEP_S
        while not is_done():
            answer = self.ask("POST", path, **request)
            assert answer.is_success or answer.status_code in _PASSING, answer.text
            assert time.monotonic() < deadline, (path, answer.text, self.next_model())
            time.sleep(0.1)


class _Traffic:
    """Questions to both services and writes, of which some may fail while a process is away."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._is_over = threading.Event()
        self.wrong: list[str] = []
        self.seen: dict[tuple[int, str], dict[str, Any]] = {}
        self.answers = 0
        self.written: list[str] = []
        self.acknowledged: set[str] = set()

    @contextmanager
    def running(self, prefix: str) -> Iterator[None]:
        threads = [threading.Thread(target=self._read, args=(place,)) for place in range(2)]
        threads.append(threading.Thread(target=self._write, args=(prefix,)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _request(self, place: int, method: str, path: str, body: Any) -> dict[str, Any] | None:
        try:
            url = self._installation.services[place].url
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                answer = client.request(method, path, json=body)
        except (httpx.TransportError, AssertionError):
            time.sleep(0.05)
            return None
        if not answer.is_success:
            if answer.status_code != 503:
                self.wrong.append(answer.text)
            return None
        return answer.json()

    def _read(self, place: int) -> None:
        while not self._is_over.is_set():
            for number, (path, body) in enumerate(questions()):
                answer = self._request(place, "POST", path, body)
                if answer is None or not answer.get("complete", True):
                    continue
                kept = kept_of(answer)
                self.answers += 1
                if self.seen.setdefault((number, kept["model_version"]), kept) != kept:
                    self.wrong.append(f"another answer to question {number}: {kept}")

    def _write(self, prefix: str) -> None:
        number = 0
        while not self._is_over.wait(0.05):
            number += 1
            name = f"{prefix}-{number}"
            body = {"category": prefix, "bio": f"soup noodles {number}"}
            self.written.append(name)
            if self._request(number % 2, "PUT", f"/v1/streamers/{name}", body) is not None:
                self.acknowledged.add(name)


def change_round(
    installation: Installation, prefix: str, moment: tuple[str, str, float] | None
) -> dict[str, list[dict[str, Any]]]:
    """One change and back.

    Args:
        installation: holds `fill`'s streamers; the first model is active.
        prefix: of ids that nobody has written.
        moment: who is killed, in which step, how many seconds after its beginning; or nobody.

    Returns:
        What was answered, by model.
    """
    traffic = _Traffic(installation)
    found: dict[str, list[dict[str, Any]]] = {}
    victim, step, after_s = moment or ("", "", 0.0)
    killer = threading.Timer(after_s, installation.kill, [victim])

    def begins(name: str) -> None:
        if name == step:
            killer.start()

    def answered(model: str) -> None:
        found[model] = _answers(installation, model)

    with traffic.running(prefix):
        answered(FIRST)
        begins("register")
        is_known = partial(installation.everywhere, "has_bundle")
        installation.until("/v1/models", is_known, json={"folder": "next"})
        begins("backfill")
        pace = {"streamers_per_s": _PACE}
        is_ready = partial(installation.is_in, "ready")
        installation.until(f"/v1/models/{NEXT}:backfill", is_ready, params=pace)
        begins("open")
        wait_until(partial(installation.everywhere, "is_indexed"), "it is open", _STEP_S)
        begins("promote")
        installation.until(f"/v1/models/{NEXT}:promote", partial(installation.is_in, "active"))
        answered(NEXT)
        begins("roll back")
        installation.until("/v1/models:rollback", is_ready)
        answered(FIRST)
        begins("retire")
        installation.until(f"/v1/models/{NEXT}:retire", partial(installation.is_in, "retired"))
        if moment:
            killer.join()
        answered(FIRST)
    assert traffic.wrong == []
    assert traffic.acknowledged
    for (number, model), answer in traffic.seen.items():
        assert answer == found[model][number]
    for service in installation.services:
        service.wait_until_ready()
        _check_stored(service, prefix, traffic.acknowledged)
    for name in traffic.written:  # or rounds become longer and longer
        installation.ask("DELETE", f"/v1/streamers/{name}")
    return found


def _answers(installation: Installation, model: str) -> list[dict[str, Any]]:
    """What both services answer, once both answer by a model."""
    found: list[list[dict[str, Any]]] = []

    def is_alike() -> bool:
        found.clear()
        for service in list(installation.services):
            try:
                found.append(answers(service.client))
            except (httpx.HTTPError, AssertionError):
                return False
        return all(each["model_version"] == model for each in [*found[0], *found[1]])

    wait_until(is_alike, f"both answer by {model}", _STEP_S, every_s=0.1)
    assert found[0] == found[1]
    return found[0]


def _check_stored(service: Service, prefix: str, acknowledged: set[str]) -> None:
    body = {
        "positive": [{"profile": {"bio": "soup noodles"}}],
        "k": 1000,
        "filter": {"must": [{"field": "category", "any": [prefix]}]},
    }

    def is_found() -> bool:
        answer = service.client.post("/v1/similar", json=body)
        return answer.is_success and acknowledged <= {
            hit["streamer_id"] for hit in answer.json()["hits"]
        }

    wait_until(is_found, "what was acknowledged is found")


def random_moment(chance: random.Random) -> tuple[str, str, float]:
    """Who is killed, in which step, how many seconds after its beginning."""
    return chance.choice(VICTIMS), chance.choice(STEPS), chance.uniform(0, _LATEST_S)


def begun(bundle: Path, models: Path, server: Server, running: ExitStack) -> Installation:
    """Two services that hold what is asked about."""
    installation = Installation(bundle, models, server, running)
    fill(*installation.services)
    return installation
