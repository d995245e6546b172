"""What a promotion waits for, what takes its place, and whom it tells of."""

import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.engine.spaces.active import ServedGeneration
from service.features.spaces import following
from service.features.spaces.graduation import Graduations
from service.features.spaces.preparing import Preparation
from service.features.spaces.service import Spaces
from service.store.events import NewEvent
from service.store.redis.spaces.store import RedisSpaces
from service.store.spaces import GenerationRecord, SpaceChange, SpaceRecord
from tests.service.features.spaces.hand_overs import (
    STREAMERS,
    HandOver,
    promote,
    roll_back,
    send,
    served,
    space_of,
)
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

KEY = "Idempotency-Key"


def test_a_generation_is_held_until_all_had_their_time(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_s: list[float] = []
    everywhere = Preparation.everywhere

    async def noted(self: Preparation, space: str, prepared: GenerationRecord) -> None:
        left_s.append(self._follower.records[space].preparing_until - time.time())
        await everywhere(self, space, prepared)

    monkeypatch.setattr(Preparation, "everywhere", noted)
    send(client, "g0", handed.npz()).raise_for_status()
    promote(client, "g0")
    timeout_s = client.app_state["services"].spaces._settings.promote_timeout_s  # type: ignore[index]
    assert left_s[0] > 2 * timeout_s


def test_nobody_who_was_erased_is_told_to_be_established(
    client: TestClient, handed: HandOver
) -> None:
    services = client.app_state["services"]  # type: ignore[index]
    counts = np.zeros(STREAMERS, np.float32)
    send(client, "g0", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    before = services.spaces.active.get("als")
    counts[:2] = 50
    send(client, "g1", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    after = services.spaces.active.get("als")
    graduations = Graduations(services.lanes, 10)
    erased = replace(after, erased_streamers=frozenset(handed.ids[:1]))
    assert client.portal is not None
    told = [client.portal.call(graduations.between, before, each) for each in (after, erased)]
    assert [list(events) for events in told] == [handed.ids[:2], handed.ids[1:2]]


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["promoted", "prepared", "dropped"])
def test_a_promotion_that_was_superseded_switches_nothing(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """It was noticed while replicas were waited for, and no more after the last look."""
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    everywhere = Preparation.everywhere

    async def then_another(self: Preparation, space: str, prepared: GenerationRecord) -> None:
        await everywhere(self, space, prepared)
        if prepared.generation != "g0":
            return
        if meanwhile == "promoted":
            await spaces.promote("als", "g1")
        elif meanwhile == "prepared":
            await spaces._prepare("als", "g1", force=False)
        else:
            del spaces._follower._held[prepared.chunks_id]

    monkeypatch.setattr(Preparation, "everywhere", then_another)
    for number in range(2):
        send(client, f"g{number}", handed.turned(number).npz()).raise_for_status()
    answer = client.post("/v1/spaces/als/generations/g0:promote")
    if meanwhile == "dropped":
        problem(answer, 503, "not_ready")
    else:
        assert "is given up" in problem(answer, 409, "hand_over_under_way")["detail"]
    record = spaces._follower.records["als"]
    assert record.served == (["g1"] if meanwhile == "promoted" else [])
    about_to_serve = {"promoted": None, "prepared": "g1", "dropped": "g0"}
    assert record.preparing == about_to_serve[meanwhile]
    assert promote(client, "g1")["serving"] == "g1"


def test_a_promotion_that_comes_twice_at_once_is_one(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    everywhere, is_first = Preparation.everywhere, [True]

    async def twice(self: Preparation, space: str, prepared: GenerationRecord) -> None:
        await everywhere(self, space, prepared)
        if is_first and is_first.pop():
            await spaces.promote("als", "g0")

    monkeypatch.setattr(Preparation, "everywhere", twice)
    send(client, "g0", handed.npz()).raise_for_status()
    assert promote(client, "g0")["serving"] == "g0"


def test_a_generation_is_prepared_where_the_clock_is_ahead(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had expired there, and was not loaded before it was served."""
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    monkeypatch.setattr(spaces._follower, "_now", lambda: time.time() + 1800)
    monkeypatch.setattr(spaces._preparation, "_timeout_s", 20)
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    assert space_of(client)["serving"] == "g0"


def test_what_was_to_be_promoted_long_ago_is_not_loaded(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    send(client, "g0", handed.npz()).raise_for_status()
    now, follower = time.time(), spaces._follower
    assert client.portal is not None
    client.portal.call(follower.refresh)
    record = replace(follower.records["als"], preparing="g0", preparing_until=now)
    assert follower._about_to_serve(record) == record.generations[0]
    monkeypatch.setattr(follower, "_prepared", {})
    monkeypatch.setattr(follower, "_now", lambda: now + 86400)
    assert follower._about_to_serve(record) is None


def test_a_promotion_gets_through_while_rows_are_erased(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each erasure began the comparison of the two generations anew."""
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    counts = np.zeros(STREAMERS, np.float32)
    send(client, "g0", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    counts[:2] = 50
    send(client, "g1", handed.but(interactions=counts).npz()).raise_for_status()
    erased, compared, told = [*handed.user_ids[:3], handed.ids[0]], [0], list[int]()
    between, change = Graduations.between, RedisSpaces.change

    async def counted(
        self: Graduations, before: ServedGeneration | None, after: ServedGeneration | None
    ) -> Mapping[str, NewEvent]:
        compared[0] += 1
        return await between(self, before, after)

    async def beaten(self: RedisSpaces, changed: SpaceChange) -> bool:
        if SpaceRecord.of_json(changed.after).served == ["g0", "g1"]:
            told.append(len(changed.events))
            name = erased.pop() if erased else ""
            await spaces.erase_streamer(name)
            await spaces.erase_user("als", name)
        return await change(self, changed)

    monkeypatch.setattr(Graduations, "between", counted)
    monkeypatch.setattr(RedisSpaces, "change", beaten)
    assert promote(client, "g1")["serving"] == "g1"
    assert compared == [1]
    assert told == [2, 1, 1, 1, 1]


def behind(client: TestClient, space: str = "als") -> bool | None:
    """Whether `/metrics` says that a space is behind; None where it does not tell."""
    told = re.search(
        rf'^streamer_space_behind{{space="{space}"}} (.+)$', client.get("/metrics").text, re.M
    )
    return None if told is None else float(told[1]) == 1


@pytest.mark.slow
def test_a_record_that_can_not_be_read_withdraws_nothing_and_is_told(
    client: TestClient, handed: HandOver
) -> None:
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    wait_until(lambda: behind(client) is False, "it serves")
    spaces = client.app_state["services"].spaces  # type: ignore[index]
    asked, notes = spaces._store._client.ask, spaces._store._erased

    def store(space: str, record: bytes | None, mark: str) -> None:
        assert client.portal is not None
        change = ("HDEL", "ss:spaces", space)
        client.portal.call(asked, *(change if record is None else ("HSET", *change[1:], record)))
        client.portal.call(asked, "HSET", "ss:meta", "spaces_mark", mark)

    assert client.portal is not None
    before: bytes = client.portal.call(asked, "HGET", "ss:spaces", "als")
    try:
        store("als", b'{"of": "a later release"}', "damaged")
        store("other", b"{", "damaged as well")
        wait_until(lambda: behind(client) is True, "it is told")
        wait_until(lambda: behind(client, "other") is True, "one that was never read is told too")
        assert served(client, handed.ids[0])["generation"] == "g0"
        # A process of that release erases a user.
        note = json.dumps([json.loads(before)["generations"][0]["chunks_id"], 1, "观众-7", "user"])
        client.portal.call(asked, "ZADD", notes, 1, note)
        wait_until(lambda: spaces.active.get("als").erased_users == {"观众-7"}, "it is hidden here")
    finally:
        client.portal.call(asked, "DEL", notes)
        store("other", None, "gone")
        store("als", before, "mended")
    wait_until(lambda: behind(client) is False, "it is read again")
    assert behind(client, "other") is None


@pytest.mark.slow
def test_changes_that_can_not_be_followed_are_told_and_logged_once(
    client: TestClient,
    handed: HandOver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    wait_until(lambda: behind(client) is False, "it serves")
    looks = 0

    async def fails() -> str:
        nonlocal looks
        looks += 1
        raise LookupError("what nobody thought of")

    with monkeypatch.context() as patch:
        patch.setattr(following, "POLL_S", 0.01)
        # Of this service alone: another one in the process would log it as well.
        store = client.app_state["services"].spaces._store  # type: ignore[index]
        patch.setattr(store, "mark", fails)
        wait_until(lambda: looks > 3, "it is tried again")
        assert behind(client) is True
    told = [record for record in caplog.records if "can't be followed" in record.getMessage()]
    assert len(told) == 1
    wait_until(lambda: behind(client) is False, "it goes on")


def test_promoting_what_is_served_gives_up_a_promotion_under_way(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered 200, and the other one was served a moment later."""
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    everywhere = Preparation.everywhere

    async def then_the_served_one(self: Preparation, space: str, made: GenerationRecord) -> None:
        await everywhere(self, space, made)
        if made.generation == "g1":
            assert (await spaces.promote("als", "g0")).record.served == ["g0"]

    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    send(client, "g1", handed.turned(1).npz()).raise_for_status()
    monkeypatch.setattr(Preparation, "everywhere", then_the_served_one)
    answer = client.post("/v1/spaces/als/generations/g1:promote")
    assert "is given up" in problem(answer, 409, "hand_over_under_way")["detail"]
    record = spaces._follower.records["als"]
    assert (record.served, record.preparing) == (["g0"], None)


def test_a_promotion_that_is_sent_again_takes_back_nothing_newer(
    client: TestClient, handed: HandOver
) -> None:
    def ask(generation: str, name: str, **parameters: str) -> Any:
        path, named = f"/v1/spaces/als/generations/{generation}:promote", {KEY: f'"{name}"'}
        return client.post(path, headers=named, params=parameters)

    def served_by(answer: Any) -> str:
        return answer.raise_for_status().json()["active"]["generation"]

    for number in range(2):
        send(client, f"g{number}", handed.turned(number).npz(), promote="true").raise_for_status()
    assert served_by(ask("g1", "again")) == "g1"  # which is served already
    assert served_by(ask("g0", "back")) == "g0"
    assert served_by(ask("g1", "again")) == "g0"
    assert served_by(roll_back(client)) == "g1"
    with ThreadPoolExecutor(3) as pool:
        at_once = pool.map(lambda _: served_by(ask("g0", "back")), range(3))
        assert list(at_once) == ["g1"] * 3
    problem(ask("g0", "back", force="true"), 422, "idempotency_key_reused")
    assert served_by(ask("g0", "another")) == "g0"


def test_a_way_back_that_another_request_took_is_not_taken_once_more(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was 503, and whoever repeated that went back twice."""
    spaces: Spaces = client.app_state["services"].spaces  # type: ignore[index]
    everywhere, is_first = Preparation.everywhere, [True]

    async def twice(self: Preparation, space: str, prepared: GenerationRecord) -> None:
        await everywhere(self, space, prepared)
        if is_first and is_first.pop():
            await spaces.roll_back("als")

    for number in range(3):
        send(client, f"g{number}", handed.turned(number).npz(), promote="true").raise_for_status()
    monkeypatch.setattr(Preparation, "everywhere", twice)
    told = problem(roll_back(client), 409, "hand_over_under_way")["detail"]
    assert told.startswith("generation 'g2' of 'als' was to be left, and 'g1' is served since")
    assert space_of(client)["active"]["generation"] == "g1"


def test_a_generation_is_as_wide_as_what_is_served_when_it_is_promoted(
    client: TestClient, handed: HandOver
) -> None:
    """It was compared when it was handed over, with another one."""
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    send(client, "g1", handed.turned(1).npz()).raise_for_status()
    narrow = handed.but(vectors=handed.vectors[:, :8], user_vectors=handed.user_vectors[:, :8])
    forced = {"promote": "true", "force": "true"}
    send(client, "g2", narrow.npz(), **forced).raise_for_status()
    answer = client.post("/v1/spaces/als/generations/g1:promote")
    (error,) = problem(answer, 409, "generation_refused")["errors"]
    told = "12 numbers, generation 'g2', which is served, has 8"
    assert (error["pointer"], error["detail"]) == ("/checks/width", told)
    assert roll_back(client).json()["serving"] == "g0"
    assert promote(client, "g1")["serving"] == "g1"
    assert promote(client, "g2")["serving"] == "g2"  # an admin has let it through
