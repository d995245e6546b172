"""Cases on several replicas: whichever is asked, a ring is looked for among all streamers."""

from typing import Any

import pytest

from tests.reliability.conftest import Replicas
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow
WORDS = "guitar vocal cover concert on the old roof every monday evening with friends"


def is_leading(service: Service) -> bool:
    return "streamer_duplicates_leading 1.0" in service.client.get("/metrics").text


def evaluated(service: Service, sequence: int) -> bool:
    page = service.client.get("/v1/duplicates").json()
    return (page["evaluated_sequence"] or 0) >= sequence


def act(service: Service, case_id: str, action: str) -> dict[str, Any]:
    """What a case comes to by an action, at once or by a job."""
    path = f"/v1/cases/{case_id}"
    tag = service.client.get(path).headers["ETag"]
    answer = service.client.post(f"{path}:{action}", headers={"If-Match": tag}).raise_for_status()
    if answer.status_code == 200:
        return {**answer.json(), "by": "itself"}
    location = answer.headers["Location"]

    def job() -> dict[str, Any]:
        return service.client.get(location).raise_for_status().json()

    wait_until(lambda: job()["state"] not in ("queued", "running"), "the job ends")
    assert job()["state"] == "succeeded", job()
    return {**job()["result"], "by": "a job"}


def test_any_replica_looks_among_all_streamers(replicas: Replicas, server: Server) -> None:
    services = replicas(*[server.url] * 2)
    for name in ("one", "two", "three"):
        last = services[0].put(name, bio=f"{WORDS}, telegram: harbour_9023")
    wait_until(lambda: evaluated(services[0], last), "candidates are known")
    (leading,) = [service for service in services if is_leading(service)]
    (other,) = [service for service in services if service is not leading]
    body = {"title": "a ring", "seeds": ["one"]}
    case_id = other.client.post("/v1/cases", json=body).json()["case_id"]

    ran = act(other, case_id, "expand")

    assert (ran["by"], ran["run"]["complete"], ran["run"]["members"]) == ("a job", True, 3)
    for service in (leading, other):
        again = act(service, case_id, "rerun")
        assert (again["revision"], again["differences"]["joined"]) == (ran["revision"], [])
    assert again["by"] == "a job"
    leading.kill()
    wait_until(lambda: is_leading(other), "another one keeps the candidates")
    again = act(other, case_id, "rerun")
    assert again["revision"] == ran["revision"]
