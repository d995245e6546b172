"""Records of outreach: who was written to, over several replicas, and after an erasure."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.engine.work.lanes import Lanes
from service.errors import OutreachNotFound, StreamerNotFound
from service.features.outreach import service as outreach
from service.features.outreach.service import Outreach, forget
from service.settings import Work
from service.store.documents import Append, Document, Put
from service.store.embedded.supervisor import EmbeddedStore
from service.store.once import Once
from service.store.redis.backup import ArchivedStore
from tests.service.conftest import put
from tests.service.http.test_bad_input import problem
from tests.service.store.records import remove, upsert


@pytest.fixture(autouse=True)
def no_records(client: TestClient) -> Iterator[None]:
    yield
    for record in client.get("/v1/outreach", params={"limit": 100}).json()["outreach"]:
        client.delete(f"/v1/outreach/{record['outreach_id']}").raise_for_status()


def record(client: TestClient, *ids: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/outreach", json={"ids": ids, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[ArchivedStore, Lanes]]:
    """An empty store, and threads."""
    async with EmbeddedStore(folder / "store") as embedded:
        store, lanes = await ArchivedStore(embedded.url).open(), Lanes(Work())
        lanes.start()
        try:
            yield store, lanes
        finally:
            lanes.stop()
            await store.close()


async def written_to(known: Outreach, since: float) -> set[str]:
    return set(chain.from_iterable(await known.written_to(since)))


def listed(client: TestClient, **params: Any) -> list[str]:
    """Ids of records, by pages of two."""
    found: list[str] = []
    while True:
        page = client.get("/v1/outreach", params={"limit": 2, **params}).json()
        found += [one["outreach_id"] for one in page["outreach"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


def test_records_say_who_and_when_and_are_found_by_streamer_and_time(client: TestClient) -> None:
    for streamer_id in ("s1", "s2", "s3"):
        put(client, streamer_id, tags=["cooking"])
    made = record(client, "s1", "s2", "s1", note="first mail", at=1000)
    assert (made["ids"], made["at"], made["note"]) == (["s1", "s2"], 1000, "first mail")
    assert (made["key_id"], made["key_name"]) == ("keyless", "anyone on this machine")
    later = [record(client, "s2")["outreach_id"], record(client, "s3", at=5)["outreach_id"]]
    all_ = [made["outreach_id"], *later]
    assert listed(client) == all_
    assert listed(client, streamer_id="s2") == all_[:2]
    assert listed(client, since=1000) == all_[:2]
    assert listed(client, since=1001, streamer_id="s1") == []
    deleted = client.delete(f"/v1/outreach/{all_[0]}").json()
    assert deleted == made
    assert listed(client, streamer_id="s2") == all_[1:2]
    gone = client.delete(f"/v1/outreach/{all_[0]}")
    problem(gone, 404, "outreach_not_found")


def test_a_request_is_recorded_once_by_its_key(client: TestClient) -> None:
    put(client, "s1", tags=["cooking"])
    headers, body = {"Idempotency-Key": '"mail-1"'}, {"ids": ["s1"], "note": "first mail"}
    first, again = (client.post("/v1/outreach", json=body, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    made = first.json()["outreach_id"]
    assert listed(client) == [made]
    other = client.post("/v1/outreach", json={**body, "note": "second"}, headers=headers)
    problem(other, 422, "idempotency_key_reused")
    client.delete(f"/v1/outreach/{made}").raise_for_status()
    assert client.post("/v1/outreach", json=body, headers=headers).json()["outreach_id"] != made


@pytest.mark.slow
def test_a_request_that_comes_at_once_to_several_is_recorded_once(tmp_path: Path) -> None:
    once = Once("a" * 32, "b" * 32)

    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            await store.write([upsert("s1")])
            replicas = [Outreach(store, store.documents, lanes) for _ in range(5)]
            made = await asyncio.gather(
                *(one.record(["s1"], 1.0, "", "key", "name", once) for one in replicas)
            )
            assert len({record.outreach_id for record in made}) == 1
            assert await store.documents.count("outreach") == 1
            # An older release deletes the record, and not what its request made.
            await store.documents.change([Put("outreach", made[0].outreach_id, None)])
            (later,) = [await replicas[0].record(["s1"], 1.0, "", "key", "name", once)]
            assert later == await replicas[1].record(["s1"], 1.0, "", "key", "name", once)
            assert later.outreach_id != made[0].outreach_id
            assert await forget(store.documents, "s1") == 1
            assert await store.documents.count("outreach:requests") == 0

    asyncio.run(play())


def test_who_is_not_stored_is_named_and_nothing_is_recorded(client: TestClient) -> None:
    put(client, "s1", tags=["cooking"])
    answer = client.post("/v1/outreach", json={"ids": ["s1", "nobody", "noone"]})
    body = problem(answer, 404, "streamer_not_found")
    assert [error["pointer"] for error in body["errors"]] == ["/ids/1", "/ids/2"]
    assert listed(client) == []


def test_an_erasure_takes_a_streamer_out_of_all_records(client: TestClient) -> None:
    for streamer_id in ("s1", "s11"):
        put(client, streamer_id, tags=["cooking"])
    both, alone = record(client, "s1", "s11"), record(client, "s1")
    erased = client.delete("/v1/streamers/s1", params={"erase": True}).json()
    assert erased["outreach"] == 2
    found = client.get("/v1/outreach").json()["outreach"]
    assert [(one["outreach_id"], one["ids"]) for one in found] == [(both["outreach_id"], ["s11"])]
    assert listed(client, streamer_id="s1") == []
    assert alone["outreach_id"] not in listed(client)
    again = client.delete("/v1/streamers/s1", params={"erase": True}).json()
    assert again["outreach"] == 0


@pytest.mark.slow
def test_replicas_know_what_others_recorded_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outreach, "_ENTRIES", 3)
    monkeypatch.setattr(outreach, "_PAGE_RECORDS", 2)

    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            ids = [f"s{i}" for i in range(8)]
            await store.write([upsert(one) for one in ids])
            clock = iter(range(1, 1000))
            ours, theirs = (
                Outreach(store, store.documents, lanes, now=lambda: float(next(clock)))
                for _ in range(2)
            )
            made = [await ours.record([one], None, "", "k", "key") for one in ids]
            assert await written_to(theirs, 0) == set(ids)
            assert await written_to(theirs, made[4].at) == set(ids[4:])
            with pytest.raises(OutreachNotFound):
                await theirs.delete("0" * 28)
            await theirs.delete(made[7].outreach_id)
            assert await written_to(ours, 0) == set(ids[:7])
            assert await forget(store.documents, "s0") == 1
            for replica in (ours, theirs):
                assert await written_to(replica, 0) == set(ids[1:7])
            late = Outreach(store, store.documents, lanes)
            assert await written_to(late, 0) == set(ids[1:7])
            records, following = await late.page("", 100)
            assert [one.ids for one in records] == [(one,) for one in ids[1:7]]
            assert following is None

    asyncio.run(play())


@pytest.mark.slow
def test_what_was_deleted_while_another_reads_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            await store.write([upsert("s0")])
            ours = Outreach(store, store.documents, lanes)
            assert await written_to(ours, 0) == set()
            made = await Outreach(store, store.documents, lanes).record(["s0"], None, "", "k", "k")
            read, may_go, get = asyncio.Event(), asyncio.Event(), store.documents.get

            async def late(collection: str, ids: Sequence[str]) -> list[Document | None]:
                monkeypatch.setattr(store.documents, "get", get)
                found = await get(collection, ids)
                read.set()
                await may_go.wait()
                return found

            monkeypatch.setattr(store.documents, "get", late)
            first = asyncio.create_task(written_to(ours, 0))
            await read.wait()
            await Outreach(store, store.documents, lanes).delete(made.outreach_id)
            second = asyncio.create_task(written_to(ours, 0))
            done, _ = await asyncio.wait([second], timeout=1)
            assert not done  # it waits for the first
            may_go.set()
            await asyncio.gather(first, second)
            assert await written_to(ours, 0) == set()

    asyncio.run(play())


def test_what_was_deleted_does_not_come_back_by_a_thread_whose_reader_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            await store.write([upsert("s0")])
            ours, theirs = (Outreach(store, store.documents, lanes) for _ in range(2))
            assert await written_to(ours, 0) == set()
            made = await theirs.record(["s0"], None, "", "k", "k")
            loop, begun, may_go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
            parse = vars(outreach)["_record"]

            def late(document: Document) -> outreach.OutreachRecord:
                loop.call_soon_threadsafe(begun.set)
                may_go.wait()
                return parse(document)

            monkeypatch.setattr(outreach, "_record", late)
            reader = asyncio.create_task(written_to(ours, 0))
            try:
                await begun.wait()
                monkeypatch.setattr(outreach, "_record", parse)
                reader.cancel()
                await asyncio.wait([reader])
                await theirs.delete(made.outreach_id)
                assert await written_to(ours, 0) == set()
            finally:
                may_go.set()
            lanes.stop()
            assert await written_to(ours, 0) == set()

    asyncio.run(play())


@pytest.mark.slow
@pytest.mark.parametrize("later", [0, 1, 2, 3])
def test_a_log_whose_end_was_lost_is_read_anew(tmp_path: Path, later: int) -> None:
    """A store that failed over may lose the last entries, and give their numbers again."""

    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            names = [f"s{i}" for i in range(2 + later)]
            await store.write([upsert(name) for name in names])
            ours, theirs = (Outreach(store, store.documents, lanes) for _ in range(2))
            for name in names[:2]:
                await theirs.record([name], None, "", "k", "key")
            assert await written_to(ours, 0) == {"s0", "s1"}
            await store.documents.drop(outreach.COLLECTION)
            for name in names[2:]:
                await theirs.record([name], None, "", "k", "key")
            assert await written_to(ours, 0) == set(names[2:])
            await theirs.record(["s0"], None, "", "k", "key")
            assert await written_to(ours, 0) == {"s0", *names[2:]}
            log = f"ss:document_log:{outreach.COLLECTION}"
            for name in names:
                await theirs.record([name], None, "", "k", "key")
            await store.client.ask("XTRIM", log, "MAXLEN", 1)  # older entries are not kept for ever
            for replica in (ours, Outreach(store, store.documents, lanes)):
                assert await written_to(replica, 0) == set(names)

    asyncio.run(play())


def test_who_is_erased_while_it_is_recorded_stays_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Once("a" * 32, "b" * 32)

    async def play() -> None:
        async with opened(tmp_path) as (store, lanes):
            await store.write([upsert("s0"), upsert("s1")])
            ours, change = Outreach(store, store.documents, lanes), store.documents.change

            async def late(puts: Sequence[Put], appends: Sequence[Append] = ()) -> Sequence[int]:
                monkeypatch.setattr(store.documents, "change", change)
                await remove(store, "s1")
                assert await forget(store.documents, "s1") == 0
                return await change(puts, appends)

            monkeypatch.setattr(store.documents, "change", late)
            with pytest.raises(StreamerNotFound) as caught:
                await ours.record(["s0", "s1"], 1.0, "", "k", "key", once)
            assert [error.pointer for error in caught.value.errors] == ["/ids/1"]
            for collection in ("outreach", "outreach:requests"):
                assert await store.documents.count(collection) == 0
            assert await written_to(ours, 0) == set()

    asyncio.run(play())
