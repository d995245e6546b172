"""Promotions while others read, on several replicas, and through a restart."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.prediction.fitted import FittedGeneration
from service.engine.prediction.fitting import GenerationFitter
from service.engine.replica import presence
from service.engine.spaces.generation import Generation
from service.engine.spaces.streamer_neighbours import StreamerNeighbours
from service.errors import StoreUnavailable
from service.features.spaces import following
from service.settings import Settings
from service.store.redis.spaces.store import RedisSpaces
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.spaces.hand_overs import (
    USERS,
    HandOver,
    hand_over_of,
    promote,
    roll_back,
    send,
    served,
    space_of,
    store_streamers,
)
from tests.service.http.test_bad_input import problem
from tests.service.process import WAIT_S, wait_until
from tests.service.valkey import Server

Start = Callable[..., TestClient]


@pytest.fixture
def start(bundle: Path, tmp_path: Path, server: Server) -> Iterator[Start]:
    """Starts services on one store."""
    with ExitStack() as running:

        def begin(name: str, **settings: object) -> TestClient:
            known = {"bundle": bundle, "data_dir": tmp_path / name, "redis_url": server.url}
            app = create_app(Settings.model_validate({**known, **settings}))
            return running.enter_context(TestClient(app, base_url="http://localhost"))

        yield begin


@pytest.mark.slow
def test_no_answer_mixes_generations_while_twelve_are_promoted(
    client: TestClient, handed: HandOver
) -> None:
    generations = {f"g{number}": handed.turned(number) for number in range(2)}
    for name, given in generations.items():
        send(client, name, given.npz()).raise_for_status()
    promote(client, "g0")
    active = client.app_state["services"].spaces.active  # type: ignore[index]
    vectors = {name: given.vectors.tolist() for name, given in generations.items()}
    row_of = {user_id: row for row, user_id in enumerate(handed.user_ids)}
    is_over, wrong, seen = threading.Event(), list[object](), set[str]()
    reads = [0]

    def read() -> None:
        """Read as an endpoint does, and by one."""
        while not is_over.is_set():
            now = active.get("als").generation
            answer = served(client, handed.ids[7])
            seen.add(answer["generation"])
            if now.vectors[7].tolist() != vectors[now.generation][7]:
                wrong.append(now.generation)
            if answer["vector"] != vectors[answer["generation"]][7]:
                wrong.append(answer)
            # A newcomer's vector and its users are of the one generation that is named.
            question = {"profile": {"bio": "guitar vocal"}, "users": 5, "space": "als"}
            answer = client.post("/v1/cold-start", json=question).json()
            found = answer["id_embedding"]
            users = generations[found["generation"]].user_vectors
            seen.add(found["generation"])
            scores = users @ np.array(found["vector"], np.float32)
            told = np.array([user["score"] for user in answer["users"]])
            rows = [row_of[user["user_id"]] for user in answer["users"]]
            if not np.allclose(told, scores[rows], atol=1e-3) or told[0] < scores.max() - 1e-3:
                wrong.append(answer)
            reads[0] += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(12):
            promote(client, f"g{(number + 1) % 2}")
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert seen == {"g0", "g1"}
    assert reads[0] > 12


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["promoted", "deleted"])
def test_a_promotion_that_another_one_takes_the_place_of_ends(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Replicas load one generation at a time: it was waited for until the promotion's timeout."""
    for number in range(2):
        send(client, f"g{number}", handed.turned(number).npz()).raise_for_status()
    may_fit, fit = threading.Event(), GenerationFitter.__call__

    async def slow_fit(
        fitter: GenerationFitter, generation: Generation, neighbours: StreamerNeighbours | None
    ) -> FittedGeneration:
        if generation.generation == "g0":
            await asyncio.to_thread(may_fit.wait)
        return await fit(fitter, generation, neighbours)

    monkeypatch.setattr(GenerationFitter, "__call__", slow_fit)
    follower = client.app_state["services"].spaces._follower  # type: ignore[index]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/spaces/als/generations/g0:promote")
        wait_until(lambda: bool(follower._loading), "it is being loaded")
        try:
            if meanwhile == "promoted":
                promote(client, "g1")
            else:
                client.delete("/v1/spaces/als/generations/g0").raise_for_status()
            detail = problem(first.result(60), 409, "hand_over_under_way")["detail"]
        finally:
            may_fit.set()
    assert detail.startswith("generation 'g0' of 'als' is given up")
    assert space_of(client)["serving"] == ("g1" if meanwhile == "promoted" else None)


def test_a_way_back_that_is_sent_again_goes_back_no_further(
    client: TestClient, handed: HandOver
) -> None:
    for number in range(3):
        send(client, f"g{number}", handed.turned(number).npz(), promote="true").raise_for_status()

    def ask(_: int) -> Any:
        named = {"Idempotency-Key": '"back"'}
        return client.post("/v1/spaces/als:rollback", headers=named)

    with ThreadPoolExecutor(3) as pool:  # at once, then again
        answers = [*pool.map(ask, range(3)), ask(0)]
    assert [(a.status_code, a.json()["active"]["generation"]) for a in answers] == [
        (200, "g1")
    ] * 4, [a.text for a in answers]
    named = {"Idempotency-Key": '"back"', "If-Match": '"1"'}
    other = client.post("/v1/spaces/als:rollback", headers=named)
    assert problem(other, 422, "idempotency_key_reused")
    assert roll_back(client).json()["serving"] == "g0"


@pytest.mark.slow
def test_replicas_switch_together(start: Start) -> None:
    one, other = start("one"), start("other")
    handed = hand_over_of(one, store_streamers(one))
    send(one, "g0", handed.npz(), promote="true").raise_for_status()
    # Both had it in memory before it was served, and have followed by now.
    wait_until(lambda: space_of(other)["serving"] == "g0", "the other replica serves it")
    send(other, "g1", handed.turned(1).npz(), promote="true").raise_for_status()
    wait_until(lambda: space_of(one)["serving"] == "g1", "the first replica follows")
    assert served(one, "s001")["vector"] == served(other, "s001")["vector"]
    roll_back(one).raise_for_status()
    wait_until(lambda: space_of(other)["serving"] == "g0", "the other replica goes back")
    one.delete("/v1/spaces/als/users/观众-3").raise_for_status()
    spaces = other.app_state["services"].spaces  # type: ignore[index]
    wait_until(
        lambda: spaces.active.get("als").erased_users == {"观众-3"}, "the other one names no more"
    )
    # One that starts later reads what is served, without who was erased.
    late = start("late")
    wait_until(lambda: space_of(late)["serving"] == "g0", "a new replica serves it")
    spaces = late.app_state["services"].spaces  # type: ignore[index]
    assert "观众-3" not in spaces.active.get("als").generation.user_ids


async def failing() -> None:
    raise StoreUnavailable("the connection was lost")


async def silent() -> None:
    await asyncio.Event().wait()


def test_a_replica_that_stops_is_forgotten(
    start: Start, server: Server, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion waited for it, and went on after some time."""
    monkeypatch.setattr(presence, "_LEAVE_S", WAIT_S)  # however busy the store is
    one = start("one")
    spaces = one.app_state["services"].spaces  # type: ignore[index]

    def told() -> set[str]:
        assert one.portal is not None
        return set(one.portal.call(spaces._store.replicas, 5.0))

    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path / "other", "redis_url": server.url}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        name = client.app_state["services"].spaces._follower.replica  # type: ignore[index]
        wait_until(lambda: name in told(), "it tells that it is there")
    assert name not in told()
    wait_until(lambda: told() == {spaces._follower.replica}, "the other one is there")


@pytest.mark.slow
@pytest.mark.parametrize("answer", [failing, silent])
def test_a_store_that_fails_holds_no_stop_up(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[], Awaitable[None]],
) -> None:
    asked: list[str] = []

    async def forget(self: RedisSpaces, replica: str) -> None:
        asked.append(replica)
        await answer()

    monkeypatch.setattr(RedisSpaces, "forget_replica", forget)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        name = client.app_state["services"].spaces._follower.replica  # type: ignore[index]
    assert asked == [name]


def kept_in_files(client: TestClient) -> int:
    """Generations that a replica has for a roll-back."""
    return len(client.app_state["services"].spaces._follower._in_file)  # type: ignore[index]


@pytest.mark.slow
def test_a_roll_back_loads_and_fits_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = [start("one"), start("other")]
    one = replicas[0]
    handed = hand_over_of(one, store_streamers(one))
    for number in range(2):
        send(one, f"g{number}", handed.turned(number).npz(), promote="true").raise_for_status()
    replicas.append(start("late"))  # which never served it
    for client in replicas:
        wait_until(lambda: kept_in_files(client) == 1, "the one before is in a file")  # noqa: B023

    async def fail(*_: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(following, "load", fail)
    monkeypatch.setattr(GenerationFitter, "__call__", fail)
    asked = {"streamer_id": handed.ids[3], "users": 5}
    before = one.post("/v1/cold-start", json=asked).json()
    shown = roll_back(one).raise_for_status().json()
    assert (shown["active"]["generation"], shown["serving"]) == ("g0", "g0")
    for client in replicas:
        wait_until(lambda: space_of(client)["serving"] == "g0", "all go back")  # noqa: B023
        for row in (1, 79):
            shown = served(client, handed.ids[row])
            assert shown["vector"] == handed.turned(0).vectors[row].tolist()
        found = client.post("/v1/cold-start", json=asked).json()
        assert found["id_embedding"]["generation"] == "g0"
        assert [u["user_id"] for u in found["users"]] == [u["user_id"] for u in before["users"]]
    generation = one.app_state["services"].spaces.active.get("als").generation  # type: ignore[index]
    assert not generation.vectors.flags.writeable  # pages of a file
    for client in replicas:  # the one that was left is no longer needed
        wait_until(lambda: kept_in_files(client) == 1, "nothing else is kept")  # noqa: B023


@pytest.mark.slow
def test_chunks_in_a_folder_that_all_share(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    settings = {"spaces": {"chunks_dir": folder}}
    one, other = start("one", **settings), start("other", **settings)
    handed = hand_over_of(one, store_streamers(one)).but(
        attributes=[{"level": row % 3} for row in range(USERS)]
    )
    left = folder / "0123abcd"  # of a hand-over that was never kept
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    send(one, "g0", handed.npz(), promote="true").raise_for_status()
    assert not left.exists()
    wait_until(lambda: space_of(other)["serving"] == "g0", "the other replica serves it")
    assert served(other, "s005")["vector"] == handed.vectors[5].tolist()
    send(other, "g1", handed.turned(1).npz(), promote="true").raise_for_status()
    store = one.app_state["services"].spaces._store  # type: ignore[index]
    assert one.portal is not None
    chunks_ids = sorted(path.name for path in folder.iterdir())
    assert len(chunks_ids) == 2
    plain = RedisSpaces(store._client)
    assert [one.portal.call(plain.chunk_names, i) for i in chunks_ids] == [[], []]
    # What an erasure changes is in the store, in the same step as what is told of it.
    one.delete("/v1/spaces/als/users/观众-3").raise_for_status()
    for chunks_id in chunks_ids:
        names = one.portal.call(plain.chunk_names, chunks_id)
        assert names == ["u0.attributes", "u0.ids", "u0.vectors"]
        assert not any((folder / chunks_id / name).exists() for name in names)
    late = start("late", **settings)
    wait_until(lambda: space_of(late)["serving"] == "g1", "a new replica serves it")
    spaces = late.app_state["services"].spaces  # type: ignore[index]
    assert len(spaces.active.get("als").generation.user_ids) == USERS - 1
    # A service that does not know the folder says what is missing.
    without = start("without")
    wait_until(
        lambda: "CHUNKS_DIR" in (space_of(without)["problem"] or ""), "it tells what is wrong"
    )
    refused = without.delete("/v1/streamers/s006", params={"erase": True})
    assert "CHUNKS_DIR" in problem(refused, 503, "store_unavailable")["detail"]
    assert served(one, "s006")["vector"] is not None
    one.delete("/v1/spaces/als/generations/g0").raise_for_status()
    assert len(list(folder.iterdir())) == 1


@pytest.mark.slow
def test_a_generation_outlives_a_restart(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        handed = hand_over_of(client, store_streamers(client))
        send(client, "g0", handed.npz(), promote="true").raise_for_status()
        send(client, "g1", handed.turned(1).npz()).raise_for_status()
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        wait_until(lambda: space_of(client)["serving"] == "g0", "it serves again")
        assert served(client, "s005")["vector"] == handed.vectors[5].tolist()
        assert promote(client, "g1")["previous"] == "g0"


@pytest.mark.slow
def test_nothing_else_answers_for_a_space_that_is_still_being_loaded(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start there was no such space, or the model's own answered, without users."""
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        handed = hand_over_of(client, store_streamers(client))
        send(client, "g0", handed.npz(), promote="true").raise_for_status()
    may_fit, fit = threading.Event(), GenerationFitter.__call__

    async def slow_fit(
        fitter: GenerationFitter, generation: Generation, neighbours: StreamerNeighbours | None
    ) -> FittedGeneration:
        await asyncio.to_thread(may_fit.wait)
        return await fit(fitter, generation, neighbours)

    monkeypatch.setattr(GenerationFitter, "__call__", slow_fit)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        try:
            whom = {"streamer_id": "s005", "users": 3}
            for question in (whom, {**whom, "space": "als"}):
                told = problem(client.post("/v1/cold-start", json=question), 503, "not_ready")
                assert told["detail"] == "what is served of the space 'als' is being loaded"
            problem(client.get("/v1/spaces/als/streamers/s005"), 503, "not_ready")
            # The model's own is there.
            own = client.post("/v1/cold-start", json={**whom, "space": "test-ids"})
            assert own.json()["id_embedding"]["space"] == "test-ids"
        finally:
            may_fit.set()
        wait_until(lambda: space_of(client)["serving"] == "g0", "it serves again")
        answer = client.post("/v1/cold-start", json=whom).json()
        assert answer["id_embedding"]["generation"] == "g0"
        assert len(answer["users"]) == 3
        client.delete("/v1/spaces/als/generations/g0").raise_for_status()
        problem(client.get("/v1/spaces/als/streamers/s005"), 404, "space_not_found")


@pytest.mark.slow
def test_scopes_of_spaces(start: Start) -> None:
    client = start("one", api_key="first")
    client.headers.update(bearer("first"))
    handed = hand_over_of(client, store_streamers(client))
    recommender = create(client, role="recommender")["key"]
    reader = create(client, scopes=["coldstart"])["key"]
    operations = create(client, role="operations")["key"]
    client.headers.update(bearer(recommender))
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    answer = send(client, "g1", handed.shuffled().npz(), promote="true", force="true")
    assert problem(answer, 403, "missing_scope")
    send(client, "g1", handed.shuffled().npz()).raise_for_status()
    path = "/v1/spaces/als/generations/g1:promote"
    assert problem(client.post(path, params={"force": "true"}), 403, "missing_scope")
    client.headers.update(bearer(reader))
    shown = served(client, "s000")
    assert (shown["vector"], shown["is_established"]) == (None, True)
    assert "embeddings:read" in shown["vector_reason"]
    assert problem(client.post("/v1/spaces/als:rollback"), 403, "missing_scope")
    client.headers.update(bearer(operations))
    assert problem(client.get("/v1/spaces"), 403, "missing_scope")
    client.headers.update(bearer("first"))
    assert client.post(path, params={"force": "true"}).json()["serving"] == "g1"
