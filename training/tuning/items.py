"""Distinct payloads of a tower, with augmented views for tuning."""

import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from model_export.contract.towers import Payload, Prepared, TowerBatch, TowerInputs, inputs_of
from training.towers import Tower
from training.towers.reader import read_payload


class Items(ABC):
    """Distinct payloads, numbered in order of addition.

    Attributes:
        one, several: names for messages.
        most_streamers: most training streamers, drawn at random; None = all.
        most_of_each: most pieces per training streamer, the first ones; None = all.
        most_checked: most pieces per streamer in validation.
        again: share of anchors whose positive is another view of the same piece.
    """

    one: ClassVar[str]
    several: ClassVar[str]
    most_streamers: ClassVar[int | None] = None
    most_of_each: ClassVar[int | None] = None
    most_checked: ClassVar[int] = 8
    again: ClassVar[float] = 0.0

    def __init__(self, tower: Tower) -> None:
        """Start empty, with the preprocessor of the tower."""
        self._inputs: TowerInputs = inputs_of(tower.spec, tower.tokenizer)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def add(self, payload: Payload, streamer_id: str) -> int | None:
        """Add a payload and return its number, or None if it has no content.

        Raises:
            DataError: the payload can't be read; the message names the streamer.
            UsageError: the decoder is not installed.
        """

    @abstractmethod
    def prepare(self, number: int) -> Prepared:
        """Preprocessed item, like in serving."""

    @abstractmethod
    def view(self, number: int, rng: np.random.Generator) -> Prepared:
        """Preprocessed random augmentation of an item."""

    def size(self, number: int) -> int:
        """Sort key under which items of similar encoding cost are neighbours."""
        return 0

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """Collate preprocessed items to the tower's inputs."""
        return self._inputs.batch(prepared)


class Media(Items):
    """Pictures or sounds, kept in a temporary file to bound memory."""

    most_streamers = 20_000
    most_of_each = 8
    most_checked = 4
    again = 0.5

    def __init__(self, tower: Tower) -> None:
        super().__init__(tower)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the items
        weakref.finalize(self, self._file.close)
        self._kept: list[tuple[int, int, str, str]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, payload: Payload, streamer_id: str) -> int | None:
        """Implements `Items`; the payload is decoded once as a check."""
        if read_payload(self._inputs, payload, streamer_id) is None:
            return None
        begin = self._file.seek(0, 2)
        self._file.write(payload.data)
        self._kept.append((begin, len(payload.data), payload.content_type, payload.source))
        return len(self._kept) - 1

    def payload(self, number: int) -> Payload:
        """Payload of an item."""
        begin, length, content_type, source = self._kept[number]
        self._file.seek(begin)
        return Payload(source, data=self._file.read(length), content_type=content_type)

    def prepare(self, number: int) -> Prepared:
        """Implements `Items`."""
        return self._inputs.prepare(self.payload(number))
