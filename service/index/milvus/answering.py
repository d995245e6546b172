"""A question to one cluster: deeper until its hits, with what is newer, are the whole answer."""

import heapq
import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from service.errors import IndexUnavailable, InvalidRequest, Overloaded
from service.index.filters import ALL_KNOWN, Filter
from service.index.milvus.attachment import Attached, Attachment
from service.index.milvus.collection import MOST_HITS, Found
from service.index.milvus.connection import Asked
from service.index.milvus.directory import Directory
from service.index.milvus.merging import (
    Part,
    Probes,
    base_of,
    most_hits,
    newest_of,
    probes_of,
)
from service.index.milvus.tokens import expression, without
from service.index.query import Query
from service.index.work import Work

_SPARE = 32
"""Hits beyond k: some are of versions that were replaced or deleted since."""
_DEEPER = 4
_MOST_ROUNDS = 16
_MS_PER_CHECK = 0.0005


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
            IndexUnavailable: Milvus does not answer, or lacks someone.
            InvalidRequest: more streamers reach the score than Milvus can tell.
            Overloaded: too many questions wait already, or the deadline passed.
        """
        base, monitor = attachment.base, attachment.monitor
        probes = probes_of(query)
        exact = not query.is_plain or monitor.refused is not None
        most = min(MOST_HITS, most_hits(probes))
        limit = min((k or MOST_HITS // _DEEPER) + _SPARE + len(query.exclude), most)
        left_out, was_short = set[int](), False
        for _ in range(_MOST_ROUNDS):
            collection, *_, established = attachment.asked().served
            # Rows tell who was established when they were written; the directory knows it.
            are_told = query.established_only and established == base.established
            wanted = expression(query.filter, established_only=are_told)
            filtered = without(wanted, left_out) if left_out else wanted
            asked = Asked(collection, limit, filtered, exact, probes.is_mixed)
            began = time.monotonic()
            found = await base.connection.search(asked, probes.vectors)
            attached = attachment.asked()
            if attached.served.collection != collection:
                continue  # the overlay is another collection's by now
            merge = partial(self._merged, attachment, query, k, probes, found, asked)
            part = await self._work.run(merge, self._cost_ms(attached, query, found))
            if time.monotonic() > began + base.bounds.fresh_s:
                continue  # what has settled since, these hits may lack
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
            if not exact and any(len(each.ids) < limit for each in found):
                exact = True  # the lists that were looked into have no more
            elif limit < most:
                limit = min(limit * _DEEPER, most)
            elif set(part.dropped) - left_out:
                left_out |= set(part.dropped)
            else:
                raise InvalidRequest(
                    f"the answer is among more than {most} streamers, and Milvus can't tell more: "
                    "ask for a higher min_score"
                    + (
                        f" or with fewer than {len(probes.vectors)} seeds"
                        if most < MOST_HITS
                        else ""
                    )
                    + ", or export the streamers"
                )
        raise Overloaded("too much is written for an answer; ask again")

    def _merged(
        self,
        attachment: Attachment,
        query: Query,
        k: int | None,
        probes: Probes,
        found: Sequence[Found],
        asked: Asked,
    ) -> Part:
        """Hits of Milvus that still hold, and the overlay's; made again if the overlay shrank."""
        while True:
            attached = attachment.asked()
            if attached.served.collection != asked.collection:
                return Part({}, 0, ALL_KNOWN, (), False)  # ask again
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
        base = base_of(query, probes, found, are_good, asked.limit)
        newest, reached = newest_of(attached.overlay, query, k)
        scores, least = base.scores, query.min_score
        if least is not None:
            scores = {name: score for name, score in scores.items() if score >= least}
        merged = scores | newest
        has_all = base.bound == -np.inf
        if least is not None:
            reached += len(scores.keys() - newest.keys())
            return Part(
                merged, reached, checked.unknown, base.dropped, has_all or base.bound < least
            )
        assert k is not None
        highest = heapq.nlargest(k, merged.values())
        has_enough = len(merged) >= min(k, checked.allowed)
        is_complete = has_enough if has_all else len(highest) == k and highest[-1] >= base.bound
        is_short = has_all and asked.exact and not has_enough
        return Part(
            *(merged, checked.allowed, checked.unknown, base.dropped),
            *(is_complete, is_short),
        )

    def _cost_ms(self, attached: Attached, query: Query, found: Sequence[Found]) -> float:
        hits = sum(len(each.ids) for each in found)
        return attached.overlay.cost_ms(query) + hits * _MS_PER_CHECK + filter_ms(query.filter)


def filter_ms(wanted: Filter) -> float:
    """Expected milliseconds to find whom a filter lets through."""
    return 0.1 * (len(wanted.must) + len(wanted.must_not))
