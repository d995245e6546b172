"""Profiles read by towers: each distinct payload is encoded once and kept, then looked up."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.errors import MissingExtra, SilentContent, UnreadableContent
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import (
    Payload,
    Prepared,
    TowerBatch,
    TowerInputs,
    inputs_of,
    payload_key,
    payload_of,
    pieces_for,
    vector_piece,
)
from model_export.source import TowerSource
from training.data.passes import Passes
from training.errors import CacheError, DataError, UsageError
from training.progress import Progress
from training.towers.base import encode
from training.towers.cache import FeatureCache

_BATCH = 32
"""Payloads of alike size that are encoded together; more gain nothing on a CPU."""
_CHUNK = 32 * _BATCH
"""Payloads that are sorted by size and kept at a time."""
_KEPT_BYTES = 256 << 20
"""Of vectors that are kept as pieces rather than looked up at every pass."""


class TowerReader:
    """Towers with their caches; use as a context manager."""

    def __init__(
        self,
        towers: Sequence[TowerSource],
        folder: Path,
        device: torch.device | str = "cpu",
        stream: TextIO | None = None,
    ) -> None:
        """Open the caches.

        Args:
            towers: none or more.
            folder: of the caches.
            device: to encode on.
            stream: to report progress to; standard error by default.

        Raises:
            CacheError: a cache can't be used.
        """
        self._towers = [_CachedTower(tower, folder, device) for tower in towers]
        self._stream = stream

    def __enter__(self) -> "TowerReader":
        return self

    def __exit__(self, *_: object) -> None:
        for tower in self._towers:
            tower.cache.close()

    def fill(self, profiles: Iterable[StreamerProfile]) -> None:
        """Encode what the profiles show and no cache has yet; read in two passes per tower.

        Raises:
            CacheError: a cache can't be written.
            DataError: a picture or sound can't be read; names streamer and field.
        """
        for tower in self._towers:
            missing = tower.missing(profiles)
            with Progress(f"tower {tower.name}", len(missing), self._stream) as progress:
                for chunk in _chunks(tower.payloads(profiles, missing)):
                    for count in tower.encode(chunk):
                        progress.advance(count)

    def __call__(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces of a profile, and those that the towers make of them.

        A text that no cache has yet is encoded.
        """
        return [*pieces, *(made for tower in self._towers for made in tower(pieces))]

    def over(self, profiles: Sequence[Sequence[Piece]]) -> Sequence[Sequence[Piece]]:
        """The same for the pieces of many profiles: made now if they are few, else at each pass."""
        if not self._towers:
            return profiles
        if isinstance(profiles, Passes) or self._bytes(profiles) > _KEPT_BYTES:
            return _Read(self, profiles)
        return [self(pieces) for pieces in profiles]

    def _bytes(self, profiles: Sequence[Sequence[Piece]]) -> int:
        return sum(tower.bytes_of(pieces) for tower in self._towers for pieces in profiles)


@dataclass(frozen=True)
class _Shown:
    """A payload, its key, and a streamer that shows it."""

    key: bytes
    streamer_id: str
    payload: Payload


class _CachedTower:
    """One tower and its cache."""

    def __init__(self, tower: TowerSource, folder: Path, device: torch.device | str) -> None:
        self.name = tower.spec.name
        self.cache = FeatureCache(folder, tower.spec)
        self._tower, self._device = tower, device
        self._inputs: TowerInputs = inputs_of(tower.spec, tower.tokenizer)

    def __call__(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """The vector pieces of a profile."""
        spec = self._tower.spec
        for piece in pieces_for(spec, pieces):
            key = payload_key(piece)
            vector = self.cache.get(key)
            if vector is None:
                if piece.kind == "media":
                    raise CacheError(f"{self.cache.path} lacks {piece.source}; fill it first")
                payload = Payload(piece.source, text=readable(piece.text))
                vector = encode(self._tower, self._batch_of(payload), self._device)[0]
                self.cache.add([key], vector[None])
            if len(vector):
                yield vector_piece(spec, piece, vector)

    def _batch_of(self, payload: Payload) -> TowerBatch:
        return self._inputs.batch([self._inputs.prepare(payload)])

    def missing(self, profiles: Iterable[StreamerProfile]) -> set[bytes]:
        """Keys of what the profiles show and the cache has not."""
        spec = self._tower.spec
        keys = {
            payload_key(piece)
            for profile in profiles
            for piece in pieces_for(spec, pieces_of(profile))
        }
        return {key for key in keys if self.cache.get(key) is None}

    def payloads(self, profiles: Iterable[StreamerProfile], keys: set[bytes]) -> Iterator["_Shown"]:
        """What these keys stand for, each once."""
        spec, waiting = self._tower.spec, set(keys)
        for profile in profiles:
            if not waiting:
                return
            for piece in pieces_for(spec, pieces_of(profile)):
                key = payload_key(piece)
                if key in waiting:
                    waiting.remove(key)
                    yield _Shown(key, profile.streamer_id, payload_of(piece, profile))

    def encode(self, shown: Sequence["_Shown"]) -> Iterator[int]:
        """Encode and keep, in batches of alike size; gives the size of each batch when it is."""
        by_size = sorted(shown, key=lambda each: each.payload.size)
        for start in range(0, len(by_size), _BATCH):
            part = by_size[start : start + _BATCH]
            prepared = [read_payload(self._inputs, each.payload, each.streamer_id) for each in part]
            heard = [p for p in prepared if p is not None]
            vectors = np.zeros((0, self._tower.spec.width), np.float32)
            if heard:
                vectors = encode(self._tower, self._inputs.batch(heard), self._device)
            keys = [e.key for e, p in zip(part, prepared, strict=True) if p is not None]
            nothing = [e.key for e, p in zip(part, prepared, strict=True) if p is None]
            self.cache.add(keys, vectors, nothing)
            yield len(part)

    def bytes_of(self, pieces: Sequence[Piece]) -> int:
        """Of the vectors of a profile."""
        return 4 * self._tower.spec.width * len(pieces_for(self._tower.spec, pieces))


def read_payload(inputs: TowerInputs, payload: Payload, streamer_id: str) -> Prepared | None:
    """A payload of a streamer, decoded; None of one that shows nothing.

    Raises:
        DataError: it can't be read; names streamer and field.
        UsageError: what decodes it is not installed.
    """
    try:
        return inputs.prepare(payload)
    except SilentContent:
        return None
    except UnreadableContent as error:
        raise DataError(f"streamer {streamer_id!r}: {error}") from error
    except MissingExtra as error:
        raise UsageError(str(error)) from error


class _Read(Passes[Sequence[Piece]]):
    """Pieces of many profiles with what the towers make of them, looked up at every pass."""

    def __init__(self, reader: TowerReader, profiles: Sequence[Sequence[Piece]]) -> None:
        self._reader, self._profiles = reader, profiles

    def __len__(self) -> int:
        return len(self._profiles)

    def pick(self, places: NDArray[np.int64]) -> Iterator[Sequence[Piece]]:
        """See `Passes`."""
        profiles = self._profiles
        if isinstance(profiles, Passes):
            return map(self._reader, profiles.pick(places))
        return (self._reader(profiles[place]) for place in places.tolist())


def _chunks(shown: Iterator[_Shown]) -> Iterator[list[_Shown]]:
    while chunk := list(islice(shown, _CHUNK)):
        yield chunk
