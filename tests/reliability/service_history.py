"""Clients that write without pause, and whether the service holds what they were told."""

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.reliability.history import History, State
from tests.support.service import NDJSON, json_line
from tests.support.service import STOP_S, Service, wait_until

WRITERS = 6
IDS_PER_WRITER = 30
BULK_LINES = 6
TAG = "cooking"
"""Everybody has it, so that one question finds everybody."""


def profile_of(state: str) -> dict[str, Any]:
    return {"name": state, "tags": [TAG], "bio": state}


@dataclass
class ServiceHistory(History):
    """`History` of a service: a streamer's state is its name.

    Attributes:
        version_of: by id, the version of the last acknowledged operation.
        lost: streamers that were not as the last acknowledged write left them.
        resurrected: streamers that were there though their deletion was acknowledged.
    """

    version_of: dict[str, int] = field(default_factory=dict[str, int])
    lost: list[str] = field(default_factory=list[str])
    resurrected: list[str] = field(default_factory=list[str])

    def acknowledged(self, streamer_id: str, state: State, version: int) -> None:
        super().acknowledged(streamer_id, state, version)
        self.version_of[streamer_id] = version

    def wait_for_more(self, writes: int) -> None:
        """Wait until so many more writes are acknowledged."""
        wanted = len(self.versions) + writes
        wait_until(lambda: len(self.versions) >= wanted, f"{writes} more are acknowledged")

    def _compare(self, stored: dict[str, dict[str, Any]]) -> None:
        for streamer_id in self.settled.keys() | self.open.keys():
            found = stored.get(streamer_id)
            state: State = None if found is None else found["profile"]["name"]
            settled = self.settled.get(streamer_id)
            if state not in (settled, *self.open[streamer_id]):
                is_back = settled is None and state is not None
                (self.resurrected if is_back else self.lost).append(streamer_id)
            elif found is not None:
                told = self.version_of.get(streamer_id, 0)
                assert found["version"] >= told
                if state == settled:
                    assert found["version"] == told  # states are never used twice
        assert (self.lost, self.resurrected) == ([], [])

    def check_service(self, service: Service) -> None:
        """Nothing acknowledged is lost, nothing deleted is back, and `similar` finds the living."""
        sequence = service.put("last", **profile_of("last"))
        stored = service.streamers()
        assert stored.pop("last")["version"] == sequence
        assert stored.keys() <= self.settled.keys() | self.open.keys()
        self._compare(stored)
        assert len(set(self.versions)) == len(self.versions)
        assert max(self.versions, default=0) < sequence
        there = stored.keys() | {"last"}
        assert service.similar(sequence, max(len(there), 1000), tags=[TAG]) == there
        ready = service.client.get("/readyz").json()
        assert ready["index_sequence"] == sequence
        assert ready["index_rows"] == len(stored) + 1


class Writer:
    """One client with ids of its own; its operations are one after the other."""

    def __init__(self, url: str, name: str, told: ServiceHistory) -> None:
        self._client = httpx.Client(base_url=url, timeout=STOP_S, trust_env=False)
        self._name = name
        self._told = told
        self._choices = random.Random(f"{name} {len(told.versions)}")

    def write_until(self, stop: threading.Event) -> None:
        with self._client:
            while not stop.is_set():
                self._write()

    def _write(self) -> None:
        """One operation, whatever becomes of it."""
        operation = self._choices.choices(
            [self._put, self._patch, self._delete, self._bulk], [4, 3, 3, 2]
        )[0]
        try:
            operation(self._choices.randrange(IDS_PER_WRITER))
        except httpx.TransportError:
            time.sleep(0.02)  # nobody is there

    def _new_state(self) -> str:
        return f"{self._name} {self._choices.getrandbits(64):x}"

    def _path(self, i: int) -> str:
        return f"/v1/streamers/{self._id(i)}"

    def _id(self, i: int) -> str:
        return f"{self._name}-{i}"

    def _put(self, i: int) -> None:
        state = self._new_state()
        self._told.sent(self._id(i), state)
        self._conclude(i, state, self._client.put(self._path(i), json=profile_of(state)))

    def _patch(self, i: int) -> None:
        state = self._new_state()
        self._told.sent(self._id(i), state)
        self._conclude(
            i, state, self._client.patch(self._path(i), json={"name": state, "bio": state})
        )

    def _delete(self, i: int) -> None:
        self._told.sent(self._id(i), None)
        self._conclude(i, None, self._client.delete(self._path(i)))

    def _conclude(self, i: int, state: State, answer: httpx.Response) -> None:
        if answer.is_success:
            self._told.acknowledged(self._id(i), state, answer.json()["sequence"])
        elif answer.status_code == 404:
            self._told.refused(self._id(i))
        else:
            assert answer.status_code in (503, 507), answer.text
            time.sleep(0.005)

    def _bulk(self, _: int) -> None:
        """Several ids of this writer in one request."""
        chosen = self._choices.sample(range(IDS_PER_WRITER), BULK_LINES)
        states = {self._id(i): self._new_state() for i in chosen}
        for streamer_id, state in states.items():
            self._told.sent(streamer_id, state)
        content = "".join(json_line({"streamer_id": i, **profile_of(s)}) for i, s in states.items())
        answer = self._client.post("/v1/streamers:bulk", content=content, headers=NDJSON)
        answer.raise_for_status()
        results = [json.loads(line) for line in answer.content.split(b"\n") if line]
        assert [r["streamer_id"] for r in results] == list(states)
        for result in results:
            if result["outcome"] != "error":
                i = result["streamer_id"]
                self._told.acknowledged(i, states[i], result["sequence"])
            else:
                assert result["error"]["status"] in (503, 507), result


@contextmanager
def under_writes(service: Service, told: ServiceHistory) -> Iterator[None]:
    """Writes go on meanwhile, and more than ten were acknowledged before."""
    stop, url, wanted = threading.Event(), service.url, len(told.versions) + 10
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [Writer(url, f"w{w}", told) for w in range(WRITERS)]
        writing = [pool.submit(writer.write_until, stop) for writer in writers]
        try:
            wait_until(
                lambda: len(told.versions) > wanted or any(one.done() for one in writing),
                "writes are acknowledged",
            )
            yield
        finally:
            stop.set()
        for one in writing:
            one.result(2 * STOP_S)
