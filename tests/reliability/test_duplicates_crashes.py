"""kill -9 of the service and its store while groups are rebuilt and streamers written."""

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import TOPICS
from tests.service.features.transfers.waiting import ended, submitted, when
from tests.service.process import Service, is_free, wait_until

OPTIONS: dict[str, Any] = {"STREAMER_JOBS__LEASE_S": "1"}
MEMBERS = 600


def profile(i: int) -> dict[str, Any]:
    topic = list(TOPICS)[i % len(TOPICS)]
    return {"streamer_id": f"s{i:04}", "bio": TOPICS[topic].split("美")[0], "tags": [topic]}


def groups_of(service: Service, sequence: int) -> set[frozenset[str]]:
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


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["service", "service and store"])
def test_a_rebuild_that_is_killed_ends_right(bundle: Path, tmp_path: Path, victims: str) -> None:
    choices = random.Random(victims)
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, tmp_path / "data", **OPTIONS))
        service.wait_until_ready().bulk([profile(i) for i in range(MEMBERS)])
        path = submitted(service.client.post("/v1/duplicates:rebuild"))
        service.bulk([profile(i) for i in range(MEMBERS, MEMBERS + 40)])
        for _ in range(2):
            at = choices.randrange(MEMBERS)
            when(
                service.client,
                path,
                lambda job: job["progress"]["done"] >= at or job["state"] != "queued",  # noqa: B023
            )
            if victims != "service":
                service.store.kill()
            service.kill()
            wait_until(lambda: is_free(service.data_dir), "the folder is free")  # noqa: B023
            service = running.enter_context(Service(bundle, service.data_dir, **OPTIONS))
            service.wait_until_ready()
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        last = service.put("late", **{k: v for k, v in profile(0).items() if k != "streamer_id"})
        expected = {
            frozenset(profile(i)["streamer_id"] for i in range(k, MEMBERS + 40, len(TOPICS)))
            for k in range(len(TOPICS))
        }
        expected = {m | {"late"} if "s0000" in m else m for m in expected}
        assert groups_of(service, last) == expected
        events = service.client.get("/v1/events", params={"limit": 1000}).json()["events"]
        assert len({event["event_id"] for event in events}) == len(events)
        joined = [s for e in events for s in e["data"]["streamer_ids"]]
        assert len(set(joined)) == len(joined)
