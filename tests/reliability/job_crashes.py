"""Imports and exports whose service, store or both are killed (kill -9) while they run.

A round begins a job, kills what it is told to as often as it is told to, each time further on, and
starts the service again. In the end everything was done, once: the store has counted one write for
each streamer, and an export has each streamer in one line.
"""

import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.service.data_sets import json_line, profile
from tests.service.features.transfers.waiting import ended, lines_of, submitted, upload, when
from tests.service.process import Service, is_free, wait_until

VICTIMS = ("service", "store", "service and store")
LINES_A_KILL = 400
OPTIONS = {"STREAMER_JOBS__LEASE_S": "1", "STREAMER_LIMITS__PAGE_BYTES": "1024"}
"""Small pages, so that an export takes long enough to be killed in it."""


def import_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One import; how often it was begun."""
    lines = LINES_A_KILL * (kills + 1)
    content = "".join(json_line(profile(i)) for i in range(lines)) + "rubbish\n"
    with Service(bundle, data_dir, **OPTIONS) as service:
        path = upload(service.wait_until_ready().client, content.encode())
        job = _killed(service, bundle, path, victims, kills, seed)
    assert job["state"] == "succeeded", job
    result = job["result"]
    assert (result["lines"], result["created"], result["refused"]) == (lines + 1, lines, 1)
    assert (result["updated"], result["unchanged"]) == (0, 0)
    with Service(bundle, data_dir, **OPTIONS) as service:
        service.wait_until_ready()
        assert service.client.get("/readyz").json()["store_sequence"] == lines
        stored = service.streamers()
        assert {i: s["profile"] for i, s in stored.items()} == {
            profile(i)["streamer_id"]: profile(i) for i in range(lines)
        }
    return job["attempts"]


def export_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One export; how often it was begun."""
    lines = LINES_A_KILL * (kills + 1)
    content = "".join(json_line(profile(i)) for i in range(lines))
    with Service(bundle, data_dir, **OPTIONS) as service:
        client = service.wait_until_ready().client
        assert ended(client, upload(client, content.encode()))["result"]["created"] == lines
        path = submitted(client.post("/v1/jobs/exports", json={}))
        job = _killed(service, bundle, path, victims, kills, seed)
    assert job["state"] == "succeeded", job
    with Service(bundle, data_dir, **OPTIONS) as service:
        found = lines_of(service.wait_until_ready().client.get(path + "/result"))
    assert found == [profile(i) for i in range(lines)]
    return job["attempts"]


def _killed(
    service: Service, bundle: Path, path: str, victims: str, kills: int, seed: int
) -> dict[str, Any]:
    """The job, once it is finished, after all kills."""
    choices = random.Random(f"{victims}-{kills}-{seed}")
    with ExitStack() as running:
        for i in range(kills):
            at = LINES_A_KILL * i + choices.randrange(LINES_A_KILL)
            job = when(service.client, path, lambda job: _is_at(job, at))  # noqa: B023
            assert job["state"] in ("queued", "running", "succeeded"), json.dumps(job)
            store = service.store
            if "store" in victims:
                store.kill()
            if victims == "store":
                wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")  # noqa: B023
                continue
            service.kill()
            wait_until(lambda: is_free(service.data_dir), "the folder is free")  # noqa: B023
            service = Service(bundle, service.data_dir, **OPTIONS)
            running.enter_context(service).wait_until_ready()
        return ended(service.client, path)


def _is_at(job: dict[str, Any], at: int) -> bool:
    return job["progress"]["done"] >= at or job["state"] in ("succeeded", "failed", "cancelled")
