"""Asks both models what live callers have asked, once their answers are out."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from model_export.contract.pieces import pieces_of
from service.engine.work.background import Background
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.leisure import at_leisure
from service.errors import NotReady, Overloaded, ServiceError
from service.features.models.comparing.open_models import Both, OpenModel, found_in
from service.features.models.live.counting import K, ShadowCounts
from service.features.models.live.keeping import ShadowReports
from service.features.models.records import Live
from service.features.similar.asking import SimilarQuery
from service.features.similar.service import SimilarAnswer
from service.store.base import StreamerStore

_log = logging.getLogger(__name__)
_MOST_WAITING = 64
_MOST_BYTES = 8 << 20
"""Of the bodies of questions that wait."""
_DEADLINE_S = 10.0
"""A question that waited longer is not asked any more."""
_FLUSH_S = 2.0
_READ_AT_ONCE = 200
_LAST_S = 1.0
"""For the last counts of a process that ends."""
_RECALL_EVERY = 10
"""Of so many questions, one is asked exactly as well."""
_ADDRESS = "url:"
"""Begins digests of pictures and sounds whose bytes have to be fetched."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    live: Live
    query: SimilarQuery
    body_bytes: int
    at: float


@dataclass(frozen=True, eq=False)
class _Part:
    """What was counted, and is being added to the report under a number."""

    counts: ShadowCounts
    number: int


class Shadowing:
    """The shadow of this process: a bounded queue, one question at a time, and its counts."""

    def __init__(
        self,
        models: Sequence[OpenModel],
        current: Callable[[], Live | None],
        reports: ShadowReports,
        store: StreamerStore,
        lanes: Lanes,
        replica: str,
    ) -> None:
        """Ask models that are open here.

        Args:
            models: that are open, those that were opened last at the end.
            current: what the target has to do with live questions at the moment.
            reports: where counts are added up.
            store: of the streamers that reports name.
            lanes: where work is done.
            replica: names this process.
        """
        self._models = models
        self._current = current
        self._reports = reports
        self._store = store
        self._lanes = lanes
        self._replica = replica
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._has_some = asyncio.Event()
        self._counts: ShadowCounts | None = None
        self._part: _Part | None = None
        self._number = 0
        self._asked = 0
        self._flushing = asyncio.Lock()
        self._asking = Background("shadow")
        self._telling = Background("shadow-counts")

    def start(self) -> None:
        """Begin to ask, on the running event loop."""
        self._asking.start(self._ask_again_and_again())
        self._telling.start(self._flush_again_and_again())

    async def stop(self) -> None:
        """Ask no more, and add what was counted to the report."""
        await self._asking.stop()
        await self._telling.stop()
        try:
            async with asyncio.timeout(_LAST_S):
                await self.flush()
        except Exception as error:  # noqa: BLE001 - the process ends
            _log.warning("counts of a shadow's last seconds are lost: %s", error)

    def take(self, live: Live, query: SimilarQuery, body_bytes: int | None) -> None:
        """Ask it later, if there is room."""
        counts = self._of(live)
        counts.sampled += 1
        if query.has_vectors or body_bytes is None:
            counts.drop("unsuitable")
            return
        if len(self._waiting) >= _MOST_WAITING or self._bytes + body_bytes > _MOST_BYTES:
            counts.drop("queue_full")
            return
        self._bytes += body_bytes
        self._waiting.append(_Waiting(live, query, body_bytes, time.monotonic()))
        self._has_some.set()

    async def flush(self) -> None:
        """Add what was counted since the last time to the report.

        Raises:
            ServiceError: the store does not take it; it is kept for the next time.
        """
        async with self._flushing:
            if self._part is not None:  # whether it was added is not known: by its number it is
                await self._add(self._part)
            if self._counts is not None and self._counts.has_some:
                counts, self._counts = self._counts, None
                self._number += 1
                self._part = _Part(counts, self._number)
                await self._add(self._part)

    async def _add(self, part: _Part) -> None:
        # Who was deleted since may have been erased from the report.
        for name in await self._gone_of(part.counts):
            part.counts.without(name)
        await self._reports.add(part.counts, self._replica, part.number)
        # Who was erased while it was being added is there again.
        report = await self._reports.get(part.counts.model_version)
        for name in [] if report is None else await self._gone_of(report):
            await self._reports.erase(name)
        self._part = None

    async def _gone_of(self, counts: ShadowCounts) -> list[str]:
        """Who is named and not stored; an index may lack what other replicas' questions found."""
        names, gone = sorted(counts.names()), list[str]()
        for start in range(0, len(names), _READ_AT_ONCE):
            part = names[start : start + _READ_AT_ONCE]
            found = await self._store.digests(part)
            gone += [name for name, known in zip(part, found, strict=True) if known is None]
        return gone

    def _of(self, live: Live) -> ShadowCounts:
        """Counts of a run; those of one that is over go nowhere."""
        if self._counts is not None and self._counts.run == live.run:
            return self._counts
        counts, current = (
            ShadowCounts(live.model_version, live.compared_with, live.run, 0.0),
            self._current(),
        )
        if current is not None and current.run == live.run:
            self._counts = counts
        return counts

    async def _flush_again_and_again(self) -> None:
        with at_leisure():
            while True:
                await asyncio.sleep(_FLUSH_S)
                try:
                    await self.flush()
                except ServiceError:
                    pass  # the store's health tells it
                except Exception as error:  # noqa: BLE001 - soon it is tried again
                    _log.warning("counts of a shadow can't be added: %s", error)

    async def _ask_again_and_again(self) -> None:
        with at_leisure():
            while True:
                await self._has_some.wait()
                asked = self._waiting.popleft()
                self._bytes -= asked.body_bytes
                if not self._waiting:
                    self._has_some.clear()
                try:
                    await self._ask(asked)
                except Exception as error:  # noqa: BLE001 - the next question is another one
                    _log.warning("a shadow can't be asked", exc_info=error)
                    self._of(asked.live).drop("failed")

    async def _ask(self, asked: _Waiting) -> None:
        live, current = asked.live, self._current()
        if current is None or current.run != live.run:
            return  # the run is over
        if time.monotonic() - asked.at > _DEADLINE_S:
            self._of(live).drop("late")
            return
        try:
            both = found_in(self._models, live.compared_with, live.model_version)
        except NotReady:
            self._of(live).drop("not_here")
            return
        query = replace(asked.query, k=min(asked.query.k, K), explain=False, after_sequence=0)
        try:
            if await self._lanes.run(lambda: _has_addresses(query), Lane.BULK):
                self._of(live).drop("unsuitable")
                return
            found = await self._of_both(both, query)
            recalls = await self._recalls(both, query, found)
        except Overloaded:
            self._of(live).drop("busy")
            return
        counts = self._of(live)
        ids: list[list[str]] = []
        for side, answer in zip((counts.active, counts.shadow), found, strict=True):
            if answer is None:
                side.failed += 1
            else:
                ids.append([hit.streamer_id for hit in answer[0].hits])
                side.add(ids[-1], None if query.has_profiles else answer[1])
        for side, recall in zip((counts.active, counts.shadow), recalls, strict=True):
            if recall is not None:
                side.recall.add(recall)
        if len(ids) == len(found):
            names = [s.streamer_id for s in (*query.positive, *query.negative) if s.streamer_id]
            is_named = len(names) == len(query.positive) + len(query.negative)
            counts.compare(ids[0], ids[1], names if is_named else ())
        else:
            counts.drop("failed")

    async def _of_both(
        self, both: Both, query: SimilarQuery
    ) -> list[tuple[SimilarAnswer, float] | None]:
        """Answers of the active model and of its shadow, with their milliseconds; None: it failed.

        Neither is always asked first, which would warm up the other.
        """
        found: dict[int, tuple[SimilarAnswer, float] | None] = {}
        models = (both.active, both.target)
        self._asked += 1
        order = (0, 1) if self._asked % 2 else (1, 0)
        for place in order:
            began = time.perf_counter()
            answer = await _answer(models[place], query)
            took_ms = (time.perf_counter() - began) * 1000
            found[place] = None if answer is None else (answer, took_ms)
        return [found[0], found[1]]

    async def _recalls(
        self,
        both: Both,
        query: SimilarQuery,
        found: Sequence[tuple[SimilarAnswer, float] | None],
    ) -> list[float | None]:
        """Shares of the exact hits that were found, of some questions."""
        if self._asked % _RECALL_EVERY:
            return [None, None]
        recalls: list[float | None] = []
        for model, answer in zip((both.active, both.target), found, strict=True):
            exact: SimilarAnswer | None = None
            if answer is not None:
                is_exact = answer[0].exact
                exact = answer[0] if is_exact else await _answer(model, replace(query, exact=True))
            if answer is None or exact is None or not exact.hits:
                recalls.append(None)
                continue
            wanted = {hit.streamer_id for hit in exact.hits}
            recalls.append(len(wanted & {hit.streamer_id for hit in answer[0].hits}) / len(wanted))
        return recalls


async def _answer(model: OpenModel, query: SimilarQuery) -> SimilarAnswer | None:
    """None where it has none.

    Raises:
        Overloaded: others need the threads.
    """
    try:
        return await model.similar.search(query)
    except Overloaded:
        raise
    except ServiceError:
        return None
    except Exception:  # noqa: BLE001 - a model that is broken is what a shadow is to find
        _log.exception("model %s can't answer a shadowed question", model.model_version)
        return None


def _has_addresses(query: SimilarQuery) -> bool:
    """Whether a seed shows what would have to be fetched once more for each model."""
    profiles = (seed.profile for seed in (*query.positive, *query.negative))
    return any(
        piece.payload_digest.startswith(_ADDRESS)
        for profile in profiles
        if profile is not None
        for piece in pieces_of(profile)
    )
