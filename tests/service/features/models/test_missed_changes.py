"""A replica that was away while a model was retired, and that finds it again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from service.bootstrap.models.switching import ModelHost, _Model
from service.settings import Settings
from service.store.models.base import ModelPointer
from tests.bundles import TOPICS
from tests.service.conftest import put
from tests.service.features.models.test_life_cycle import NEXT, fill, model, opened
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.process import wait_until, when_visible
from tests.service.valkey import Server


class Absences:
    """Lets the replica that was started last miss what happens to models.

    Attributes:
        is_away: whether it does at the moment.
        seen: what it was told since it came back.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = False
        self.seen: list[ModelPointer] = []
        hosts: list[ModelHost] = []
        settle = ModelHost.settle

        async def settled(host: ModelHost, pointer: ModelPointer) -> None:
            if host not in hosts:
                hosts.append(host)
            if host is not hosts[-1] or len(hosts) == 1:
                await settle(host, pointer)
            elif not self.is_away:
                await settle(host, pointer)
                self.seen.append(pointer)

        monkeypatch.setattr(ModelHost, "settle", settled)

    def leave(self) -> None:
        self.is_away = True

    def come_back(self) -> None:
        """Returns once it knows how models are now."""
        self.seen.clear()
        self.is_away = False
        wait_until(lambda: bool(self.seen), "it looks at the models")


@pytest.fixture
def absences(monkeypatch: pytest.MonkeyPatch) -> Absences:
    return Absences(monkeypatch)


@pytest.fixture
def replicas(folder: Path, tmp_path: Path, absences: Absences) -> Iterator[list[TestClient]]:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    with ExitStack() as running:
        running.callback(server.kill)
        yield [
            running.enter_context(opened(folder, tmp_path / name, redis_url=server.url))
            for name in ("one", "other")
        ]


def everywhere(client: TestClient, what: str) -> Callable[[], bool]:
    return lambda: [each[what] for each in model(client, NEXT)["replicas"]] == [True, True]


def begun(client: TestClient, **options: Any) -> None:
    client.post("/v1/models", json={"folder": "next"}).raise_for_status()
    wait_until(everywhere(client, "has_bundle"), "both have the bundle")
    client.post(f"/v1/models/{NEXT}:backfill", params=options).raise_for_status()


def until_ready(client: TestClient) -> None:
    wait_until(lambda: model(client, NEXT)["state"] == "ready", "it is backfilled")


def found(client: TestClient) -> dict[str, Any]:
    """All streamers with their scores, and by which model."""
    query = {"positive": [{"profile": {"tags": ["travel"]}}], "k": 100}
    answer = client.post("/v1/similar", json=query)
    answer.raise_for_status()
    hits = answer.json()["hits"]
    return {
        "model": answer.json()["model_version"],
        **{hit["streamer_id"]: hit["score"] for hit in hits},
    }


def retired_unseen(client: TestClient, absences: Absences) -> None:
    """Keep the next model, and retire it while the other replica is away."""
    fill(client)
    begun(client)
    until_ready(client)
    wait_until(everywhere(client, "is_indexed"), "both have its index")
    absences.leave()
    client.post(f"/v1/models/{NEXT}:retire").raise_for_status()


@pytest.mark.slow
@pytest.mark.parametrize("back", ["while it is backfilled", "when it is ready again"])
def test_its_index_is_complete_when_the_model_comes_back(
    replicas: list[TestClient], absences: Absences, back: str
) -> None:
    one, other = replicas
    retired_unseen(one, absences)
    # Of what is written now, the index that the other replica has kept takes in nothing.
    put(one, "s05", name="changed", bio=TOPICS["travel"])
    put(one, "new", name="new", bio=TOPICS["travel"])
    last = one.delete("/v1/streamers/s07").json()["sequence"]
    for client in replicas:
        query = {"positive": [{"streamer_id": "s00"}], "after_sequence": last}
        when_visible(lambda: client.post("/v1/similar", json=query))  # noqa: B023
    if back == "while it is backfilled":
        begun(one, streamers_per_s=2)
        one.post(f"/v1/models/{NEXT}:pause").raise_for_status()
        wait_until(lambda: model(one, NEXT)["backfill"]["state"] == "cancelled", "it pauses")
        absences.come_back()
        assert absences.seen[0].state in ("preparing", "backfilling")
        one.post(f"/v1/models/{NEXT}:backfill").raise_for_status()
        until_ready(one)
    else:
        begun(one)
        until_ready(one)
        absences.come_back()
        assert absences.seen[0].state == "ready"
    wait_until(everywhere(one, "is_indexed"), "both have its index")
    one.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    wait_until(lambda: found(other)["model"] == NEXT, "the other one answers by it")
    expected = found(one)
    assert "new" in expected
    assert "s07" not in expected
    assert found(other) == expected


@pytest.mark.slow
def test_writes_that_meet_it_are_not_refused(
    replicas: list[TestClient], absences: Absences
) -> None:
    one, other = replicas
    retired_unseen(one, absences)
    begun(one, streamers_per_s=10)
    absences.is_away = False
    for number in range(50):  # some of them while the encoder is loaded anew
        put(other, f"w{number}", name="written", bio=TOPICS["music"])
    until_ready(one)
    wait_until(everywhere(one, "is_indexed"), "both have its index")
    one.post(f"/v1/models/{NEXT}:promote").raise_for_status()
    wait_until(lambda: found(other)["model"] == NEXT, "the other one answers by it")
    assert sum(name.startswith("w") for name in found(other)) == 50


@pytest.mark.parametrize("missed", [True, False])
def test_who_serves_on_after_it_was_retired_begins_anew_when_it_is_replaced(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: bool
) -> None:
    began: list[str] = []

    def anew(self: ModelHost, model: Any) -> Any:
        began.append(model.services)
        return model

    monkeypatch.setattr(ModelHost, "_begun_anew", anew)
    host = ModelHost(Settings(bundle=bundle, data_dir=tmp_path), cast(Any, None), cast(Any, None))
    host._models["a"] = _Model(cast(Any, None), AsyncExitStack(), services=cast(Any, "a"))
    host.serves = "a"
    kept = ModelPointer(1, "b", "a", "ready")

    async def looks() -> None:
        """Of a replica on which b has no index yet."""
        await host.settle(kept)
        if missed:
            await host.settle(ModelPointer(2, "b"))
        await host.settle(replace(kept, revision=3))
        assert began == []
        host.serves = "b"
        await host.settle(replace(kept, revision=3))

    asyncio.run(looks())
    assert began == (["a"] if missed else [])
