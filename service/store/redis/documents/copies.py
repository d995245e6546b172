"""Documents in backups: a line of JSON for each collection, document and entry of a log."""

import hashlib
import json
import zlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from service.files.checksummed import ChecksummedFile, FolderWriter
from service.store.documents import DELIVERING, MATCHING, PROJECTIONS, WEBHOOKS, Document
from service.store.redis.client import Argument, RedisClient
from service.store.redis.codec import parts_of
from service.store.redis.documents.store import DocumentKeys, document_of

_CHUNK, _CHUNK_BYTES = 500, 8 << 20
_TRIES = 5
_DISABLED = (
    "restored from a backup: it may have been deleted since, or given another secret; enable it "
    "if it is still wanted"
)


class DocumentCopies:
    """Reads and restores all documents."""

    def __init__(self, client: RedisClient, *, prefix: str = "ss:") -> None:
        """Of the store of `client`; see `service.store.redis.documents.store` for its keys."""
        self._client = client
        self._keys = DocumentKeys(prefix)

    async def write(self, folder: FolderWriter, name: str) -> None:
        """Write every document and entry to a packed file, but those that mean nothing elsewhere.

        They are read and written again if something changed meanwhile, until it was such a document
        alone. Of a store in which something always changes each document is whole, but what was
        written in one step may be there in part.
        """
        last = b""
        for left in reversed(range(_TRIES)):
            before = await self._state()
            with folder.file(name) as file:
                digest = await self._pack(file)
            # What is left out changes all the time, and the first line, the revision, with it.
            if not left or digest == last or await self._state() == before:
                return
            folder.remove(name)
            last = digest

    async def _pack(self, file: ChecksummedFile) -> bytes:
        """Write all lines, one after the other; the digest of those behind the first."""
        packed, digest = zlib.compressobj(1, wbits=31), hashlib.sha256()
        is_first = True
        async for line in self._read():
            if not is_first:
                digest.update(line)
            is_first = False
            file.write(packed.compress(line))
        file.write(packed.flush())
        return digest.digest()

    async def _state(self) -> list[Any]:
        return await self._client.ask_together(
            [("GET", self._keys.revision), ("HGETALL", self._keys.collections)]
        )

    async def _read(self) -> AsyncGenerator[bytes]:
        (revision, collections) = await self._state()
        yield _line({"revision": int(revision or 0)})
        for name, last in sorted(collections.items()):
            collection = name.decode()
            if _is_left_out(collection):
                continue
            keys = self._keys.of(collection)
            yield _line({"collection": collection, "entries": int(last)})
            after = "-"
            while ids := await self._client.ask(
                "ZRANGEBYLEX", keys.ids, after, "+", "LIMIT", 0, _CHUNK
            ):
                async for document in self._documents(keys.documents, [i.decode() for i in ids]):
                    yield _line({**document._asdict(), "collection": collection})
                after = f"({ids[-1].decode()}"
            start = "-"
            while entries := await self._client.ask(
                "XRANGE", keys.log, start, "+", "COUNT", _CHUNK
            ):
                for key, fields in entries:
                    number = int(key.split(b"-")[0])
                    if number <= int(last):
                        body, at = fields[b"body"], int(fields[b"at"])
                        yield _line(
                            {"collection": collection, "number": number, "at": at, "body": body}
                        )
                start = f"({entries[-1][0].decode()}"

    async def _documents(self, key: str, ids: Sequence[str]) -> AsyncGenerator[Document]:
        """Those that are still there; so many are read at once as are no load for the memory."""
        sizes = await self._client.ask_all([("HSTRLEN", key, each) for each in ids])
        for part in parts_of(ids, sizes, _CHUNK_BYTES):
            values = await self._client.ask("HMGET", key, *part)
            for document_id, value in zip(part, values, strict=True):
                if value is not None:
                    yield document_of(document_id, value)

    async def collections(self) -> list[str]:
        """What has documents that a copy would have: the first parts of collections' names."""
        names = [name.decode() for name in (await self._state())[1]]
        copied = [name for name in names if not _is_left_out(name)]
        sizes = await self._client.ask_all(
            [("HLEN", self._keys.of(name).documents) for name in copied]
        )
        return sorted({n.split(":")[0] for n, size in zip(copied, sizes, strict=True) if size})

    async def restore(self, lines: Iterable[bytes]) -> None:
        """Write documents and logs to a store without any.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: a line is none that `write` made.
        """
        chunk: list[list[Argument]] = []
        size = 0
        for line in lines:
            chunk += self._commands(json.loads(line))
            size += len(line)
            if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                await self._client.ask_together(chunk)
                chunk, size = [], 0
        await self._client.ask_together(chunk)

    def _commands(self, found: dict[str, Any]) -> list[list[Argument]]:
        if "collection" not in found:
            return [["SET", self._keys.revision, int(found["revision"])]]
        collection = str(found["collection"])
        if _is_left_out(collection):
            return []
        keys = self._keys.of(collection)
        if "entries" in found:
            last = int(found["entries"])
            return [["DEL", *keys], ["HSET", self._keys.collections, collection, last]]
        body = str(found["body"]).encode("utf-8", "surrogateescape")
        if "document_id" in found:
            body = _disabled(body) if collection == WEBHOOKS else body
            document_id, revision = str(found["document_id"]), int(found["revision"])
            return [
                ["HSET", keys.documents, document_id, f"{revision} ".encode() + body],
                ["ZADD", keys.ids, 0, document_id],
            ]
        entry = f"{int(found['number'])}-0"
        return [["XADD", keys.log, entry, "at", int(found["at"]), "body", body]]


def _is_left_out(collection: str) -> bool:
    """Whether it tells what this store has elsewhere, which a copy must not drop, or who leads."""
    return collection.split(":")[0] == PROJECTIONS or collection in (DELIVERING, MATCHING)


def _disabled(body: bytes) -> bytes:
    """A webhook to which nothing is sent before somebody has looked at it."""
    fields = json.loads(body)
    if fields.get("enabled"):
        fields |= {"enabled": False, "disabled_because": _DISABLED}
    return json.dumps(fields).encode()


def _line(record: dict[str, Any]) -> bytes:
    if "body" in record:
        record["body"] = record["body"].decode("utf-8", "surrogateescape")
    return json.dumps(record).encode() + b"\n"
