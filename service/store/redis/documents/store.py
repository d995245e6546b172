"""Documents on Valkey or Redis.

ss:documents              hash: number of the last log entry by collection
ss:documents:revision     the last revision
ss:document:<collection>  hash: "<revision> <JSON>" by id
ss:document_ids:<c>       sorted set, each with score 0: ids
ss:document_log:<c>       stream: entry `<number>-0` per entry, with `at` (ms) and `body`
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from service.store.documents import Append, Document, Entry, Put, RevisionConflict, Unchanged
from service.store.events import NewEvent
from service.store.redis.client import Argument, RedisClient
from service.store.redis.events.feed import EMIT, RedisEvents, event_arguments

_CHANGE = Path(__file__).with_name("change.lua").read_text(encoding="utf-8")
_PAGE = """
-- KEYS  documents, ids;  ARGV  where to begin, limit
local ids = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local found = {}
for i, id in ipairs(ids) do
  found[2 * i - 1], found[2 * i] = id, redis.call('HGET', KEYS[1], id)
end
return found
"""


class CollectionKeys(NamedTuple):
    """The keys of one collection."""

    documents: str
    ids: str
    log: str


class DocumentKeys:
    """The keys of all documents of a store."""

    def __init__(self, prefix: str) -> None:
        """Name keys under a prefix."""
        self.collections, self.revision = f"{prefix}documents", f"{prefix}documents:revision"
        self._prefix = prefix

    def of(self, collection: str) -> CollectionKeys:
        """The keys of one collection."""
        kinds = ("document", "document_ids", "document_log")
        return CollectionKeys(*(f"{self._prefix}{kind}:{collection}" for kind in kinds))


class RedisDocuments:
    """A `DocumentStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str = "ss:") -> None:
        """Keep documents by `client`, under a prefix."""
        self._client = client
        self._keys, self._feed = DocumentKeys(prefix), RedisEvents(client, prefix)
        self._change = client.script(EMIT + _CHANGE)
        self._page = client.script(_PAGE, reads=True)

    async def change(
        self,
        puts: Sequence[Put | Unchanged],
        appends: Sequence[Append] = (),
        events: Sequence[NewEvent] = (),
        drops: Sequence[str] = (),
    ) -> list[int]:
        """Change documents, all of it or nothing; see `DocumentStore.change`."""
        keys = [self._keys.collections, self._keys.revision, self._feed.stream, self._feed.meta]
        arguments: list[Argument] = [len(puts)]
        for put in puts:
            keys += self._keys.of(put.collection)[:2]
            any_one, body = ("some", b"=") if isinstance(put, Unchanged) else ("", put.body or b"")
            expected = any_one if put.expected is None else put.expected
            arguments += [put.collection, put.document_id, expected, body]
        arguments.append(len(appends))
        for append in appends:
            keys.append(self._keys.of(append.collection).log)
            arguments += append
        for collection in drops:
            keys += self._keys.of(collection)
        arguments += [len(drops), *drops]
        done, *told = await self._change(keys, [*arguments, *event_arguments(events)])
        if not done:
            raise RevisionConflict(told[0].decode(), int(told[1]))
        return [int(revision) for revision in told]

    async def get(
        self, collection: str, ids: Sequence[str], *, confirmed: bool = False
    ) -> list[Document | None]:
        """Documents by id, as of one moment; see `DocumentStore.get`."""
        if not ids:
            return []
        found: list[bytes | None] = await self._client.ask(
            "HMGET", self._keys.of(collection).documents, *ids, confirmed=confirmed
        )
        return [
            None if value is None else document_of(document_id, value)
            for document_id, value in zip(ids, found, strict=True)
        ]

    async def page(self, collection: str, after: str | None, limit: int) -> list[Document]:
        """Documents in order of their ids; see `DocumentStore.page`."""
        start = "-" if after is None else f"({after}"
        found: list[bytes] = await self._page([*self._keys.of(collection)[:2]], [start, limit])
        return [
            document_of(document_id.decode(), value)
            for document_id, value in zip(found[::2], found[1::2], strict=True)
        ]

    async def collections(self, begin: str) -> list[str]:
        """The names of all collections that begin so."""
        found: set[bytes] = set()
        place: bytes | int = 0
        while True:
            place, some = await self._client.ask(
                "HSCAN", self._keys.collections, place, "MATCH", f"{begin}*", "COUNT", 1000
            )
            found |= some.keys()
            if not int(place):
                return sorted(name.decode() for name in found)

    async def count(self, collection: str) -> int:
        """How many documents a collection has."""
        return int(await self._client.ask("HLEN", self._keys.of(collection).documents))

    async def entries(self, collection: str, after: int, limit: int) -> list[Entry]:
        """Entries of a collection's log; see `DocumentStore.entries`."""
        log = self._keys.of(collection).log
        found = await self._client.ask("XRANGE", log, f"({after}-0", "+", "COUNT", limit)
        return [
            Entry(int(key.split(b"-")[0]), int(fields[b"at"]) / 1000, fields[b"body"])
            for key, fields in found
        ]

    async def last_entry(self, collection: str) -> int:
        """The number of the last entry of a collection's log; see `DocumentStore.last_entry`."""
        return int(await self._client.ask("HGET", self._keys.collections, collection) or 0)

    async def drop(self, collection: str) -> None:
        """Delete a collection's documents and its log."""
        await self._client.ask_together(
            [
                ("DEL", *self._keys.of(collection)),
                ("HDEL", self._keys.collections, collection),
            ]
        )


def document_of(document_id: str, value: bytes) -> Document:
    """The document that is stored as "<revision> <JSON>"."""
    revision, _, body = value.partition(b" ")
    return Document(document_id, int(revision), body)
