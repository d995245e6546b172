"""Makes lists: who is on them, in which order, and what is told of each."""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from service.engine.evidence.shared_content import Shared
from service.engine.scoring.precision import precision_from
from service.engine.work.lanes import Lanes
from service.errors import FieldError, RequestError
from service.features.lists.schemas import ListQuestionIn
from service.features.lists.selecting import (
    Chosen,
    Copies,
    Value,
    choose,
    marginally_relevant,
    values_of,
)
from service.features.lists.wording import changed, in_words
from service.features.similar.asking import Asked, Asking, warnings_of
from service.features.similar.explain import Explainer, Reasons, Side
from service.features.similar.exporting import query_of
from service.index.base import Row as IndexRow
from service.index.base import SearchResult
from service.settings import Limits
from service.store.duplicates import GroupStore

_AT_ONCE = 500
"""Rows of the index, and groups, that are asked for together."""
_EXPLAINED_AT_ONCE = 200
_MOST_CANDIDATES = 50_000
"""That are looked at for a list; what still lacks rows then says so."""
_MOST_COPIES = 20
_SHOWN = 20
Item = TypeVar("Item")


@dataclass(slots=True)
class ListRow:
    """A row of a list; the fields are those of the API."""

    rank: int
    streamer_id: str
    score: float
    precision: float | None
    fields: Mapping[str, object]
    group: str | None = None
    copies: Sequence[str] = ()
    more_copies: int = 0
    why: str | None = None
    reasons: Reasons | None = None
    beyond_stop: bool = False
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
        held: ids of all rows by rank, of those that are not told as well.
        new: how many of them the run before did not have.
        summary: all else that is answered, but provenance and time.
    """

    question: ListQuestionIn
    rows: Sequence[ListRow]
    held: Sequence[str]
    new: int
    summary: Mapping[str, Any]


class ListBuilder:
    """Makes lists of one model. For one event loop."""

    def __init__(
        self,
        asking: Asking,
        explainer: Explainer,
        groups: GroupStore,
        lanes: Lanes,
        limits: Limits,
        model_version: str,
    ) -> None:
        """Make lists.

        Args:
            asking: makes questions ready.
            explainer: has the reasons.
            groups: of duplicates.
            lanes: where rows are made.
            limits: of questions.
            model_version: of the embeddings.
        """
        self._asking = asking
        self._explainer = explainer
        self._groups = groups
        self._lanes = lanes
        self._limits = limits
        self.model_version = model_version

    async def ready(self, body: ListQuestionIn, excluded: Collection[str]) -> Asked:
        """What a question comes to, so that what is wrong with it is known at once.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed has no vector; or a precision is asked of several seeds together.
            PrecisionNotPromised: the model's calibration can't promise it.
            NotYetVisible: `after_sequence` was not reached in time.
        """
        query = replace(query_of(self._limits, body), k=body.k, exclude=excluded, exact=True)
        if body.stop is not None:
            query = replace(
                query, min_precision=body.stop.at_precision, cuts=not body.stop.mark_only
            )
        try:
            return await self._asking.ask(query)
        except RequestError as error:
            if body.stop is None:
                raise
            raise _of_stop(error) from error

    async def build(
        self, body: ListQuestionIn, excluded: Collection[str], before: Before | None = None
    ) -> BuiltList:
        """Make a list; raises as `ready`."""
        asked = await self.ready(body, excluded)
        work = _Work(asked, body)
        chosen, found, short = await self._chosen(work, excluded)
        ids = [hit.streamer_id for hit in chosen.rows]
        await self._read(work, ids)
        shared, reasons = await self._explained(work, ids)
        copies = await self._copies(work, ids) if body.without_copies else {}
        rows = await self._lanes.run_in_slices(_rows(work, chosen, shared, reasons, copies))
        held = [row.streamer_id for row in rows]
        new = len(rows)
        if before is not None:
            for row in rows:
                row.is_new = before.ids is None or row.streamer_id not in before.ids
            new = sum(bool(row.is_new) for row in rows)
            if before.new_only:
                rows = [row for row in rows if row.is_new]
        groups: list[Mapping[str, object]] = []
        if body.group_by is not None:
            rows, groups = _grouped(rows)
        unknown = await self._not_stored(work, body.exclude.ids)
        because = "; ".join(why for why in (asked.behind, short) if why) or None
        summary: dict[str, Any] = {
            "groups": groups,
            "stop": _stop_of(asked, body, rows),
            "left_out": {
                "excluded": len(excluded),
                "copies": chosen.copies,
                "over_max_per_value": chosen.over_cap,
            },
            "complete": because is None,
            "incomplete_because": because,
            "model_version": self.model_version,
            "index_sequence": asked.sequence,
            "warnings": [
                *warnings_of(found.unknown_fields, asked.withheld),
                *unknown,
                *_unknown_fields(work, ids),
            ],
            "coverage": asked.coverage,
        }
        return BuiltList(body, rows, held, new, summary)

    async def _chosen(
        self, work: "_Work", excluded: Collection[str]
    ) -> tuple[Chosen, SearchResult, str | None]:
        """The rows, the last search, and why there are fewer than there might be."""
        body, asked = work.body, work.asked
        is_selective = body.without_copies or body.diversify is not None
        pool = body.k if not is_selective else 2 * body.k + 100
        if work.relevance is not None:
            pool = 4 * body.k + 100
        taken: set[str] = set()
        if body.without_copies:
            seeds = [side.side.label for side in asked.positive if side.side.version is not None]
            known = await self._groups_of(work, [*seeds, *excluded])
            taken = {group for group in known if group is not None}
        while True:
            pool = min(pool, _MOST_CANDIDATES)
            found = await asked.index.search(replace(asked.query, k=pool))
            chosen = await self._choose(work, found, taken)
            is_all = len(found.hits) < pool
            if len(chosen.rows) >= body.k or is_all:
                return chosen, found, None
            if pool == _MOST_CANDIDATES:
                short = f"{pool} candidates were looked at, and {len(chosen.rows)} of k fit"
                return chosen, found, short
            pool *= 4

    async def _choose(self, work: "_Work", found: SearchResult, taken: Set[str]) -> Chosen:
        body = work.body
        ids = [hit.streamer_id for hit in found.hits]
        copies = values = None
        if body.without_copies:
            await self._groups_of(work, ids)
            copies = Copies(work.groups, taken)
        if work.bound is not None:
            await self._read(work, ids)
            name, most = work.bound
            values = {i: values_of(row.facets, name) for i, row in work.rows.items()}
            return await self._lanes.run(lambda: choose(found.hits, body.k, copies, values, most))
        if work.relevance is None:
            return await self._lanes.run(lambda: choose(found.hits, body.k, copies, None, 0))
        chosen = choose(found.hits, len(ids), copies, None, 0)
        await self._read(work, [hit.streamer_id for hit in chosen.rows])
        usable = [hit for hit in chosen.rows if hit.streamer_id in work.rows]
        if usable:
            vectors = np.stack([work.embedding(hit.streamer_id) for hit in usable])  # (N, D)
            scores = np.array([hit.score for hit in usable], np.float32)  # (N,)
            places = await self._lanes.run_in_slices(
                marginally_relevant(scores, vectors, body.k, work.relevance)
            )
            chosen.rows = [usable[place] for place in places]
        return chosen

    async def _groups_of(self, work: "_Work", ids: Sequence[str]) -> list[str | None]:
        missing = [one for one in dict.fromkeys(ids) if one not in work.groups]
        for part in _parts(missing, _AT_ONCE):
            work.groups.update(zip(part, await self._groups.groups_of(part), strict=True))
        return [work.groups[one] for one in ids]

    async def _read(self, work: "_Work", ids: Sequence[str]) -> None:
        """Read rows of the index that are not read yet, but those that were deleted since."""
        missing = [one for one in ids if one not in work.rows]
        for part in _parts(missing, _AT_ONCE):
            for row in await work.asked.index.get(part):
                if row is not None and row.embedding is not None:
                    work.rows[row.streamer_id] = row

    async def _copies(
        self, work: "_Work", ids: Sequence[str]
    ) -> dict[str, tuple[Sequence[str], int]]:
        """The other members of the groups of rows: some, and how many more there are."""
        groups = {one: group for one in ids if (group := work.groups.get(one)) is not None}
        members = await self._groups.members_of([*groups.values()], _MOST_COPIES + 1)
        return {
            one: ([name for name in names if name != one][:_MOST_COPIES], max(0, size - 1))
            for one, (names, size) in zip(groups, members, strict=True)
        }

    async def _explained(
        self, work: "_Work", ids: Sequence[str]
    ) -> tuple[dict[str, Shared | None], dict[str, Reasons]]:
        """What rows share with the nearest seed, by id; and with `full` their reasons."""
        shared: dict[str, Shared | None] = {}
        reasons: dict[str, Reasons] = {}
        if work.body.explain is None:
            return shared, reasons
        seeds = np.stack([seed.embedding for seed in work.asked.positive])  # (S, D)
        pairs = [
            (work.asked.positive[int((seeds @ side.embedding).argmax())].side, side)
            for one in ids
            if one in work.rows and (side := Side.of(work.rows[one])) is not None
        ]
        if work.body.explain == "full":
            for part in _parts(pairs, self._limits.max_explained):
                for (_, hit), why in zip(part, await self._explainer.reasons(part), strict=True):
                    reasons[hit.label] = why
                    shared[hit.label] = why.shared
            return shared, reasons
        for part in _parts(pairs, _EXPLAINED_AT_ONCE):
            for (_, hit), both in zip(part, await self._explainer.shared(part), strict=True):
                shared[hit.label] = both
        return shared, reasons

    async def _not_stored(self, work: "_Work", ids: Sequence[str]) -> list[str]:
        """Names ids to exclude that are not stored: they may be misspelled."""
        missing: list[str] = []
        for part in _parts([*dict.fromkeys(ids)], _AT_ONCE):
            found = await work.asked.index.get(part)
            missing += [one for one, row in zip(part, found, strict=True) if row is None]
        told = [f"exclude.ids: {one!r} is not stored" for one in missing[:_SHOWN]]
        if len(missing) > _SHOWN:
            told.append(f"exclude.ids: {len(missing) - _SHOWN} more are not stored")
        return told


class _Work:
    """What is known while a list is made.

    Attributes:
        asked: the question, for the index.
        body: the question.
        rows: of the index, by id.
        groups: of duplicates, by id.
        bound: a field, and most rows with one value of it.
        relevance: its share in maximal marginal relevance.
    """

    def __init__(self, asked: Asked, body: ListQuestionIn) -> None:
        self.asked = asked
        self.body = body
        self.rows: dict[str, IndexRow] = {}
        self.groups: dict[str, str | None] = {}
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


def _rows(
    work: _Work,
    chosen: Chosen,
    shared: Mapping[str, Shared | None],
    reasons: Mapping[str, Reasons],
    copies: Mapping[str, tuple[Sequence[str], int]],
) -> Generator[None, None, list[ListRow]]:
    body, asked = work.body, work.asked
    seeds = np.stack([seed.embedding for seed in asked.positive])  # (S, D)
    marks = body.stop is not None and asked.threshold is not None
    least = asked.threshold.min_score if marks and asked.threshold is not None else -np.inf
    rows: list[ListRow] = []
    for hit in chosen.rows:
        name, known = hit.streamer_id, work.rows.get(hit.streamer_id)
        if known is None:  # deleted meanwhile
            continue
        facets = known.facets
        row = ListRow(
            len(rows) + 1,
            name,
            hit.score,
            precision_from(hit.score, asked.curves) if asked.curves else None,
            {field: _one(values_of(facets, field)) for field in body.fields},
            beyond_stop=hit.score < least,
        )
        if body.group_by is not None and (values := values_of(facets, body.group_by)):
            row.group = ", ".join(map(str, values))
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


def _one(values: Sequence[Value]) -> object:
    """A value by itself, several as a list, none as None."""
    return values[0] if len(values) == 1 else list(values) or None


def _grouped(rows: Sequence[ListRow]) -> tuple[list[ListRow], list[Mapping[str, object]]]:
    """Rows by group, the group with the best row first, and the groups."""
    groups: dict[str | None, list[ListRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    told: list[Mapping[str, object]] = [
        {"value": value, "rows": len(some)} for value, some in groups.items()
    ]
    return [row for some in groups.values() for row in some], told


def _stop_of(
    asked: Asked, body: ListQuestionIn, rows: Sequence[ListRow]
) -> Mapping[str, object] | None:
    if body.stop is None:
        return None
    found = asked.threshold
    return {
        "at_precision": body.stop.at_precision,
        "min_score": None if found is None else found.min_score,
        "at_least": None if found is None else found.at_least,
        "rows_within": 0 if found is None else sum(not row.beyond_stop for row in rows),
    }


def _unknown_fields(work: _Work, ids: Sequence[str]) -> list[str]:
    """Names of fields that no row has: they may be misspelled."""
    body = work.body
    facets = [work.rows[one].facets for one in ids if one in work.rows]
    asked = [("fields", name) for name in body.fields]
    if work.bound is not None:
        asked.append(("diversify.by", work.bound[0]))
    if body.group_by is not None:
        asked.append(("group_by", body.group_by))
    return [
        f"{where}: no streamer of the list has {name!r}"
        for where, name in asked
        if facets and not any(values_of(one, name) for one in facets)
    ]


def _of_stop(error: RequestError) -> RequestError:
    """The error, with the field of the list's question in place of that of `similar`."""
    old, new = "/min_precision", "/stop/at_precision"
    fields = [FieldError(e.pointer.replace(old, new), e.detail, e.parameter) for e in error.errors]
    return type(error)(error.detail.replace(old, new), fields)


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
