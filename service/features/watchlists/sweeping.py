"""Matches all that is stored with the lists that were changed, as a job.

One job at a time sweeps all lists that are due. A list that is changed meanwhile raises no more
alerts of its older version, and is swept again from the beginning by the same job.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from service.engine.evidence.engine import Evidence
from service.engine.watchlists.matcher import Matcher
from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.matching import AT_ONCE, Matching
from service.features.watchlists.records import LISTS, SWEPT, WATCHLIST, Swept
from service.features.watchlists.seeds import SeedReader
from service.features.watchlists.watched import due_lists, ready_lists
from service.scopes import Scope
from service.store.base import StreamerStore
from service.store.documents import DocumentStore, Put

KIND = "watchlists"


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
        """
        self._store = store
        self._documents = documents
        self._reader = reader
        self._matching = matching
        self._book = book
        self._evidence = evidence
        self._lanes = lanes

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Sweep until no list is due; one that was interrupted goes on where it was."""
        known = job.checkpoint
        swept, done = int(known.get("swept", 0)), job.job.done
        while True:
            versions, era, after = known.get("lists"), known.get("era", ""), known.get("after", "")
            if not versions:
                era, due = await persist(lambda: due_lists(self._documents))
                versions, after = dict(due), ""
            if not versions:
                return {"streamers": done, "lists": swept}
            done, swept = await self._sweep(job, versions, era, after, swept, done)
            known = {}

    async def _sweep(
        self,
        job: RunningJob,
        versions: dict[str, int],
        era: str,
        after: str,
        swept: int,
        done: int,
    ) -> tuple[int, int]:
        """Match all streamers after an id with these versions of lists.

        Returns:
            How many streamers were matched by then, and how many lists swept.
        """
        ids = list(versions)
        ready = await persist(lambda: ready_lists(self._documents, self._reader, ids))
        ready = [each for each in ready if each.version == versions[each.list_id]]
        matcher = Matcher(self._evidence)
        await persist(lambda: self._lanes.run(lambda: matcher.change(ready), Lane.BULK))
        total = max(await persist(self._store.count) + done, done)
        while matcher.lists:
            names = await persist(partial(self._store.list_ids, after, AT_ONCE))
            if not names:
                break
            matched = await persist(partial(self._matching.matches, names, matcher))
            await persist(partial(self._book.raise_alerts, matched.found))
            after, done = names[-1], done + len(names)
            checkpoint = {"lists": versions, "era": era, "after": after, "swept": swept}
            await job.advance(checkpoint, done, max(total, done))
            await self._drop_changed(matcher, versions)
        count = await persist(self._store.count)
        at = time.time()
        puts = [
            Put(SWEPT, list_id, Swept(version, era, at, count).dump())
            for list_id, version in versions.items()
            if matcher.version(list_id) == version
        ]
        await persist(lambda: self._documents.change(puts))
        swept += len(puts)
        await job.advance({"swept": swept}, done, max(total, done))
        return done, swept

    async def _drop_changed(self, matcher: Matcher, versions: Mapping[str, int]) -> None:
        """Sweep on without the lists that were changed or deleted: they are due again."""
        ids = [list_id for list_id in versions if matcher.version(list_id) is not None]
        stored = await persist(lambda: self._documents.get(LISTS, ids))
        changed = [
            list_id
            for list_id, found in zip(ids, stored, strict=True)
            if found is None or WATCHLIST.validate_json(found.body).version != versions[list_id]
        ]
        if changed:
            await persist(lambda: self._lanes.run(lambda: matcher.change((), changed), Lane.BULK))
