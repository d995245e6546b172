"""Lists without copies: one of each group of duplicates, none of those of seeds and excluded."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.lists import building
from service.store.base import Position
from service.store.redis.duplicates.groups import RedisGroups
from tests.service.features.duplicates.test_duplicates import evaluated, put, ring
from tests.service.features.lists.conftest import ask, ids_of


@pytest.mark.parametrize("at_once", [1, 200])
def test_of_each_group_one_is_listed_and_none_of_whom_is_excluded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(building, "_MOST_MEMBERS", at_once)
    music, travel = ring(client, "music", 4), ring(client, "travel", 3)
    last = put(client, "alone", name="Zhu", bio="ranked match guitar", tags=["gaming"])
    evaluated(client, last)
    answer = ask(client, "alone", without_copies=True, after_sequence=last)
    chosen = ids_of(answer)
    assert [len({*chosen} & {*group}) for group in (music, travel)] == [1, 1]
    copies = {row["streamer_id"]: row["copies"] for row in answer["rows"]}
    (first,) = {*chosen} & {*music}
    assert sorted([first, *copies[first]]) == music
    assert answer["left_out"]["copies"] == 5

    excluded = ask(client, "alone", without_copies=True, exclude={"ids": [music[-1], "nobody"]})
    assert not {*ids_of(excluded)} & {*music}
    assert excluded["left_out"] == {"excluded": 2, "copies": 5, "over_max_per_value": 0}
    seed = ask(client, travel[0], without_copies=True)
    assert not {*ids_of(seed)} & {*travel}
    assert len({*ids_of(seed)} & {*music}) == 1


def test_a_list_says_that_copies_could_not_be_left_out(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: RedisGroups) -> None:
        """As before the first evaluation."""

    monkeypatch.setattr(RedisGroups, "position", nothing)
    answer = ask(client, "cook-00", without_copies=True)
    because = "no groups of duplicates have been evaluated, so copies may be on the list"
    assert (answer["complete"], answer["incomplete_because"]) == (False, because)
    assert ask(client, "cook-00")["complete"]


def test_a_list_waits_for_groups_of_the_newest_writes(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    position, late = RedisGroups.position, [True, True]

    async def late_twice(self: RedisGroups) -> Position | None:
        found = await position(self)
        is_late = bool(late and late.pop())
        return replace(found, sequence=found.sequence - 1) if found and is_late else found

    evaluated(client, ask(client, "cook-00")["index_sequence"])
    builder = client.app_state["services"].lists._builder
    patient = builder._limits.model_copy(update={"visible_timeout_ms": 60_000})
    monkeypatch.setattr(builder, "_limits", patient)
    monkeypatch.setattr(RedisGroups, "position", late_twice)
    assert ask(client, "cook-00", without_copies=True)["complete"]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"sequence": 1}, "groups of duplicates are evaluated up to sequence 1 of {now}, so newer"),
        ({"epoch": "another"}, "no groups of duplicates have been evaluated, so"),
    ],
)
def test_a_list_says_how_far_groups_are_evaluated(
    client: TestClient,
    cooks: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    because: str,
) -> None:
    position = RedisGroups.position

    async def behind(self: RedisGroups) -> Position | None:
        found = await position(self)
        return None if found is None else replace(found, **change)

    evaluated(client, ask(client, "cook-00")["index_sequence"])
    monkeypatch.setattr(RedisGroups, "position", behind)
    answer = ask(client, "cook-00", without_copies=True)
    because = because.format(now=answer["index_sequence"]) + " copies may be on the list"
    assert (answer["complete"], answer["incomplete_because"]) == (False, because)
    assert ask(client, "cook-00")["complete"]
