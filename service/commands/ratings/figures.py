"""Figures of answers by ratings, and when they allow a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.features.ratings.interleaving import Pick, credit
from service.features.ratings.ndcg import Interval, interval, score


class Limits(NamedTuple):
    """Below which there is no verdict.

    Attributes:
        coverage: share of the hits that are judged, of each answer's mean.
        questions: how many.
    """

    coverage: float
    questions: int


class Interleaved(NamedTuple):
    """An interleaved list that was shown."""

    question_id: str
    systems: tuple[str, str]
    picks: Sequence[Pick]


@dataclass(frozen=True)
class Evaluation:
    """What ratings say.

    Attributes:
        figures: by name, with intervals over questions.
        questions: that count.
        verdict: in a sentence; None where there is none.
        refused: why there is no verdict; None where there is one.
        notes: what was left out.
    """

    figures: Sequence[tuple[str, Interval]]
    questions: int
    verdict: str | None
    refused: str | None
    notes: Sequence[str] = field(default_factory=list[str])

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "figures": {name: _fields(value) for name, value in self.figures},
            "questions": self.questions,
            "verdict": self.verdict,
            "no_verdict_because": self.refused,
            "notes": list(self.notes),
        }


def compared(
    systems: Sequence[str],
    answers: Sequence[tuple[Sequence[Sequence[str]], Mapping[str, float]]],
    k: int,
    limits: Limits,
    unanswered: int = 0,
) -> Evaluation:
    """NDCG@k of one system, or of two by the same questions.

    Args:
        systems: their names, one or two.
        answers: for each question the hits of each system, and its ratings.
        k: hits that count.
        limits: of a verdict.
        unanswered: questions that could not be asked.
    """
    scores = [[score(hits, ratings, k) for hits in each] for each, ratings in answers]
    useful = [each for each in scores if each[0].ndcg is not None]
    notes: list[str] = []
    if unanswered:
        notes.append(f"{unanswered} questions were not answered: a seed is not stored any more")
    if len(useful) < len(scores):
        notes.append(f"{len(scores) - len(useful)} questions have nobody who fits")
    figures: list[tuple[str, Interval]] = []
    ndcgs: list[list[float]] = []
    coverages: list[float] = []
    for place, name in enumerate(systems):
        of = [each[place] for each in useful]
        ndcgs.append([one.ndcg or 0.0 for one in of])
        covered = interval([one.coverage for one in of])
        coverages.append(covered.mean)
        figures += [
            (f"ndcg@{k} {name}", interval(ndcgs[-1])),
            (f"condensed ndcg@{k} {name}", interval([one.condensed or 0.0 for one in of])),
            (f"judged coverage {name}", covered),
        ]
    refused = _refusal(len(useful), min(coverages, default=0.0), limits)
    if len(systems) == 1:
        best = figures[0][1]
        said = f"ndcg@{k} is {best.mean:.3f} ({best.low:.3f} to {best.high:.3f})"
        return Evaluation(figures, len(useful), None if refused else said, refused, notes)
    apart = interval([b - a for a, b in zip(*ndcgs, strict=True)], -1.0)
    figures.append((f"difference of ndcg@{k}", apart))
    said = _winner(apart, systems[0], systems[1])
    return Evaluation(figures, len(useful), None if refused else said, refused, notes)


def interleaved(
    sessions: Sequence[Interleaved],
    ratings: Mapping[str, Mapping[str, float]],
    limits: Limits,
) -> Evaluation:
    """Credit of two systems in lists of both; those of other systems than the first are left out.

    Args:
        sessions: lists that were shown.
        ratings: of streamers, by question.
        limits: of a verdict; a list counts as a question.
    """
    systems = sessions[0].systems if sessions else ("", "")
    alike = [one for one in sessions if one.systems == systems]
    credits_ = [credit(one.picks, ratings.get(one.question_id, {})) for one in alike]
    apart = interval([one.difference for one in credits_], -1.0)
    covered = interval([one.coverage for one in credits_])
    figures = [
        (f"credit per streamer: {systems[1]} - {systems[0]}", apart),
        ("judged coverage", covered),
    ]
    notes: list[str] = []
    if len(alike) < len(sessions):
        notes.append(f"{len(sessions) - len(alike)} lists are of other strategies")
    refused = _refusal(len(alike), covered.mean, limits)
    said = None if refused else _winner(apart, *systems)
    return Evaluation(figures, len(alike), said, refused, notes)


def _refusal(questions: int, coverage: float, limits: Limits) -> str | None:
    if questions < limits.questions:
        return (
            f"{questions} questions that somebody fits are rated, and a verdict needs "
            f"{limits.questions} (--min-questions)"
        )
    if coverage < limits.coverage:
        return (
            f"{coverage:.2f} of the hits are judged, and a verdict needs {limits.coverage:.2f} "
            "(--min-coverage): rate more of them"
        )
    return None


def _winner(apart: Interval, first: str, second: str) -> str:
    if apart.low > 0:
        return f"{second} is better than {first}"
    if apart.high < 0:
        return f"{first} is better than {second}"
    return f"no difference between {first} and {second} is shown"


def _fields(value: Interval) -> dict[str, float | None]:
    named = zip(value._fields, value, strict=True)
    return {name: None if number != number else number for name, number in named}
