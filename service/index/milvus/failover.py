"""Which of several clusters answers a question: the one that answered last, else another."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from service.errors import IndexUnavailable, NotReady
from service.index.milvus.attachment import Attachment

Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class Failover:
    """Clusters that are projected from the same log, each of which can answer alone.

    A question is asked of one of them, wholly; it is asked of another one if that fails, or is
    silent for so long that it may have gone. Whoever answered in place of another is asked first
    from then on: a cluster that comes and goes moves nobody back and forth, nor does one that
    answers late.
    """

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        """Prefer the first."""
        self._attachments = attachments
        self._preferred = attachments[0]

    @property
    def serving(self) -> Attachment:
        """The one that is asked first now: the preferred one, while it or no other can be asked."""
        return self._ordered()[0]

    def _ordered(self) -> list[Attachment]:
        """All of them, in the order in which they are to be asked."""
        return sorted(
            self._attachments,
            key=lambda each: (each.trouble is not None, each is not self._preferred),
        )

    @property
    def trouble(self) -> str | None:
        """Why none can be asked, for people; None while one can."""
        if any(each.trouble is None for each in self._attachments):
            return None
        return "; ".join(self._told(each, each.trouble) for each in self._attachments)

    @property
    def warning(self) -> str | None:
        """Which clusters can't be asked though another one can, for people."""
        told = [
            f"Milvus cluster {each.base.name} is not asked: {each.trouble}"
            for each in self._attachments
            if each.trouble is not None
        ]
        return "; ".join(told) if 0 < len(told) < len(self._attachments) else None

    async def ask(self, ask: Callable[[Attachment], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer of the first cluster that has one.

        Raises:
            NotReady: none can be asked.
            IndexUnavailable: none of those that can be asked answers, or none in time.
            ServiceError: what one of them says of the question itself, or that this process has
                too much to do: another cluster would not help.
        """
        ready = [each for each in self._ordered() if each.trouble is None]
        if not ready:
            raise NotReady(self.trouble or "no Milvus cluster can be asked")
        preferred, answer_s = self._preferred, ready[0].base.bounds.answer_s
        try:
            async with asyncio.timeout(answer_s):
                if len(ready) == 1:
                    who, answer = ready[0], await ask(ready[0])
                else:
                    who, answer = await self._asked_in_turn(ready, ask)
        except TimeoutError:
            raise IndexUnavailable(f"Milvus has not answered for {answer_s:g} s") from None
        if self._preferred is preferred:  # or another question has moved on meanwhile
            self._prefer(who)
        return answer

    async def _asked_in_turn(
        self,
        ready: list[Attachment],
        ask: Callable[[Attachment], Coroutine[Any, Any, Answer]],
    ) -> tuple[Attachment, Answer]:
        waiting, began = [*ready], time.monotonic()
        running: dict[asyncio.Task[Answer], Attachment] = {}
        failures: list[tuple[Attachment, IndexUnavailable | NotReady]] = []
        patience_s = ready[0].base.bounds.patience_s
        try:
            while waiting or running:
                if not running or (waiting and _are_silent(running.values(), began)):
                    each, began = waiting.pop(0), time.monotonic()
                    running[asyncio.create_task(ask(each), name="question to Milvus")] = each
                done, _ = await asyncio.wait(
                    running,
                    timeout=patience_s if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    each = running.pop(task)
                    error = task.exception()
                    if not isinstance(error, IndexUnavailable | NotReady):
                        return each, task.result()
                    failures.append((each, error))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        told = "; ".join(self._told(each, error.detail) for each, error in failures)
        raise IndexUnavailable(told)

    def _prefer(self, attachment: Attachment) -> None:
        if attachment is not self._preferred:
            names = self._preferred.base.name, attachment.base.name
            _log.warning("questions go from Milvus cluster %s to %s", *names)
            self._preferred = attachment

    def _told(self, attachment: Attachment, trouble: str | None) -> str:
        if len(self._attachments) == 1:
            return trouble or ""
        return f"{attachment.base.name}: {trouble}"


def _are_silent(asked: Iterable[Attachment], since: float) -> bool:
    """Whether those that were asked have answered no question for too long: they may have gone."""
    now = time.monotonic()
    return all(
        now >= max(since, each.base.connection.answered_at) + each.base.bounds.patience_s
        for each in asked
    )
