"""Streamers cut into atoms: drawn as two views, or shown and hidden in part."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_export.contract.piece_table import newest
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.config import RecipeConfig
from training.data.passes import subset
from training.evaluation.metrics import reciprocal_rank
from training.features.bags import Bags, corpus_bags
from training.features.masked_views import Atom, ViewMaker, overlap
from training.models.encoder import StreamerEncoder
from training.preparation.stage import MOST_ASKED, Stage, all_rows, sample
from training.tasks.base import Task

Config = TypeVar("Config", bound=RecipeConfig)

MOST_CUT = 50_000
"""Streamers whose parts are kept, drawn at random from more; a fit of 500 steps draws 128,000."""
_SEARCH_SEED, _SEARCH_OVERLAP, _SEARCH_GROUP_MODALITY = 7, 0.1, 0.3


class Parts:
    """The features of the parts of S streamers, to put any of them together.

    Attributes:
        usable: per streamer, which of its parts show anything to encode.
    """

    def __init__(self, parts: Iterable[Sequence[Sequence[Piece]]], vocabulary: Vocabulary) -> None:
        """Featurise all parts, in one pass.

        Args:
            parts: per streamer, per part, its pieces.
            vocabulary: of the stage.
        """
        counts, newest_s = array("q"), array("d")

        def flat() -> Iterator[Sequence[Piece]]:
            for each in parts:
                counts.append(len(each))
                newest_s.extend([newest(chain.from_iterable(each))] * len(each))
                yield from each

        self._bags, usable = corpus_bags(flat(), vocabulary, newest_s)
        self._first = np.cumsum([0, *counts])  # row of each streamer's first part
        self.usable: list[NDArray[np.bool_]] = np.split(usable, self._first[1:-1])

    def together(
        self, streamers: Sequence[int] | NDArray[np.int64], places: Sequence[Sequence[int]]
    ) -> Bags:
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
        atoms: of each of them, without their pieces.
        parts: their features; a part is an atom.
    """

    def __init__(self, stage: Stage, rows: NDArray[np.int64], maker: ViewMaker) -> None:
        """Cut streamers into atoms.

        Args:
            stage: of the fit.
            rows: data set rows of the streamers, ascending; a random part of very many.
            maker: cuts them and draws views.
        """
        self._maker = maker
        self.atoms: list[list[Atom]] = []
        kept = array("q")

        def cut() -> Iterator[list[tuple[Piece, ...]]]:
            some = sample(rows, MOST_CUT, stage.seed)
            for row, pieces in zip(some.tolist(), subset(stage.pieces, some), strict=True):
                atoms = maker.atoms(pieces)
                if len(atoms) > 1:
                    kept.append(row)
                    self.atoms.append([replace(atom, pieces=()) for atom in atoms])
                    yield [atom.pieces for atom in atoms]

        self.parts = Parts(cut(), stage.vocabulary)
        self.rows = np.array(kept, np.int64)

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

    The views are drawn once, so that all validations of a fit are asked the same.
    """

    def __init__(self, views: tuple[Bags, Bags] | None) -> None:
        """Search the second views.

        Args:
            views: two rows of Q streamers each; None when nothing is held out.
        """
        self._views = views

    @classmethod
    def of_atoms(cls, stage: Stage, held_out: NDArray[np.int64] | None) -> "ViewSearch":
        """Search by views of bounded overlap, the same ones for all recipes.

        Args:
            stage: of the fit.
            held_out: data set rows of streamers to watch; None when nothing is held out.
        """
        if held_out is None:
            return cls(None)
        maker = ViewMaker(stage.vocabulary, _SEARCH_OVERLAP, _SEARCH_GROUP_MODALITY)
        cut = AtomViews(stage, sample(held_out, MOST_ASKED, stage.seed), maker)
        first, second, *_ = cut.draw(np.arange(len(cut)), np.random.default_rng(_SEARCH_SEED))
        return cls((first, second))

    def mean_reciprocal_rank(self, encoder: StreamerEncoder) -> float:
        """Of a streamer's second view among all second views, searched by its first; NaN = none."""
        if self._views is None or not len(self._views[0]):
            return math.nan
        first, second = (
            all_rows(encoder, encoder.embed, view, np.ones(len(view), bool)) for view in self._views
        )
        return float(reciprocal_rank(first, second).mean())


class SelfSupervised(Task, Generic[Config]):
    """Learns from what each streamer shows; validated on held-out views of bounded overlap."""

    def __init__(self, stage: Stage, config: Config, held_out: NDArray[np.int64] | None) -> None:
        """Draw the held-out views.

        Args:
            stage: of the fit.
            config: of the recipe.
            held_out: data set rows of validation streamers; None without validation.
        """
        self.encoder = stage.encoder
        self._stage, self._config = stage, config
        self._search = ViewSearch.of_atoms(stage, held_out)

    def validate(self) -> float:
        """Mean reciprocal rank of a held-out streamer's second view, searched by its first."""
        return self._search.mean_reciprocal_rank(self.encoder)
