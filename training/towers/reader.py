"""Profiles read by towers: each distinct payload is encoded once and kept, then looked up."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import (
    Payload,
    TowerInputs,
    inputs_of,
    payload_key,
    pieces_for,
    vector_piece,
)
from model_export.source import TowerSource
from training.data.passes import Passes
from training.towers.base import encode
from training.towers.cache import FeatureCache
from training.towers.progress import Progress

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
        """
        for tower in self._towers:
            missing = tower.missing(profiles)
            with Progress(f"tower {tower.name}", len(missing), self._stream) as progress:
                for keys, payloads in _chunks(tower.payloads(profiles, missing)):
                    for count in tower.encode(keys, payloads):
                        progress.advanced(count)

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
            key = payload_key(spec, piece)
            vector = self.cache.get(key)
            if vector is None:
                for _ in self.encode([key], [readable(piece.text)]):
                    pass
                vector = self.cache.get(key)
                assert vector is not None
            yield vector_piece(spec, piece, vector)

    def missing(self, profiles: Iterable[StreamerProfile]) -> set[bytes]:
        """Keys of what the profiles show and the cache has not."""
        spec = self._tower.spec
        keys = {
            payload_key(spec, piece)
            for profile in profiles
            for piece in pieces_for(spec, pieces_of(profile))
        }
        return {key for key in keys if self.cache.get(key) is None}

    def payloads(
        self, profiles: Iterable[StreamerProfile], keys: set[bytes]
    ) -> Iterator[tuple[bytes, Payload]]:
        """The payloads of these keys, each once."""
        spec, waiting = self._tower.spec, set(keys)
        for profile in profiles:
            if not waiting:
                return
            for piece in pieces_for(spec, pieces_of(profile)):
                key = payload_key(spec, piece)
                if key in waiting:
                    waiting.remove(key)
                    yield key, readable(piece.text)

    def encode(self, keys: Sequence[bytes], payloads: Sequence[Payload]) -> Iterator[int]:
        """Encode and keep, in batches of alike size; gives the size of each batch when it is."""
        order = sorted(range(len(payloads)), key=lambda i: len(payloads[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors = encode(self._tower, self._inputs, [payloads[i] for i in rows], self._device)
            self.cache.add([keys[i] for i in rows], vectors)
            yield len(rows)

    def bytes_of(self, pieces: Sequence[Piece]) -> int:
        """Of the vectors of a profile."""
        return 4 * self._tower.spec.width * len(pieces_for(self._tower.spec, pieces))


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


def _chunks(
    payloads: Iterator[tuple[bytes, Payload]],
) -> Iterator[tuple[list[bytes], list[Payload]]]:
    while chunk := list(islice(payloads, _CHUNK)):
        yield [key for key, _ in chunk], [payload for _, payload in chunk]
