"""What a replica follows while it reads bundles, and while it starts."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from service.bootstrap.models.switching import ModelHost
from service.features.models import switching
from service.features.models.bundles import BundleFolder, Files, FoundBundle
from service.features.models.following import ModelFollower
from service.features.models.records import RegisteredModel
from service.files.spool import name_of as name_of_folder
from service.store.models.base import ModelPointer
from service.store.redis.models.store import RedisModels
from tests.service.features.models.test_life_cycle import (
    FIRST,
    NEXT,
    backfilled,
    everywhere,
    fill,
    opened,
)
from tests.service.features.models.test_life_cycle import client as client
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.features.models.test_replicas import name_of
from tests.service.process import WAIT_S, wait_until

SLOW = "slow"


def registered(name: str) -> RegisteredModel:
    return RegisteredModel(name, name, f"sha-{name}", "", "", 1, 1, 0.0, "")


class Store:
    """A store of the pointer, and what replicas told it."""

    def __init__(self) -> None:
        self.now = ModelPointer(1, "a", "b", "ready")
        self.told: list[Mapping[str, Any]] = []

    async def pointer(self) -> ModelPointer:
        return self.now

    async def note_replica(self, replica: str, held: Mapping[str, Any]) -> None:
        self.told.append(held)

    async def forget_replica(self, replica: str) -> None:
        pass


class Registered:
    """A registry."""

    def __init__(self, *names: str) -> None:
        self.models = {name: registered(name) for name in names}

    async def all(self) -> Mapping[str, RegisteredModel]:
        return dict(self.models)

    async def get(self, name: str) -> RegisteredModel | None:
        return self.models.get(name)


class Share(BundleFolder):
    """A folder in which one bundle takes long to be read."""

    def __init__(self) -> None:
        self.is_read, self.may_end = threading.Event(), threading.Event()

    def files(self, name: str) -> Files | None:
        return None

    def find(self, name: str) -> FoundBundle:
        if name == SLOW:
            self.is_read.set()
            assert self.may_end.wait(WAIT_S)
        manifest = cast(Any, SimpleNamespace(model_version=name))
        return FoundBundle(Path(name), manifest, f"sha-{name}")


class Here:
    """Models of a process."""

    def __init__(self) -> None:
        self.serves = "a"
        self.encoders: dict[str, Any] = {"a": None}
        self.indexed = ("a",)

    async def open(self, bundle: FoundBundle) -> None:
        self.encoders[bundle.manifest.model_version] = None

    async def settle(self, pointer: ModelPointer) -> None:
        self.serves = str(pointer.active)


def test_a_bundle_that_takes_long_to_be_read_keeps_nobody_from_following() -> None:
    """A replica switched seconds after a promotion, when another model had been registered."""
    store, share, here = Store(), Share(), Here()
    registry = Registered(SLOW, "a", "b")
    follower = ModelFollower(cast(Any, store), cast(Any, registry), share, cast(Any, here), "me")

    async def check() -> None:
        await follower.appear()
        follower.start()
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.to_thread(share.is_read.wait)
                store.now = ModelPointer(2, "b", "a", "ready")
                while here.serves != "b":  # noqa: ASYNC110 - told to nobody
                    await asyncio.sleep(0.01)
                store.now = ModelPointer(3, "b", "c", "preparing")
                registry.models["c"] = registered("c")
                await follower.refresh()  # who writes waits for the models that it needs alone
                assert "c" in here.encoders
                assert SLOW not in follower.held["bundles"]
                share.may_end.set()
                while SLOW not in store.told[-1]["bundles"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            share.may_end.set()
            await follower.stop()

    asyncio.run(check())


@pytest.mark.parametrize("way", ["promotion", "roll-back"])
def test_replicas_that_do_not_follow_are_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    backfilled(client)
    path = f"/v1/models/{NEXT}:promote"
    if way == "roll-back":
        assert client.post(path).json()["replicas"][0]["serves"]
        wait_until(lambda: everywhere(client, "is_indexed", FIRST), "the other one is kept")
        path = "/v1/models:rollback"

    async def stuck(self: ModelHost, pointer: ModelPointer) -> None:
        pass

    monkeypatch.setattr(switching, "_SWITCH_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(ModelHost, "settle", stuck)
        answer = client.post(path)
    assert answer.status_code == 200
    assert f"{name_of(client)} did not answer by" in answer.json()["warnings"][-1]
    assert f"{name_of(client)} did not answer by" in caplog.text


def test_a_replica_that_starts_is_waited_for_before_it_looks_at_the_models(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[asyncio.Task[Any] | None, str]] = []
    note, pointer = RedisModels.note_replica, RedisModels.pointer
    here = name_of_folder(tmp_path / "data")

    async def noted(self: RedisModels, replica: str, held: Mapping[str, Any]) -> None:
        if replica.startswith(here):  # not a service of other tests, which may run on
            asked.append((asyncio.current_task(), "told"))
        await note(self, replica, held)

    async def looked(self: RedisModels) -> ModelPointer:
        asked.append((asyncio.current_task(), "looked"))
        return await pointer(self)

    monkeypatch.setattr(RedisModels, "note_replica", noted)
    monkeypatch.setattr(RedisModels, "pointer", looked)

    def begun() -> list[str]:
        """What the task that starts did; others of the service look too, at any time."""
        starting = next((task for task, what in asked if what == "told"), None)
        return [what for task, what in asked if starting is not None and task is starting]

    with opened(folder, tmp_path / "data"):  # probes are answered while it starts
        wait_until(lambda: len(begun()) > 1, "it has told and looked")
        assert begun()[:2] == ["told", "looked"]


def test_a_start_does_not_wait_for_bundles_that_do_not_serve(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    find, may_read = BundleFolder.find, threading.Event()

    def held(self: BundleFolder, name: str) -> FoundBundle:
        assert may_read.wait(WAIT_S)
        return find(self, name)

    monkeypatch.setattr(BundleFolder, "find", held)
    try:
        with opened(folder, tmp_path / "data") as client:
            assert not everywhere(client, "has_bundle", NEXT)
            may_read.set()
            wait_until(lambda: everywhere(client, "has_bundle", NEXT), "it is read")
    finally:
        may_read.set()
