"""Runs of saved lists where others come in between: later runs, deletions and erasures."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis.asyncio import Redis

from service.errors import ListNotFound
from service.features.lists.building import ListBuilder
from service.features.lists.rows import BuiltList
from service.features.lists.saved import KEPT_RUNS, Run, SavedList, SavedLists, runs_of
from service.store.documents import DocumentStore
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.store import RedisStore
from tests.service.features.lists.conftest import ids_of, sheets_of

RUN = Run(0, 1.0, "key", "name", "", rows=1, new=1, model_version="m", index_sequence=1)


@pytest.fixture
async def documents(embedded: EmbeddedStore) -> AsyncIterator[DocumentStore]:
    async with Redis.from_url(embedded.url) as admin:
        await admin.flushall()
    store = await RedisStore(embedded.url).open()
    yield RedisDocuments(store.client)
    await store.close()


async def saved(lists: SavedLists) -> SavedList:
    return (await lists.put("spring", "", {}, ("key", "name"), ()))[0]


@pytest.mark.anyio
async def test_a_request_that_is_sent_again_is_compared_with_the_run_before_it(
    documents: DocumentStore,
) -> None:
    lists = SavedLists(documents)
    spring = await saved(lists)

    async def before(request_id: str) -> int | None:
        found = await lists.held(spring, None, ("key", request_id))
        return None if found is None else found[0].run

    assert await before("new") is None
    for number in range(1, 4):
        await lists.add(spring, replace(RUN, request_id=f"r{number}"), [f"s{number}"])
    assert [await before(name) for name in ("r1", "r2", "r3", "new")] == [None, 1, 2, 3]
    for number in range(4, KEPT_RUNS + 2):
        await lists.add(spring, replace(RUN, request_id=f"r{number}"), [])
    with pytest.raises(ListNotFound, match="made run 2 of list 'spring' already"):
        await before("r2")


@pytest.mark.anyio
async def test_what_a_run_told_makes_room_with_it(documents: DocumentStore) -> None:
    lists = SavedLists(documents)
    spring = await saved(lists)
    for number in range(1, KEPT_RUNS + 2):
        made = replace(RUN, request_id=f"r{number}")
        await lists.add(spring, made, [], b"{}" if number < KEPT_RUNS else None)
    told = [await lists.told(spring, number) for number in range(1, KEPT_RUNS + 2)]
    assert told == [None, *[b"{}"] * (KEPT_RUNS - 2), None, None]


@pytest.mark.anyio
async def test_a_list_that_is_deleted_while_it_is_run_keeps_no_run(
    documents: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = SavedLists(documents)
    spring = await saved(lists)
    kept = lists._kept

    async def and_deleted(one: SavedList) -> Any:
        found = await kept(one)
        monkeypatch.undo()
        await lists.delete("spring", ())
        return found

    monkeypatch.setattr(lists, "_kept", and_deleted)
    with pytest.raises(ListNotFound):
        await lists.add(spring, RUN, ["s1"])
    assert await documents.count(runs_of(spring.list_id)) == 0


def test_who_is_erased_while_a_list_is_run_is_in_no_run(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, erased, build = "cook-05", ("cook-05", "cook-01", "cook-02"), ListBuilder.build

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await client.app({**scope, "state": client.app_state.copy()}, receive, send)

    async def and_erased(self: ListBuilder, *asked: Any) -> BuiltList:
        built = await build(self, *asked)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as other:
            for one in erased:
                path = f"/v1/streamers/{one}?erase=true"
                (await other.delete(path)).raise_for_status()
        return built

    seeds = [{"streamer_id": one} for one in ("cook-00", "cook-01")]
    body = {"question": {"positive": seeds, "exclude": {"ids": ["cook-02"]}, "k": 100}}
    client.put("/v1/lists/spring", json=body).raise_for_status()
    monkeypatch.setattr(ListBuilder, "build", and_erased)
    answer = client.post("/v1/lists/spring:run", json={}).raise_for_status().json()
    monkeypatch.undo()
    left = [name for name in ids_of(answer) if name != gone]
    assert client.get("/v1/lists/spring/runs/1").json()["ids"] == left
    sheets = sheets_of(client.get("/v1/lists/spring/runs/1", params={"format": "xlsx"}).content)
    assert [row[1] for row in sheets["List"][1:]] == left
    assert not [one for one in erased if one in str(sheets)]
    client.delete("/v1/lists/spring").raise_for_status()
