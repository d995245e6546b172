"""Trains a dictionary on what is stored, and packs every record by it, beside reads and writes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import ServiceError
from service.store.progress import Tell, tell_nobody
from service.store.redis.client import Argument
from service.store.redis.models.second import SECOND
from service.store.redis.packing.dictionary import MOST_PACKED, Dictionary, packed_by
from service.store.redis.packing.packing import BY_DICTIONARY, PACKED_FIELDS
from service.store.redis.packing.training import dictionary_of
from service.store.redis.store import RedisStore

SAMPLES = 5000
"""Streamers that a dictionary is made from, at most."""
SAMPLE_BYTES = 16 << 20
"""Likewise, bytes of them: training needs some eighty times as much memory."""
LEAST_SAMPLES = 1000
"""Fewer are too few to tell what many share."""
LEAST_GAIN = 0.05
"""A dictionary is replaced if the new one packs the sample smaller by this share."""
_REPLACE = Path(__file__).with_name("replace.lua").read_text(encoding="utf-8")
_CHUNK = 500
_SAMPLED = sorted(BY_DICTIONARY)
_FIELDS = [*(sorted(PACKED_FIELDS)), *(SECOND + name for name in sorted(PACKED_FIELDS))]


class NothingToTrainOn(ServiceError):
    """The store has too few streamers, or they share nothing."""


@dataclass(frozen=True)
class Packed:
    """What was done.

    Attributes:
        dictionary: its id, in hex.
        is_new: whether it was made now.
        streamers: looked at.
        bytes_before: of the packed fields, as they were stored.
        bytes_after: likewise, by now.
    """

    dictionary: str
    is_new: bool
    streamers: int
    bytes_before: int
    bytes_after: int


class Repacking:
    """Packs a store again; whoever is stopped in between begins again and goes on."""

    def __init__(self, store: RedisStore, prefix: str = "ss:") -> None:
        """Of a store whose keys begin so."""
        self._store, self._client = store, store.client
        self._ids, self._record = f"{prefix}ids", f"{prefix}record:"
        self._replace = self._client.script(_REPLACE)

    async def run(self, tell: Tell = tell_nobody) -> Packed:
        """Train, unless the dictionary in use is as good, and pack everything.

        Raises:
            NothingToTrainOn: a dictionary can't be made.
            StoreFull: disk or memory is full; what is packed so far stays so.
            StoreUnavailable: the store does not answer; likewise.
        """
        dictionary, is_new = await self._chosen()
        await self._store.packing.add_vectors()
        total = await self._store.count()
        done = before = after = 0
        last = ""
        while ids := await self._store.list_ids(last, _CHUNK):
            last = ids[-1]
            for part in await self._store.chunks(ids):
                sizes = await self._pack(part, dictionary)
                before, after = before + sizes[0], after + sizes[1]
            done += len(ids)
            tell(min(done, total), total)
        return Packed(dictionary.id.hex(), is_new, done, before, after)

    async def _chosen(self) -> tuple[Dictionary, bool]:
        """The dictionary to pack with, and whether it is new."""
        names = [
            name.decode() for name in await self._client.ask("ZRANDMEMBER", self._ids, SAMPLES)
        ]
        in_use = await self._store.packing.active(now=True)
        samples = list[bytes]()
        for part in await self._store.chunks(names):
            asked = [("HMGET", self._record + name, *_SAMPLED) for name in part]
            rows = await self._client.ask_all(asked)
            for row in await self._store.packing.unpack_rows(rows, _SAMPLED):
                values = (value for value in row if value and len(value) <= MOST_PACKED)
                samples.append(b"".join(values))
            if sum(map(len, samples)) > SAMPLE_BYTES:
                break
        if len(samples) < LEAST_SAMPLES:
            if in_use is not None:
                return in_use, False
            raise NothingToTrainOn(
                f"the store has {len(samples)} streamers: a dictionary is made from at least "
                f"{LEAST_SAMPLES}"
            )
        content = await asyncio.to_thread(dictionary_of, samples)
        if not content:
            raise NothingToTrainOn("the stored profiles share nothing that could be packed")
        made = await asyncio.to_thread(Dictionary, content)
        if in_use is not None:
            new, old = (sum(len(one.pack(s)) for s in samples) for one in (made, in_use))
            if new > (1 - LEAST_GAIN) * old:
                return in_use, False
        return await self._store.packing.add(content), True

    async def _pack(self, ids: Sequence[str], dictionary: Dictionary) -> tuple[int, int]:
        """Bytes of the packed fields of some records, before and after."""
        keys = [self._record + streamer_id for streamer_id in ids]
        packing = self._store.packing
        rows = await self._client.ask_all([("HMGET", key, *_FIELDS) for key in keys])
        plain = await packing.unpack_rows(rows, _FIELDS)

        def changes() -> list[tuple[str, str, bytes, bytes]]:
            return [
                (key, name, stored, packed)
                for key, row, values in zip(keys, rows, plain, strict=True)
                for name, stored, value in zip(_FIELDS, row, values, strict=True)
                if stored and packed_by(value) is None
                if (packed := packing.pack(name.removeprefix(SECOND), value, dictionary)) != stored
            ]

        changed = await asyncio.to_thread(changes)
        if changed:
            arguments: list[Argument] = []
            for _, *rest in changed:
                arguments += rest
            await self._replace([key for key, *_ in changed], arguments)
        before = sum(len(value) for row in rows for value in row if value)
        return before, before - sum(len(stored) - len(packed) for *_, stored, packed in changed)
