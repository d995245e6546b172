"""Atom views: streamers split into atoms, from which views are drawn."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.config import SelfSupervisedConfig
from training.data.passes import subset
from training.evaluation.metrics import reciprocal_rank
from training.features.bags import Bags, corpus_bags
from training.features.masked_views import Atom, ViewMaker
from training.models.encoder import StreamerEncoder
from training.preparation.stage import MOST_ASKED, Stage, align_output, all_rows, sample
from training.tasks.base import Task

Config = TypeVar("Config", bound=SelfSupervisedConfig)

MOST_CUT = 50_000
"""Most streamers whose parts are kept in memory; a fit of 500 steps draws 128,000."""
_SEARCH_SEED, _SEARCH_OVERLAP, _SEARCH_GROUP_MODALITY = 7, 0.1, 0.3


class Parts:
    """Features of the parts of S streamers, which can be merged in any combination.

    Attributes:
        usable: per streamer, whether each part has usable content.
    """

    def __init__(self, parts: Iterable[Sequence[Sequence[Piece]]], vocabulary: Vocabulary) -> None:
        """Featurise all parts, in one pass.

        Args:
            parts: pieces per streamer and part.
            vocabulary: of the stage.
        """
        counts = array("q")

        def flat() -> Iterator[Sequence[Piece]]:
            for each in parts:
                counts.append(len(each))
                yield from each

        self._bags, usable = corpus_bags(flat(), vocabulary)
        self._first = np.cumsum([0, *counts])  # row of each streamer's first part
        self.usable: list[NDArray[np.bool_]] = np.split(usable, self._first[1:-1])

    def together(
        self, streamers: Sequence[int] | NDArray[np.int64], places: Sequence[Sequence[int]]
    ) -> Bags:
        """Merge the parts at the given places to one row per streamer (R,)."""
        group = np.repeat(np.arange(len(streamers)), [len(each) for each in places])
        flat = [
            int(self._first[streamer]) + place
            for streamer, each in zip(streamers, places, strict=True)
            for place in each
        ]
        chosen = self._bags.take(np.array(flat, np.int64))
        return chosen.merge(group.astype(np.int64), len(streamers))


class AtomViews:
    """Streamers with at least two atoms, S of them.

    Attributes:
        rows: int64 (S,), data set rows.
        atoms: per streamer, its atoms without their pieces.
        parts: features of the atoms.
    """

    def __init__(self, stage: Stage, rows: NDArray[np.int64], maker: ViewMaker) -> None:
        """Split streamers into atoms.

        Args:
            stage: of the fit.
            rows: ascending data set rows; sampled if there are more than `MOST_CUT`.
            maker: splits streamers and draws views.
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
        """Draw two views per streamer; streamers without a balanced draw are dropped.

        Args:
            streamers: places among the S.
            rng: of the draw.

        Returns:
            Both views, data set rows (R,), and overlaps.
        """
        made = [(s, self._maker.draw(self.atoms[s], rng)) for s in streamers.tolist()]
        drawn = [streamer for streamer, views in made if views]
        found = [views for _, views in made if views]
        first, second = (
            self.parts.together(drawn, [views.places[side] for views in found]).without(
                [views.hidden[side] for views in found]
            )
            for side in (0, 1)
        )
        overlaps = [views.overlap for views in found]
        return first, second, self.rows[np.array(drawn, np.int64)], overlaps


class ViewSearch:
    """Validation without behaviour: held-out streamers are searched by another view of them.

    Views are drawn once, so all validations of a fit use the same queries.
    """

    def __init__(self, views: tuple[Bags, Bags] | None) -> None:
        """Search the second views by the first.

        Args:
            views: two views of Q streamers; None without validation.
        """
        self._views = views

    @classmethod
    def of_atoms(cls, stage: Stage, held_out: NDArray[np.int64] | None) -> "ViewSearch":
        """Search by views of bounded overlap, drawn identically for all recipes.

        Args:
            stage: of the fit.
            held_out: data set rows of validation streamers; None without validation.
        """
        if held_out is None:
            return cls(None)
        maker = ViewMaker(stage.vocabulary, _SEARCH_OVERLAP, _SEARCH_GROUP_MODALITY)
        cut = AtomViews(stage, sample(held_out, MOST_ASKED, stage.seed), maker)
        first, second, *_ = cut.draw(np.arange(len(cut)), np.random.default_rng(_SEARCH_SEED))
        return cls((first, second))

    def mean_reciprocal_rank(self, encoder: StreamerEncoder) -> float:
        """MRR of a streamer's second view, searched by its first; NaN without validation."""
        if self._views is None or not len(self._views[0]):
            return math.nan
        first, second = (
            all_rows(encoder, encoder.embed, view, np.ones(len(view), bool)) for view in self._views
        )
        return float(reciprocal_rank(first, second).mean())


def weigh_vectors(
    stage: Stage, config: SelfSupervisedConfig, search: ViewSearch, is_judged: bool
) -> dict[str, float]:
    """Double the weight of ready-made vectors while that lets held-out views find each other.

    Args:
        stage: of the fit.
        config: says how often at most.
        search: for held-out views.
        is_judged: whether there is validation; without, it is doubled as often as `config` says.

    Returns:
        The setting of a fit that makes as many without asking.
    """
    if not stage.vocabulary.spaces:
        return {"vector_doublings": 0}

    def scale(factor: float) -> float:
        stage.encoder.scale_spaces(factor)
        align_output(stage.encoder, stage.bags, stage.usable, stage.known, stage.seed)
        return search.mean_reciprocal_rank(stage.encoder)

    best = search.mean_reciprocal_rank(stage.encoder)
    for doublings in range(config.vector_doublings):
        value = scale(2)
        if is_judged and not value > best:  # nor where nobody of val can be searched
            scale(0.5)
            return {"vector_doublings": doublings}
        best = value
    return {"vector_doublings": config.vector_doublings}


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
        self.choices = weigh_vectors(stage, config, self._search, is_judged=held_out is not None)

    def validate(self) -> float:
        """Mean reciprocal rank of a held-out streamer's second view, searched by its first."""
        return self._search.mean_reciprocal_rank(self.encoder)
