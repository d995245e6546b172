"""Evaluates streamers and judgements: who is whose duplicate, and what that makes of the groups."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Generator, Sequence
from functools import partial
from typing import TypeVar

from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.look_ups import LookUps
from service.engine.work.ahead import ahead
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.resumable import Resumable
from service.features.duplicates.committing import Ledger, edge_steps
from service.features.duplicates.comparers import Comparer, OfAll
from service.features.duplicates.finding import MOST_FOUND, EdgeFinder
from service.features.duplicates.groups.cutting import Cut
from service.features.duplicates.groups.edges import (
    Edge,
    Judgement,
    at_both_ends,
    kind_of,
)
from service.features.duplicates.groups.graph import Change, GroupGraph, Outcome
from service.features.duplicates.judgements import not_stored
from service.features.duplicates.looked_up import LookedUp
from service.features.jobs.runner import persist
from service.store.base import Position, Record, StreamerStore
from service.store.duplicates import Commit, GroupStore, JudgementRecord, JudgementStore, Kept

Result = TypeVar("Result")
_READ_AT_ONCE = 50
"""To take in the answer keeps the event loop for a millisecond or two."""
_AGAIN_AT_ONCE = 256
"""Streamers that are compared again in one step, since others took edges from them."""


class Evaluation:
    """Groups under a lease. For one task at a time: hold `turn`.

    Attributes:
        turn: whoever changes something holds it.
        position: up to where the log is evaluated; None = nothing is.
        read_from: where the log ended before the first streamer was read.
        is_whole: whether what is in memory is stored, too; not so within a change, and after one
            that was not carried out to its end.
    """

    def __init__(
        self,
        store: StreamerStore,
        groups: GroupStore,
        judgements: JudgementStore,
        comparer: Comparer,
        corpus: Corpus,
        lanes: Lanes,
        token: int,
        look_ups: LookUps | None = None,
    ) -> None:
        """Nothing is known before `open`.

        Args:
            store: of the streamers.
            groups: what follows from them is kept here.
            judgements: of people.
            comparer: decides who is whose duplicate.
            corpus: empty; finds candidates.
            lanes: where work is done.
            token: of the lease.
            look_ups: what was found for answers, with this corpus.
        """
        self.turn = asyncio.Lock()
        self.position: Position | None = None
        self.read_from: Position | None = None
        self.is_whole = True
        self._store = store
        self._groups = groups
        self._judgements = judgements
        self._comparer = comparer
        self._corpus = corpus
        self._lanes = lanes
        self._token = token
        self._look_ups = look_ups or LookUps()
        self._step = 0
        self._of_all: OfAll | None = None
        self._graph = GroupGraph(Cut(comparer.strong_weight))
        self._ledger = Ledger({}, {}, corpus)
        self._finder = EdgeFinder(comparer, corpus, lanes, self._graph.neighbours)
        self._pending: dict[str, None] = {}

    @property
    def corpus(self) -> Corpus:
        """Finds candidates among all streamers, once it is open."""
        return self._corpus

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self._ledger.members)

    @property
    def judged(self) -> int:
        """Number of pairs that are judged."""
        return self._graph.judged

    @property
    def pending(self) -> Collection[str]:
        """Streamers that have to be compared again; every `evaluate` does so with some."""
        return self._pending.keys()

    async def open(self, *, to_rebuild: bool = False) -> None:
        """Take in all that is kept, and all streamers as candidates.

        Args:
            to_rebuild: whether `compare` follows, of all of them.

        Raises:
            Unavailable: the store does not answer.
        """
        kept = await self._groups.load()
        judged = await self._all_judgements()
        ids = sorted({name for record in judged for name in (record.a, record.b)})
        absent = await not_stored(self._store, ids)
        await self._lanes.run(partial(self._load, kept, judged, absent), Lane.BULK)
        self.position = kept.position
        self.read_from = await self._store.position()
        comparer = self._comparer.of_all(await self._store.count(), to_compare=to_rebuild)
        self._of_all = OfAll(comparer)
        entries = ahead(
            self._all_records(),
            lambda some: persist(lambda: comparer.entries(some)),
            comparer.at_once,
        )
        async with contextlib.aclosing(entries):
            async for records, found in entries:
                await self._in_slices(self._loaded(records, found))
        await self._lanes.run(self._corpus.settle, Lane.BULK)
        # Who was erased before the last evaluator wrote a record may be in it.
        await self._groups.forget_others(self._corpus)
        if not to_rebuild:
            self.close()

    def seen(self, head: int) -> None:
        """Learn where the log ends, in the turn of what was evaluated last; see `Ledger.seen`."""
        self._ledger.seen(0 if self.position is None else self.position.sequence, head)

    def close(self) -> None:
        """Let go of what `open` needed, or `compare`."""
        if self._of_all is not None:
            self._of_all.comparer.close()
            self._of_all = None

    async def evaluate(self, ids: Sequence[str], cause: str, position: Position | None) -> None:
        """Compare streamers as they are stored now with all others, and regroup what it touches.

        In a farm all others may have their edges with the same few. So whoever loses some to those
        that are gone or changed, and keeps fewer than `MOST_FOUND`, is compared again.

        Args:
            ids: each once; some may be gone.
            cause: names what happened, once for all time.
            position: up to where the log is evaluated with this; None = as before.

        Raises:
            NotTheEvaluator: another process has the lease.
            Unavailable: the store or the index can't answer at the moment.
        """
        self.is_whole = False
        news, pending = await self._with_thinned(await self._news(ids))
        outcome = await self._in_slices(self._graph.change(news, cause))
        # An erasure may have looked before they were kept.
        for name, groups in self._ledger.kept(news.gone).items():
            await self._groups.forget(name, groups)
        # First, since it can't be told from the edges that are left.
        if added := sorted(pending.keys() - self._pending.keys()):
            await self._write(Commit(pending=added))
        compared = sorted(self._pending.keys() - pending.keys())
        await self._commit(outcome, cause, Commit(position=position, compared=compared))
        self._pending = pending
        self.position, self.is_whole = position or self.position, True

    async def compare(self, ids: Sequence[str]) -> None:
        """Compare streamers as they were when they were read; `regroup` has to follow.

        Edges alone are written, and who is `pending`: an earlier process may have compared some
        that lose edges. Raises as `evaluate`; it was opened to rebuild.
        """
        known = self._of_all
        assert known is not None
        names = [name for name in ids if name in self._corpus]
        edges = await self._finder.edges(names, known.comparer.asked, known)
        news = Change(edges=edges, gone=[name for name in ids if name not in self._corpus])
        thinned = await self._in_slices(self._graph.thinned(news, MOST_FOUND))
        if thinned:  # first, as in `evaluate`
            await self._write(Commit(pending=thinned))
        added, removed = await self._in_slices(self._graph.take(news))
        for step in edge_steps(added, removed):
            await self._write(step)
        self._pending |= dict.fromkeys(thinned)
        if compared := [name for name in ids if name in self._pending]:
            await self._write(Commit(compared=compared))
        for name in compared:
            del self._pending[name]

    async def regroup(self, cause: str, position: Position | None) -> None:
        """Divide everything anew; arguments as of `evaluate`, a position once all are compared."""
        self.close()
        outcome = await self._in_slices(self._graph.regroup(cause))
        rules = None if position is None else self._comparer.rules
        await self._commit(outcome, cause, Commit(position=position, rules=rules))
        self.position = position or self.position

    async def judge(self) -> bool:
        """Take in judgements that were given or taken back since; whether there were any."""
        news = await self._judgements.news()
        if not news.upto:
            return False
        self.is_whole = False
        names = {name for j in news.judged for name in (j.a, j.b)}
        self._graph.note_absent(await not_stored(self._store, sorted(names)))
        change = Change(judged=[_judgement(j) for j in news.judged], unjudged=news.unjudged)
        cause = f"judgement {news.upto}"
        outcome = await self._in_slices(self._graph.change(change, cause))
        await self._commit(outcome, cause, Commit(judged=news.upto))
        self.is_whole = True
        return True

    async def gone(self) -> list[str]:
        """Streamers with an edge, or in a group, that are not stored any more, ascending."""

        def found() -> list[str]:
            known = {*self._graph.linked, *(m for ms in self._ledger.members.values() for m in ms)}
            return sorted(name for name in known if name not in self._corpus)

        return await persist(lambda: self._lanes.run(found, Lane.BULK))

    def _load(self, kept: Kept, judged: Sequence[JudgementRecord], absent: Collection[str]) -> None:
        edges = (Edge(e.a, e.b, e.weight, kind_of(e.kind)) for e in kept.edges)
        members = {name: kept.members.get(name, ()) for name in kept.groups}
        self._graph.load(edges, map(_judgement, judged), absent, members)
        self._ledger = Ledger(kept.groups, kept.members, self._corpus)
        self._step, self._pending = kept.step, dict.fromkeys(kept.pending)

    async def _all_judgements(self) -> list[JudgementRecord]:
        found: list[JudgementRecord] = []
        after: str | None = ""
        while after is not None:
            part, after = await self._judgements.page(after, 1000)
            found += part
        return found

    async def _news(self, ids: Sequence[str]) -> Change:
        """What the comparison of some streamers with all others tells."""
        entries, looked = await self._take_in(ids)
        names = [name for name in ids if name in entries]
        edges = await self._finder.edges(names, lambda name: entries[name].asked, looked=looked)
        return Change(edges=edges, gone=[name for name in ids if name not in entries])

    async def _with_thinned(self, news: Change) -> tuple[Change, dict[str, None]]:
        """News, with those of some who have to be compared again, and who still has to be then."""
        thinned = await self._in_slices(self._graph.thinned(news, MOST_FOUND))
        told = {*news.edges, *news.gone}
        waiting = [n for n in dict.fromkeys([*thinned, *self._pending]) if n not in told]
        if not waiting:
            return news, {}
        more = await self._news(waiting[:_AGAIN_AT_ONCE])
        edges = at_both_ends({**news.edges, **more.edges})
        news = Change(edges=edges, gone=[*news.gone, *more.gone])
        thinned = await self._in_slices(self._graph.thinned(news, MOST_FOUND))
        return news, dict.fromkeys([*waiting[_AGAIN_AT_ONCE:], *thinned])

    async def _take_in(self, ids: Sequence[str]) -> tuple[dict[str, Entry], LookedUp]:
        """Read streamers into the corpus; what it knows of those that are stored, and look-ups."""
        entries: dict[str, Entry] = {}
        looked = LookedUp(self._corpus)
        async for records in self._records(ids):
            looked.take(records, self._look_ups)

            def made(some: Sequence[Record] = records) -> Generator[None, None, None]:
                for record in some:
                    entry = looked.entry(record.streamer_id) or self._comparer.entry_of(record)
                    entries[record.streamer_id] = entry
                    self._corpus.put(record.streamer_id, entry)
                    yield

            await self._in_slices(made())
        for name, entry in entries.items():
            self._comparer.keep(name, entry)
        if gone := [name for name in ids if name not in entries]:
            for name in gone:
                self._look_ups.forget(name)
            await self._in_slices(self._removed(gone))
        return entries, looked

    def _removed(self, names: Sequence[str]) -> Generator[None, None, None]:
        for name in names:
            self._corpus.remove(name)
            yield

    def _loaded(
        self, records: Sequence[Record], entries: Sequence[Entry]
    ) -> Generator[None, None, None]:
        for record, entry in zip(records, entries, strict=True):
            self._corpus.load(record.streamer_id, entry)
            yield

    async def _all_records(self) -> AsyncGenerator[Sequence[Record], None]:
        after = ""
        while ids := await self._store.list_ids(after, _READ_AT_ONCE):
            after = ids[-1]
            async for records in self._records(ids):
                yield records
                await self._lanes.give_way()

    async def _records(self, ids: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        for start in range(0, len(ids), _READ_AT_ONCE):
            for part in await self._store.chunks(ids[start : start + _READ_AT_ONCE]):
                yield [record for record in await self._store.get(part) if record is not None]

    async def _commit(self, outcome: Outcome, cause: str, last: Commit) -> None:
        made: list[list[Commit]] = []

        def steps() -> list[Commit]:
            if not made:  # the ledger takes them in once, also if the answer comes too late
                made.append(list(self._ledger.steps(outcome, self._graph, cause, time.time())))
            return made[0]

        for step in await persist(lambda: self._lanes.run(steps, Lane.BULK)):
            await self._write(step)
        if last != Commit():
            await self._write(last)

    async def _in_slices(self, work: Generator[None, None, Result]) -> Result:
        """What a generator returns; it goes on where it was when others had priority."""
        resumable = Resumable(work)
        return await persist(lambda: self._lanes.run_in_slices(resumable, Lane.BULK))

    async def _write(self, commit: Commit) -> None:
        """Write a step, once, however often it is sent.

        Raises:
            NotTheEvaluator, StepsLost: as of `GroupStore.commit`; another evaluation goes on.
            Unavailable: the trouble did not pass.
        """
        self._step += 1
        await persist(lambda: self._groups.commit(self._token, self._step, commit))


def _judgement(record: JudgementRecord) -> Judgement:
    return Judgement((record.a, record.b), record.verdict, record.order)
