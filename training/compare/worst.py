"""Worst cases: queries with the lowest NDCG, with their hits and relevant streamers.

Profiles are untrusted: texts are shortened and stripped of control characters here, and escaped by
the page.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from model_export.contract.streamer import StreamerProfile
from training.data import Dataset
from training.data.passes import subset
from training.evaluation.result import Evaluation
from training.evaluation.setting import Split, setting_of
from training.evaluation.subject import Representation, scores, shown
from training.evaluation.tasks import ColdStartTask

CASES = 4
_SHOWN = 5
_TEXT, _TAGS, _TITLES = 220, 14, 3


class Shown(BaseModel):
    """Excerpt of a profile."""

    id: str
    name: str
    bio: str
    tags: list[str]
    more_tags: int
    titles: list[str]


class Hit(BaseModel):
    """A gallery streamer with its rank from 1, and whether it is relevant (`wanted`)."""

    profile: Shown
    rank: int
    wanted: bool


class Case(BaseModel):
    """A query with its NDCG@20, its first hits and its first relevant streamers."""

    score: float
    query: Shown
    relevant: int
    found: list[Hit]
    wanted: list[Hit]


class WorstCases(BaseModel):
    """Worst cases of one run.

    Attributes:
        gallery: size of the gallery.
        nothing_to_ask: number of queries without content, which are not among the cases.
        missed: number of the other queries without any relevant hit.
        queries: number of queries.
        cases: the worst first.
    """

    gallery: int
    nothing_to_ask: int
    missed: int
    queries: int
    cases: list[Case]


def worst_cases(
    dataset: Dataset, representation: Representation, evaluation: Evaluation, split: Split
) -> WorstCases | None:
    """Queries with the lowest NDCG@20; ties go to those with more relevant streamers.

    Args:
        dataset: N streamers.
        representation: of all N.
        evaluation: evaluation of the representation.
        split: evaluated split.

    Returns:
        None without ground truth.
    """
    task = setting_of(dataset, split).seen
    if task is None:
        return None
    values = evaluation.per_query["seen"]["NDCG@20"]  # (Q,), as the task's queries
    asks = shown(representation.query[task.queries])
    amount = np.array([len(wanted) for wanted in task.relevant])
    order = np.lexsort((-amount, values))
    drafts = [_draft(task, representation, int(q)) for q in order[asks[order]][:CASES]]
    rows = {row for draft in drafts for row in (draft.query, *draft.found, *draft.wanted)}
    profile = _profiles(dataset, rows)
    return WorstCases(
        gallery=len(task.gallery),
        nothing_to_ask=int((~asks).sum()),
        missed=int((values[asks] == 0).sum()),
        queries=len(task.queries),
        cases=[
            Case(
                score=float(values[draft.place]),
                query=profile[draft.query],
                relevant=len(draft.relevant),
                found=[draft.hit(row, profile) for row in draft.found],
                wanted=[draft.hit(row, profile) for row in draft.wanted],
            )
            for draft in drafts
        ],
    )


@dataclass(frozen=True)
class _Draft:
    """A case as data set rows, before profiles are read."""

    place: int
    query: int
    found: list[int]
    wanted: list[int]
    relevant: set[int]
    rank: dict[int, int]

    def hit(self, row: int, profile: Mapping[int, Shown]) -> Hit:
        return Hit(profile=profile[row], rank=self.rank[row], wanted=row in self.relevant)


def _draft(task: ColdStartTask, representation: Representation, place: int) -> _Draft:
    query = task.queries[place]
    similar = scores(representation.query[[query]], representation.gallery[task.gallery])[0]  # (G,)
    ranking = task.gallery[np.argsort(-similar, kind="stable")].tolist()
    relevant = task.gallery[task.relevant[place]].tolist()
    return _Draft(
        place=place,
        query=int(query),
        found=ranking[:_SHOWN],
        wanted=relevant[:_SHOWN],
        relevant=set(relevant),
        rank={row: rank for rank, row in enumerate(ranking, 1)},
    )


def _profiles(dataset: Dataset, rows: Iterable[int]) -> dict[int, Shown]:
    """Excerpts of these rows, read in one pass."""
    places = np.array(sorted(rows), np.int64)
    return dict(zip(places.tolist(), map(_shown, subset(dataset.profiles, places)), strict=True))


def _shown(profile: StreamerProfile) -> Shown:
    works = [*profile.videos, *profile.lives]
    titles = [readable(work.title) for work in works if work.title]
    tags = list(dict.fromkeys(readable(tag, 40) for tag in profile.tags))
    return Shown(
        id=profile.streamer_id,
        name=readable(profile.name or "", 80),
        bio=readable(profile.bio or ""),
        tags=tags[:_TAGS],
        more_tags=max(len(tags) - _TAGS, 0),
        titles=titles[:_TITLES],
    )


def readable(text: str, length: int = _TEXT) -> str:
    """One line of text without control characters, shortened with an ellipsis."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or not _is_control(c))
    line = " ".join(kept.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _is_control(character: str) -> bool:
    """Whether a character is control, format, surrogate, unassigned or private, except joiners."""
    if character in "\u200c\u200d":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn", "Co"}
