"""Asks rated questions of two models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.runner import persist
from service.features.models.comparing.open_models import Both, OpenModel
from service.features.models.comparing.records import Flip, Mean, RatedAnswers, RatedQuestions
from service.features.models.comparing.sampling import HashSample
from service.features.ratings.ndcg import QuestionScore, interval, score
from service.features.ratings.service import Ratings
from service.http.schemas import FilterIn
from service.index.base import VectorIndex
from service.index.filters import Filter
from service.index.query import Query, ScoringSpec

K = 10
DRAWN = 100
"""Streamers drawn at random that rated ones are ranked among."""
_PAGE = 1000
_CHANGED = 0.01
"""A question whose NDCG changes by less is not listed."""


@dataclass
class _Rated:
    """A question with all its ratings."""

    question_id: str
    positive: Sequence[str]
    negative: Sequence[str]
    filter: dict[str, object]
    ratings: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    @property
    def means(self) -> dict[str, float]:
        """Of the streamers."""
        return {name: sum(given) / len(given) for name, given in self.ratings.items()}


@dataclass(frozen=True)
class _Score:
    """What ratings say of a model's answer to a question, and of its order of a pool."""

    answer: QuestionScore
    among: float


async def replay_ratings(
    both: Both, ratings: Ratings, lanes: Lanes, most: int, drawn: Sequence[str]
) -> tuple[RatedQuestions, list[Flip]]:
    """Ask rated questions of both models, at most so many.

    People rated what the active model answered, so a hit that nobody rated says nothing against
    the next one. Beside NDCG of the best hits, rated streamers are therefore ranked together with
    some that were drawn at random, the same for both models, which count as not relevant.

    Args:
        both: models.
        ratings: of people.
        lanes: where work is done.
        most: questions.
        drawn: streamers at random.
    """
    stored, questions = await _questions(ratings, most)
    scores: list[tuple[_Score, _Score]] = []
    flips: list[Flip] = []
    for question in questions:
        found = await _of_question(both, question, lanes, drawn)
        if found is None:
            continue
        scores.append(found)
        before, after = found[0].among, found[1].among
        if abs(after - before) >= _CHANGED:
            ids, name = tuple(question.positive), question.question_id
            rounded = round(before, 6), round(after, 6)
            flips.append(Flip("ratings", ids, name, "", *rounded, None, None, after < before))
    flips.sort(key=lambda flip: (flip.after - flip.before, flip.context))
    missing = len(questions) - len(scores)
    found = RatedQuestions(stored, len(scores), missing, K, len(drawn))
    if not scores:
        return found, []
    before, after = ([pair[side] for pair in scores] for side in (0, 1))
    changes = [second.among - first.among for first, second in scores]
    return RatedQuestions(
        stored,
        len(scores),
        missing,
        K,
        len(drawn),
        _answers(before),
        _answers(after),
        _mean(changes, -1.0),
    ), flips


async def _questions(ratings: Ratings, most: int) -> tuple[int, list[_Rated]]:
    """How many are rated, and some of them."""
    sample = HashSample[_Rated](most)
    open_one: _Rated | None = None
    after: str | None = ""
    while after is not None:
        start = after
        page, after = await persist(lambda: ratings.page(None, start, _PAGE))  # noqa: B023
        for each in page:  # those of one question come together
            if open_one is None or open_one.question_id != each.question_id:
                if open_one is not None:
                    sample.add(open_one.question_id, open_one)
                asked = each.question
                open_one = _Rated(
                    each.question_id, asked["positive"], asked["negative"], asked["filter"]
                )
            open_one.ratings.setdefault(each.streamer_id, []).append(each.rating)
    if open_one is not None:
        sample.add(open_one.question_id, open_one)
    return sample.seen, sample.items()


async def _of_question(
    both: Both, question: _Rated, lanes: Lanes, drawn: Sequence[str]
) -> tuple[_Score, _Score] | None:
    """Scores by both models; None where a seed or all that is relevant has no vector in one."""
    wanted = FilterIn.model_validate(question.filter).domain()
    seeds = {*question.positive, *question.negative}
    means = {name: rating for name, rating in question.means.items() if name not in seeds}
    others = [name for name in drawn if name not in seeds and name not in means]
    specs: list[ScoringSpec] = []
    vectors: list[Mapping[str, np.ndarray]] = []
    for model in (both.active, both.target):
        index = await model.index()
        spec = await _spec(index, question)
        if spec is None:
            return None
        specs.append(spec)
        allowed = await persist(lambda: index.let_through(others, wanted))  # noqa: B023
        others = [name for name, is_let in zip(others, allowed, strict=True) if is_let]
        vectors.append(await _vectors(index, [*means, *others]))
    pool = [name for name in (*means, *others) if all(name in known for known in vectors)]
    known_to_both = {*pool}
    means = {name: rating for name, rating in means.items() if name in known_to_both}
    found: list[_Score] = []
    for model, spec, known in zip((both.active, both.target), specs, vectors, strict=True):
        hits = await _hits(model, spec, wanted, seeds, lanes)
        answer = score(hits, means, K)
        among = score(_ranked(spec, {name: known[name] for name in pool}), means, K)
        if answer.ndcg is None or among.ndcg is None:  # nobody was found relevant
            return None
        found.append(_Score(answer, among.ndcg))
    return found[0], found[1]


async def _spec(index: VectorIndex, question: _Rated) -> ScoringSpec | None:
    names = [*question.positive, *question.negative]
    known = await _vectors(index, names)
    if any(name not in known for name in names):
        return None
    weights = [1.0] * len(question.positive) + [-1.0] * len(question.negative)
    return ScoringSpec(np.stack([known[name] for name in names]), weights)


async def _vectors(index: VectorIndex, names: Sequence[str]) -> dict[str, np.ndarray]:
    rows = await persist(lambda: index.get(names))
    return {
        row.streamer_id: row.embedding
        for row in rows
        if row is not None and row.embedding is not None
    }


async def _hits(
    model: OpenModel, spec: ScoringSpec, wanted: Filter, seeds: set[str], lanes: Lanes
) -> list[str]:
    await give_way(lanes)
    query = Query(spec, K, exclude=seeds, filter=wanted)
    index = await model.index()
    found = await persist(lambda: index.search(query))
    return [hit.streamer_id for hit in found.hits]


async def give_way(lanes: Lanes) -> None:
    """Wait until nobody else waits for a thread: a search itself goes before other work."""
    await persist(lambda: lanes.run(_nothing, Lane.BULK))


def _nothing() -> None:
    """A turn in the lane of work that nobody waits for."""


def _ranked(spec: ScoringSpec, pool: Mapping[str, np.ndarray]) -> list[str]:
    """Streamers of a pool, best first, equal ones by their ids."""
    names = sorted(pool)
    if not names:
        return []
    rows = np.stack([pool[name] for name in names])  # (N, D)
    scores = spec.combine(spec.probes() @ rows.T)  # (N,)
    return [names[place] for place in np.argsort(-scores, kind="stable").tolist()]


def _answers(scores: Sequence[_Score]) -> RatedAnswers:
    return RatedAnswers(
        _mean([each.answer.ndcg or 0.0 for each in scores]),
        round(sum(each.answer.coverage for each in scores) / len(scores), 6),
        _mean([each.among for each in scores]),
    )


def _mean(values: Sequence[float], least: float = 0.0) -> Mean:
    return Mean(*(round(number, 6) for number in interval(values, least)))
