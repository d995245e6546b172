"""Saved lists that change while a job waits to run them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.lists.jobs import KIND, asked_by_job
from service.features.lists.schemas import ListQuestionIn, RunIn
from service.features.lists.service import Asker
from service.scopes import Scope
from service.settings import Settings
from tests.service.conftest import put, wait_until_visible
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.transfers.waiting import ended, submitted

SEED = {"positive": [{"streamer_id": "cook-00"}], "k": 100}
ASYNC = {"Prefer": "respond-async"}


def save(client: TestClient, **more: Any) -> None:
    body = {"question": {**SEED, **more}}
    client.put("/v1/lists/spring", json=body).raise_for_status()


def test_a_job_does_not_run_a_list_that_was_changed_since(bundle: Path, tmp_path: Path) -> None:
    """Or it would make what its scopes were not asked for, and what was not charged."""
    given = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    waiting = Settings.model_validate({**given, "jobs": {"at_once": 0}})
    with TestClient(create_app(waiting), headers=bearer("first")) as client:
        for name in ("cook-00", "cook-01"):
            wait_until_visible(client, put(client, name, tags=["cooking"]))
        key = create(client, scopes=["streamers:read", "search"])["key"]
        client.headers.update(bearer(key))
        save(client)
        path = submitted(client.post("/v1/lists/spring:run", json={}, headers=ASYNC))
        client.post(path + ":cancel").raise_for_status()
        save(client, explain="full")
        client.post(path + ":retry").raise_for_status()
    with TestClient(create_app(Settings.model_validate(given)), headers=bearer(key)) as client:
        job = ended(client, path)
        assert (job["state"], job["error"]["code"]) == ("failed", "list_conflict"), job
        assert job["error"]["detail"] == (
            "list 'spring' was changed after this job was queued: run the list again"
        )
        assert client.get("/v1/lists/spring").json()["runs"] == []
        save(client)
        path = submitted(client.post("/v1/lists/spring:run", json={}, headers=ASYNC))
        assert ended(client, path)["state"] == "succeeded"


@pytest.mark.parametrize(
    ("explain", "scopes", "state"),
    [
        (None, ["search"], "succeeded"),
        ("full", ["search"], "failed"),
        ("full", ["explain", "search"], "succeeded"),
    ],
)
def test_a_job_of_an_earlier_release_makes_what_its_scopes_allow(
    client: TestClient, cooks: list[str], explain: str | None, scopes: Sequence[Scope], state: str
) -> None:
    save(client, explain=explain)
    question, by = ListQuestionIn.model_validate(SEED), Asker("", "", "")
    asked = asked_by_job(by, "ndjson", question, None, RunIn())
    del asked["revision"]
    asked |= {"question": None, "list": "spring"}
    later = client.app_state["services"].transfers.answer_later
    assert client.portal is not None
    job = client.portal.call(later, KIND, asked, ("", ""), None, scopes)
    assert ended(client, f"/v1/jobs/{job.job_id}")["state"] == state
