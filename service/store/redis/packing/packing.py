"""Packs values of records that are written, and unpacks those that are read.

ss:dictionaries  hash: dictionaries by id, in hex; none is ever removed, as any record may need one
ss:meta          hash: dictionary, the id of the one that is written with; packed_vectors, 1 once
                 vectors are packed as well, which older releases can't read

Values say by which dictionary they were packed, if by any: records of releases and of times without
one, or with another one, stand beside each other.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.errors import NotReplicated, ServiceError, StoreFull
from service.store.base import Delete, Record, Upsert
from service.store.redis.client import CommandRefused, ConnectionLost, RedisClient
from service.store.redis.models.second import SECOND
from service.store.redis.packing.dictionary import Dictionary, id_of, packed_by
from service.store.redis.packing.vectors import VECTORS, unpacked

BY_DICTIONARY = frozenset({"profile", "facets", "modalities"})
PACKED_FIELDS = BY_DICTIONARY | VECTORS.keys()
"""Of a record, and of what a second model made of it."""
_LOOK_S = 60.0
"""A new dictionary is written with after so long at most."""
_FEW, _MANY = 8, 200
"""So many records are packed, and values unpacked, by a thread: they take milliseconds."""

Row = tuple[str, dict[str, bytes] | None]


class DictionaryTaken(ServiceError):
    """Another dictionary has the same id."""


class Packing:
    """The dictionaries of a store."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        """Nothing is read before the first value."""
        self._client = client
        self._meta, self._dictionaries = f"{prefix}meta", f"{prefix}dictionaries"
        self._known: dict[bytes, Dictionary] = {}
        self._active: Dictionary | None = None
        self._packs_vectors = False
        self._looked_at: float | None = None

    async def active(self, *, now: bool = False) -> Dictionary | None:
        """The dictionary that is written with; None without one.

        Args:
            now: read it, though it was read a moment ago.
        """
        last = self._looked_at
        if now or last is None or time.monotonic() - last >= _LOOK_S:
            self._looked_at = time.monotonic()
            try:
                told = ("HMGET", self._meta, "dictionary", "packed_vectors")
                name, packs_vectors = await self._client.ask(*told)
                self._packs_vectors = packs_vectors is not None
                known = None if name is None else bytes.fromhex(name.decode())
                self._active = None if known is None else await self._dictionary(known)
                await self._keep_known()
            except ConnectionLost:
                self._looked_at = last
                if last is None:
                    raise
            except BaseException:
                self._looked_at = last
                raise
        return self._active

    async def packed(self, records: Sequence[Record]) -> list[Record]:
        """Records with their fields as they are to be stored."""
        dictionary = await self.active() if records else None
        if dictionary is None:
            return list(records)

        def pack() -> list[Record]:
            return [self._packed(record, dictionary) for record in records]

        return pack() if len(records) < _FEW else await asyncio.to_thread(pack)

    async def operations(self, operations: Sequence[Upsert | Delete]) -> list[Upsert | Delete]:
        """Operations with their records as they are to be stored."""
        upserts = [each for each in operations if isinstance(each, Upsert)]
        firsts = iter(await self.packed([each.record for each in upserts]))
        seconds = [each.second for each in upserts if each.second is not None]
        others = iter(await self.packed(seconds))
        return [
            replace(each, record=next(firsts), second=each.second and next(others))
            if isinstance(each, Upsert)
            else each
            for each in operations
        ]

    async def unpack(self, values: Sequence[bytes | None]) -> list[bytes | None]:
        """Values as they were before a dictionary packed them, or as they are where none can."""
        needed = {name for value in values if (name := packed_by(value)) is not None}
        if not needed:
            return list(values)
        for name in needed - self._known.keys():
            await self._dictionary(name)

        def unpack() -> list[bytes | None]:
            return list(map(self._unpacked, values))

        return unpack() if len(values) < _MANY else await asyncio.to_thread(unpack)

    async def unpack_rows(
        self, rows: Sequence[Sequence[Any]], names: Sequence[str]
    ) -> list[list[Any]]:
        """Rows of a record's fields `names`, unpacked."""
        plain = [name.removeprefix(SECOND) for name in names]
        places = [at for at, name in enumerate(plain) if name in BY_DICTIONARY]
        vectors = [at for at, name in enumerate(plain) if name in VECTORS]
        found = iter(await self.unpack([row[at] for row in rows for at in places]))
        made = [list(row) for row in rows]
        for row in made:
            for at in places:
                row[at] = next(found)
            for at in vectors:
                row[at] = unpacked(row[at])
        return made

    async def pack_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Ids and fields of records, None where there is no record, as they are to be stored."""
        dictionary = await self.active() if rows else None
        if dictionary is None:
            return list(rows)

        def pack() -> list[Row]:
            return [
                (name, fields and {n: self.pack(n, v, dictionary) for n, v in fields.items()})
                for name, fields in rows
            ]

        return await asyncio.to_thread(pack)

    async def add(self, content: bytes) -> Dictionary:
        """Store a dictionary, which all services write with within a minute.

        Raises:
            DictionaryTaken: another one has its id.
        """
        name = id_of(content).hex()
        known: bytes | None = await self._client.ask("HGET", self._dictionaries, name)
        if known not in (None, content) and id_of(known) == id_of(content):
            raise DictionaryTaken(
                f"the store has another dictionary {name}: run `compact`, which makes a third one"
            )
        await self._client.ask("HSET", self._dictionaries, name, content)
        await self._client.ask("HSET", self._meta, "dictionary", name)
        found = await self.active(now=True)
        assert found is not None
        return found

    async def add_vectors(self) -> None:
        """Pack vectors from now on, as all services do within a minute."""
        await self._client.ask("HSET", self._meta, "packed_vectors", 1)
        await self.active(now=True)

    def pack(self, name: str, value: bytes, dictionary: Dictionary) -> bytes:
        """A field of a record, by its name, as it is to be stored."""
        if name in BY_DICTIONARY:
            return dictionary.pack(value)
        return VECTORS[name].pack(value) if self._packs_vectors and name in VECTORS else value

    async def all(self) -> dict[str, bytes]:
        """Contents of all dictionaries, by id."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._dictionaries)
        return {name.decode(): content for name, content in found.items()}

    async def _keep_known(self) -> None:
        """Give back dictionaries to a store that has lost its end or a part: values need them.

        A store that takes nothing at the moment gets them later, and what still works then (to
        read, to delete, to pack) goes on; but by a dictionary that it lacks nothing is written.
        """
        known = list(self._known.values())
        asked = [("HEXISTS", self._dictionaries, each.id.hex()) for each in known]
        there = await self._client.ask_all(asked)
        lost = [each for each, is_there in zip(known, there, strict=True) if not is_there]
        kept = [("HSETNX", self._dictionaries, each.id.hex(), each.content) for each in lost]
        try:
            await self._client.ask_all(kept)
        except NotReplicated:
            pass  # it has them, and whoever writes by them waits for replicas as well
        except (StoreFull, CommandRefused):
            if self._active in lost:
                self._active = None

    async def _dictionary(self, name: bytes) -> Dictionary | None:
        """The dictionary with this id; None where the store has none, or a damaged one."""
        if name not in self._known:
            content: bytes | None = await self._client.ask("HGET", self._dictionaries, name.hex())
            if content is None or id_of(content) != name:
                return None
            self._known[name] = await asyncio.to_thread(Dictionary, content)
        return self._known[name]

    def _packed(self, record: Record, dictionary: Dictionary) -> Record:
        fields = {n: self.pack(n, getattr(record, n), dictionary) for n in PACKED_FIELDS}
        return replace(record, **fields)

    def _unpacked(self, value: bytes | None) -> bytes | None:
        dictionary = self._known.get(packed_by(value) or b"")
        if value is None or dictionary is None:
            return value
        try:
            return dictionary.unpack(value)
        except ValueError:
            return value  # its digest tells
