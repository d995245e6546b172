"""Changes of the model by two operators at once, or by one who asks twice."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.models.records import RegisteredModel, Registry
from service.features.models.service import Models
from service.settings import Jobs
from service.store.once import Once
from tests.bundles import write_bundle
from tests.service.conftest import put
from tests.service.features.models.test_life_cycle import (
    FIRST,
    NEXT,
    backfilled,
    everywhere,
    fill,
    model,
    opened,
    refused,
)
from tests.service.process import wait_until

SLOW = {"streamers_per_s": 0.5}
BACKFILL = f"/v1/models/{NEXT}:backfill"


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(bundle, folder / "first")
    write_bundle(folder / "next", seed=1)
    write_bundle(folder / "again", seed=1, calibration=None)  # another one of that version
    return folder


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        yield client


def models_of(client: TestClient) -> Models:
    return client.app_state["services"].models  # type: ignore[index]


def call(client: TestClient, asked: Callable[..., Any], *given: Any) -> Any:
    """What the service's own code answers, in its event loop."""
    assert client.portal is not None
    return client.portal.call(asked, *given)


def register(client: TestClient, folder: str) -> None:
    client.post("/v1/models", json={"folder": folder}).raise_for_status()


def test_a_first_model_that_is_registered_late_can_be_gone_back_to(client: TestClient) -> None:
    backfilled(client)
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    register(client, "first")
    wait_until(lambda: everywhere(client, "is_indexed", FIRST), "the other one is kept")
    answer = client.post("/v1/models:rollback")
    assert (answer.status_code, answer.json()["model_version"]) == (200, FIRST)


def test_two_operators_who_go_back_from_one_model_do_not_cancel_each_other(
    client: TestClient,
) -> None:
    backfilled(client)
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    wait_until(lambda: everywhere(client, "is_indexed", FIRST), "the other one is kept")
    left = {"from": NEXT}
    key = {"Idempotency-Key": '"back"'}
    first = client.post("/v1/models:rollback", params=left, headers=key)
    assert (first.status_code, first.json()["model_version"]) == (200, FIRST)
    assert first.json()["warnings"] == []
    assert f"{FIRST!r} is active, not {NEXT!r}" in refused(
        client, "/v1/models:rollback", params=left
    )
    again = client.post("/v1/models:rollback", params=left, headers=key)
    assert (again.status_code, again.json()["model_version"]) == (200, FIRST)
    assert client.post("/v1/models:rollback").json()["model_version"] == NEXT


@pytest.mark.parametrize("which", ["next", "again"])
def test_a_registration_in_flight_forgets_no_backfill(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    register(client, "next")
    put, begun = Registry.put, list[str]()

    async def beaten(
        self: Registry, name: str, make: Callable[[RegisteredModel | None], RegisteredModel]
    ) -> None:
        job = await models_of(client).backfill(NEXT, SLOW["streamers_per_s"], None, ("", ""))
        begun.append(job.job_id)
        await put(self, name, make)

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "put", beaten)
        answer = client.post("/v1/models", json={"folder": which})
    assert answer.status_code == (201 if which == "next" else 409), answer.text
    record = call(client, models_of(client)._registry.get, NEXT)
    assert (record.job_id, record.folder) == (begun[0], "next")
    assert record.streamers_per_s == SLOW["streamers_per_s"]


def test_a_backfill_that_is_sent_again_after_a_retirement_moves_nothing(client: TestClient) -> None:
    register(client, "next")
    key = {"Idempotency-Key": '"one"'}
    first = client.post(BACKFILL, headers=key).json()
    wait_until(lambda: model(client, NEXT)["state"] == "ready", "it is backfilled")
    again = client.post(BACKFILL, headers=key)
    assert (again.status_code, again.json()["job_id"]) == (202, first["job_id"])
    other = client.post(BACKFILL, headers=key, params=SLOW)
    assert other.json()["code"] == "idempotency_key_reused"
    client.post(f"/v1/models/{NEXT}:retire").raise_for_status()
    why = refused(client, BACKFILL, headers=key)
    assert f"job {first['job_id']}" in why
    assert "send another key" in why
    assert model(client, NEXT)["state"] == "retired"
    backfilled(client)


def test_a_backfill_that_is_sent_twice_at_once_is_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(client, "next")
    models, once, begun = models_of(client), Once("one", "asked"), list[str]()
    registered = models._shown.registered

    async def beaten(model_version: str) -> RegisteredModel:
        record = await registered(model_version)
        monkeypatch.setattr(models._shown, "registered", registered)
        begun.append((await models.backfill(NEXT, SLOW["streamers_per_s"], once, ("", ""))).job_id)
        return record

    monkeypatch.setattr(models._shown, "registered", beaten)
    job = call(client, models.backfill, NEXT, SLOW["streamers_per_s"], once, ("", ""))
    assert [job.job_id] == begun


def test_paused_for_longer_than_its_job_is_kept_it_keeps_its_pace(
    folder: Path, tmp_path: Path
) -> None:
    idle = Jobs(at_once=0)  # what is queued stays so
    with opened(folder, tmp_path / "data", jobs=idle) as client:

        def paused(*, is_kept: bool) -> None:
            client.post(f"/v1/models/{NEXT}:pause").raise_for_status()
            if not is_kept:
                call(client, models_of(client)._jobs.forget, job)
                assert model(client, NEXT)["backfill"] is None

        def begun(**pace: float) -> float | None:
            answer = client.post(BACKFILL, params=pace)
            assert answer.status_code == 202, answer.text
            kept = call(client, models_of(client)._jobs.get, answer.json()["job_id"])
            return json.loads(kept.input)["streamers_per_s"]

        put(client, "s0")
        register(client, "next")
        job = client.post(BACKFILL, params={"streamers_per_s": 7}).json()["job_id"]
        paused(is_kept=False)
        assert begun() == 7
        paused(is_kept=True)
        assert begun(streamers_per_s=9) == 9
        paused(is_kept=False)
        assert begun() == 9
        paused(is_kept=False)
        assert begun(streamers_per_s=11) == 11
        paused(is_kept=False)
        assert begun() == 11
        client.post(f"/v1/models/{NEXT}:retire").raise_for_status()
        assert begun() is None  # another backfill
