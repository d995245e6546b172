"""Tower reader: encodes each distinct payload once, and adds vector pieces to profiles."""

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
"""Batch size, of payloads of similar size; more gains nothing on a CPU."""
_CHUNK = 32 * _BATCH
"""Payloads that are sorted by size and in memory at a time."""
_KEPT_BYTES = 256 << 20
"""Most bytes of vector pieces kept in memory; more are looked up at every pass."""


class TowerReader:
    """Towers with their caches, as a context manager."""

    def __init__(
        self,
        towers: Sequence[TowerSource],
        folder: Path,
        device: torch.device | str = "cpu",
        stream: TextIO | None = None,
    ) -> None:
        """Open the caches.

        Args:
            towers: towers, possibly none.
            folder: folder of the caches.
            device: device of the encoding.
            stream: for progress; None = standard error.

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
        """Encode all payloads of the profiles that are not cached, in two passes per tower.

        Raises:
            CacheError: a cache can't be written.
            DataError: a picture or sound can't be read; the message names streamer and field.
        """
        for tower in self._towers:
            missing = tower.missing(profiles)
            with Progress(f"tower {tower.name}", len(missing), self._stream) as progress:
                for chunk in _chunks(tower.payloads(profiles, missing)):
                    for count in tower.encode(chunk):
                        progress.advance(count)

    def __call__(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Pieces of a profile with the towers' vector pieces; uncached texts are encoded."""
        return [*pieces, *(made for tower in self._towers for made in tower(pieces))]

    def over(self, profiles: Sequence[Sequence[Piece]]) -> Sequence[Sequence[Piece]]:
        """Apply the towers to many profiles, once if they fit in memory, else at every pass."""
        if not self._towers:
            return profiles
        if isinstance(profiles, Passes) or self._bytes(profiles) > _KEPT_BYTES:
            return _Read(self, profiles)
        return [self(pieces) for pieces in profiles]

    def _bytes(self, profiles: Sequence[Sequence[Piece]]) -> int:
        return sum(tower.bytes_of(pieces) for tower in self._towers for pieces in profiles)


@dataclass(frozen=True)
class _Shown:
    """A payload with its key and a streamer that shows it."""

    key: bytes
    streamer_id: str
    payload: Payload


class _CachedTower:
    """A tower with its cache."""

    def __init__(self, tower: TowerSource, folder: Path, device: torch.device | str) -> None:
        self.name = tower.spec.name
        self.cache = FeatureCache(folder, tower.spec)
        self._tower, self._device = tower, device
        self._inputs: TowerInputs = inputs_of(tower.spec, tower.tokenizer)

    def __call__(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """Vector pieces of a profile."""
        spec = self._tower.spec
        for piece in pieces_for(spec, pieces):
            key = payload_key(piece)
            vector = self.cache.get(key)
            if vector is None:
                if piece.kind == "media":
                    raise CacheError(
                        f"{self.cache.path} has no vector of {piece.source}; fill the cache first"
                    )
                payload = Payload(piece.source, text=readable(piece.text))
                vector = encode(self._tower, self._batch_of(payload), self._device)[0]
                self.cache.add([key], vector[None])
            if len(vector):
                yield vector_piece(spec, piece, vector)

    def _batch_of(self, payload: Payload) -> TowerBatch:
        return self._inputs.batch([self._inputs.prepare(payload)])

    def missing(self, profiles: Iterable[StreamerProfile]) -> set[bytes]:
        """Keys of payloads that are not cached."""
        spec = self._tower.spec
        keys = {
            payload_key(piece)
            for profile in profiles
            for piece in pieces_for(spec, pieces_of(profile))
        }
        return {key for key in keys if self.cache.get(key) is None}

    def payloads(self, profiles: Iterable[StreamerProfile], keys: set[bytes]) -> Iterator["_Shown"]:
        """Payloads of these keys, each once."""
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
        """Encode and cache payloads in batches of similar size; yields the batch sizes."""
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
        """Bytes of the vector pieces of a profile."""
        return 4 * self._tower.spec.width * len(pieces_for(self._tower.spec, pieces))


def read_payload(inputs: TowerInputs, payload: Payload, streamer_id: str) -> Prepared | None:
    """Decode a payload; None if it has no content.

    Raises:
        DataError: the payload can't be read; the message names streamer and field.
        UsageError: the decoder is not installed.
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
    """Pieces of profiles with vector pieces that are looked up at every pass."""

    def __init__(self, reader: TowerReader, profiles: Sequence[Sequence[Piece]]) -> None:
        self._reader, self._profiles = reader, profiles

    def __len__(self) -> int:
        return len(self._profiles)

    def pick(self, places: NDArray[np.int64]) -> Iterator[Sequence[Piece]]:
        """Implements `Passes`."""
        profiles = self._profiles
        if isinstance(profiles, Passes):
            return map(self._reader, profiles.pick(places))
        return (self._reader(profiles[place]) for place in places.tolist())


def _chunks(shown: Iterator[_Shown]) -> Iterator[list[_Shown]]:
    while chunk := list(islice(shown, _CHUNK)):
        yield chunk
