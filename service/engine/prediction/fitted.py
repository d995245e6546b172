"""A generation with all that answers need of it; immutable, so that no answer mixes two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, Tally
from service.engine.prediction.confidence import Signs
from service.engine.prediction.fit import Fit
from service.engine.prediction.inner_products import Allowed, InnerProductIndex
from service.engine.prediction.neighbours import MOST, Near
from service.engine.prediction.users import UserIndex
from service.engine.spaces.array_file import Keep
from service.engine.spaces.generation import Generation

SPARE = 64
"""So many more than the voters are looked up at most, since some are left out."""
_MS_TO_PREDICT = 0.2
_MS_PER_VOTER = 2e-3
_MS_PER_STREAMER = 1e-5


@dataclass(frozen=True, eq=False)
class Centroids:
    """What is answered about those of whom too little is known.

    Attributes:
        vector: float32 (E,), mean of all own vectors.
        popular: rows of the generation with most interactions, or else the longest vectors.
        by_category: the same of a category's streamers, where there are enough.
    """

    vector: NDArray[np.float32]
    popular: NDArray[np.int64]
    by_category: Mapping[str, "Centroids"]


@dataclass(frozen=True, eq=False)
class Predicted:
    """A prediction for one streamer.

    Attributes:
        vector: float32 (E,).
        confidence: expected cosine with the vector that will be learned; None where it is withheld.
    """

    vector: NDArray[np.float32]
    confidence: float | None


@dataclass(frozen=True, eq=False)
class Elected:
    """The vote of the established on one streamer.

    Places are those among the known, of whom k are in the generation.

    Attributes:
        voters: int64 (V,), rows of the generation that voted.
        tally: of single votes, by place.
        scores: float32 (k,), shares of all votes.
        named: int64 (R,), places of those that got votes and are established, ascending.
    """

    voters: NDArray[np.int64]
    tally: Tally
    scores: NDArray[np.float32]
    named: NDArray[np.int64]

    def best(self, most: int) -> NDArray[np.int64]:
        """Places of up to `most` that got votes, most first; equal ones by their place."""
        scores = self.scores[self.named]  # (R,)
        named = self.named
        if most < len(named):
            least = np.partition(scores, len(scores) - most)[len(scores) - most]
            kept = scores >= least
            named, scores = named[kept], scores[kept]
        return named[np.argsort(-scores, kind="stable")][:most]

    def via(self, places: NDArray[np.int64], most: int) -> list[list[int]]:
        """Rows of the voters that counted most for some of the elected."""
        leading = self.tally.leading(places, most)
        return [self.voters[mine].tolist() for mine in leading]


@dataclass(frozen=True, eq=False)
class FittedGeneration:
    """What `GenerationFitter` makes of a generation.

    Attributes:
        generation: the hand-over.
        rows: int64 (k,), rows of the streamers that have content here, ascending.
        contents: of their embeddings; None with nobody.
        fit: what predicts.
        users: None where none were handed over.
        centroids: None of an empty generation.
    """

    generation: Generation
    rows: NDArray[np.int64]
    contents: InnerProductIndex | None
    fit: Fit
    users: UserIndex | None
    centroids: Centroids | None

    def kept(self, generation: Generation, keep: Keep) -> "FittedGeneration":
        """A copy with its large arrays elsewhere, as those of `generation` are already."""
        contents, users, graph = self.contents, self.users, self.fit.graph
        if contents is not None:
            contents = contents.kept(contents.vectors.kept(keep), keep)
        if users is not None:
            users = users.kept(generation, keep)
        if graph is not None:
            graph = replace(
                graph,
                indptr=keep(graph.indptr),
                indices=keep(graph.indices),
                weights=keep(graph.weights),
            )
        return replace(
            self,
            generation=generation,
            rows=keep(self.rows),
            contents=contents,
            fit=replace(self.fit, graph=graph),
            users=users,
        )

    @property
    def near_cost_ms(self) -> float:
        """What `near` and `predict` are expected to take of one core."""
        return _MS_TO_PREDICT + (0.0 if self.contents is None else self.contents.cost_ms)

    @property
    def vote_cost_ms(self) -> float:
        """What `vote` is expected to take of one core."""
        return min(VOTERS, len(self.rows)) * _MS_PER_VOTER + len(self.rows) * _MS_PER_STREAMER

    def near(
        self,
        embedding: NDArray[np.float32],
        least: float,
        without: Sequence[int] | NDArray[np.int64] = (),
    ) -> Near | None:
        """The established with the most similar content (1, K).

        Args:
            embedding: (D,) of the content.
            least: interactions of the established.
            without: rows of the generation that are left out, such as the streamer's own.
        """
        if self.contents is None:
            return None
        most = min(VOTERS + len(without), max(self.contents.most, VOTERS))
        places, scores = self.contents.search(embedding, most)
        kept = self._may_vote(self.rows[places], least, without)
        if np.count_nonzero(kept) < MOST and len(places) == most:  # others may be further away
            allowed = Allowed(self._may_vote(self.rows, least, without))
            places, scores = self.contents.search(embedding, VOTERS, allowed)
            kept = np.ones(len(places), np.bool_)
        places, scores = places[kept][:VOTERS], scores[kept][:VOTERS]
        return Near(places[None], scores[None]) if len(places) else None

    def predict(
        self, embedding: NDArray[np.float32], near: Near, coverage: float, modalities: int
    ) -> Predicted | None:
        """Predict the vector of a streamer; None with nothing to predict by.

        Args:
            embedding: (D,) of the content.
            near: by `near`.
            coverage: share of the content that the encoder knows.
            modalities: kinds of content shown.
        """
        predictor = self.fit.predictor
        if predictor is None:
            return None
        nearest = Near(self.rows[near.places[:, :MOST]], near.scores[:, :MOST])
        made = predictor.predict(
            embedding[None],
            nearest,
            self.generation.vectors,
            np.array([coverage], np.float32),
            np.array([modalities], np.float32),
        )
        return Predicted(made.vectors[0], self._confidence(made.signs))

    def vote(self, near: Near, least: float) -> Elected | None:
        """Which of the established, by `least` interactions, get votes; None without a graph."""
        graph = self.fit.graph
        if graph is None:
            return None
        voters = near.places[0]
        tally = graph.count(voters, graph.shares(near.scores[0]))
        scores = tally.scores()  # (k,)
        named = np.flatnonzero(scores > 0)
        if self.generation.interactions is not None:
            named = named[self.are_established(self.rows[named], least)]
        return Elected(self.rows[voters], tally, scores, named)

    def are_established(self, rows: NDArray[np.int64], least: float) -> NDArray[np.bool_]:
        """Which of some rows (R,) of the generation have at least so many interactions."""
        counts = self.generation.interactions
        return np.ones(len(rows), np.bool_) if counts is None else counts[rows] >= least

    def _may_vote(
        self, rows: NDArray[np.int64], least: float, without: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        found = self.are_established(rows, least)
        return found & ~np.isin(rows, without) if len(without) else found

    def _confidence(self, signs: Signs) -> float | None:
        predictor = self.fit.predictor
        if predictor is None or predictor.confidence.calibration is None:
            return None
        return float(predictor.confidence.calibration(signs)[0])


def centroids_of(
    generation: Generation,
    rows: NDArray[np.int64],
    categories: Sequence[str | None],
    least: int = 5,
    most: int = 1000,
) -> Centroids | None:
    """Means and the most popular, of all and by category.

    Args:
        generation: the hand-over.
        rows: (k,) of the streamers that have content here; the popular are among them.
        categories: of these, None for those that show none.
        least: streamers that a category needs.
        most: popular ones that are kept.
    """
    if not len(generation.vectors):
        return None
    by_category: dict[str, list[int]] = {}
    for row, category in zip(rows.tolist(), categories, strict=True):
        if category is not None:
            by_category.setdefault(category, []).append(row)
    return Centroids(
        generation.vectors.mean(axis=0),
        _popular(generation, rows, most),
        {
            category: Centroids(
                generation.vectors[mine].mean(axis=0),
                _popular(generation, np.array(mine, np.int64), most // 10),
                {},
            )
            for category, mine in by_category.items()
            if len(mine) >= least
        },
    )


def _popular(generation: Generation, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if generation.interactions is not None:
        weights = generation.interactions[rows]
    else:
        weights = np.linalg.norm(generation.vectors[rows], axis=1)
    return rows[np.argsort(-weights, kind="stable")[:most]]
