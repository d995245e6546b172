"""Labelled pairs: known and simulated copies, random pairs, and nearest strangers."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model_export.contract.streamer import StreamerProfile
from training.disguises import KINDS, Kind, copy_of, fits, with_handle
from training.numeric.nearest import nearest

Places = NDArray[np.int64]
NEAREST = 4
"""Strangers that each streamer is compared with: look-alikes, which a service meets most."""
RANDOM_PER_STREAMER = 16
_NOT_SIMULATED: tuple[Kind, ...] = ("stolen_cover",)
"""Disguises of the bytes of a picture, which only a tower's thumbnails undo."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of places in a list of profiles.

    Attributes:
        one, other: places (P,).
        same: whether the two are the same (P,).
        mass: what each counts, beside the others of its kind (P,).
    """

    one: Places
    other: Places
    same: NDArray[np.bool_]
    mass: NDArray[np.float64]

    @classmethod
    def of(cls, one: Places, other: Places, *, same: bool, mass: float = 1.0) -> Self:
        """Pairs of one kind."""
        return cls(one, other, np.full(len(one), same), np.full(len(one), mass))

    def __len__(self) -> int:
        return len(self.one)

    def take(self, rows: NDArray[np.bool_]) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.one[rows], self.other[rows], self.same[rows], self.mass[rows])

    def halves(self, seed: int) -> NDArray[np.bool_]:
        """Whether each pair is of the first half (P,): both orders of two places are of one half.

        Each of two streamers may be among the nearest of the other. What was counted on a pair
        would else be checked on it again.
        """
        ends = np.stack([np.minimum(self.one, self.other), np.maximum(self.one, self.other)], 1)
        distinct, place = np.unique(ends, axis=0, return_inverse=True)
        first = np.random.default_rng(seed).random(len(distinct)) < 0.5
        return first[place.ravel()]


def simulated_copies(
    profiles: Sequence[StreamerProfile], seed: int
) -> list[tuple[StreamerProfile, StreamerProfile]]:
    """One original and a copy in one disguise for each profile that some disguise fits."""
    rng = random.Random(seed)
    kinds: list[Kind] = [kind for kind in KINDS if kind not in _NOT_SIMULATED]
    found: list[tuple[StreamerProfile, StreamerProfile]] = []
    for profile in profiles:
        content = profile.dump()
        own = rng.choice(profiles).dump()
        for kind in rng.sample(kinds, len(kinds)):
            shown = with_handle(content, rng) if kind == "shared_handle" else content
            if not fits(shown, kind):
                continue
            try:
                copied = StreamerProfile.model_validate(copy_of(shown, [kind], rng, own=own))
                original = profile if shown is content else StreamerProfile.model_validate(shown)
                found.append((original, copied))
            except ValidationError:
                continue  # disguised, a text is longer than a profile may have
            break
    return found


def known_pairs(groups: NDArray[np.int64], most: int, seed: int) -> Pairs:
    """Pairs of streamers of one group of known duplicates, at most so many."""
    order = np.argsort(groups, kind="stable")
    ones: list[Places] = [np.zeros(0, np.int64)]
    others: list[Places] = [np.zeros(0, np.int64)]
    for step in range(1, 4):
        same = np.flatnonzero(groups[order[step:]] == groups[order[:-step]])
        ones.append(order[same])
        others.append(order[same + step])
    one, other = np.concatenate(ones), np.concatenate(others)
    chosen = np.random.default_rng(seed).permutation(len(one))[:most]
    return Pairs.of(one[chosen], other[chosen], same=True)


def strangers(
    groups: NDArray[np.int64], embeddings: NDArray[np.float32], seed: int
) -> tuple[Pairs, Pairs]:
    """Random pairs, and look-alikes: each streamer with its nearest, of different groups.

    Args:
        groups: (N,), equal for known duplicates.
        embeddings: (N, D), zero without usable content.
        seed: of the random pairs.
    """
    rng, size = np.random.default_rng(seed), len(groups)
    one = np.repeat(np.arange(size), RANDOM_PER_STREAMER)
    other = rng.integers(0, size, len(one))
    usable = np.flatnonzero(embeddings.any(1))
    near = np.zeros((len(usable), 0), np.int64)
    if len(usable) > NEAREST:
        near = usable[nearest(embeddings[usable], NEAREST)[0]]  # (U, NEAREST)
    close = np.repeat(usable, near.shape[1]), near.ravel()
    return _apart(groups, one, other), _apart(groups, *close)


def _apart(groups: NDArray[np.int64], one: Places, other: Places) -> Pairs:
    apart = groups[one] != groups[other]
    return Pairs.of(one[apart], other[apart], same=False)
