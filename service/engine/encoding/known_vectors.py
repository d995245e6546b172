"""Vectors of pieces that were encoded before, elsewhere."""

from collections.abc import Callable

import numpy as np

from service.engine.encoding.tower_vectors import Key, TowerCache, Vector


class KnownVectors(TowerCache):
    """The vectors used last, and those that can be looked up."""

    def __init__(self, max_bytes: int, look_up: Callable[[bytes], bytes | None]) -> None:
        """Ask `look_up`, by the tower's version and the piece's key, for what is not in memory."""
        super().__init__(max_bytes)
        self._look_up = look_up

    def get(self, key: Key) -> Vector | None:
        """The vector; None if it is known nowhere."""
        vector = super().get(key)
        if vector is not None:
            return vector
        found = self._look_up(b"".join(key))
        if found is None:
            return None
        vector = np.frombuffer(found, "<f2")
        self.put(key, vector)
        return vector
