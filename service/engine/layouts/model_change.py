"""How far streamers moved from one model to another: for the colours of a map."""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.index.slots import SlotBlock, Slotted

_SAMPLE = 20_000
_EACH_WIDTH = 8
"""Streamers that are needed for each number of a vector: fewer are turned onto anything."""
_AT_ONCE = 512


class TooFew(Exception):
    """Both models have vectors of too few; the arguments: how many there are, and are needed."""


class Changes(NamedTuple):
    """What is known of streamers with a vector of both models.

    Attributes:
        slots: uint32 (N,), in the index that was looked at.
        changes: float32 (N,), from 0 to 2.
    """

    slots: NDArray[np.uint32]
    changes: NDArray[np.float32]


class ModelChange:
    """The change of each streamer, kept beside the versions that it was found for.

    Spaces of two models have nothing in common but who is in them. So the vectors of the other
    model are turned by the orthogonal matrix that brings those of a sample nearest to this one's
    (Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem"); the change of
    a streamer is 1 - its cosine then: 0 where it lies among the others as it did, about 1 where
    nothing of that is left. What all streamers do alike is no change.

    It keeps no index alive. One at a time may look.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._turn: NDArray[np.float32] | None = None  # (D of other, D)
        self._versions = np.zeros(0, np.int64)
        self._changes = np.zeros(0, np.float32)

    def looking(self, here: Slotted, other: Slotted) -> Generator[None, None, Changes]:
        """The changes of all, those of new versions found anew; pauses every few milliseconds.

        Args:
            here: of the model whose map is coloured; always the same.
            other: of the other model, always the same one.

        Raises:
            TooFew: to tell how the two spaces lie to each other.
        """
        live = here.live_slots()
        yield
        if self._turn is None:
            self._turn = yield from _turned(live.slots, here, other)
        if len(live.slots):
            self._make_room(int(live.slots[-1]) + 1)
        lacking = live.slots[self._versions[live.slots] != live.versions]
        for start in range(0, len(lacking), _AT_ONCE):
            mine, others, both = _read(lacking[start : start + _AT_ONCE], here, other)
            turned = others.embeddings @ self._turn  # (B, D)
            lengths = np.maximum(np.linalg.norm(turned, axis=1), np.finfo(np.float32).tiny)
            cosines = np.einsum("bd,bd->b", turned, mine.embeddings[both]) / lengths
            self._changes[mine.slots] = np.nan
            self._changes[mine.slots[both]] = 1 - np.clip(cosines, -1, 1)
            # Whoever lacks a vector of the other model is looked for again.
            self._versions[mine.slots[both]] = mine.versions[both]
            yield
        is_known = self._versions[live.slots] == live.versions
        slots = live.slots[is_known]
        return Changes(slots, self._changes[slots])

    def _make_room(self, slots: int) -> None:
        if slots > len(self._versions):
            more = max(slots, len(self._versions) * 3 // 2) - len(self._versions)
            self._changes = np.concatenate([self._changes, np.full(more, np.nan, np.float32)])
            self._versions = np.concatenate([self._versions, np.zeros(more, np.int64)])


def _turned(
    slots: NDArray[np.uint32], here: Slotted, other: Slotted
) -> Generator[None, None, NDArray[np.float32]]:
    """The matrix (D of other, D) that turns vectors of the other model.

    Its last step takes some 50 ms of a thread where vectors have 384 numbers.
    """
    step = max(1, len(slots) // _SAMPLE)
    covariance, count = None, 0
    sample = slots[::step]
    for start in range(0, len(sample), _AT_ONCE):
        mine, others, both = _read(sample[start : start + _AT_ONCE], here, other)
        part = others.embeddings.T.astype(np.float64) @ mine.embeddings[both]
        covariance = part if covariance is None else covariance + part
        count += len(others.slots)
        yield
    needed = _EACH_WIDTH * max(covariance.shape) if covariance is not None else _EACH_WIDTH
    if covariance is None or count < needed:
        raise TooFew(count, needed)
    left, _, right = np.linalg.svd(covariance, full_matrices=False)
    yield
    return (left @ right).astype(np.float32)


def _read(
    slots: NDArray[np.uint32], here: Slotted, other: Slotted
) -> tuple[SlotBlock, SlotBlock, NDArray[np.intp]]:
    """Some slots, the same streamers in the other index, and which of the former those are."""
    mine = here.read_slots(slots)
    found = other.slots_of(mine.ids)
    wanted = np.array([slot for slot in found if slot is not None], np.uint32)
    others = other.read_slots(wanted)
    places = {name: place for place, name in enumerate(mine.ids)}
    both = np.array([places.get(name, -1) for name in others.ids], np.intp)
    # Slots may be taken by somebody else meanwhile, and one index be behind the other.
    is_same = (both >= 0) & (mine.versions[both] == others.versions)
    return mine, _of(others, np.flatnonzero(is_same)), both[is_same]


def _of(block: SlotBlock, places: NDArray[np.intp]) -> SlotBlock:
    kept: list[int] = places.tolist()
    ids = [block.ids[place] for place in kept]
    return SlotBlock(block.slots[places], block.versions[places], block.embeddings[places], ids)
