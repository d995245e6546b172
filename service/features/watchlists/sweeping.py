"""Matches all that is stored with the lists that were changed, as a job.

One job at a time goes round the streamers in order of their ids, again and again, with all lists
that are due. A list joins where the round is and is swept when the round is there again, so a new
one waits for no other's sweep. One that is changed meanwhile raises no more alerts of its older
version, and joins again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self

from pydantic import TypeAdapter

from service.engine.evidence.engine import Evidence
from service.engine.watchlists.matcher import ListSeeds, Matcher
from service.engine.work.lanes import Lanes
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.matching import AT_ONCE, Matching
from service.features.watchlists.mending import mend
from service.features.watchlists.records import SWEPT, Swept
from service.features.watchlists.seeds import SeedReader
from service.features.watchlists.watched import (
    DueList,
    change_lists,
    changes_of_lists,
    due_lists,
    last_change_of_lists,
    ready_lists,
)
from service.scopes import Scope
from service.store.base import StreamerStore
from service.store.documents import DocumentStore, Put

KIND = "watchlists"
_UNREADY_S = 0.2
"""Before lists that change while they are read are read again."""


@dataclass
class _Due:
    """A list that is swept.

    Attributes:
        version: of the list.
        era: of the log, when it joined.
        begin: the streamer behind which it joined; "" = before the first one.
        is_past: whether the round began anew since.
        again: how often it was to be swept anew, when it joined.
    """

    version: int
    era: str
    begin: str
    is_past: bool = False
    again: int = 0


@dataclass
class _Round:
    """How far it is: behind which streamer, with which lists."""

    after: str = ""
    lists: dict[str, _Due] = field(default_factory=dict[str, _Due])

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Where a job that was interrupted goes on."""
        return _ROUND.validate_python(checkpoint.get("round", {}))  # type: ignore[return-value]

    def join(self, lists: Mapping[str, DueList], era: str) -> None:
        """Sweep these, too."""
        for list_id, due in lists.items():
            self.lists[list_id] = _Due(due.version, era, self.after, again=due.again)

    def advance(self, names: Sequence[str]) -> list[str]:
        """Go on behind these streamers, or from the first one where there are none.

        Returns:
            Lists that all streamers are matched with by now.
        """
        if names:
            self.after = names[-1]
            return [i for i, d in self.lists.items() if d.is_past and d.begin <= self.after]
        done = [i for i, due in self.lists.items() if due.is_past or not due.begin]
        self.after = ""
        for due in self.lists.values():
            due.is_past = True
        return done


class SweepJobs(Kind):
    """The kind of job that sweeps."""

    is_alone = True
    scope: Scope = "cases"

    def __init__(
        self,
        store: StreamerStore,
        documents: DocumentStore,
        reader: SeedReader,
        matching: Matching,
        book: AlertBook,
        evidence: Evidence,
        lanes: Lanes,
        in_memory: Callable[[Sequence[str]], Awaitable[Sequence[ListSeeds]]] | None = None,
    ) -> None:
        """Sweep.

        Args:
            store: of the streamers.
            documents: of the lists.
            reader: of their seeds.
            matching: matches streamers.
            book: of alerts.
            evidence: of the model.
            lanes: where work is done.
            in_memory: those of some lists that need not be made ready again.
        """
        self._store = store
        self._documents = documents
        self._reader = reader
        self._matching = matching
        self._book = book
        self._evidence = evidence
        self._lanes = lanes
        self._in_memory = in_memory

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Sweep until no list is due; one that was interrupted goes on where it was."""
        at, matcher = _Round.of(job.checkpoint), Matcher(self._evidence)
        swept, done = int(job.checkpoint.get("swept", 0)), job.job.done
        last_change = await persist(lambda: last_change_of_lists(self._documents))
        await self._take_in(matcher, at, at.lists)
        total = done + await persist(self._store.count)
        while True:
            if not at.lists:
                era, due = await persist(lambda: due_lists(self._documents))
                if not due:
                    return {"streamers": done, "lists": swept}
                at.join(due, era)
                await self._take_in(matcher, at, due)
                total = done + await persist(self._store.count)
            names = await persist(partial(self._store.list_ids, at.after, AT_ONCE))
            found = await persist(partial(self._matching.matches, names, matcher))
            await persist(partial(self._book.raise_alerts, found))
            done += len(names)
            swept += await self._settle(matcher, at, at.advance(names))
            await job.advance({"round": asdict(at), "swept": swept}, done, max(total, done))
            changed, last_change = await persist(
                partial(changes_of_lists, self._documents, last_change)
            )
            if changed is None or changed:
                await self._drop(matcher, at, [*at.lists] if changed is None else changed)
                era, due = await persist(lambda: due_lists(self._documents))
                new = {name: each for name, each in due.items() if name not in at.lists}
                at.join(new, era)
                await self._take_in(matcher, at, new)

    async def _take_in(self, matcher: Matcher, at: _Round, ids: Collection[str]) -> None:
        """Make lists ready that joined; those that were changed since are due again."""
        known = list(ids)
        ready: list[ListSeeds] = []
        if self._in_memory is not None:
            ready += await persist(partial(self._in_memory, known))
        missing = [*{*known} - {each.list_id for each in ready}]
        ready += await persist(lambda: ready_lists(self._documents, self._reader, missing))
        whole = {each.list_id for each in ready}
        await persist(lambda: mend(self._documents, {*known} - whole, whole))
        ready = [each for each in ready if each.version == at.lists[each.list_id].version]
        await persist(lambda: change_lists(matcher, self._lanes, ready))
        for list_id in known:
            if matcher.version(list_id) is None:
                del at.lists[list_id]
        if known and not at.lists:
            await asyncio.sleep(_UNREADY_S)

    async def _drop(self, matcher: Matcher, at: _Round, ids: Collection[str]) -> None:
        """Sweep on without some lists."""
        for list_id in ids:
            at.lists.pop(list_id, None)
        await persist(lambda: change_lists(matcher, self._lanes, (), ids))

    async def _settle(self, matcher: Matcher, at: _Round, done: Sequence[str]) -> int:
        """Note that lists are swept; how many."""
        if not done:
            return 0
        count, now = await persist(self._store.count), time.time()
        puts = [
            Put(SWEPT, list_id, Swept(due.version, due.era, now, count, due.again).dump())
            for list_id in done
            for due in [at.lists[list_id]]
        ]
        await persist(lambda: self._documents.change(puts))
        await self._drop(matcher, at, done)
        return len(done)


_ROUND = TypeAdapter(_Round)
