"""Sides of stored streamers: made when first needed, the ones used last kept in memory.

The others are in a file.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.packed_sides import Packed, pack
from service.engine.evidence.spilled_sides import Spilled, SpilledSides
from service.engine.work.lanes import Lane, Lanes
from service.store.base import Record, StreamerStore

MAX_BYTES = 64 << 20
"""Some 20,000 streamers with a bio and ten titles."""
_ENTRY_BYTES = 1600
"""What a side takes besides the numbers of its arrays, about."""
_READ_AT_ONCE = 32


class StoredSides:
    """What is compared of stored streamers.

    For one event loop. A side is known by the version of its streamer, so a write makes it stale.
    """

    def __init__(
        self,
        store: StreamerStore,
        evidence: Evidence,
        lanes: Lanes,
        model_version: str,
        max_bytes: int = MAX_BYTES,
        folder: Path | None = None,
        beside: Callable[[], Iterable["StoredSides"]] = tuple,
    ) -> None:
        """Read from `store`.

        Args:
            store: of the streamers.
            evidence: of the model.
            lanes: where sides are made.
            model_version: embeddings of other models are left out.
            max_bytes: of the sides in memory.
            folder: of those that are not; None: where temporary files are.
            beside: of models that are open in this process, for the same store.
        """
        self._store = store
        self._evidence = evidence
        self._lanes = lanes
        self._model_version = model_version
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[str, tuple[int, Side, int]] = OrderedDict()
        self._spilled = SpilledSides(folder)
        self._beside = beside

    @property
    def size_bytes(self) -> int:
        """Memory of the sides that are kept, about."""
        return self._bytes

    async def get(
        self, ids: Sequence[str], versions: Sequence[int | None], lane: Lane = Lane.HEAVY
    ) -> list[Side | None]:
        """Sides of streamers at these versions, or newer ones; None of those not stored.

        Args:
            ids: of streamers.
            versions: of each, as the index knows it; None where that is not known.
            lane: in which those that are not kept are made.

        Raises:
            StoreUnavailable: the store does not answer.
            Overloaded: too much work waits already.
        """
        found: dict[str, Side] = {}
        missing: list[str] = []
        in_file: dict[str, int] = {}
        for name, version in zip(ids, versions, strict=True):
            known = self._known.get(name)
            if known is not None and version is not None and known[0] >= version:
                self._known.move_to_end(name)
                found[name] = known[1]
                continue
            missing.append(name)
            if version is not None and name in self._spilled:
                in_file[name] = version
        if in_file:
            for name, spilled in (
                await self._lanes.run_in_slices(self._read(in_file), lane)
            ).items():
                found[name] = spilled.side
                self.keep(name, *spilled)
        missing = [name for name in dict.fromkeys(missing) if name not in found]
        for start in range(0, len(missing), _READ_AT_ONCE):
            records = await self._store.get(missing[start : start + _READ_AT_ONCE])
            stored = [record for record in records if record is not None]
            sides = await self._lanes.run_in_slices(self._made(stored), lane)
            for record, side in zip(stored, sides, strict=True):
                found[record.streamer_id] = side
                self.keep(record.streamer_id, record.version, side)
        return [found.get(name) for name in ids]

    def at_hand(self, ids: Sequence[str], versions: Sequence[int]) -> list[Spilled | None]:
        """Sides at these versions, or newer ones, with their versions; for any thread.

        None of those that are neither in memory nor in the file: `get` makes them.
        """
        found: list[Spilled | None] = []
        for name, version in zip(ids, versions, strict=True):
            known = self._known.get(name)
            if known is not None and known[0] >= version:
                found.append(Spilled(known[0], known[1]))
            else:
                found.append(self._spilled.get(name, version))
        return found

    def keep(self, streamer_id: str, version: int, side: Side) -> None:
        """Keep the side of a version as the one used last; the oldest ones make room."""
        self._drop(streamer_id)
        size = side.size_bytes + _ENTRY_BYTES
        self._known[streamer_id] = version, side, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._known))
            version, side, _ = self._known[oldest]
            self.spill(oldest, version, pack(side))
            self._drop(oldest)

    def spill(self, streamer_id: str, version: int, packed: Packed) -> None:
        """Keep what `pack` made of the side of a version, in a file."""
        if not self._spilled.has(streamer_id, version):
            self._spilled.put(streamer_id, version, packed)

    def side_of(self, record: Record) -> Side:
        """What is compared of a record, kept or made; call it in a thread."""
        known = self._known.get(record.streamer_id)
        if known is not None and known[0] == record.version:
            return known[1]
        if (made := self.made_of(record)) is not None:
            return made
        profile = StreamerProfile.model_validate_json(record.profile)
        return self._evidence.side(profile, self._embedding(record))

    def made_of(self, record: Record) -> Side | None:
        """What a model that is open compares of a record, with this model's embedding.

        None where no other one has made it, or where each reads it in another way; for any thread.
        After a change of the model nearly all are made already, and to make them takes minutes.
        """
        for other in self._beside():
            (made,) = other.at_hand([record.streamer_id], [record.version])
            if made is None or made.version != record.version:
                continue
            if self._evidence.reads_alike(other._evidence, record.profile):
                return made.side.with_embedding(self._embedding(record))
        return None

    def embedding_of(self, record: Record) -> bytes:
        """The embedding of a record; empty without usable content, or of another model."""
        return record.embedding if record.model_version == self._model_version else b""

    def _embedding(self, record: Record) -> NDArray[np.float32] | None:
        vector = self.embedding_of(record)
        return np.frombuffer(vector, "<f4").astype(np.float32) if vector else None

    def _read(self, versions: Mapping[str, int]) -> Generator[None, None, dict[str, Spilled]]:
        found: dict[str, Spilled] = {}
        for name, version in versions.items():
            if (spilled := self._spilled.get(name, version)) is not None:
                found[name] = spilled
            yield
        return found

    def _made(self, records: Sequence[Record]) -> Generator[None, None, list[Side]]:
        sides: list[Side] = []
        for record in records:
            sides.append(self.side_of(record))
            yield
        return sides

    def _drop(self, streamer_id: str) -> None:
        known = self._known.pop(streamer_id, None)
        if known is not None:
            self._bytes -= known[2]
