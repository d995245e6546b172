"""Rows of lists: what is known while they are made, and what is told of each."""

from collections.abc import Generator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from service.engine.evidence.shared_content import Shared
from service.engine.scoring.precision import cosine_shown, precision_from
from service.engine.scoring.variety import determinantal, marginally_relevant
from service.features.lists.schemas import ListQuestionIn
from service.features.lists.selecting import Chosen, group_of, told, values_of
from service.features.lists.wording import changed, in_words
from service.features.similar.asking import Asked
from service.features.similar.explain import Reasons, Side
from service.index.base import Hit
from service.index.base import Row as IndexRow


@dataclass(slots=True)
class ListRow:
    """A row of a list; the fields are those of the API.

    `score` and `beyond_stop` are None where only whom a run held is kept.
    """

    rank: int
    streamer_id: str
    score: float | None
    precision: float | None
    fields: Mapping[str, object]
    group: str | None = None
    copies: Sequence[str] = ()
    more_copies: int = 0
    why: str | None = None
    reasons: Reasons | None = None
    beyond_stop: bool | None = False
    is_new: bool | None = None


class Provenance(NamedTuple):
    """Whose list it is, and of when; the fields are those of the API."""

    asked_at: float
    key_id: str
    key_name: str
    request_id: str
    list_name: str | None = None
    run: int | None = None
    previous_run: int | None = None


class Before(NamedTuple):
    """A run that a list is compared with; `ids` None: there was none.

    Attributes:
        ids: that it held.
        new_only: whether rows that it held are left out.
    """

    ids: Set[str] | None
    new_only: bool = False


@dataclass(frozen=True, eq=False)
class BuiltList:
    """A list.

    Attributes:
        question: what was asked.
        rows: by group, and by rank in each.
        held: all rows by rank, those that are not told as well.
        new: how many of them the run before did not have.
        summary: all else that is answered, but provenance and time.
        is_bare: only whom a run held is known: the question has the columns, and is not the one
            that was asked.
    """

    question: ListQuestionIn
    rows: Sequence[ListRow]
    held: Sequence[ListRow]
    new: int
    summary: Mapping[str, Any]
    is_bare: bool = False


class Work:
    """What is known while a list is made.

    Attributes:
        asked: the question, for the index.
        body: the question.
        rows: of the index, by id.
        groups: of duplicates, by id.
        taken: of groups, whether a seed or an excluded streamer is in them.
        bound: a field, and most rows with one value of it.
        relevance: its share against variety; None: the best are chosen.
    """

    def __init__(self, asked: Asked, body: ListQuestionIn) -> None:
        """Know nothing yet but the question."""
        self.asked = asked
        self.body = body
        self.rows: dict[str, IndexRow] = {}
        self.groups: dict[str, str | None] = {}
        self.taken: dict[str, bool] = {}
        wanted = body.diversify
        self.bound: tuple[str, int] | None = None
        self.relevance = None if wanted is None else wanted.relevance
        if wanted is not None and wanted.by is not None and wanted.max_per_value is not None:
            self.bound = wanted.by, wanted.max_per_value

    def embedding(self, streamer_id: str) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """The vector (D,) of a row that was read."""
        found = self.rows[streamer_id].embedding
        assert found is not None
        return found


def varied(work: Work, usable: Sequence[Hit]) -> Generator[None, None, list[int]]:
    """Places of candidates that are relevant and unlike each other."""
    vectors = np.stack([work.embedding(hit.streamer_id) for hit in usable])  # (N, D)
    yield
    scores = np.array([hit.score for hit in usable], np.float32)  # (N,)
    scores /= work.asked.query.scoring.highest  # cosines, as those of the rows with each other
    share = 1.0 if work.relevance is None else work.relevance
    wanted = work.body.diversify
    is_process = wanted is not None and wanted.method == "dpp"
    choose = determinantal if is_process else marginally_relevant
    return (yield from choose(scores, vectors, work.body.k, share))


def pairs_of(work: Work, ids: Sequence[str]) -> Generator[None, None, list[tuple[Side, Side]]]:
    """Each row with the nearest of the wanted seeds."""
    positive = [seed.side for seed in work.asked.positive]
    seeds = np.stack([side.embedding for side in positive])  # (S, D)
    pairs: list[tuple[Side, Side]] = []
    for one in ids:
        side = Side.of(work.rows[one]) if one in work.rows else None
        if side is not None:
            pairs.append((positive[int((seeds @ side.embedding).argmax())], side))
        yield
    return pairs


def rows_of(
    work: Work,
    chosen: Chosen,
    shared: Mapping[str, Shared | None],
    reasons: Mapping[str, Reasons],
    copies: Mapping[str, tuple[Sequence[str], int]],
) -> Generator[None, None, list[ListRow]]:
    """The rows of a list, in slices.

    Args:
        work: the question, and what was read for it.
        chosen: who is on it.
        shared: with the nearest seed, by id; None of whom was changed meanwhile.
        reasons: by id.
        copies: some of each row's duplicates, and how many it has, by id.
    """
    body, asked = work.body, work.asked
    seeds = np.stack([seed.embedding for seed in asked.positive])  # (S, D)
    least = -np.inf
    if body.stop is not None:  # where nothing is promised, nobody is within it
        least = np.inf if asked.threshold is None else asked.threshold.min_score
    rows: list[ListRow] = []
    for hit in chosen.rows:
        name, known = hit.streamer_id, work.rows.get(hit.streamer_id)
        if known is None:  # deleted meanwhile
            continue
        facets = known.facets
        row = ListRow(
            len(rows) + 1,
            name,
            cosine_shown(hit.score),
            precision_from(hit.score, asked.curves) if asked.curves else None,
            {field: told(facets, field) for field in body.fields},
            beyond_stop=hit.score < least,
        )
        if body.group_by is not None:
            row.group = group_of(facets, body.group_by)
        if name in copies:
            row.copies, others = copies[name]
            row.more_copies = others - len(row.copies)
        if body.explain is not None:
            row.reasons, both = reasons.get(name), shared.get(name)
            near = float((seeds @ work.embedding(name)).max())
            row.why = (
                changed(body.language) if both is None else in_words(both, near, body.language)
            )
        rows.append(row)
        yield
    return rows


def grouped(rows: Sequence[ListRow]) -> tuple[list[ListRow], list[Mapping[str, object]]]:
    """Rows by group, the group with the best row first, and the groups."""
    groups: dict[str | None, list[ListRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    counted: list[Mapping[str, object]] = [
        {"value": value, "rows": len(some)} for value, some in groups.items()
    ]
    return [row for some in groups.values() for row in some], counted


def stop_of(
    asked: Asked, body: ListQuestionIn, rows: Sequence[ListRow]
) -> Mapping[str, object] | None:
    """Where it stops being similar; None where that is not asked."""
    if body.stop is None:
        return None
    found = asked.threshold
    return {
        "at_precision": body.stop.at_precision,
        "min_score": None if found is None else found.min_score,
        "at_least": None if found is None else found.at_least,
        "rows_within": 0 if found is None else sum(not row.beyond_stop for row in rows),
    }


def unknown_fields(work: Work, ids: Sequence[str]) -> list[str]:
    """Names of fields that no row has: they may be misspelled."""
    body = work.body
    facets = [work.rows[one].facets for one in ids if one in work.rows]
    named = (
        body.fields if "fields" in body.model_fields_set else []
    )  # those of the default are right
    asked = [("fields", name) for name in named]
    if work.bound is not None:
        asked.append(("diversify.by", work.bound[0]))
    if body.group_by is not None:
        asked.append(("group_by", body.group_by))
    return [
        f"{where}: no streamer of the list has {name!r}"
        for where, name in asked
        if facets and not any(values_of(one, name) for one in facets)
    ]
