"""A question to one cluster: deeper until its hits, with what is newer, are the whole answer."""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from service.errors import IndexUnavailable, InvalidRequest, Overloaded
from service.index.faiss.flat import view_cost_ms
from service.index.milvus.attachment import Attached, Attachment
from service.index.milvus.collection import MOST_HITS, Found
from service.index.milvus.connection import Asked
from service.index.milvus.directory import Directory
from service.index.milvus.merging import (
    Part,
    Probes,
    base_of,
    best,
    has_everyone,
    most_hits,
    newest_of,
    probes_of,
)
from service.index.milvus.tokens import established, expression, without
from service.index.query import Query
from service.index.work import Work

_SPARE = 32
"""Hits beyond k: some are of versions that were replaced or deleted since."""
_DEEPER = 4
_MOST_ROUNDS = 16
MOST_EXCLUDED = 50_000
"""Versions that are left out of a search by an expression: with these it takes a second longer."""
_MS_PER_CHECK, _MS_PER_ORDERED, _MS_PER_VERSION, _MS_PER_VALUE = 0.0005, 0.001, 0.0005, 0.004


@dataclass
class _Depth:
    """How deep the next search of a question goes.

    Attributes:
        limit: hits of each vector.
        most: as many as there can be.
        exact: whether all inverted lists are looked into.
        left_out: versions that are no hits.
        replaced: those of them that were replaced or deleted.
    """

    limit: int
    most: int
    exact: bool
    left_out: set[int]
    replaced: set[int] = field(default_factory=set[int])

    def grow(self, query: Query, probes: Probes, found: Sequence[Found], part: Part) -> None:
        """Go deeper than an answer that is not complete.

        Raises:
            InvalidRequest: there is no deeper one.
            IndexUnavailable: there is none before Milvus has deleted old versions.
        """
        dropped = set(part.dropped)
        if not self.exact and any(len(each.ids) < self.limit for each in found):
            self.exact = True  # the lists that were looked into have no more
        elif self.limit < self.most:
            self.limit = min(self.limit * _DEEPER, self.most)
        elif not dropped - self.left_out:
            seeds = len(probes.vectors)
            fewer = f" or with fewer than {seeds} seeds" if self.most < MOST_HITS else ""
            raise InvalidRequest(
                f"the answer is among more than {self.most} streamers, and Milvus can't tell more: "
                f"ask for a higher min_score{fewer}, or export the streamers"
            )
        elif (
            (left_out := len(self.left_out | dropped))
            > MOST_EXCLUDED
            >= left_out - len(self.replaced | part.replaced)
        ):
            raise IndexUnavailable(
                "too many versions that were replaced or deleted are as near as the answer; "
                "Milvus answers once they have been deleted there"
            )
        elif left_out > MOST_EXCLUDED < len(query.exclude):
            raise InvalidRequest.of(
                "/exclude",
                f"leaves out {len(query.exclude)} streamers, too many of which would be in the "
                f"answer: with Milvus at most {MOST_EXCLUDED} can be left out",
            )
        elif left_out > MOST_EXCLUDED:
            raise InvalidRequest(
                f"more than {MOST_EXCLUDED} streamers are as near as the answer, yet not in it, "
                "and Milvus can't leave them out: ask with another filter, or export the streamers"
            )
        else:
            self.left_out |= dropped
            self.replaced |= part.replaced


class Answers:
    """Answers of one index; each is of one cluster alone, and of the overlay that fits it."""

    def __init__(self, directory: Directory, work: Work) -> None:
        """Check hits by a directory, and merge them where `work` runs."""
        self._directory = directory
        self._work = work

    async def of(self, attachment: Attachment, query: Query, k: int | None) -> Part:
        """The k best for a query, or everyone who reaches its score; from one cluster.

        Raises:
            NotReady: there is no collection to ask.
            IndexUnavailable: Milvus does not answer, lacks someone, or has too many old versions.
            InvalidRequest: more streamers reach the score than Milvus can tell, or too many of
                those who would be in the answer are excluded.
            Overloaded: too many questions wait already, or the deadline passed.
        """
        base, monitor = attachment.base, attachment.monitor
        probes = probes_of(query)
        exact, was_short = not query.is_plain or monitor.refused is not None, False
        depth = await self._begun(query, k, probes, exact)
        filtered = await self._filtered(query)
        for _ in range(_MOST_ROUNDS):
            collection, *_, told = attachment.asked().served
            # Rows tell who was established when they were written; the directory knows it.
            are_told = query.established_only and told == base.established
            wanted = established(filtered) if are_told else filtered
            if depth.left_out:
                listed = partial(without, wanted, depth.left_out)
                wanted = await self._work.run(listed, len(depth.left_out) * _MS_PER_VERSION)
            asked = Asked(collection, depth.limit, wanted, depth.exact, probes.is_mixed)
            began = time.monotonic()
            found = await base.connection.search(asked, probes.vectors)
            attached = attachment.asked()
            if attached.served.collection != collection:
                continue  # the overlay is another collection's by now
            merge = partial(self._merged, attachment, query, k, probes, found, asked)
            part = await self._work.run(merge, self._cost_ms(attached, query, k, found))
            if part is None or time.monotonic() > began + base.bounds.fresh_s:
                continue  # likewise; or what has settled since, these hits may lack
            if part.is_complete:
                return part
            if part.is_short:
                if was_short:
                    base.is_audit_due = True
                    raise IndexUnavailable(
                        f"Milvus has fewer than the {part.reached} streamers of a complete answer; "
                        "the next audit inserts them again"
                    )
                was_short = True
                continue
            depth.grow(query, probes, found, part)
        raise Overloaded("too much is written for an answer; ask again")

    async def _filtered(self, query: Query) -> str:
        """The filter as an expression; one with thousands of values takes tens of milliseconds."""
        if not query.filter:
            return ""
        cost_ms = query.filter.values * _MS_PER_VALUE
        return await self._work.run(partial(expression, query.filter), cost_ms)

    async def _begun(self, query: Query, k: int | None, probes: Probes, exact: bool) -> _Depth:
        """The first depth; who is excluded may be hits, unless they are too many for that."""
        few, excluded = (k or MOST_HITS // _DEEPER) + _SPARE, len(query.exclude)
        depth = _Depth(few + excluded, most_hits(probes), exact, set())
        if depth.limit > depth.most and 0 < excluded <= MOST_EXCLUDED:
            known = partial(self._directory.versions_of, query.exclude)
            depth.left_out = await self._work.run(known, excluded * _MS_PER_VERSION)
            depth.limit = few
        depth.limit = min(depth.limit, depth.most)
        return depth

    def _merged(
        self,
        attachment: Attachment,
        query: Query,
        k: int | None,
        probes: Probes,
        found: Sequence[Found],
        asked: Asked,
    ) -> Part | None:
        """Hits of Milvus that still hold, and the overlay's; made again if the overlay shrank.

        None: the overlay is of another collection by now.
        """
        while True:
            attached = attachment.asked()
            if attached.served.collection != asked.collection:
                return None
            part = self._merge(query, k, probes, found, asked, attached)
            if attachment.attached is attached:
                return part

    def _merge(
        self,
        query: Query,
        k: int | None,
        probes: Probes,
        found: Sequence[Found],
        asked: Asked,
        attached: Attached,
    ) -> Part:
        # The directory first: what is changed in between is in the overlay, in its new version.
        versions = [version for each in found for version in each.versions]
        ids = [name for each in found for name in each.ids]
        checked = self._directory.check(query, versions, ids)
        settled = attached.served.settled
        are_good = [
            good and version <= settled
            for good, version in zip(checked.are_good, versions, strict=True)
        ]
        # What is in the overlay may leave it before the next merge, and must be a hit of that. So
        # must what this process does not know yet, since it will be in the overlay first.
        dropped = [
            version
            for good, newest, version in zip(
                checked.are_good, checked.newest, versions, strict=True
            )
            if not good and version <= max(newest, settled)
        ]
        both = zip(versions, checked.newest, strict=True)
        replaced = {version for version, newest in both if version != newest}.intersection(dropped)
        base = base_of(query, probes, found, are_good, asked.limit)
        newest, reached = newest_of(attached.overlay, query, k)
        scores, least = base.scores, query.min_score
        if least is not None:
            scores = {name: score for name, score in scores.items() if score >= least}
        merged = scores | newest
        has_all = base.bound == -np.inf
        is_short = False
        if least is not None:
            reached += len(scores.keys() - newest.keys())
            is_complete = has_all or base.bound < least
        else:
            assert k is not None
            reached = checked.allowed
            has_enough = len(merged) >= min(k, reached)
            highest = heapq.nlargest(k, merged.values())
            is_complete = has_enough if has_all else len(highest) == k and highest[-1] >= base.bound
            is_short = has_all and asked.exact and not has_enough
            # Of equal ones the first by their ids are wanted, as long as these can be told.
            if asked.exact and asked.limit < most_hits(probes) and highest[-1:] == [base.bound]:
                is_complete = False
        is_complete = is_complete or has_everyone(found, checked.are_good, checked.allowed)
        ids, ordered = best(merged if is_complete else {}, k)
        return Part(
            ids, ordered, reached, checked.unknown, dropped, replaced, is_complete, is_short
        )

    def _cost_ms(
        self, attached: Attached, query: Query, k: int | None, found: Sequence[Found]
    ) -> float:
        hits, overlay = sum(len(each.ids) for each in found), attached.overlay
        newest = len(overlay) if k is None else k
        return (
            overlay.cost_ms(replace(query, k=newest))
            + view_cost_ms(len(self._directory), query.filter, query.exclude)
            + hits * _MS_PER_CHECK
            + (hits + min(newest, len(overlay))) * _MS_PER_ORDERED
        )


def deepest(query: Query) -> int:
    """Most hits of a query that can be told: beyond, what was replaced would be one too many."""
    return max(most_hits(probes_of(query)) - _SPARE, 1)
