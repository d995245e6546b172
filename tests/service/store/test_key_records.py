"""API keys in a real store: replaced only as they were read, backed up, and kept apart."""

from pathlib import Path
from typing import Any

import pytest

from service.files.checksummed import Broken, ChecksummedFolder, creating
from service.store.embedded.supervisor import EmbeddedStore
from service.store.keys import KeyRecord
from service.store.redis.backup import KEYS, ArchivedStore
from service.store.redis.keys import KEPT
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST, OpenStore
from tests.service.store.records import put

pytestmark = pytest.mark.anyio
RECORD = KeyRecord("0123456789ab", "推荐 nightly", None, ("search",), 1.5, None, "d" * 64)


def test_a_record_comes_back_as_it_was_written() -> None:
    for record in (RECORD, KeyRecord("a", "n", "admin", (), 1.0, 2.0, "d", "e", 3.0)):
        assert KeyRecord.of_json(record.to_json()) == record
    later = RECORD.to_json()[:-1] + b', "of_a_later_release": 1}'
    assert KeyRecord.of_json(later) == RECORD
    with pytest.raises(ValueError, match="key_id"):
        KeyRecord.of_json(b"{}")


async def test_a_record_is_replaced_only_as_it_was_read(store: RedisStore) -> None:
    keys, text = store.keys, RECORD.to_json()
    assert ((await keys.look()).mark, await keys.all(), await keys.get("a")) == ("", {}, b"")
    assert await keys.replace("a", b"", text)
    mark = (await keys.look()).mark
    assert not await keys.replace("a", b"", b"other")
    assert not await keys.replace("a", text + b" ", b"other")
    assert not await keys.replace("b", text, b"other")
    assert ((await keys.look()).mark, await keys.all()) == (mark, {"a": text})
    assert await keys.replace("a", text, b"other")
    assert await keys.get("a") == b"other"
    assert (await keys.look()).mark not in ("", mark)
    assert await keys.replace("a", b"other", b"")
    assert (await keys.all(), bool((await keys.look()).mark)) == ({}, True)


async def test_changes_since_a_mark_are_told_or_not_known(store: RedisStore, admin: Any) -> None:
    keys, text = store.keys, RECORD.to_json()
    await keys.replace("a", b"", text)
    first = (await keys.look()).mark
    assert await keys.since(first) == (first, {})
    await keys.replace("b", b"", text)
    await keys.replace("a", text, b"other")
    second = (await keys.look()).mark
    await keys.replace("b", text, b"")
    assert await keys.since(first) == ((await keys.look()).mark, {"a": b"other", "b": b""})
    assert await keys.since(second) == ((await keys.look()).mark, {"b": b""})
    assert await keys.since("") == ((await keys.look()).mark, {"a": b"other", "b": b""})
    assert await keys.since("unknown") is None
    # An older release, which tells nobody what it changes, runs beside this one.
    last = (await keys.look()).mark
    await admin.hset("ss:meta", "keys_mark", "another")
    assert await keys.since(last) is None
    await keys.replace("c", b"", text)
    assert await keys.since(last) is None
    assert await keys.since("another") == ((await keys.look()).mark, {"c": text})


async def test_who_missed_too_many_changes_reads_all_keys(store: RedisStore) -> None:
    keys = store.keys
    await keys.replace("a", b"", b"x")
    first = (await keys.look()).mark
    await keys.replace("b", b"", b"x")
    second = (await keys.look()).mark
    for number in range(KEPT):
        await keys.replace(f"{number:012x}", b"", b"x")
    assert await keys.since(first) is None
    told = await keys.since(second)
    assert told is not None
    assert len(told.records) == KEPT


async def test_the_latest_use_counts(store: RedisStore) -> None:
    keys = store.keys
    assert await keys.last_used([]) == []
    await keys.note_used({})
    await keys.replace("a", b"", b"x")
    await keys.note_used({"a": 1_700_000_000.25, "b": 5.0})
    await keys.note_used({"a": 7.0})  # by a replica that is late
    assert await keys.last_used(["a", "b", "c"]) == [1_700_000_000.25, 5.0, None]
    await keys.replace("a", b"x", b"")
    assert await keys.last_used(["a"]) == [None]


async def test_keys_are_no_streamers(store: RedisStore) -> None:
    await put(store, "a", "one")
    position = await store.position()
    await store.keys.replace("a", b"", RECORD.to_json())
    assert await store.position() == position
    assert await store.count() == 1


async def test_a_full_server_still_revokes(open_store: OpenStore, admin: Any) -> None:
    store = await open_store()
    await store.keys.replace("a", b"", b"x")
    await admin.config_set("maxmemory", 1)
    try:
        assert await store.keys.replace("a", b"x", b"")
    finally:
        await admin.config_set("maxmemory", 0)
    assert await store.keys.all() == {}


async def _opened(url: str) -> ArchivedStore:
    return await ArchivedStore(url, limits=FAST).open()


async def test_a_backup_has_the_keys(embedded: EmbeddedStore, admin: Any, tmp_path: Path) -> None:
    store = await _opened(embedded.url)
    await put(store, "s", "one")
    await store.back_up(tmp_path / "without")
    assert KEYS not in ChecksummedFolder(tmp_path / "without").files
    await store.keys.replace("a", b"", RECORD.to_json())
    await store.keys.replace("b", b"", RECORD.to_json())
    before, mark = await store.keys.all(), (await store.keys.look()).mark
    await store.back_up(tmp_path / "with")
    await store.keys.replace("a", RECORD.to_json(), b"")
    await store.keys.replace("b", RECORD.to_json(), b"")
    await store.back_up(tmp_path / "revoked")
    for name, found in (("with", before), ("revoked", {})):
        await admin.flushall()
        await store.restore(ChecksummedFolder(tmp_path / name))
        assert await store.keys.all() == found
        assert (await store.keys.look()).mark not in ("", mark)  # services notice
    await admin.flushall()
    await store.restore(ChecksummedFolder(tmp_path / "without"))
    assert (await store.keys.all(), (await store.keys.look()).mark) == ({}, "")
    await store.close()


@pytest.mark.parametrize("content", [b"rubbish", b"[]", b'{"a": 1}'])
async def test_keys_that_can_not_be_read(
    embedded: EmbeddedStore, admin: Any, tmp_path: Path, content: bytes
) -> None:
    store = await _opened(embedded.url)
    await store.back_up(tmp_path / "good")
    good = ChecksummedFolder(tmp_path / "good")
    with creating(tmp_path / "bad", good.about) as folder:
        for name in good.files:
            folder.write(name, good.read(name))
        folder.write(KEYS, content)
    with pytest.raises(Broken, match=r"keys\.json can't be read"):
        await store.restore(ChecksummedFolder(tmp_path / "bad"))
    await store.close()
