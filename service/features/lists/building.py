"""Makes lists: who is on them, in which order, and what is told of each."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from service.engine.evidence.shared_content import Shared
from service.engine.work.lanes import Lanes
from service.errors import FieldError, RequestError
from service.features.lists.rows import (
    Before,
    BuiltList,
    Work,
    grouped,
    pairs_of,
    rows_of,
    stop_of,
    unknown_fields,
    varied,
)
from service.features.lists.schemas import ListQuestionIn
from service.features.lists.selecting import (
    Chosen,
    Copies,
    choose,
    values_of,
)
from service.features.similar.asking import Asked, Asking, warnings_of
from service.features.similar.explain import Explainer, Reasons
from service.features.similar.exporting import query_of
from service.index.base import SearchResult
from service.settings import Limits
from service.store.duplicates import GroupStore

_AT_ONCE = 500
"""Rows of the index, and groups, that are asked for together."""
_EXPLAINED_AT_ONCE = 200
_GROUPS_AT_ONCE, _MOST_MEMBERS = 50, 200
"""Groups whose members are read together, and how many of each at a time."""
_GROUPS_LOOK_S = 0.05
_GROUPS_NEAR = 1000
"""Writes that groups may be behind and still come in time."""
_MOST_CANDIDATES = 50_000
"""That are looked at for a list; what still lacks rows then says so."""
_MOST_COPIES = 20
_SHOWN = 20
Item = TypeVar("Item")


class Excluded(NamedTuple):
    """Whom a question leaves out beside the seeds, and what may be a mistake in that."""

    ids: Set[str]
    warnings: Sequence[str] = ()


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

    async def ready(self, body: ListQuestionIn, excluded: Excluded) -> Asked:
        """What a question comes to, so that what is wrong with it is known at once.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed has no vector; or a precision is asked of several seeds together.
            PrecisionNotPromised: the model's calibration can't promise it.
            NotYetVisible: `after_sequence` was not reached in time.
        """
        query = replace(query_of(self._limits, body), k=body.k, exclude=excluded.ids, exact=True)
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
        self, body: ListQuestionIn, excluded: Excluded, before: Before | None = None
    ) -> BuiltList:
        """Make a list; raises as `ready`."""
        asked = await self.ready(body, excluded)
        work = Work(asked, body)
        unseen = await self._ungrouped(asked) if body.without_copies else None
        chosen, found, short = await self._chosen(work, excluded.ids)
        has_limit = asked.query.min_score is not None
        ids = [hit.streamer_id for hit in chosen.rows]
        await self._read(work, ids)
        shared, reasons = await self._explained(work, ids)
        copies = await self._copies(work, ids) if body.without_copies else {}
        rows = await self._lanes.run_in_slices(rows_of(work, chosen, shared, reasons, copies))
        held, new = rows, len(rows)
        if before is not None:
            for row in rows:
                row.is_new = before.ids is None or row.streamer_id not in before.ids
            new = sum(bool(row.is_new) for row in rows)
            if before.new_only:
                rows = [row for row in rows if row.is_new]
        groups: list[Mapping[str, object]] = []
        if body.group_by is not None:
            rows, groups = grouped(rows)
        unknown = await self._not_stored(work, body.exclude.ids)
        unknown += await self._lanes.run(lambda: unknown_fields(work, ids))
        cut = _cut(body, chosen, found.reached) if has_limit else None
        because = "; ".join(why for why in (asked.behind, short, cut, unseen) if why) or None
        summary: dict[str, Any] = {
            "groups": groups,
            "stop": stop_of(asked, body, rows),
            "reached": found.reached if has_limit else None,
            "left_out": {
                "excluded": len(excluded.ids),
                "copies": chosen.copies,
                "over_max_per_value": chosen.over_cap,
            },
            "complete": because is None,
            "incomplete_because": because,
            "model_version": self.model_version,
            "index_sequence": asked.sequence,
            "warnings": [
                *warnings_of(found.unknown, asked.withheld),
                *excluded.warnings,
                *unknown,
            ],
            "coverage": asked.coverage,
        }
        return BuiltList(body, rows, held, new, summary)

    async def _ungrouped(self, asked: Asked) -> str | None:
        """Why copies may be on the list; None where all that the index has is in groups.

        Groups follow writes by a moment, which is waited for; not where they are far behind.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + self._limits.visible_timeout_ms / 1000
        while (position := await self._groups.position()) is not None:
            if asked.epoch not in (None, position.epoch):
                break
            behind = asked.sequence - position.sequence
            if behind <= 0:
                return None
            if behind > _GROUPS_NEAR or clock() >= ends:
                at = f"up to sequence {position.sequence} of {asked.sequence}"
                return (
                    f"groups of duplicates are evaluated {at}, so newer copies may be on the list"
                )
            await asyncio.sleep(_GROUPS_LOOK_S)
        return "no groups of duplicates have been evaluated, so copies may be on the list"

    async def _chosen(
        self, work: Work, excluded: Set[str]
    ) -> tuple[Chosen, SearchResult, str | None]:
        """The rows, the last search, and why there are fewer than there might be."""
        body, asked = work.body, work.asked
        is_selective = body.without_copies or body.diversify is not None
        pool = body.k if not is_selective else 2 * body.k + 100
        if work.relevance is not None:
            pool = 4 * body.k + 100
        seeds = {side.side.label for side in asked.positive if side.side.version is not None}
        most = min(asked.index.deepest(asked.query) or _MOST_CANDIDATES, _MOST_CANDIDATES)
        while True:
            pool = min(pool, most)
            found = await asked.index.search(replace(asked.query, k=pool))
            chosen = await self._choose(work, found, seeds, excluded)
            is_all = len(found.hits) < pool
            if len(chosen.rows) >= body.k or is_all:
                return chosen, found, None
            if pool == most:
                short = f"{pool} candidates were looked at, and {len(chosen.rows)} of k fit"
                return chosen, found, short
            pool *= 4

    async def _choose(
        self, work: Work, found: SearchResult, seeds: Set[str], excluded: Set[str]
    ) -> Chosen:
        body = work.body
        ids = [hit.streamer_id for hit in found.hits]
        copies = None
        if body.without_copies:
            taken = await self._taken(work, ids, seeds, excluded)
            copies = Copies(work.groups, taken)
        if work.bound is not None:
            await self._read(work, ids)
            bound = work.bound

            def by_value() -> Chosen:
                values = {
                    i: values_of(work.rows[i].facets, bound[0]) for i in ids if i in work.rows
                }
                return choose(found.hits, body.k, copies, values, bound[1])

            return await self._lanes.run(by_value)
        if work.relevance is None:
            return await self._lanes.run(lambda: choose(found.hits, body.k, copies, None, 0))
        chosen = await self._lanes.run(lambda: choose(found.hits, len(ids), copies, None, 0))
        await self._read(work, [hit.streamer_id for hit in chosen.rows])
        usable = [hit for hit in chosen.rows if hit.streamer_id in work.rows]
        if usable:
            places = await self._lanes.run_in_slices(varied(work, usable))
            chosen.rows = [usable[place] for place in places]
        return chosen

    async def _taken(
        self, work: Work, ids: Sequence[str], seeds: Set[str], excluded: Set[str]
    ) -> set[str]:
        """Groups of candidates that have a seed or an excluded streamer.

        Members are looked at, not the groups of all who are excluded: there may be a million.
        """
        missing = [one for one in dict.fromkeys(ids) if one not in work.groups]
        for part in _parts(missing, _AT_ONCE):
            work.groups.update(zip(part, await self._groups.groups_of(part), strict=True))
        groups = {group for one in ids if (group := work.groups[one]) is not None}
        new = [group for group in groups if group not in work.taken]
        for part in _parts(new, _GROUPS_AT_ONCE):
            found = await self._groups.members_of(part, _MOST_MEMBERS)
            for group, (some, size) in zip(part, found, strict=True):
                is_taken = _are_any(some, seeds, excluded)
                while not is_taken and some and size > _MOST_MEMBERS:
                    some = await self._groups.members(group, some[-1], _MOST_MEMBERS)
                    is_taken = _are_any(some, seeds, excluded)
                work.taken[group] = is_taken
        return {group for group in groups if work.taken[group]}

    async def _read(self, work: Work, ids: Sequence[str]) -> None:
        """Read rows of the index that are not read yet, but those that were deleted since."""
        missing = [one for one in ids if one not in work.rows]
        for part in _parts(missing, _AT_ONCE):
            for row in await work.asked.index.get(part):
                if row is not None and row.embedding is not None:
                    work.rows[row.streamer_id] = row

    async def _copies(self, work: Work, ids: Sequence[str]) -> dict[str, tuple[Sequence[str], int]]:
        """The other members of the groups of rows: some, and how many more there are."""
        groups = {one: group for one in ids if (group := work.groups.get(one)) is not None}
        members: list[tuple[list[str], int]] = []
        for part in _parts([*groups.values()], _GROUPS_AT_ONCE):
            members += await self._groups.members_of(part, _MOST_COPIES + 1)
        return {
            one: ([name for name in names if name != one][:_MOST_COPIES], max(0, size - 1))
            for one, (names, size) in zip(groups, members, strict=True)
        }

    async def _explained(
        self, work: Work, ids: Sequence[str]
    ) -> tuple[dict[str, Shared | None], dict[str, Reasons]]:
        """What rows share with the nearest seed, by id; and with `full` their reasons."""
        shared: dict[str, Shared | None] = {}
        reasons: dict[str, Reasons] = {}
        if work.body.explain is None:
            return shared, reasons
        pairs = await self._lanes.run_in_slices(pairs_of(work, ids))
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

    async def _not_stored(self, work: Work, ids: Sequence[str]) -> list[str]:
        """Names ids to exclude that are not stored: they may be misspelled."""
        missing: list[str] = []
        for part in _parts([*dict.fromkeys(ids)], _AT_ONCE):
            found = await work.asked.index.get(part)
            missing += [one for one, row in zip(part, found, strict=True) if row is None]
        told = [f"exclude.ids: {one!r} is not stored" for one in missing[:_SHOWN]]
        if len(missing) > _SHOWN:
            told.append(f"exclude.ids: {len(missing) - _SHOWN} more are not stored")
        return told


def _are_any(ids: Sequence[str], seeds: Set[str], excluded: Set[str]) -> bool:
    return any(one in seeds or one in excluded for one in ids)


def _cut(body: ListQuestionIn, chosen: Chosen, reached: int) -> str | None:
    """That more reach the score that was asked for than are on it; None where none do."""
    if len(chosen.rows) < body.k or reached <= len(chosen.rows) + chosen.copies + chosen.over_cap:
        return None
    limit = "min_score" if body.min_precision is None else "min_precision"
    if body.stop is not None and not body.stop.mark_only:
        limit = "stop"
    return f"{reached} streamers reach {limit}, k is {body.k}"


def _of_stop(error: RequestError) -> RequestError:
    """The error, with the field of the list's question in place of that of `similar`."""
    old, new = "/min_precision", "/stop/at_precision"
    fields = [FieldError(e.pointer.replace(old, new), e.detail, e.parameter) for e in error.errors]
    return type(error)(error.detail.replace(old, new), fields)


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
