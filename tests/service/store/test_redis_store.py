"""Writes and reads, against a real server."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from service.store.base import Delete, Outcome, Refused, Upsert, Written
from service.store.redis.store import RedisStore
from tests.service.store.conftest import OpenStore
from tests.service.store.records import BINARY, put, record, remove, scanned, upsert

pytestmark = pytest.mark.anyio


async def test_a_record_comes_back_as_it_was_written(store: RedisStore) -> None:
    written = replace(
        record("a"),
        embedding=BINARY,
        content=BINARY[::-1],
        facets=BINARY,
        profile="直播 \0 🎮".encode(),
        modalities=BINARY * 3,
        id_embedding=BINARY,
        updated_at=1_795_563_657.526_379_6,
        tower_vectors=BINARY,
    )
    (outcome,) = await store.write([Upsert(written)])
    assert outcome == Written(1, created=True)
    assert await store.get(["a", "b"]) == [replace(written, version=1), None]
    assert await store.digests(["b", "a"]) == [None, (1, written.digest)]
    assert await store.tower_vectors(["b", "a"]) == [b"", BINARY]


async def test_a_streamer_without_content_has_empty_vectors(store: RedisStore) -> None:
    empty = replace(record("a"), embedding=b"", content=b"", status="insufficient_content")
    await store.write([Upsert(empty)])
    assert await store.get(["a"]) == [replace(empty, version=1)]
    assert (await scanned(store))["a"].embedding == b""


async def test_a_new_write_replaces_every_field(store: RedisStore) -> None:
    filled = {"id_embedding": b"x", "modalities": b"m", "tower_vectors": b"t"}
    await store.write([Upsert(replace(record("a", "one"), **filled))])
    await put(store, "a", "two")
    assert await store.get(["a"]) == [replace(record("a", "two"), version=2)]


@pytest.mark.parametrize(
    ("expected", "before", "outcome"),
    [
        (None, "absent", Written(3, created=True)),
        (None, "stored", Written(3, created=False)),
        (0, "absent", Written(3, created=True)),
        (0, "stored", Refused(2)),
        (2, "stored", Written(3, created=False)),
        (1, "stored", Refused(2)),
        (2, "absent", Refused(0)),
    ],
)
async def test_upsert_expects_a_version(
    store: RedisStore, expected: int | None, before: str, outcome: Outcome
) -> None:
    await put(store, "other")
    await put(store, "a" if before == "stored" else "b")
    assert await store.write([upsert("a", "new", expected)]) == [outcome]
    (stored,) = await store.get(["a"])
    assert (stored is not None and stored.profile == b"new") == isinstance(outcome, Written)


@pytest.mark.parametrize(
    ("expected", "before", "outcome"),
    [
        (None, "absent", Refused(0)),
        (None, "stored", Written(3, created=False)),
        (0, "absent", Refused(0)),
        (0, "stored", Refused(2)),
        (2, "stored", Written(3, created=False)),
        (1, "stored", Refused(2)),
        (2, "absent", Refused(0)),
    ],
)
async def test_delete_expects_a_version(
    store: RedisStore, expected: int | None, before: str, outcome: Outcome
) -> None:
    await put(store, "other")
    await put(store, "a" if before == "stored" else "b")
    assert await store.write([Delete("a", expected)]) == [outcome]
    gone = isinstance(outcome, Written) or before == "absent"
    assert (await store.get(["a"]) == [None]) == gone
    assert ("a" in await store.list_ids("", 10)) != gone


async def test_a_version_never_comes_back(store: RedisStore) -> None:
    versions = [await put(store, "a"), await put(store, "a")]
    await remove(store, "a")
    versions.append(await put(store, "a"))
    assert versions == [1, 2, 4]
    assert await store.write([upsert("a", "late", 2), Delete("a", 2)]) == [Refused(4), Refused(4)]


async def test_a_refused_operation_does_not_stop_the_others(store: RedisStore) -> None:
    await put(store, "a")
    outcomes = await store.write(
        [
            upsert("a", "x", 7),
            upsert("b", "1", 0),
            upsert("b", "2", 0),
            upsert("b", "3", 2),
            Delete("nobody"),
            Delete("a", 1),
            upsert("a", "again", 0),
        ]
    )
    assert outcomes == [
        Refused(1),
        Written(2, created=True),
        Refused(2),
        Written(3, created=False),
        Refused(0),
        Written(4, created=False),
        Written(5, created=True),
    ]
    a, b = await store.get(["a", "b"])
    assert a is not None
    assert b is not None
    assert (a.profile, b.profile) == (b"again", b"3")
    assert await store.write([]) == []


async def test_sequences_are_contiguous_under_concurrent_writers(store: RedisStore) -> None:
    async def writer(number: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for step in range(12):
            shared, own = f"shared{step % 3}", f"own{number}"
            outcomes += await store.write([upsert(shared), upsert(own), Delete(shared)])
        return outcomes

    outcomes = [o for part in await asyncio.gather(*map(writer, range(16))) for o in part]
    sequences = sorted(o.sequence for o in outcomes if isinstance(o, Written))
    assert sequences == list(range(1, len(sequences) + 1))
    assert (await store.position()).sequence == len(sequences)


async def test_one_of_many_creators_wins(store: RedisStore) -> None:
    outcomes = await asyncio.gather(*(store.write([upsert("a", str(i), 0)]) for i in range(24)))
    kinds = Counter(type(outcome) for (outcome,) in outcomes)
    assert kinds == {Written: 1, Refused: 23}
    (stored,) = await store.get(["a"])
    winner = next(i for i, (outcome,) in enumerate(outcomes) if isinstance(outcome, Written))
    assert stored is not None
    assert stored.profile == str(winner).encode()


async def test_a_counter_by_compare_and_set_loses_nothing(store: RedisStore) -> None:
    await put(store, "n", "0")

    async def increment() -> None:
        while True:
            (stored,) = await store.get(["n"])
            assert stored is not None
            new = str(int(stored.profile) + 1)
            (outcome,) = await store.write([upsert("n", new, stored.version)])
            if isinstance(outcome, Written):
                return

    await asyncio.gather(*(increment() for _ in range(20)))
    (stored,) = await store.get(["n"])
    assert stored is not None
    assert stored.profile == b"20"


async def test_ids_are_listed_in_byte_order(store: RedisStore) -> None:
    ids = ["Z", "a", "a:b", "a.b", "a_b", "B", "0", "a0", "..x", "é"]
    await store.write([upsert(i) for i in ids])
    ordered = sorted(ids, key=str.encode)
    assert await store.list_ids("", 100) == ordered
    assert await store.list_ids("", 3) == ordered[:3]
    assert await store.list_ids(ordered[3], 4) == ordered[4:8]
    assert await store.list_ids("a1", 2) == [i for i in ordered if i.encode() > b"a1"][:2]
    assert await store.list_ids(ordered[-1], 10) == []
    assert await store.count() == len(ids)
    await remove(store, "a")
    assert await store.count() == len(ids) - 1


@pytest.mark.parametrize("chunk", [1, 7, 1000])
async def test_a_scan_sees_all(store: RedisStore, chunk: int) -> None:
    await store.write([upsert(f"s{i:03}") for i in range(50)])
    entries = await scanned(store, chunk)
    assert sorted(entries) == [f"s{i:03}" for i in range(50)]
    assert all(entry.embedding == record(i).embedding for i, entry in entries.items())
    assert [entries[f"s{i:03}"].version for i in range(50)] == list(range(1, 51))


async def test_digests_of_many_come_in_their_order(store: RedisStore) -> None:
    await store.write([upsert(f"s{i}") for i in range(50)])
    ids = [f"s{i % 75}" for i in range(2500)]
    found = await store.digests(ids, confirmed=True)
    once = dict(zip(ids[:75], await store.digests(ids[:75]), strict=True))
    assert found == [once[streamer_id] for streamer_id in ids]
    assert sum(each is not None for each in once.values()) == 50


async def test_reads_of_nothing(store: RedisStore) -> None:
    assert await store.get([]) == []
    assert await store.digests([]) == []
    assert await store.list_ids("", 10) == []
    assert await scanned(store) == {}
    assert await store.count() == 0
    assert await store.model_version() is None


async def test_the_model_version_is_kept(store: RedisStore) -> None:
    await store.set_model_version("model-1")
    await store.set_model_version("model-2")
    assert await store.model_version() == "model-2"


async def test_prefixes_keep_services_apart(store: RedisStore, open_store: OpenStore) -> None:
    other = await open_store(prefix="other:")
    await put(store, "a")
    assert await other.get(["a"]) == [None]
    assert (await other.position()).sequence == 0
    assert (await other.position()).epoch != (await store.position()).epoch


async def test_replicas_share_one_history(store: RedisStore, open_store: OpenStore) -> None:
    replica = await open_store()
    await put(store, "a")
    assert await replica.position() == await store.position()
    assert await put(replica, "b") == 2
