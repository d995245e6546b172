"""Who is shown what jobs of cases came to, and that nothing of them outlasts the case."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import StoreUnavailable
from service.features.cases.jobs import CaseJobs
from service.features.cases.running import Ran, Runs
from service.features.jobs.service import Jobs
from service.settings import Settings
from service.store.redis.jobs import RedisJobs
from tests.bundles import write_bundle_with_evidence
from tests.service.conftest import put
from tests.service.features.cases.test_cases import begin
from tests.service.features.duplicates.test_duplicates import evaluated
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle_with_evidence(folder)
    given = {"bundle": folder, "data_dir": tmp_path_factory.mktemp("data"), "api_key": "first"}
    app = create_app(Settings.model_validate(given))
    with TestClient(app, base_url="http://localhost", headers=bearer("first")) as running:
        yield running


def expanding(client: TestClient, case: dict[str, Any]) -> str:
    """Path of a job that expands a case."""
    headers = {"If-Match": "*", **ASYNC}  # another one may expand it at this moment
    return submitted(client.post(f"/v1/cases/{case['case_id']}:expand", headers=headers))


def delete(client: TestClient, case: dict[str, Any]) -> int:
    """Status of the answer."""
    path = f"/v1/cases/{case['case_id']}"
    return client.delete(path, headers={"If-Match": "*"}).status_code


def sweep(client: TestClient) -> None:
    """What each runner does at its start, and every ten minutes."""
    services: Any = client.app_state["services"]
    jobs = CaseJobs()
    jobs.connect(services.cases._runs)
    assert client.portal is not None
    client.portal.call(jobs.sweep, services.jobs._store)


def keys_left(client: TestClient, word: str) -> list[str]:
    """Keys of the store whose hash, a job, has a word."""
    store: Any = client.app_state["services"].jobs._store
    ask, portal = store._client.ask, client.portal
    assert portal is not None
    names: list[bytes] = portal.call(ask, "KEYS", "ss:job:*")
    rows = [portal.call(ask, "HGETALL", name) for name in names]
    return [
        name.decode()
        for name, row in zip(names, rows, strict=True)
        if any(word.encode() in value for value in row.values())
    ]


def test_what_an_expansion_came_to_is_shown_to_who_may_read_cases(client: TestClient) -> None:
    evaluated(client, put(client, "ana", name="Ana", bio="telegram: lunaris4471"))
    path = expanding(client, begin(client, "ana"))
    assert ended(client, path)["result"]["title"] == "gift scam"
    for scopes, is_shown in (
        (["streamers:read"], False),
        (["streamers:read", "search", "duplicates"], False),
        (["streamers:read", "cases"], True),
        (["cases"], True),
    ):
        headers = bearer(create(client, scopes=scopes)["key"])
        job = client.get(path, headers=headers)
        event = client.get(path + "/events", headers=headers)
        (told,) = [line for line in event.text.splitlines() if line.startswith("data: ")]
        answers = [job.json(), json.loads(told.removeprefix("data: "))]
        if "streamers:read" in scopes:
            page = client.get("/v1/jobs", headers=headers).json()["jobs"]
            answers += [each for each in page if each["job_id"] == job.json()["job_id"]]
            assert len(answers) == 3
        for each in answers:
            assert each["state"] == "succeeded"
            assert (each["result"] is not None) == is_shown
        assert ("gift scam" in job.text + event.text) == is_shown
    reads = bearer(create(client, scopes=["streamers:read", "search"])["key"])
    for action in (":cancel", ":retry"):
        problem(client.post(path + action, headers=reads), 403, "missing_scope")
    assert "gift scam" not in client.get(path + "/result", headers=reads).text


def test_a_case_is_deleted_with_its_jobs(client: TestClient) -> None:
    evaluated(client, put(client, "ana", name="Ana", bio="telegram: lunaris4471"))
    case, other = begin(client, "ana"), begin(client, "ana")
    paths = [expanding(client, each) for each in (case, case, other)]
    for path in paths:
        assert ended(client, path)["state"] == "succeeded"
    assert delete(client, case) == 204
    assert [client.get(path).status_code for path in paths] == [404, 404, 200]
    assert keys_left(client, case["case_id"]) == []
    assert len(keys_left(client, other["case_id"])) == 1


def test_what_an_interrupted_deletion_left_is_swept(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(client, put(client, "ana", name="Ana", bio="telegram: lunaris4471"))
    case, other = begin(client, "ana"), begin(client, "ana")
    paths = [expanding(client, each) for each in (case, other)]
    for path in paths:
        assert ended(client, path)["state"] == "succeeded"

    async def silent(self: RedisJobs, job_id: str) -> None:
        raise StoreUnavailable(StoreUnavailable.example)

    with monkeypatch.context() as patched:
        patched.setattr(RedisJobs, "forget", silent)
        assert delete(client, case) == 503
    assert delete(client, case) == 404
    assert client.get(paths[0]).json()["result"]["title"] == "gift scam"
    sweep(client)
    assert [client.get(path).status_code for path in paths] == [404, 200]
    assert keys_left(client, case["case_id"]) == []


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_job_that_no_runner_ended_is_swept(client: TestClient, is_cancelled: bool) -> None:
    jobs: Jobs = client.app_state["services"].jobs
    asked = {"case_id": f"case-gone-{is_cancelled}", "query": None, "key_id": "k", "key_name": "n"}
    assert client.portal is not None
    queued = client.portal.call(partial(jobs.start, "cases", asked, place="that nobody has"))
    if is_cancelled:
        client.portal.call(jobs.cancel, queued.job_id)
    assert len(keys_left(client, asked["case_id"])) == 1
    sweep(client)
    assert keys_left(client, asked["case_id"]) == []


@pytest.mark.slow
def test_a_job_that_ends_after_its_case_was_deleted_is_forgotten(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(client, put(client, "ana", name="Ana", bio="telegram: lunaris4471"))
    kept, going, keep = asyncio.Event(), asyncio.Event(), Runs._keep

    async def held(self: Runs, *arguments: Any) -> Ran:
        """It has the case, and has not ended yet."""
        ran = await keep(self, *arguments)
        kept.set()
        await going.wait()
        return ran

    monkeypatch.setattr(Runs, "_keep", held)
    case = begin(client, "ana")
    path = expanding(client, case)
    assert client.portal is not None
    client.portal.call(kept.wait)
    assert delete(client, case) == 204
    client.portal.call(going.set)
    wait_until(lambda: client.get(path).status_code == 404, "the job is forgotten")
    assert keys_left(client, case["case_id"]) == []
