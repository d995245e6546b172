"""Copies of the store: of one moment, checked, and put back as another history."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.files.checksummed import Broken, ChecksummedFolder, creating
from service.store.base import Delete, LogGap, Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.jobs import LeaseLost, NewJob
from service.store.redis import backup_lines
from service.store.redis.backup import (
    JOBS,
    RECORDS,
    RESTORING,
    ArchivedStore,
    BackupContents,
    BackupFailed,
    contents_of,
    records_in,
)
from service.store.redis.jobs import JobLimits, RedisJobs
from tests.service.store.conftest import FAST
from tests.service.store.records import BINARY, put, read_log, record, remove, upsert

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    async with asyncio.timeout(120):
        opened = await ArchivedStore(embedded.url, limits=FAST).open()
        yield opened
        await opened.close()


@pytest.fixture
async def other(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    """An empty one, on the same server."""
    opened = await ArchivedStore(embedded.url, limits=FAST, prefix="other[1]:").open()
    yield opened
    await opened.close()


async def everything(store: ArchivedStore) -> dict[str, Record]:
    ids = await store.list_ids("", 100_000)
    return {r.streamer_id: r for r in await store.get(ids) if r is not None}


async def filled(store: ArchivedStore, count: int = 1200) -> None:
    """With all that a record may have: no vector, tower vectors, any bytes, any text."""
    await store.write([upsert(f"s{i}", f"名 {i} \x7f \u2028") for i in range(count)])
    odd = replace(
        record("odd", "x"),
        embedding=BINARY,
        tower_vectors=BINARY * 3,
        id_embedding=BINARY,
        profile=b'{"bio": "\xff\xfe broken \xed\xa0\x80"}',
    )
    bare = replace(record("bare"), embedding=b"", content=b"", status="insufficient_content")
    await store.write([Upsert(odd), Upsert(bare), *(Delete(f"s{i}") for i in range(0, 50, 5))])
    await store.set_model_version("model-1")


async def test_a_copy_is_put_back_as_it_was(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    await filled(store)
    copied = await store.back_up(tmp_path / "copy")
    assert copied == BackupContents(1192, 1212, "model-1")
    source = ChecksummedFolder(tmp_path / "copy")
    source.check()
    assert contents_of(source) == copied
    place = await other.restore(source)
    assert place.sequence == 1212
    assert place.epoch != (await store.position()).epoch
    assert place == await other.position()
    assert await everything(other) == await everything(store)
    assert await other.count() == 1192
    assert await other.model_version() == "model-1"
    # It goes on from there, and whoever followed the old history notices.
    assert await put(other, "new") == 1213
    assert [entry.streamer_id for entry in await read_log(other, 1212, 1213)] == ["new"]
    with pytest.raises(LogGap, match="another history"):
        async for _ in other.follow(1212, (await store.position()).epoch):
            pass
    with pytest.raises(LogGap, match="the log has lost 101"):
        async for _ in other.follow(100):
            pass


@pytest.mark.slow
async def test_large_records_are_copied_in_parts(
    store: ArchivedStore, other: ArchivedStore, admin: Any, tmp_path: Path
) -> None:
    """No command moves much more than 8 MiB, or the server, told so, would drop the connection."""
    ids = [f"s{i:02}" for i in range(12)]
    for streamer_id in ids:
        await store.write([upsert(streamer_id, streamer_id * (1 << 20))])
    assert await store.chunks(ids, 7 << 20) == [ids[i : i + 2] for i in range(0, 12, 2)]
    assert await store.chunks(["gone", *ids[:2]], 1) == [["gone"], ["s00"], ["s01"]]
    assert await store.chunks([]) == []
    await admin.config_set("maxmemory-clients", 28 << 20)
    try:
        copied = await store.back_up(tmp_path / "copy")
        await other.restore(ChecksummedFolder(tmp_path / "copy"))
    finally:
        await admin.config_set("maxmemory-clients", 0)
    assert copied.streamers == len(ids)
    assert await everything(other) == await everything(store)


async def test_of_an_empty_store(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    assert await store.back_up(tmp_path / "copy") == BackupContents(0, 0, None)
    assert (await other.restore(ChecksummedFolder(tmp_path / "copy"))).sequence == 0
    assert await other.model_version() is None
    assert await put(other, "a") == 1


async def test_tools_can_read_it(store: ArchivedStore, tmp_path: Path) -> None:
    await store.write([upsert("a", "{}"), upsert("b", "{}")])
    await store.back_up(tmp_path / "copy")
    lines = gzip.decompress((tmp_path / "copy" / RECORDS).read_bytes()).splitlines()
    assert [json.loads(line)["streamer_id"] for line in lines] == ["a", "b"]
    assert json.loads(lines[0])["profile"] == "{}"


@pytest.mark.slow
async def test_beside_writes_it_is_of_one_moment(
    embedded: EmbeddedStore, store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    """Exactly what the first N writes made, whatever was written while it was read."""
    await store.write([upsert(f"s{i}") for i in range(1500)])
    history: list[Upsert | Delete] = []
    done = asyncio.Event()

    async def write() -> None:
        writer = await ArchivedStore(embedded.url, limits=FAST).open()
        while not done.is_set():
            i = len(history)
            one = Delete(f"s{i * 7 % 1500}") if i % 5 == 0 else upsert(f"s{i * 13 % 1650}", f"{i}")
            await writer.write([one])
            history.append(one)
        await writer.close()

    writing = asyncio.create_task(write())
    copies: list[BackupContents] = []
    for n in range(3):
        before = len(history)
        copies.append(await store.back_up(tmp_path / f"{n}"))
        assert len(history) > before
    done.set()
    await writing
    log = {e.sequence: e for e in await read_log(store, 1500, (await store.position()).sequence)}
    state: dict[str, int] = {}
    for n, copied in enumerate(copies):
        state = {f"s{i}": i + 1 for i in range(1500)}
        for sequence in range(1501, copied.sequence + 1):
            entry = log[sequence]
            if entry.entry is None:
                state.pop(entry.streamer_id, None)
            else:
                state[entry.streamer_id] = sequence
        found: dict[str, int] = {}
        for streamer_id, fields in records_in(ChecksummedFolder(tmp_path / f"{n}")):
            found.pop(streamer_id, None)
            if fields is not None:
                found[streamer_id] = int(fields["version"])
        assert found == state
        assert copied.streamers == len(state)
    await other.restore(ChecksummedFolder(tmp_path / "2"))
    assert {i: r.version for i, r in (await everything(other)).items()} == state


async def test_what_loses_its_log_meanwhile_is_no_copy(
    embedded: EmbeddedStore, store: ArchivedStore, admin: Any, tmp_path: Path
) -> None:
    class Overrun(ArchivedStore):
        async def list_ids(self, after: str, limit: int) -> list[str]:
            found = await super().list_ids(after, limit)
            await store.write([upsert(f"n{after}{i}") for i in range(20)])
            await admin.xtrim("ss:log", maxlen=3, approximate=False)
            return found

    await store.write([upsert(f"s{i}") for i in range(10)])
    overrun = await Overrun(embedded.url, limits=FAST).open()
    with pytest.raises(BackupFailed, match="the store was written faster"):
        await overrun.back_up(tmp_path / "copy")
    await overrun.close()
    assert os.listdir(tmp_path) == []


async def test_an_erasure_meanwhile_is_named(
    embedded: EmbeddedStore, store: ArchivedStore, tmp_path: Path
) -> None:
    class Erasing(ArchivedStore):
        async def list_ids(self, after: str, limit: int) -> list[str]:
            found = await super().list_ids(after, limit)
            await store.write([upsert("gone"), upsert("stays")])
            assert await store.forget("gone", 100)
            return found

    await store.write([upsert("a")])
    async with aclosing(await Erasing(embedded.url, limits=FAST).open()) as erasing:
        with pytest.raises(BackupFailed, match=r"a streamer was erased.*try again"):
            await erasing.back_up(tmp_path / "copy")


async def test_only_an_empty_store_takes_it(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    await store.write([upsert("a"), upsert("b")])
    await store.back_up(tmp_path / "copy")
    with pytest.raises(BackupFailed, match="the store holds 2 streamers"):
        await store.restore(ChecksummedFolder(tmp_path / "copy"))
    await put(other, "a")
    await remove(other, "a")
    with pytest.raises(BackupFailed, match="the store holds 0 streamers"):  # others may follow it
        await other.restore(ChecksummedFolder(tmp_path / "copy"))


async def test_what_was_interrupted_can_be_done_again(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    await filled(store, 1400)
    await store.back_up(tmp_path / "copy")
    torn = tmp_path / "torn"
    with creating(torn, ChecksummedFolder(tmp_path / "copy").about) as folder:
        content = (tmp_path / "copy" / RECORDS).read_bytes()
        folder.write(RECORDS, content[: len(content) // 2])
    with pytest.raises(Broken, match="ends in the middle"):
        await other.restore(ChecksummedFolder(torn))
    assert await other.model_version() == RESTORING
    assert await other.count() > 0
    await other.restore(ChecksummedFolder(tmp_path / "copy"))
    assert await everything(other) == await everything(store)


async def test_damage_is_noticed(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    await filled(store, 100)
    path = tmp_path / "copy"
    await store.back_up(path)
    good = (path / RECORDS).read_bytes()
    for place in (0, 10, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[place] ^= 8
        (path / RECORDS).write_bytes(bad)
        with pytest.raises(Broken):
            ChecksummedFolder(path).check()
        with pytest.raises(Broken):
            list(records_in(ChecksummedFolder(path)))
        with pytest.raises(Broken):
            await other.restore(ChecksummedFolder(path))
        assert await other.model_version() == RESTORING


@pytest.mark.parametrize(
    ("about", "lines", "said"),
    [
        ({"kind": "something"}, b"", "not 'similar-streamer store' of format 1"),
        ({"format": 2}, b"", "of format 2"),
        ({"streamers": "many"}, b"", "another form"),
        ({"streamers": 3}, b'{"streamer_id":"a","version":"1","profile":"{}"}\n', "1 streamers, 3"),
        ({}, b"{\n", "can't be read"),
        ({}, b'{"version":"1","profile":"{}"}\n', "can't be read"),
        ({}, b'{"streamer_id":"a","version":"1","profile":"{}","more":"x"}\n', "can't be read"),
        ({}, b'{"streamer_id":"a"}\n', "can't be read"),
        ({}, b'{"streamer_id":"a","version":"1","profile":"","embedding":"?"}\n', "can't be read"),
        ({}, b'{"streamer_id":"a","version":"1","profile":""}', "ends in the middle"),
    ],
)
async def test_what_is_no_copy(
    other: ArchivedStore, tmp_path: Path, about: dict[str, Any], lines: bytes, said: str
) -> None:
    """With the right checksums."""
    usual = {"kind": "similar-streamer store", "format": 1, "streamers": 1, "sequence": 1}
    with creating(tmp_path / "copy", usual | about) as folder:
        folder.write(RECORDS, gzip.compress(lines))
    with pytest.raises(Broken, match=said):
        await other.restore(ChecksummedFolder(tmp_path / "copy"))


@pytest.mark.slow
async def test_a_small_file_that_unpacks_to_a_huge_one(
    other: ArchivedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_lines, "_LINE_BYTES", 3 << 20)
    usual = {"kind": "similar-streamer store", "format": 1, "streamers": 1, "sequence": 1}
    with creating(tmp_path / "copy", usual) as folder:
        folder.write(RECORDS, gzip.compress(bytes(5 << 20), 1))
    with pytest.raises(Broken, match="has a line of"):
        await other.restore(ChecksummedFolder(tmp_path / "copy"))


async def test_who_changed(store: ArchivedStore, admin: Any) -> None:
    await store.write([upsert(f"s{i}") for i in range(2500)])
    await store.write([Delete("s3"), upsert("s4", "again"), upsert("new")])
    assert await store.changed_since(2500) == {"s3", "s4", "new"}
    assert await store.changed_since(2503) == set()
    assert len(await store.changed_since(0)) == 2501
    await admin.xtrim("ss:log", maxlen=2, approximate=False)
    with pytest.raises(LogGap):
        await store.changed_since(2500)
    with pytest.raises(LogGap):
        await store.changed_since(9999)


async def test_records_that_nobody_would_find(
    store: ArchivedStore, other: ArchivedStore, admin: Any
) -> None:
    for each in (store, other):
        await each.write([upsert("a"), upsert("b")])
        assert [i async for i in each.orphans()] == []
    await admin.zrem("other[1]:ids", "b")
    assert [i async for i in other.orphans()] == ["b"]
    assert [i async for i in store.orphans()] == []
    assert await other.is_listed("a")
    assert not await other.is_listed("b")


# Jobs

LIMITS = JobLimits(lease_s=600, most_active=10, keep_s=600, given_up=b"{}")


async def test_jobs_are_restored_and_no_lease_survives(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    jobs = RedisJobs(store.client, LIMITS)
    restored = RedisJobs(other.client, LIMITS, prefix="other[1]:")
    for job_id in ("1-done", "2-running", "3-queued"):
        assert await jobs.submit(NewJob(job_id, "import", "here", b'{"path":"\xc3\xa4"}'))
    done = await jobs.claim(["here"], ["import"])
    assert done is not None
    await jobs.finish(done.lease, "succeeded", b'{"created":3}')
    running = await jobs.claim(["here"], ["import"])
    assert running is not None
    await jobs.advance(running.lease, b'{"at":7}', 7, 10)
    await store.back_up(tmp_path / "copy")
    await other.restore(ChecksummedFolder(tmp_path / "copy"))
    assert [job.job_id for job in await restored.page("", 9)] == ["3-queued", "2-running", "1-done"]
    assert await restored.get("1-done") == await jobs.get("1-done")
    finished = [
        await s.client.ask("ZSCORE", key, "1-done")
        for s, key in ((store, "ss:jobs:finished"), (other, "other[1]:jobs:finished"))
    ]
    assert finished[0] == finished[1] > 0
    for job_id, state in (("2-running", "running"), ("3-queued", "queued")):
        job = await restored.get(job_id)
        assert job is not None
        assert job.state == "failed"
        error = json.loads(job.error)
        assert error["code"] == "job_restored"
        assert f"while the job was {state}" in error["detail"]
    with pytest.raises(LeaseLost):
        await restored.advance(running.lease, b"{}", 8, 10)
    assert await restored.claim(["here"], ["import"]) is None
    await restored.retry("2-running")
    again = await restored.claim(["here"], ["import"])
    assert again is not None
    assert (again.checkpoint, again.done, again.total) == (b'{"at":7}', 7, 10)
    with pytest.raises(LeaseLost):
        await restored.hold(running.lease)
    await restored.finish(again.lease, "succeeded", b"{}")


@pytest.mark.parametrize("text", [b"[]", b'{"a":{}}', b'{"a":{"fields":{}}}', b"\xff"])
async def test_damaged_jobs_of_a_backup(
    store: ArchivedStore, other: ArchivedStore, tmp_path: Path, text: bytes
) -> None:
    await store.back_up(tmp_path / "copy")
    about = {k: v for k, v in ChecksummedFolder(tmp_path / "copy").about.items() if k != "files"}
    records = (tmp_path / "copy" / RECORDS).read_bytes()
    with creating(tmp_path / "bad", about) as folder:
        folder.write(RECORDS, records)
        folder.write(JOBS, text)
    with pytest.raises(Broken, match=r"jobs\.json can't be read"):
        await other.restore(ChecksummedFolder(tmp_path / "bad"))
