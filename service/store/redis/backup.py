"""Backup of a store to a folder, as of one moment, and restore from it.

A backup holds plain records, not a server's files: any Valkey or Redis of any version can take it.
`records.jsonl.gz` has one record a line; of several for one streamer the last one counts.
`keys.json` has the API keys, without their texts; `jobs.json` has the jobs, without their files;
`judgements.json` has what people judged; `documents.jsonl.gz` has cases, lists and their like;
`spaces.json` and a file a generation have spaces; `dictionary` is what the store packs profiles
with, those of the backup are not. Groups of duplicates are made anew from these.
"""

import json
import secrets
import time
import zlib
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import Any, cast

from service.errors import StartupError
from service.files.checksummed import Broken, ChecksummedFolder, creating, packed_texts, texts_in
from service.store.base import LogGap, Position
from service.store.progress import Tell, tell_nobody
from service.store.redis.backup_lines import (
    FORMAT,
    KIND,
    RECORDS,
    BackupContents,
    contents_of,
    json_in,
    line_of,
    lines_in,
    records_in,
)
from service.store.redis.client import Argument
from service.store.redis.codec import RECORD_FIELDS
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.connecting.format import raise_format
from service.store.redis.documents.copies import DocumentCopies
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.durability import count_on
from service.store.redis.job_copies import JobCopies, copies_of
from service.store.redis.models.second import narrowed, wide
from service.store.redis.packing.dictionary import packed_by
from service.store.redis.packing.packing import BY_DICTIONARY
from service.store.redis.spaces.copies import copy_spaces, restore_spaces
from service.store.redis.spaces.folder import ChunkFolder
from service.store.redis.spaces.store import RedisSpaces
from service.store.redis.store import CHUNK_BYTES, RedisStore

KEYS = "keys.json"
JOBS = "jobs.json"
JUDGEMENTS = "judgements.json"
DOCUMENTS = "documents.jsonl.gz"
DICTIONARY = "dictionary"
RESTORING = "incomplete:restore"
"""A store's model version while it is being restored: no service starts on it."""
_TAIL = Path(__file__).with_name("tail.lua").read_text(encoding="utf-8")
_CHUNK = 500
_LOG_CHUNK = 1000
_COPIED = wide(RECORD_FIELDS)
_REPLACED = "the store was replaced meanwhile, or another model serves by now"


class BackupFailed(StartupError):
    """A backup could not be made or restored; the message says why."""


class ArchivedStore(RedisStore):
    """A store that can be backed up, restored and verified; `judgements` are those of pairs."""

    def __init__(self, at: StoreAddress | str, *, chunks_dir: Path | None = None, **options: Any):
        """Connect as `RedisStore` does; chunks of generations are in `chunks_dir`, if given."""
        super().__init__(at, **options)
        self._tail = self._client.script(_TAIL, reads=True)
        self._prefix = prefix = options.get("prefix", "ss:")
        self.judgements = RedisJudgements(self._client, prefix)
        self.documents = RedisDocuments(self._client, prefix)
        self.spaces = RedisSpaces(self._client, prefix, chunks_dir and ChunkFolder(chunks_dir))
        self._job_copies = JobCopies(self._client, prefix=prefix)
        self._document_copies = DocumentCopies(self._client, prefix=prefix)

    aclose = RedisStore.close
    """For `contextlib.aclosing`."""

    async def back_up(self, path: Path, tell: Tell = tell_nobody) -> BackupContents:
        """Write a backup to a new folder, beside reads and writes.

        The records are read part by part, then again those that changed meanwhile, until nothing
        changed any more: the last part is read in one step with the end of the log.

        Raises:
            BackupFailed: the log lost entries meanwhile, since too much was written.
            OSError: the folder can't be written; nothing is there then.
            StoreUnavailable: the store does not answer; likewise.
        """
        about: dict[str, Any] = {"kind": KIND, "format": FORMAT}
        jobs = await self._job_copies.all()  # first: none may be further than the records are
        with creating(path, about) as folder, folder.file(RECORDS) as file:
            packed = zlib.compressobj(1, wbits=31)
            ids, total = set[str](), await self.count()
            try:
                async for part in self._parts(about):
                    lines: list[bytes] = []
                    for streamer_id, row in part:
                        (ids.add if row[0] else ids.discard)(streamer_id)
                        lines.append(line_of(streamer_id, row))
                    file.write(packed.compress(b"".join(lines)))
                    tell(min(len(ids), total), total)
            except LogGap as gap:
                raise BackupFailed(
                    f"the store's log lost entries meanwhile ({gap}): a streamer was erased, or "
                    "the store was written faster than it could be copied; try again, and when "
                    "less is written"
                ) from gap
            file.write(packed.flush())
            if len(ids) != about["streamers"]:
                raise BackupFailed(
                    f"the store lists {about['streamers']} streamers and has {len(ids)}: "
                    "`python -m service verify` names those that are wrong"
                )
            about["written_at"] = time.time()
            if (await self.keys.look()).mark:
                folder.write(KEYS, packed_texts(await self.keys.all()))
            if judgements := await self.judgements.all():
                folder.write(JUDGEMENTS, packed_texts(judgements))
            if dictionary := await self.packing.active(now=True):
                folder.write(DICTIONARY, dictionary.content)
            folder.write(JOBS, json.dumps(jobs).encode())
            await copy_spaces(self.spaces, folder)
            await self._document_copies.write(folder, DOCUMENTS)
        return BackupContents(about["streamers"], about["sequence"], about["model_version"])

    async def _parts(
        self, about: dict[str, Any]
    ) -> AsyncGenerator[list[tuple[str, Sequence[bytes]]], None]:
        """Records by id, without a version where there is none any more; fills `about`."""
        begun, model = await self.position(), await self.model_version()
        after, seen = "", begun.sequence
        changed: dict[str, None] = {}
        while ids := await self.list_ids(after, _CHUNK):
            after = ids[-1]
            for part in await self.chunks(ids):
                news, rows, now = await self._read_together(part, seen)
                model = _only(model, now)
                yield list(zip(part, rows, strict=True))
                seen = _note(news, seen, changed)
        while (last := await self._read_last(changed, seen)) is None:
            parts = await self.chunks(list(changed)[:_CHUNK])
            ids = parts[0] if parts else []
            for streamer_id in ids:
                del changed[streamer_id]
            news, rows, now = await self._read_together(ids, seen)
            model = _only(model, now)
            yield list(zip(ids, rows, strict=True))
            seen = _note(news, seen, changed)
        sequence, served, streamers, rest = last
        ids = [streamer_id.decode() for streamer_id, _ in rest]
        rows = await self._of_model([row for _, row in rest], served)
        model = _only(model, None if served is None else served.decode())
        yield list(zip(ids, rows, strict=True))
        if (await self.position()).epoch != begun.epoch:
            raise LogGap(_REPLACED)
        about |= {
            "epoch": begun.epoch,
            "sequence": int(sequence),
            "model_version": model,
            "streamers": int(streamers),
        }

    async def _read_last(self, changed: Collection[str], after: int) -> Any:
        """In one step: records of some and of all who changed since, and what the store says.

        None if those are too many, or too large, for one step.

        Raises:
            LogGap: the log has lost entries.
        """
        if len(changed) > _CHUNK:
            return None
        answer = await self._tail(
            [self._meta, self._ids, self._log],
            [after, _CHUNK, CHUNK_BYTES, self._record, len(_COPIED), *_COPIED, *changed],
        )
        if answer is not None and answer[0] == -1:
            raise LogGap(f"the log has lost {after + 1}; it goes on at {answer[1]}")
        return answer

    async def _read_together(
        self, ids: Sequence[str], after: int
    ) -> tuple[list[tuple[int, str]], list[list[bytes]], str | None]:
        """Read in one step who changed after a number, records, and the model that made them."""
        model, news, *rows = await self._client.ask_together(
            [
                ("HGET", self._meta, "model_version"),
                ("XRANGE", self._log, f"({after}-0", "+", "COUNT", _LOG_CHUNK),
                *(("HMGET", self._record + i, *_COPIED) for i in ids),
            ]
        )
        changed = [(int(key.split(b"-")[0]), fields[b"id"].decode()) for key, fields in news]
        return changed, await self._of_model(rows, model), model and model.decode()

    async def _of_model(
        self, rows: Sequence[Sequence[bytes]], model: bytes | None
    ) -> list[list[bytes]]:
        """Records as the model that serves made them, unpacked."""
        name = (model or b"").decode()
        found = [narrowed(row, RECORD_FIELDS, name) for row in rows]
        unpacked = await self.packing.unpack_rows(found, RECORD_FIELDS)
        places = [place for place, field in enumerate(RECORD_FIELDS) if field in BY_DICTIONARY]
        if any(packed_by(row[place]) for row in unpacked for place in places):
            raise BackupFailed(
                "a record needs a dictionary that the store lacks: `verify` names it"
            )
        return unpacked

    async def restore(
        self, source: ChecksummedFolder, tell: Tell = tell_nobody, *, after: int = 0
    ) -> Position:
        """Fill an empty store from a backup; where its log then ends, at `after` or later.

        It is another history from then on: whoever followed the one before notices.

        Raises:
            BackupFailed: the store is not empty.
            Broken: that is no backup, or a damaged one.
            StoreUnavailable, StoreFull: the store can't take it; no service starts on what is there
                then, and it may be restored again.
        """
        copied = contents_of(source)
        if await self.model_version() == RESTORING:
            await self._clear()
        elif held := await self._held():
            raise BackupFailed(
                f"the store holds {held}: a backup is restored into an empty one; empty it "
                "(FLUSHALL), or take another"
            )
        await self.set_model_version(RESTORING)
        await self.raise_format()
        if DICTIONARY in source.files:
            await self.packing.add(source.read(DICTIONARY))
            await self.packing.add_vectors()
        chunk: list[tuple[str, dict[str, bytes] | None]] = []
        total = done = 0
        for streamer_id, fields in records_in(source):
            size = sum(map(len, (fields or {}).values()))
            if len(chunk) == _CHUNK or total + size > CHUNK_BYTES:
                await self._put(chunk)
                done += len(chunk)
                tell(min(done, copied.streamers), copied.streamers)
                chunk, total = [], 0
            chunk.append((streamer_id, fields))
            total += size
        await self._put(chunk)
        tell(copied.streamers, copied.streamers)
        found = await self.count()
        if found != copied.streamers:
            raise Broken(f"{source.path} has {found} streamers, {copied.streamers} were written")
        await self._restore_others(source)
        await restore_spaces(self.spaces, source)
        epoch = secrets.token_hex(16)
        sequence = max(copied.sequence, after)
        await self._client.ask("HSET", self._meta, "epoch", epoch, "sequence", sequence)
        if copied.model_version is None:
            await self._client.ask("HDEL", self._meta, "model_version")
        else:
            await self.set_model_version(copied.model_version)
        return await self.position()

    async def _held(self) -> str:
        """What a restore would replace, for a message; empty if there is nothing.

        What services that have started write on their own, such as who leads, does not count.
        """
        counts = {
            "API keys": len(await self.keys.all()),
            "spaces": len(await self.spaces.all()),
            "judgements": len(await self.judgements.all()),
        }
        others = [f"{count} {what}" for what, count in counts.items() if count]
        if collections := await self._document_copies.collections():
            others.append(f"documents ({', '.join(collections)})")
        streamers = await self.count()
        if not (streamers or others or (await self.position()).sequence):
            return ""
        return ", ".join([f"{streamers} streamers", *others])

    async def _restore_others(self, source: ChecksummedFolder) -> None:
        """What is neither a record nor a space."""
        if KEYS in source.files:
            await self.keys.restore(texts_in(source, KEYS))
        if JUDGEMENTS in source.files:
            await self.judgements.restore(texts_in(source, JUDGEMENTS))
        if JOBS in source.files:
            await self._job_copies.restore(json_in(source, JOBS, copies_of))
        if DOCUMENTS in source.files:
            try:
                await self._document_copies.restore(lines_in(source, DOCUMENTS))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Broken(f"{source.path / DOCUMENTS} can't be read: {error!r}") from error

    async def _put(self, chunk: Sequence[tuple[str, dict[str, bytes] | None]]) -> None:
        commands: list[list[Argument]] = []
        chunk = await self.packing.pack_rows(chunk)
        for streamer_id, fields in chunk:
            key = self._record + streamer_id
            commands.append(["DEL", key])
            if fields is None:
                commands.append(["ZREM", self._ids, streamer_id])
            else:
                pairs = [part for pair in fields.items() for part in pair]
                commands.append(["HSET", key, *pairs])
                commands.append(["ZADD", self._ids, 0, streamer_id])
        await self._client.ask_together(commands)

    async def _clear(self) -> None:
        """Remove what an interrupted restore left, but that one was under way."""
        cursor, pattern = b"0", _escaped(self._prefix) + "*"
        while True:
            cursor, keys = await self._client.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            if left := [key for key in keys if key != self._meta.encode()]:
                await self._client.ask("UNLINK", *left)
            if int(cursor) == 0:
                return

    async def raise_format(self) -> None:
        """Have the store tell that this release writes into it; see `raise_format`."""
        await raise_format(self._client, self._meta)

    async def mend(self) -> None:
        """Make a store that lost its older part, which no later write repeats, consistent again.

        Its records are listed, and its sequence goes on behind the log.
        """
        last = await self._client.ask("XREVRANGE", self._log, "+", "-", "COUNT", 1)
        logged = int(last[0][0].split(b"-")[0]) if last else 0
        if logged > (await self.position()).sequence:
            await self._client.ask("HSET", self._meta, "sequence", logged)
        async for streamer_id in self.orphans():
            await self._client.ask("ZADD", self._ids, 0, streamer_id)

    async def count_on(self, sequence: int) -> None:
        """Give no number up to this one again; see `durability.count_on`."""
        await count_on(self._client, self._prefix, sequence)

    async def is_listed(self, streamer_id: str) -> bool:
        """Whether it is among the ids."""
        return await self._client.ask("ZSCORE", self._ids, streamer_id) is not None

    async def orphans(self) -> AsyncGenerator[str, None]:
        """Streamers with a record that are not listed, so that nothing would ever find them."""
        cursor, pattern = b"0", _escaped(self._record) + "*"
        while True:
            cursor, keys = await self._client.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            ids = [cast(bytes, key).decode().removeprefix(self._record) for key in keys]
            scores = await self._client.ask_all([("ZSCORE", self._ids, i) for i in ids])
            for streamer_id, score in zip(ids, scores, strict=True):
                if score is None and (await self.digests([streamer_id]))[0] is not None:
                    yield streamer_id
            if int(cursor) == 0:
                return

    async def changed_since(self, after: int, mark: str = "") -> set[str]:
        """Who was written or deleted after a sequence number, which has that mark if it is given.

        Raises:
            LogGap: the log does not go back so far, or the number has another mark.
        """
        found: set[str] = set()
        await self._check_continues(self._client, after, None, mark)
        while True:
            news, _, _ = await self._read_together([], after)
            if not news:
                return found
            found |= {streamer_id for _, streamer_id in news}
            after = news[-1][0]


def _only(before: str | None, now: str | None) -> str | None:
    """The model that serves now, which served before too unless the store was empty."""
    if before not in (None, now):
        raise LogGap(_REPLACED)
    return now


def _note(news: Sequence[tuple[int, str]], seen: int, changed: dict[str, None]) -> int:
    """Note who changed after a sequence number; the last sequence number seen."""
    for expected, (sequence, streamer_id) in enumerate(news, seen + 1):
        if sequence != expected:
            raise LogGap(f"the log goes on at {sequence}, not at {expected}")
        changed[streamer_id] = None
    return seen + len(news)


def _escaped(text: str) -> str:
    """Escape a text for a glob pattern that matches it alone."""
    return "".join(f"\\{c}" if c in "*?[]^\\" else c for c in text)
