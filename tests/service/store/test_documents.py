"""Documents in a real store."""

import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from service.errors import StoreFull
from service.features.webhooks.records import ENDPOINTS, Endpoint, Place, Secret, bytes_of
from service.files.checksummed import Broken, ChecksummedFolder, creating
from service.store.documents import Append, Document, Put, RevisionConflict, Unchanged
from service.store.embedded.supervisor import EmbeddedStore
from service.store.events import NewEvent
from service.store.redis.backup import DOCUMENTS, RECORDS, ArchivedStore, BackupFailed
from service.store.redis.backup_lines import lines_in
from service.store.redis.documents.copies import DocumentCopies
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from service.store.spaces import SpaceChange, SpaceRecord
from tests.service.store.conftest import FAST

pytestmark = pytest.mark.anyio
TOLD = NewEvent("evt-1", "case.created", b"{}")


@pytest.fixture
def documents(store: RedisStore) -> RedisDocuments:
    return RedisDocuments(store.client)


async def test_a_change_is_read_back(documents: RedisDocuments) -> None:
    revisions = await documents.change(
        [Put("cases", "b", b'{"n":1}', 0), Put("cases:b", "s1", b"{}"), Put("cases", "a", b"{}")]
    )
    assert sorted(set(revisions)) == revisions
    assert await documents.get("cases", ["b", "x", "a"]) == [
        Document("b", revisions[0], b'{"n":1}'),
        None,
        Document("a", revisions[2], b"{}"),
    ]
    assert await documents.get("cases", []) == []
    assert await documents.count("cases") == 2
    assert await documents.count("none") == 0


async def test_pages_go_by_id(documents: RedisDocuments) -> None:
    await documents.change([Put("lists", name, b"{}") for name in ("c", "a", "Z", "主播", "b")])
    first = await documents.page("lists", None, 3)
    assert [one.document_id for one in first] == ["Z", "a", "b"]
    rest = await documents.page("lists", "b", 3)
    assert [one.document_id for one in rest] == ["c", "主播"]
    assert await documents.page("none", None, 3) == []


async def test_a_revision_is_not_used_twice(documents: RedisDocuments) -> None:
    (first,) = await documents.change([Put("cases", "a", b"{}", 0)])
    assert await documents.change([Put("cases", "a", None, first)]) == [0]
    assert await documents.page("cases", None, 10) == []
    (second,) = await documents.change([Put("cases", "a", b"{}", 0)])
    assert second > first


@pytest.mark.parametrize("expected", [0, 99])
async def test_a_conflict_changes_nothing(
    documents: RedisDocuments, store: RedisStore, expected: int
) -> None:
    (revision,) = await documents.change([Put("cases", "a", b'{"n":1}')])
    with pytest.raises(RevisionConflict) as caught:
        await documents.change(
            [Put("cases", "b", b"{}"), Put("cases", "a", b'{"n":2}', expected)],
            [Append("cases", b"{}")],
            [TOLD],
        )
    assert (caught.value.document_id, caught.value.found) == ("a", revision)
    assert await documents.page("cases", None, 10) == [Document("a", revision, b'{"n":1}')]
    assert await documents.entries("cases", 0, 10) == []
    assert not (await RedisEvents(store.client).page(None, 10)).events


async def test_what_has_to_be_there_stays_as_it_is(documents: RedisDocuments) -> None:
    (revision,) = await documents.change([Put("cases", "a", b'{"n":1}')])
    for kept in (Unchanged("cases", "a"), Unchanged("cases", "a", revision)):
        kept_at, _ = await documents.change([kept, Put("jobs", "a", b"{}")])
        assert kept_at == 0
    assert await documents.page("cases", None, 10) == [Document("a", revision, b'{"n":1}')]
    for other in (Unchanged("cases", "b"), Unchanged("cases", "a", revision + 1)):
        with pytest.raises(RevisionConflict):
            await documents.change([Put("more", "a", b"{}"), other])
    assert await documents.count("more") == 0


async def test_entries_and_events_come_with_the_change(
    documents: RedisDocuments, store: RedisStore
) -> None:
    logs = [Append("cases:a", b'{"did":1}'), Append("cases:a", b'{"did":2}')]
    await documents.change([Put("cases", "a", b"{}")], logs, [TOLD])
    await documents.change([], [Append("cases:a", b'{"did":3}'), Append("cases:b", b"{}")])
    found = await documents.entries("cases:a", 1, 10)
    assert [(one.number, one.body) for one in found] == [(2, b'{"did":2}'), (3, b'{"did":3}')]
    assert found[0].at > 1.6e9
    assert [one.number for one in await documents.entries("cases:a", 0, 2)] == [1, 2]
    assert [one.number for one in await documents.entries("cases:b", 0, 2)] == [1]
    lasts = [await documents.last_entry(name) for name in ("cases:a", "cases:b", "cases", "none")]
    assert lasts == [3, 1, 0, 0]
    (event,) = (await RedisEvents(store.client).page(None, 10)).events
    assert (event.event_id, event.kind) == ("evt-1", "case.created")


async def test_a_dropped_collection_begins_anew(documents: RedisDocuments) -> None:
    await documents.change([Put("cases:a", "s1", b"{}")], [Append("cases:a", b"{}")])
    await documents.change([Put("cases:ab", "s1", b"{}")])
    await documents.drop("cases:a")
    assert await documents.count("cases:a") == 0
    assert await documents.entries("cases:a", 0, 10) == []
    assert await documents.last_entry("cases:a") == 0
    assert await documents.count("cases:ab") == 1
    await documents.change([], [Append("cases:a", b"{}")])
    assert [one.number for one in await documents.entries("cases:a", 0, 10)] == [1]


async def test_a_log_keeps_as_many_entries_as_it_is_told_to(documents: RedisDocuments) -> None:
    for body in (b"{}", b'{"more":1}'):
        await documents.change([], [Append("lists", body, 150)] * 500)
    found = await documents.entries("lists", 0, 2000)
    assert [one.number for one in found] == list(range(found[0].number, 1001))
    assert 150 <= len(found) < 500
    assert await documents.last_entry("lists") == 1000
    await documents.change([], [Append("cases:a", b"{}")] * 500)
    assert len(await documents.entries("cases:a", 0, 2000)) == 500


async def test_collections_are_dropped_with_a_change_or_not_at_all(
    documents: RedisDocuments, admin: Any
) -> None:
    log = [Append("cases:a", b"{}"), Append("cases:b", b"{}")]
    puts = [Put("cases", "a", b"{}"), Put("cases:a", "s", b"{}"), Put("cases:b", "s", b"{}")]
    await documents.change([*puts, Put("cases:a:1", "m", b"{}")], log)
    kept = set(await admin.keys("ss:document*"))
    with pytest.raises(RevisionConflict):
        await documents.change([Put("cases", "a", None, 99)], drops=["cases:a"])
    assert set(await admin.keys("ss:document*")) == kept
    assert await documents.collections("cases:a") == ["cases:a", "cases:a:1"]
    gone = [Put("cases", "a", None), Put("cases", "c", b"{}")]
    more = [Append("cases:b", b"{}")]
    await documents.change(gone, more, [TOLD], ["cases:a", "cases:a:1"])
    assert await documents.collections("cases") == ["cases", "cases:b"]
    assert [key for key in await admin.keys("ss:*") if b"cases:a" in key] == []
    assert await documents.last_entry("cases:b") == 2
    assert await documents.count("cases:b") == 1


async def test_a_full_store_changes_nothing(documents: RedisDocuments, admin: Any) -> None:
    await documents.change([Put("cases", "a", b"{}")])
    await admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            await documents.change(
                [Put("cases", "a", None), Put("cases", "b", b"{}")], [Append("cases", b"{}")]
            )
    finally:
        await admin.config_set("maxmemory", 0)
    assert [one.document_id for one in await documents.page("cases", None, 10)] == ["a"]
    assert await documents.entries("cases", 0, 10) == []


@pytest.fixture
async def archived(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    async with aclosing(await ArchivedStore(embedded.url, limits=FAST).open()) as opened:
        yield opened


@pytest.fixture
async def other(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    """An empty one, on the same server."""
    async with aclosing(
        await ArchivedStore(embedded.url, limits=FAST, prefix="other:").open()
    ) as opened:
        yield opened


async def test_a_backup_holds_documents(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    changes = [Put("cases", f"c{i:04}", f'{{"n":"主播 {i}"}}'.encode()) for i in range(1200)]
    await archived.documents.change(changes, [Append("cases:a", b'{"did":1}')] * 3)
    mine = [Put("projections:a", "m", b"{}"), Put("projectionsist", "kept", b"{}")]
    beating = [Put("webhooks:leader", "leader", b"{}"), Put("watchlists:log", "cursor", b"{}")]
    await archived.documents.change([*mine, *beating])
    await archived.back_up(tmp_path / "backup")
    await other.restore(ChecksummedFolder(tmp_path / "backup"))
    # The collections that the first one has in Milvus are none of the other one's.
    assert await other.documents.page("projections:a", None, 9) == []
    assert len(await other.documents.page("projectionsist", None, 9)) == 1
    assert await other.documents.collections("w") == []  # and nobody leads there
    for collection in ("cases", "cases:a"):
        kept = [await one.documents.page(collection, None, 2000) for one in (archived, other)]
        assert kept[0] == kept[1]
        logs = [await one.documents.entries(collection, 0, 10) for one in (archived, other)]
        assert logs[0] == logs[1]
    # What is restored goes on where it was: no revision and no number is used twice.
    last = (await archived.documents.page("cases", "c1198", 1))[0]
    (revision,) = await other.documents.change(
        [Put("cases", "c1199", b"{}", last.revision)], [Append("cases:a", b"{}")]
    )
    assert revision > last.revision
    assert [one.number for one in await other.documents.entries("cases:a", 0, 9)] == [1, 2, 3, 4]


async def test_restored_webhooks_are_disabled(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    """Since the backup one may have been deleted, or its secret may have become known."""
    enabled = Endpoint(
        webhook_id="on",
        url="https://a.example/主播",
        kinds=["streamer.*"],
        description="",
        secrets=[Secret(text="whsec_a")],
        enabled=True,
        disabled_because=None,
        begins=Place(epoch="e", numbers={}),
        created_at=1.0,
        created_by="key",
    )
    off = {"webhook_id": "off", "enabled": False, "disabled_because": "the target answered 410"}
    disabled = enabled.model_copy(update=off)
    puts = [Put(ENDPOINTS, each.webhook_id, bytes_of(each)) for each in (enabled, disabled)]
    await archived.documents.change(puts)
    await archived.back_up(tmp_path / "backup")
    await other.restore(ChecksummedFolder(tmp_path / "backup"))
    found = await other.documents.get(ENDPOINTS, ["on", "off"])
    after, still = [Endpoint.model_validate_json(one.body) for one in found if one is not None]
    assert after.disabled_because is not None
    assert "restored from a backup" in after.disabled_because
    assert after.model_copy(update={"enabled": True, "disabled_because": None}) == enabled
    assert not after.enabled
    assert still == disabled


@pytest.mark.slow
async def test_large_documents_are_copied_in_parts(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    large = b'"%s"' % (b"x" * (5 << 20))  # two of them are too large to be read at once
    await archived.documents.change([Put("runs", name, large) for name in "abc"])
    await archived.back_up(tmp_path / "backup")
    await other.restore(ChecksummedFolder(tmp_path / "backup"))
    kept = [await one.documents.page("runs", None, 9) for one in (archived, other)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("changed", "times"),
    [
        ("projections:a", 2),
        ("cases", 5),
        ("projectionsist", 5),
        ("webhooks:leader", 2),
        ("watchlists:log", 2),
        ("watchlists", 5),
    ],
)
async def test_documents_are_read_again_until_what_is_left_out_alone_changes(
    archived: ArchivedStore, changed: str, times: int, tmp_path: Path
) -> None:
    await archived.documents.change([Put("cases", "c", b"{}"), Put("projections:a", "m", b"{}")])
    read = list[int]()

    class Beaten(DocumentCopies):
        async def _read(self) -> AsyncGenerator[bytes]:
            read.append(1)
            async for line in super()._read():
                yield line
            await archived.documents.change([Put(changed, "m", b"{}")])

    with creating(tmp_path / "copy", {}) as folder:
        await Beaten(archived.client).write(folder, DOCUMENTS)
    assert len(read) == times
    # It has the last reading alone.
    lines = list(map(json.loads, lines_in(ChecksummedFolder(tmp_path / "copy"), DOCUMENTS)))
    assert [line["collection"] for line in lines[1:] if "entries" in line].count("cases") == 1
    assert [line.get("document_id") for line in lines].count("c") == 1
    revisions = [line["revision"] for line in lines[1:] if "revision" in line]
    assert lines[0]["revision"] >= max(revisions)


async def test_a_copy_of_an_older_release_brings_no_projections(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    await archived.back_up(tmp_path / "now")
    now = ChecksummedFolder(tmp_path / "now")
    of = b'{"collection": "projections:a", '
    lines = b'"entries": 0}', b'"document_id": "m", "revision": 1, "body": "{}"}'
    with creating(tmp_path / "older", now.about) as folder:
        folder.write(RECORDS, now.read(RECORDS))
        folder.write(DOCUMENTS, gzip.compress(b"".join(of + line + b"\n" for line in lines)))
    await other.restore(ChecksummedFolder(tmp_path / "older"))
    assert await other.documents.page("projections:a", None, 9) == []


async def test_a_store_without_streamers_keeps_what_people_made(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    await archived.back_up(copy)
    beating = [Put("webhooks:leader", "leader", b"{}"), Put("watchlists:log", "cursor", b"{}")]
    await other.documents.change([*beating, Put("projections:a", "m", b"{}")])
    await other.restore(ChecksummedFolder(copy))  # services had begun on it
    await other.documents.change([Put("cases:1", "a", b"{}"), Put("cases", "1", b"{}")])
    await other.keys.replace("a", b"", b"{}")
    said = r"holds 0 streamers, 1 API keys, documents \(cases\): .* \(FLUSHALL\)"
    with pytest.raises(BackupFailed, match=said):
        await other.restore(ChecksummedFolder(copy))
    assert await other.documents.count("cases") == 1
    await other.keys.replace("a", b"{}", b"")
    gone = [Put("cases:1", "a", None), Put("cases", "1", None)]
    await other.documents.change(gone)
    await other.spaces.change(SpaceChange("als", b"", SpaceRecord("als", []).to_json()))
    with pytest.raises(BackupFailed, match="holds 0 streamers, 1 spaces:"):
        await other.restore(ChecksummedFolder(copy))


@pytest.mark.parametrize("line", [b"[]", b"{", b'{"collection":"cases","document_id":"a"}'])
async def test_a_damaged_backup_is_told(
    archived: ArchivedStore, other: ArchivedStore, tmp_path: Path, line: bytes
) -> None:
    await archived.back_up(tmp_path / "whole")
    whole = ChecksummedFolder(tmp_path / "whole")
    with creating(tmp_path / "damaged", whole.about) as folder:
        folder.write(RECORDS, whole.read(RECORDS))
        folder.write(DOCUMENTS, gzip.compress(line + b"\n"))
    with pytest.raises(Broken, match=DOCUMENTS):
        await other.restore(ChecksummedFolder(tmp_path / "damaged"))
