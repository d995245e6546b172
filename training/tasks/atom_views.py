"""Streamers cut into atoms: drawn as two views, or shown and hidden in part."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.bags import Bags, corpus_bags
from training.encoder import StreamerEncoder
from training.evaluation.metrics import reciprocal_rank
from training.stage import Stage, all_rows
from training.views import Atom, ViewMaker, overlap

_SEARCH_SEED = 7


class Parts:
    """The features of the parts of S streamers, to put any of them together."""

    def __init__(self, parts: Sequence[Sequence[Sequence[Piece]]], vocabulary: Vocabulary) -> None:
        """Featurise all parts.

        Args:
            parts: per streamer, per part, its pieces.
            vocabulary: of the stage.
        """
        self._first = np.cumsum([0, *map(len, parts)])  # row of each streamer's first part
        self._bags, _ = corpus_bags([part for each in parts for part in each], vocabulary)

    def together(self, streamers: Sequence[int], places: Sequence[Sequence[int]]) -> Bags:
        """A row (R,) per streamer, of the parts at the given places of it."""
        group = np.repeat(np.arange(len(streamers)), [len(each) for each in places])
        flat = [
            int(self._first[streamer]) + place
            for streamer, each in zip(streamers, places, strict=True)
            for place in each
        ]
        chosen = self._bags.take(np.array(flat, np.int64))
        return chosen.merge(group.astype(np.int64), len(streamers))


class AtomViews:
    """The streamers that can be cut into two atoms or more; the others are left out.

    Attributes:
        rows: int64 (S,), their data set rows.
        atoms: of each of them.
        parts: their features; a part is an atom.
    """

    def __init__(
        self, stage: Stage, rows: NDArray[np.int64], rho: float = 0.1, group_modality: float = 0.3
    ) -> None:
        """Cut streamers into atoms, without names.

        Args:
            stage: of the fit.
            rows: data set rows of the streamers.
            rho: bound of the overlap of two views.
            group_modality: probability that a draw moves whole modalities together.
        """
        self._maker = ViewMaker(stage.vocabulary, rho, group_modality)
        cut = [(int(row), self._maker.atoms(stage.pieces[row])) for row in rows]
        cut = [(row, atoms) for row, atoms in cut if len(atoms) > 1]
        self.rows = np.array([row for row, _ in cut], np.int64)
        self.atoms: list[list[Atom]] = [atoms for _, atoms in cut]
        self.parts = Parts(
            [[atom.pieces for atom in each] for each in self.atoms], stage.vocabulary
        )

    def __len__(self) -> int:
        return len(self.rows)

    def draw(
        self, streamers: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Bags, Bags, NDArray[np.int64], list[float]]:
        """Two views of every streamer with two sides of fair weight.

        Args:
            streamers: places among the S.
            rng: of the draw.

        Returns:
            Both views, the data set rows (R,) of those who have them, and their overlaps.
        """
        drawn, overlaps = [], []
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        for streamer in streamers.tolist():
            views = self._maker.draw(self.atoms[streamer], rng)
            if views is None:
                continue
            drawn.append(streamer)
            overlaps.append(overlap(self.atoms[streamer], *views))
            for side, places in zip(sides, views, strict=True):
                side.append(places)
        first, second = (self.parts.together(drawn, side) for side in sides)
        return first, second, self.rows[np.array(drawn, np.int64)], overlaps


class ViewSearch:
    """How well held-out streamers are found by a view of their own; needs no behaviour.

    The views are drawn once, so that all validations of a fit, and all recipes, are asked the same.
    """

    def __init__(self, stage: Stage, held_out: NDArray[np.int64] | None) -> None:
        """Draw two views of each.

        Args:
            stage: of the fit.
            held_out: data set rows of streamers to watch; None when nothing is held out.
        """
        self._views: tuple[Bags, Bags] | None = None
        if held_out is not None:
            cut = AtomViews(stage, held_out)
            self._views = cut.draw(np.arange(len(cut)), np.random.default_rng(_SEARCH_SEED))[:2]

    def mean_reciprocal_rank(self, encoder: StreamerEncoder) -> float:
        """Of a streamer's second view among all second views, searched by its first; NaN = none."""
        if self._views is None or not len(self._views[0]):
            return math.nan
        first, second = (
            all_rows(encoder, encoder.embed, view, np.ones(len(view), bool)) for view in self._views
        )
        return float(reciprocal_rank(first, second).mean())
