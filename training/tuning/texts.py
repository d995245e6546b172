"""Texts for tuning; views differ by dropout only (SimCSE, Gao 2021)."""

import numpy as np

from model_export.contract.towers import Payload, Prepared
from training.towers import Tower
from training.tuning.items import Items


class Texts(Items):
    """Texts, whose views are the texts themselves."""

    one, several = "a text", "texts"

    def __init__(self, tower: Tower) -> None:
        super().__init__(tower)
        self.kept: list[str] = []

    def __len__(self) -> int:
        return len(self.kept)

    def add(self, payload: Payload, streamer_id: str) -> int:
        """Implements `Items`."""
        self.kept.append(payload.text)
        return len(self.kept) - 1

    def prepare(self, number: int) -> Prepared:
        """Implements `Items`."""
        return self._inputs.prepare(Payload("text", text=self.kept[number]))

    def view(self, number: int, rng: np.random.Generator) -> Prepared:
        """Implements `Items`."""
        return self.prepare(number)

    def size(self, number: int) -> int:
        """Implements `Items`."""
        return len(self.kept[number])
