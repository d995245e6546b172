"""Streamers of four topics, and the map of them as it is sent."""

import json
import multiprocessing
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.bundles import DIM, TOPICS
from tests.service.data_sets import NDJSON, json_line
from tests.service.features.transfers.waiting import FINISHED, submitted
from tests.service.process import wait_until

Client = Any
HEAD = struct.Struct("<4sI")
FIT_S = 600


def profile_of(topic: str, i: int) -> dict[str, Any]:
    words = TOPICS[topic].split()
    return {
        "name": f"{topic.title()} {i}",
        "bio": f"{words[i % 4]} {words[(i + 1) % 4]} {words[4 + i % 4]}",
        "tags": [topic, words[i % 8]],
        "category": topic,
        "attributes": {"followers": i},
    }


def store(client: Client, each: int = 12) -> None:
    """Store so many streamers of each topic; they are in the index when this returns."""
    profiles = [
        {"streamer_id": f"{topic}-{i:02}", **profile_of(topic, i)}
        for topic in TOPICS
        for i in range(each)
    ]
    lines = "".join(map(json_line, profiles))
    answer = client.post("/v1/streamers:bulk", content=lines, headers=NDJSON).raise_for_status()
    written = [json.loads(line) for line in answer.content.split(b"\n") if line]
    assert [line["streamer_id"] for line in written] == [one["streamer_id"] for one in profiles]
    until_indexed(client, max(line["sequence"] for line in written))


def until_indexed(client: Client, sequence: int) -> None:
    """Return when the index has a write; a fit takes whom it has."""
    asked = {"positive": [{"vector": [1.0] * DIM}], "after_sequence": sequence}

    def is_there() -> bool:
        return client.post("/v1/similar", json=asked).status_code == 200

    wait_until(is_there, "the write is in the index")


def ended(client: Client, path: str) -> dict[str, Any]:
    """The job of a fit, once it is finished; the library compiles its loops, once on a machine."""
    job: dict[str, Any] = {}

    def look() -> bool:
        job.update(client.get(path).raise_for_status().json())
        return job["state"] in FINISHED

    wait_until(look, "the fit has ended", FIT_S, every_s=0.2)
    return job


@contextmanager
def _library_imported_once() -> Iterator[None]:
    """Fork the processes that fit, of a service in this process, from one that has the library.

    Each of them would import it for seconds.
    """
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["umap", "service.engine.layouts.fitting"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda _: forking)
        yield


def fitted(client: Client) -> dict[str, Any]:
    """Fit a layout; the job's result."""
    with _library_imported_once():
        job = ended(client, submitted(client.post("/v1/layouts:fit")))
    assert job["state"] == "succeeded", job
    whole = job["result"]["fitted"] + job["result"]["streamers"]
    assert (job["progress"]["done"], job["progress"]["total"]) == (whole, whole)
    return job["result"]


def state_of(client: Client) -> dict[str, Any]:
    return client.get("/v1/layouts").raise_for_status().json()


def until_placed(client: Client, count: int) -> None:
    """Return when so many are on the map, in the versions that the index has."""
    corners = [[0, 0], [65534, 0], [65534, 65534], [0, 65534]]

    def count_now() -> int:
        answer = client.post("/v1/layouts/current:select", json={"polygon": corners, "limit": 1})
        return answer.json()["count"] if answer.status_code == 200 else -1

    wait_until(lambda: count_now() == count, f"{count} are on the map")


@dataclass(frozen=True)
class Drawn:
    """A map as it was sent: its header, places (n, 2), and the class of each (n,)."""

    head: dict[str, Any]
    places: np.ndarray
    codes: np.ndarray

    def all(self) -> set[tuple[int, int]]:
        return {(x, y) for x, y in self.places.tolist()}


def drawn(client: Client, **params: str) -> Drawn:
    answer = client.get("/v1/layouts/current/points", params=params).raise_for_status()
    content = answer.content
    assert len(content) == int(answer.headers["content-length"])
    magic, size = HEAD.unpack_from(content)
    assert magic == b"SSM1"
    head = json.loads(content[HEAD.size : HEAD.size + size])
    at = HEAD.size + size
    assert at % 4 == 0
    xs, ys, codes = [], [], []
    left = head["count"]
    while left:
        some = min(left, head["block"])
        xs.append(np.frombuffer(content, "<u2", some, at))
        ys.append(np.frombuffer(content, "<u2", some, at + 2 * some))
        codes.append(np.frombuffer(content, "u1", some, at + 4 * some))
        at, left = at + 5 * some, left - some
    assert at == len(content)
    empty = [np.zeros(0, np.uint16)]
    places = np.stack([np.concatenate(xs or empty), np.concatenate(ys or empty)], axis=1)
    return Drawn(head, places, np.concatenate(codes or empty))


def select(client: Client, **part: Any) -> dict[str, Any]:
    answer = client.post("/v1/layouts/current:select", json=part)
    return answer.raise_for_status().json()


def place_of(client: Client, streamer_id: str) -> tuple[float, float]:
    found = select(client, streamer_id=streamer_id)
    return found["x"], found["y"]
