"""Keeps the groups equal to the store's log and to the judgements; one process at a time does it.

Every process tries to have the lease. Whoever has it follows the log from where it was evaluated up
to, which is written in one step with what follows from it: nothing is told twice or missed.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable

from service.engine.candidates.kept import KeptCorpus
from service.engine.replica.trailing import TrailingLag
from service.errors import NotYetVisible, StoreUnavailable, Unavailable
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.rebuild import NewEvaluation, held, rebuild
from service.logs.repeats import Repeats
from service.store.base import LogGap, Position, StreamerStore
from service.store.duplicates import GroupStore, NotTheEvaluator, StepsLost

_log = logging.getLogger(__name__)
_RETRY_S = 1.0
_NEWS_S = 1.0
"""How often it is looked for judgements that another process took."""
_SHOWN_MS = 5000
_FAR_BEHIND = 2000
"""Writes that are not evaluated yet, from which on the work gives way to nobody: a log keeps some
20,000 of them, and who falls further behind has to compare everybody anew."""


class GroupsFollower:
    """Evaluates the log while this process has the lease.

    Attributes:
        is_leading: whether it has.
        evaluation: of the lease; None without one.
    """

    def __init__(
        self,
        store: StreamerStore,
        groups: GroupStore,
        new_evaluation: NewEvaluation,
        kept: KeptCorpus,
        ready: Callable[[], Awaitable[None]],
        shown: Callable[[int, int], Awaitable[None]],
        lease_s: float,
        rules: str,
        press: Callable[[bool], None],
    ) -> None:
        """Nothing is done before `start`.

        Args:
            store: whose log is followed.
            groups: where the groups are kept.
            new_evaluation: for a lease.
            kept: is given the corpus of candidates while it is up to date.
            ready: returns when there is an index to compare by.
            shown: returns when the index has applied a sequence number, with milliseconds to wait.
            lease_s: length of the lease.
            rules: `Comparer.rules`: groups that were made by others are made anew.
            press: is told whether it is so far behind that it can't give way to questions.
        """
        self._store = store
        self._groups = groups
        self._new_evaluation = new_evaluation
        self._kept = kept
        self._ready = ready
        self._shown = shown
        self._lease_s = lease_s
        self._rules = rules
        self._press = press
        self._owner = secrets.token_hex(8)
        self._judged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lag = TrailingLag(store.position, self._evaluated_up_to)
        self._has_gap = False
        self._is_far_behind = False
        self._repeats = Repeats()
        self.is_leading = False
        self.evaluation: Evaluation | None = None

    @property
    def lag_s(self) -> float | None:
        """Seconds since all that was written was evaluated, by anyone; see `TrailingLag`."""
        return self._lag.lag_s

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._lag.start()
        self._task = asyncio.create_task(self._run(), name="duplicates")

    async def stop(self) -> None:
        """End, and let another process go on."""
        await self._lag.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def wake(self) -> None:
        """A judgement was given or taken back."""
        self._judged.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._ready()
                token = await self._groups.claim(self._owner, self._lease_s)
                if token is not None:
                    async with held(self._groups, token, self._lease_s) as holding:
                        self.is_leading = True
                        await self._lead(self._new_evaluation(token), holding)
            except LogGap as gap:
                _log.warning("groups of duplicates are made anew: %s", gap)
                self._has_gap = True
            except NotTheEvaluator:
                _log.info("groups of duplicates are evaluated by another process or a job")
            except (StepsLost, _Interrupted) as lost:
                _log.warning("groups of duplicates are read anew: %s", lost)
            except Unavailable as error:
                if self._repeats.is_new("groups", error.detail):
                    _log.warning("groups of duplicates can't be kept up to date: %s", error.detail)
            except Exception as error:  # noqa: BLE001 - or they would silently stand still
                if self._repeats.is_new("groups", error):
                    _log.exception("groups of duplicates can't be kept up to date")
            finally:
                self._press(False)
                self.is_leading = False
                if self.evaluation is not None:
                    self.evaluation.close()
                self.evaluation = None
                self._kept.keep(None)
            await asyncio.sleep(_RETRY_S)

    async def _lead(self, evaluation: Evaluation, holding: "asyncio.Task[None]") -> None:
        """Evaluate until something fails; `holding` raises when the lease is lost."""
        self._press(self._has_gap)
        is_new = self._has_gap or await self._groups.position() is None
        if not is_new and (before := await self._groups.rules()) != self._rules:
            _log.info("groups of duplicates are made anew by %s, before by %s", self._rules, before)
            is_new = True
        self.evaluation = evaluation
        await evaluation.open(to_rebuild=is_new)
        self._kept.keep(evaluation.corpus)
        if is_new:
            await self._rebuild(evaluation)
        else:  # what a process that died left half done is put right
            await evaluation.regroup(f"again {secrets.token_hex(8)}", None)
        while True:
            try:
                await self._follow_both(evaluation, holding)
            except StoreUnavailable as error:
                if not evaluation.is_whole:  # a judgement was being carried out at that moment
                    raise _Interrupted(error.detail) from error
                if self._repeats.is_new("log", error.detail):
                    _log.warning("the log can't be followed for duplicates: %s", error.detail)
                await asyncio.sleep(_RETRY_S)

    async def _rebuild(self, evaluation: Evaluation) -> None:
        async def told(_: str, count: int) -> None:
            """Nobody waits for it."""

        begin = evaluation.read_from
        assert begin is not None
        cause = f"rebuild {secrets.token_hex(8)}"
        await rebuild(evaluation, self._store, cause, begin, "", told)
        self._has_gap = False

    async def _follow_both(self, evaluation: Evaluation, holding: "asyncio.Task[None]") -> None:
        """Follow the log and the judgements until one of them fails.

        Raises:
            LogGap: the log does not go on where it is evaluated up to.
            StoreUnavailable: the log can't be read.
            NotTheEvaluator: another process has the lease.
            StepsLost, _Interrupted: what is in memory may not be what is stored.
        """
        tasks = [
            asyncio.create_task(self._follow(evaluation), name="duplicates' log"),
            asyncio.create_task(self._judge(evaluation), name="duplicates' judgements"),
        ]
        try:
            done, _ = await asyncio.wait([*tasks, holding], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, evaluation: Evaluation) -> None:
        place = evaluation.position
        assert place is not None
        feed = self._store.follow(place.sequence, place.epoch, place.mark)
        async with contextlib.aclosing(feed):
            async for entries in feed:
                place = Position(place.epoch, entries[-1].sequence, entries[-1].mark)
                with contextlib.suppress(NotYetVisible):  # the index is behind: it has the others
                    await self._shown(place.sequence, _SHOWN_MS)
                ids = list(dict.fromkeys(entry.streamer_id for entry in entries))
                if not self._is_far_behind:
                    await self._kept.look_ups.ended(ids)
                cause = f"log {place.epoch} {place.sequence}"
                async with evaluation.turn:
                    async with _whole():
                        await evaluation.evaluate(ids, cause, place)
                    last = await self._store.position()
                    evaluation.seen(last.sequence)
                self._is_far_behind = last.sequence - place.sequence > _FAR_BEHIND
                self._press(self._is_far_behind)

    async def _evaluated_up_to(self) -> Position | None:
        known = self.evaluation
        return (known and known.position) or await self._groups.position()

    async def _judge(self, evaluation: Evaluation) -> None:
        while True:
            self._judged.clear()
            async with evaluation.turn, _whole():
                while await evaluation.judge():
                    pass
                if evaluation.pending:
                    await evaluation.evaluate([], f"pending {secrets.token_hex(8)}", None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_NEWS_S):
                    await self._judged.wait()


class _Interrupted(Exception):
    """A change was not carried out to its end: all has to be read anew."""


@contextlib.asynccontextmanager
async def _whole() -> AsyncGenerator[None, None]:
    try:
        yield
    except Unavailable as error:
        raise _Interrupted(error.detail) from error
