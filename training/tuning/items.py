"""The different pieces that a tower reads, and how each is looked at while the tower is tuned."""

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
    """Different payloads, numbered as they are added.

    Attributes:
        one, several: what they are called.
        most_streamers: so many, drawn at random, are learned from; None = all.
        most_of_each: so many pieces of each are learned from, the first ones; None = all.
        most_checked: so many of each are read to choose the best step.
        again: share of the anchors whose positive is another view of the same piece, where there
            are others.
    """

    one: ClassVar[str]
    several: ClassVar[str]
    most_streamers: ClassVar[int | None] = None
    most_of_each: ClassVar[int | None] = None
    most_checked: ClassVar[int] = 8
    again: ClassVar[float] = 0.0

    def __init__(self, tower: Tower) -> None:
        """None yet, of what this tower reads."""
        self._inputs: TowerInputs = inputs_of(tower.spec, tower.tokenizer)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def add(self, payload: Payload, streamer_id: str) -> int | None:
        """Keep a payload; its number, or None if it shows nothing.

        Raises:
            DataError: it can't be read; names the streamer.
            UsageError: what decodes it is not installed.
        """

    @abstractmethod
    def prepare(self, number: int) -> Prepared:
        """An item as it is served."""

    @abstractmethod
    def view(self, number: int, rng: np.random.Generator) -> Prepared:
        """An item as it could have been shown as well."""

    def size(self, number: int) -> int:
        """To sort by: what takes alike long to encode has alike sizes."""
        return 0

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """The inputs of the tower's graph."""
        return self._inputs.batch(prepared)


class Media(Items):
    """Pictures or sounds: their files lie in a temporary one, so that memory stays bounded."""

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
        """See `Items`; it is decoded once to see that it can be."""
        if read_payload(self._inputs, payload, streamer_id) is None:
            return None
        begin = self._file.seek(0, 2)
        self._file.write(payload.data)
        self._kept.append((begin, len(payload.data), payload.content_type, payload.source))
        return len(self._kept) - 1

    def payload(self, number: int) -> Payload:
        """An item as it was added."""
        begin, length, content_type, source = self._kept[number]
        self._file.seek(begin)
        return Payload(source, data=self._file.read(length), content_type=content_type)

    def prepare(self, number: int) -> Prepared:
        """See `Items`."""
        return self._inputs.prepare(self.payload(number))
