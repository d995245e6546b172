"""Jobs whose service, store or both are killed (kill -9) meanwhile.

A round begins a job, kills what it is told to as often as it is told to, each time further on, and
starts the service again. In the end everything was done, once: the store has counted one write for
each streamer, an export has each streamer in one line, a rebuilt index has what is stored, and
groups of duplicates are those of all streamers, told of by one event each.
"""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import TOPICS
from tests.support.service import json_line, profile
from tests.service.features.transfers.waiting import (
    FINISHED,
    ended,
    lines_of,
    submitted,
    upload,
    when,
)
from tests.support.service import UNGROUPED, Service, is_free, wait_until

Reached = Callable[[dict[str, Any]], bool]
VICTIMS = ("service", "store", "service and store")
LINES_A_KILL = 300
REBUILT = 3000
"""So many streamers that a rebuild takes long enough to be killed in it."""
COPIES = 600
OPTIONS: dict[str, Any] = {
    "STREAMER_JOBS__LEASE_S": "1",
    "STREAMER_LIMITS__PAGE_BYTES": "1024",
    **UNGROUPED,
}
"""Small pages, so that an export takes long enough to be killed in it."""
LARGE_PAGES: dict[str, Any] = {**OPTIONS, "STREAMER_LIMITS__PAGE_BYTES": str(1 << 20)}
"""For jobs that read no pages: thousands of streamers are compared in the end."""
GROUPED: dict[str, Any] = {**OPTIONS, "STREAMER_DUPLICATES__EVALUATE": "true"}


def import_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One import; how often it was begun."""
    lines = LINES_A_KILL * (kills + 1)
    content = "".join(json_line(profile(i)) for i in range(lines)) + "rubbish\n"
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        path = upload(service.wait_until_ready().client, content.encode())
        moments = further(victims, kills, seed)
        service = killed(running, service, bundle, path, victims, kills, moments)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert (result["lines"], result["created"], result["refused"]) == (lines + 1, lines, 1)
        assert (result["updated"], result["unchanged"]) == (0, 0)
        assert result["sequence"] == lines
        wait_until(lambda: store_sequence(service) == lines, "no write came besides")
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
        moments = further(victims, kills, seed)
        service = killed(running, service, bundle, path, victims, kills, moments)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        found = lines_of(service.client.get(path + "/result"))
        assert found == streamers
    return job["attempts"]


def similar_export_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One export of all that are similar, as a job; how often it was begun."""
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        client = service.wait_until_ready().client
        stock(client)
        question = {"positive": [{"streamer_id": profile(0)["streamer_id"]}], "min_score": -1}
        expected = lines_of(client.post("/v1/similar/export", json=question))
        headers = {"Prefer": "respond-async"}
        path = submitted(client.post("/v1/similar/export", json=question, headers=headers))
        moments = begun(victims, kills, seed, 0.01)
        service = killed(running, service, bundle, path, victims, kills, moments)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        *found, last = lines_of(service.client.get(path + "/result"))
        assert found == expected[:-1]
        assert last["reached"] == len(found) == REBUILT - 1
    return job["attempts"]


def duplicates_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One rebuild of groups of duplicates, beside writes; how often it was begun."""
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **GROUPED))
        service.wait_until_ready().bulk([_copy(i) for i in range(COPIES)])
        path = submitted(service.client.post("/v1/duplicates:rebuild"))
        service.bulk([_copy(i) for i in range(COPIES, COPIES + 40)])
        moments = begun(victims, kills, seed)
        service = killed(running, service, bundle, path, victims, kills, moments, **GROUPED)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        late = {name: value for name, value in _copy(0).items() if name != "streamer_id"}
        sequence = service.put("late", **late)
        expected = {
            frozenset(_copy(i)["streamer_id"] for i in range(k, COPIES + 40, len(TOPICS)))
            for k in range(len(TOPICS))
        }
        expected = {m | {"late"} if "s0000" in m else m for m in expected}
        assert _groups_of(service, sequence) == expected
        params = {"limit": 1000, "kinds": "duplicates.*"}
        events = service.client.get("/v1/events", params=params).json()["events"]
        assert len({event["event_id"] for event in events}) == len(events)
        joined = [s for e in events for s in e["data"]["streamer_ids"]]
        assert len(set(joined)) == len(joined)
    return job["attempts"]


def _copy(i: int) -> dict[str, Any]:
    topic = list(TOPICS)[i % len(TOPICS)]
    return {"streamer_id": f"s{i:04}", "bio": TOPICS[topic].split("美")[0], "tags": [topic]}


def _groups_of(service: Service, sequence: int) -> set[frozenset[str]]:
    """Members of all groups, once they take a write into account."""

    def is_there() -> bool:
        answer = service.client.get("/v1/duplicates").raise_for_status().json()
        return (answer["evaluated_sequence"] or 0) >= sequence

    wait_until(is_there, f"{sequence} is evaluated")
    page = service.client.get("/v1/duplicates").raise_for_status().json()
    found: set[frozenset[str]] = set()
    for group in page["groups"]:
        path = f"/v1/duplicates/{group['group_id']}"
        answer = service.client.get(path, params={"limit": 1000}).raise_for_status().json()
        found.add(frozenset(answer["members"]))
    return found


def stock(client: httpx.Client) -> None:
    """Write `REBUILT` streamers, unless the folder of the service came with them."""
    if client.get("/v1/streamers", params={"limit": 1}).raise_for_status().json()["streamers"]:
        return
    content = "".join(json_line(profile(i)) for i in range(REBUILT))
    assert ended(client, upload(client, content.encode()))["result"]["created"] == REBUILT


def rebuild_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One rebuild of the index; how often it was begun."""
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **LARGE_PAGES))
        client = service.wait_until_ready().client
        stock(client)
        path = submitted(client.post("/v1/index:rebuild"))
        moments = begun(victims, kills, seed)
        service = killed(running, service, bundle, path, victims, kills, moments, **LARGE_PAGES)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert (result["streamers"], result["skipped"]) == (REBUILT, 0)
        assert result["replica"] == job["place"]
        assert store_sequence(service) == REBUILT
        indexed = lines_of(service.client.get("/v1/index"))
        assert {line["streamer_id"]: line["version"] for line in indexed} == {
            streamer_id: s["version"] for streamer_id, s in service.streamers().items()
        }
        sequence = service.put("last", tags=["cooking"])
        question = {"after_sequence": sequence}
        service.client.get("/v1/streamers/last/similar", params=question).raise_for_status()
    return job["attempts"]


def begun(victims: str, kills: int, seed: int, longest_s: float = 0.1) -> Callable[[int], Reached]:
    """Each time in another attempt, a while after it began; for jobs that tell little."""
    choices = random.Random(f"{victims}-{kills}-{seed}")

    def reached(i: int) -> Reached:
        moment = time.monotonic() + choices.uniform(0, longest_s)
        return lambda job: (
            job["state"] in FINISHED
            or (job["attempts"] > (i if "service" in victims else 0) and time.monotonic() > moment)
        )

    return reached


def further(
    victims: str, kills: int, seed: int, step: int = LINES_A_KILL
) -> Callable[[int], Reached]:
    """Each time further on, by `step`."""
    choices = random.Random(f"{victims}-{kills}-{seed}")

    def reached(i: int) -> Reached:
        at = step * i + choices.randrange(step)
        return lambda job: job["progress"]["done"] >= at or job["state"] in FINISHED

    return reached


def killed(
    running: ExitStack,
    service: Service,
    bundle: Path,
    path: str,
    victims: str,
    kills: int,
    reached: Callable[[int], Reached],
    **settings: Any,
) -> Service:
    """Kill so often, whenever the job has reached a point; the service that runs then.

    It was and is started with `settings` beside `OPTIONS`.
    """
    for i in range(kills):
        store = service.store  # before: it takes a while to find it
        when(service.client, path, reached(i), every_s=0.005)  # or it is over before
        if "store" in victims:
            store.kill()
        if victims == "store":
            wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")  # noqa: B023
            continue
        service.kill()
        wait_until(lambda: is_free(service.data_dir), "the folder is free")  # noqa: B023
        service = running.enter_context(
            Service(bundle, service.data_dir, **{**OPTIONS, **settings})
        )
        service.wait_until_ready()
    return service


def store_sequence(service: Service) -> int:
    return service.client.get("/readyz").json()["store_sequence"]
