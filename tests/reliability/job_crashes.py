"""Imports, exports and index rebuilds whose service, store or both are killed (kill -9) meanwhile.

A round begins a job, kills what it is told to as often as it is told to, each time further on, and
starts the service again. In the end everything was done, once: the store has counted one write for
each streamer, an export has each streamer in one line, and a rebuilt index has what is stored.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.service.data_sets import json_line, profile
from tests.service.features.transfers.waiting import (
    FINISHED,
    ended,
    lines_of,
    submitted,
    upload,
    when,
)
from tests.service.process import Service, is_free, wait_until

Reached = Callable[[dict[str, Any]], bool]
VICTIMS = ("service", "store", "service and store")
LINES_A_KILL = 300
REBUILT = 5000
"""So many streamers that a rebuild takes long enough to be killed in it."""
OPTIONS: dict[str, Any] = {"STREAMER_JOBS__LEASE_S": "1", "STREAMER_LIMITS__PAGE_BYTES": "1024"}
"""Small pages, so that an export takes long enough to be killed in it."""


def import_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One import; how often it was begun."""
    lines = LINES_A_KILL * (kills + 1)
    content = "".join(json_line(profile(i)) for i in range(lines)) + "rubbish\n"
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        path = upload(service.wait_until_ready().client, content.encode())
        reached = _further(victims, kills, seed)
        service = _killed(running, service, bundle, path, victims, kills, reached)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert (result["lines"], result["created"], result["refused"]) == (lines + 1, lines, 1)
        assert (result["updated"], result["unchanged"]) == (0, 0)
        assert result["sequence"] == lines
        wait_until(lambda: _store_sequence(service) == lines, "no write came besides")
        assert {i: s["profile"] for i, s in service.streamers().items()} == {
            profile(i)["streamer_id"]: profile(i) for i in range(lines)
        }
    return job["attempts"]


def export_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One export; how often it was begun."""
    streamers = [{**profile(i), "bio": "x" * 1000} for i in range(LINES_A_KILL * (kills + 1))]
    content = "".join(map(json_line, streamers))
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        client = service.wait_until_ready().client
        assert ended(client, upload(client, content.encode()))["result"]["refused"] == 0
        path = submitted(client.post("/v1/jobs/exports", json={}))
        reached = _further(victims, kills, seed)
        service = _killed(running, service, bundle, path, victims, kills, reached)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        found = lines_of(service.client.get(path + "/result"))
        assert found == streamers
    return job["attempts"]


def rebuild_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One rebuild of the index; how often it was begun."""
    content = "".join(json_line(profile(i)) for i in range(REBUILT))
    choices = random.Random(f"{victims}-{kills}-{seed}")

    def begun(i: int) -> Callable[[dict[str, Any]], bool]:
        """Each time in another attempt, a while after it began."""
        moment = time.monotonic() + choices.uniform(0, 0.1)
        return lambda job: (
            job["state"] in FINISHED
            or (job["attempts"] > (i if "service" in victims else 0) and time.monotonic() > moment)
        )

    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        client = service.wait_until_ready().client
        assert ended(client, upload(client, content.encode()))["result"]["created"] == REBUILT
        path = submitted(client.post("/v1/index:rebuild"))
        service = _killed(running, service, bundle, path, victims, kills, begun)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert (result["streamers"], result["skipped"]) == (REBUILT, 0)
        assert result["replica"] == job["place"]
        assert _store_sequence(service) == REBUILT
        indexed = lines_of(service.client.get("/v1/index"))
        assert {line["streamer_id"]: line["version"] for line in indexed} == {
            streamer_id: s["version"] for streamer_id, s in service.streamers().items()
        }
        sequence = service.put("last", tags=["cooking"])
        question = {"after_sequence": sequence}
        service.client.get("/v1/streamers/last/similar", params=question).raise_for_status()
    return job["attempts"]


def _further(victims: str, kills: int, seed: int) -> Callable[[int], Reached]:
    """Each time further on."""
    choices = random.Random(f"{victims}-{kills}-{seed}")

    def reached(i: int) -> Reached:
        at = LINES_A_KILL * i + choices.randrange(LINES_A_KILL)
        return lambda job: job["progress"]["done"] >= at or job["state"] in FINISHED

    return reached


def _killed(
    running: ExitStack,
    service: Service,
    bundle: Path,
    path: str,
    victims: str,
    kills: int,
    reached: Callable[[int], Reached],
) -> Service:
    """Kill so often, whenever the job has reached a point; the service that runs then."""
    for i in range(kills):
        when(service.client, path, reached(i))
        store = service.store
        if "store" in victims:
            store.kill()
        if victims == "store":
            wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")  # noqa: B023
            continue
        service.kill()
        wait_until(lambda: is_free(service.data_dir), "the folder is free")  # noqa: B023
        service = running.enter_context(Service(bundle, service.data_dir, **OPTIONS))
        service.wait_until_ready()
    return service


def _store_sequence(service: Service) -> int:
    return service.client.get("/readyz").json()["store_sequence"]
