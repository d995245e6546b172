"""Documents in backups: a line of JSON for each collection, document and entry of a log."""

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from service.store.documents import DELIVERING, MATCHING, PROJECTIONS
from service.store.redis.client import Argument, RedisClient
from service.store.redis.documents.store import DocumentKeys, document_of

_CHUNK, _CHUNK_BYTES = 500, 8 << 20
_TRIES = 5


class DocumentCopies:
    """Reads and restores all documents."""

    def __init__(self, client: RedisClient, *, prefix: str = "ss:") -> None:
        """Of the store of `client`; see `service.store.redis.documents.store` for its keys."""
        self._client = client
        self._keys = DocumentKeys(prefix)

    async def lines(self) -> list[bytes]:
        """Every document and entry, but for those that mean nothing elsewhere.

        They are read again if something changed meanwhile, until it was such a document alone. Of a
        store in which something always changes each document is whole, but what was written in one
        step may be there in part.
        """
        found: list[bytes] = []
        for _ in range(_TRIES):
            before, last = await self._state(), found
            found = [line async for line in self._read()]
            # What is left out changes all the time, and the first line, the revision, with it.
            if await self._state() == before or (last and found[1:] == last[1:]):
                break
        return found

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
                for document_id, value in zip(
                    ids, await self._client.ask("HMGET", keys.documents, *ids), strict=True
                ):
                    if value is not None:
                        document = document_of(document_id.decode(), value)
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

    async def restore(self, lines: Iterable[bytes]) -> None:
        """Write documents and logs to a store without any.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: a line is none that `lines` made.
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


def _line(record: dict[str, Any]) -> bytes:
    if "body" in record:
        record["body"] = record["body"].decode("utf-8", "surrogateescape")
    return json.dumps(record).encode() + b"\n"
