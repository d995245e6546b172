"""Replicas that stop, are killed or come back: others wait for those alone that are there."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.bootstrap.models.switching import ModelHost
from service.engine.replica import presence
from service.errors import StoreUnavailable
from service.settings import Settings
from service.settings.models import Models
from service.store.models.base import SEEN_S
from service.store.redis.models.store import RedisModels
from tests.bundles import write_bundle
from tests.service.features.models.test_life_cycle import (
    FIRST,
    NEXT,
    answers,
    backfilled,
    everywhere,
    fill,
    model,
    opened,
    refused,
)
from tests.service.process import WAIT_S, wait_until
from tests.service.valkey import Server


@pytest.fixture
def bundles(bundle: Path, tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "first").symlink_to(bundle)
    write_bundle(tmp_path / "models" / "next", seed=1)
    return tmp_path / "models"


def beside(bundles: Path, data_dir: Path, server: Server) -> TestClient:
    """One of several replicas."""
    known = {"bundle": bundles / "first", "data_dir": data_dir, "redis_url": server.url}
    settings = Settings.model_validate({**known, "models": Models(folder=bundles)})
    return TestClient(create_app(settings), base_url="http://localhost")


def name_of(client: TestClient) -> str:
    return client.app_state["services"].models._follower.replica  # type: ignore[index]


def seen(client: TestClient) -> list[str]:
    """Names of the replicas that are there."""
    return [each["replica"] for each in model(client, FIRST)["replicas"]]


def indexed(client: TestClient) -> dict[str, bool]:
    """Which replicas have the first model's index, as one of them says."""
    return {each["replica"]: each["is_indexed"] for each in model(client, FIRST)["replicas"]}


async def failing() -> None:
    raise StoreUnavailable("the connection was lost")


async def silent() -> None:
    await asyncio.Event().wait()


def forget_by(patched: pytest.MonkeyPatch, answer: Callable[[], Awaitable[None]]) -> list[str]:
    """Let the store answer so to each replica that leaves; their names."""
    asked: list[str] = []

    async def forget(self: RedisModels, replica: str) -> None:
        asked.append(replica)
        await answer()

    patched.setattr(RedisModels, "forget_replica", forget)
    return asked


def promoted(client: TestClient) -> list[Any]:
    """Change the model; how the first one answered."""
    fill(client)
    before = answers(client)
    backfilled(client)
    client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    return before


@contextlib.contextmanager
def no_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No index is opened beside the one that serves until the event is set."""
    may_open, open_services = threading.Event(), ModelHost._open_services

    async def late(self: ModelHost, opening: Any) -> None:
        while not may_open.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)
        await open_services(self, opening)

    monkeypatch.setattr(ModelHost, "_open_services", late)
    try:
        yield may_open
    finally:
        may_open.set()


def test_what_a_replica_shows_of_itself_the_others_know(
    bundles: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POLL_S", "_TELL_S"):  # nothing is told but where somebody asks
        monkeypatch.setattr(f"service.features.models.following.{name}", 3600)
    with (
        beside(bundles, tmp_path / "one", server) as one,
        beside(bundles, tmp_path / "other", server) as other,
    ):
        mine = one.app_state["services"].models._follower  # type: ignore[index]
        before = type(mine).held.fget
        held = {**before(mine), "indexed": ["another"]}
        changed = property(lambda self: held if self is mine else before(self))
        monkeypatch.setattr(type(mine), "held", changed)
        assert not indexed(one)[name_of(one)]
        assert not indexed(other)[name_of(one)]


def test_a_replica_that_stops_is_forgotten(
    bundles: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_LEAVE_S", WAIT_S)  # however busy the store is
    with beside(bundles, tmp_path / "one", server) as one:
        with beside(bundles, tmp_path / "other", server) as other:
            assert seen(one) == sorted([name_of(one), name_of(other)])
        assert seen(one) == [name_of(one)]


@pytest.mark.parametrize("answer", [failing, silent])
def test_a_store_that_fails_holds_no_stop_up(
    bundles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[], Awaitable[None]],
) -> None:
    asked = forget_by(monkeypatch, answer)
    with opened(bundles, tmp_path / "data") as client:
        name = name_of(client)
    assert asked == [name]


def test_a_store_that_is_gone_holds_no_stop_up(
    bundles: Path, tmp_path: Path, server: Server
) -> None:
    with beside(bundles, tmp_path / "one", server):
        server.kill()


@pytest.mark.slow
def test_a_replica_that_was_killed_and_is_back(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had before it was killed lets nothing be promoted that it has not yet."""
    with monkeypatch.context() as patched, opened(bundles, tmp_path / "data") as client:
        before, killed = promoted(client), name_of(client)
        forget_by(patched, failing)  # it does not stop in order
    with no_index(monkeypatch) as may_open, opened(bundles, tmp_path / "data") as client:
        why = refused(client, "/v1/models:rollback")
        assert f"is missing on {name_of(client)}: not ready yet" in why
        assert name_of(client) != killed
        assert model(client, NEXT)["state"] == "active"
        may_open.set()
        wait_until(lambda: everywhere(client, "is_indexed", FIRST), "its index is complete")
        client.post("/v1/models:rollback").raise_for_status()
        assert answers(client) == before


@pytest.mark.slow
def test_what_is_told_of_a_replica_s_name_is_not_asked_by_itself(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, former = RedisModels.replicas, dict[str, Any]()
    with opened(bundles, tmp_path / "data") as client:
        promoted(client)
        former.update(client.app_state["services"].models._follower.held)  # type: ignore[index]
    assert sorted(former["indexed"]) == [FIRST, NEXT]

    async def stale(self: RedisModels, seen_within_s: float = SEEN_S) -> Mapping[str, Any]:
        return dict.fromkeys(await told(self, seen_within_s), former)

    with no_index(monkeypatch) as may_open, opened(bundles, tmp_path / "data") as client:
        monkeypatch.setattr(RedisModels, "replicas", stale)
        assert not everywhere(client, "is_indexed", FIRST)
        assert name_of(client) in refused(client, "/v1/models:rollback")
        may_open.set()
        wait_until(lambda: everywhere(client, "is_indexed", FIRST), "its index is complete")
        client.post("/v1/models:rollback").raise_for_status()


def test_a_store_that_takes_no_notes(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica of which the store knows nothing is asked all the same: by itself."""

    async def nobody(self: RedisModels, seen_within_s: float = SEEN_S) -> Mapping[str, Any]:
        return {}

    with opened(bundles, tmp_path / "data") as client:
        promoted(client)
    with no_index(monkeypatch) as may_open, opened(bundles, tmp_path / "data") as client:
        monkeypatch.setattr(RedisModels, "replicas", nobody)
        assert name_of(client) in refused(client, "/v1/models:rollback")
        assert client.get("/readyz").json()["model_version"] == NEXT
        may_open.set()


def test_a_replica_that_never_gets_to_serve_does_not_shut_the_way_back(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that kills replicas while they start is left by those that still serve."""
    told = RedisModels.replicas
    held = {"bundles": {}, "problems": {}, "encodes": [FIRST], "indexed": [], "live": None}
    starts = {"starts": {"serves": "", **held}}

    async def and_one_that_starts(
        self: RedisModels, seen_within_s: float = SEEN_S
    ) -> Mapping[str, Any]:
        return {**await told(self, seen_within_s), **starts}

    with opened(bundles, tmp_path / "data") as client:
        before = promoted(client)
        wait_until(lambda: everywhere(client, "is_indexed", FIRST), "the other one is kept")
        monkeypatch.setattr(RedisModels, "replicas", and_one_that_starts)
        answer = client.post("/v1/models:rollback")
        assert (answer.status_code, answer.json()["model_version"]) == (200, FIRST), answer.text
        (warning,) = answer.json()["warnings"]
        assert warning == f"starts did not serve yet: once open, by {FIRST!r}"
        assert answers(client) == before
        assert "is missing on starts" in refused(client, f"/v1/models/{NEXT}:promote")
        starts["starts"]["serves"] = FIRST
        assert "is missing on starts" in refused(client, "/v1/models:rollback")
