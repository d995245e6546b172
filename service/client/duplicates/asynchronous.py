"""Duplicates of the client. `generate.py` writes `synchronous.py` from this file."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from service.client.async_transport import AsyncTransport
from service.client.calls import start_job
from service.client.duplicates import calls
from service.client.duplicates.calls import Order, Verdict
from service.client.models import (
    EventOut,
    GivenOut,
    GroupDetailOut,
    GroupOut,
    GroupPage,
    JobOut,
    JudgementPage,
    ListedOut,
    StreamerDuplicatesOut,
    TakenBackOut,
)


class AsyncDuplicates:
    """Groups of duplicates over the whole corpus."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def all(
        self, *, order: Order = "size", page_size: int = 100, deadline_s: float | None = None
    ) -> AsyncGenerator[GroupOut, None]:
        """All groups, the largest or the last changed first; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                order=order, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for group in page.groups:
                yield group
            cursor = page.next_cursor
            if cursor is None:
                return

    async def page(
        self,
        *,
        order: Order = "size",
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> GroupPage:
        """A page of groups, with the write up to which they are complete."""
        return await self._transport.call(calls.page_of_groups(order, limit, cursor), deadline_s)

    async def get(
        self,
        group_id: str,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> GroupDetailOut:
        """A group, live or not, with up to `limit` members and their edges.

        `next_cursor` of the answer, given as `cursor`, fetches more members.
        """
        return await self._transport.call(calls.group(group_id, limit, cursor), deadline_s)

    async def of(
        self, streamer_id: str, *, limit: int = 100, deadline_s: float | None = None
    ) -> StreamerDuplicatesOut:
        """The group of a streamer, and whom evidence takes for duplicates of it."""
        return await self._transport.call(calls.duplicates_of(streamer_id, limit), deadline_s)

    async def rebuild(self, *, deadline_s: float | None = None) -> JobOut:
        """Have all streamers compared anew; the job, which is queued."""
        call = start_job("/v1/duplicates:rebuild", b"", "application/json")
        return await self._transport.call(call, deadline_s)


class AsyncJudgements:
    """What people know of pairs: one judgement a pair, in either order."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def put(
        self, a: str, b: str, verdict: Verdict, note: str = "", *, deadline_s: float | None = None
    ) -> GivenOut:
        """Judge a pair, in place of what was judged before; names what it overrules."""
        return await self._transport.call(calls.judge(a, b, verdict, note), deadline_s)

    async def get(self, a: str, b: str, *, deadline_s: float | None = None) -> ListedOut | None:
        """The judgement of a pair; None if it has none. The deadline is of a page."""
        async for judgement in self.all(a, page_size=1000, deadline_s=deadline_s):
            if {judgement.a, judgement.b} == {a, b}:
                return judgement
        return None

    async def delete(self, a: str, b: str, *, deadline_s: float | None = None) -> TakenBackOut:
        """Take the judgement of a pair back; what it was."""
        return await self._transport.call(calls.take_back(a, b), deadline_s)

    async def page(
        self,
        streamer_id: str | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> JudgementPage:
        """A page of judgements, of one streamer or all."""
        call = calls.page_of_judgements(streamer_id, limit, cursor)
        return await self._transport.call(call, deadline_s)

    async def all(
        self,
        streamer_id: str | None = None,
        *,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[ListedOut, None]:
        """Judgements, of one streamer or all, by their pairs; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                streamer_id, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for judgement in page.judgements:
                yield judgement
            cursor = page.next_cursor
            if cursor is None:
                return


class AsyncEvents:
    """The feed of events, as an iterator that keeps its cursor.

    It ends behind the newest event, unless it has `poll_s`; iterated again, it goes on there.

    Attributes:
        cursor: continues behind the events that were dealt with: with those of a page once the
            next one is asked for. Kept and given to another iterator, no event is lost, and some
            of the last page may come twice, with the same `event_id`. None before any page.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        cursor: str | None,
        kinds: Sequence[str],
        page_size: int,
        poll_s: float | None,
        deadline_s: float | None,
    ) -> None:
        """Ask by `transport`; see `AsyncClient.events`."""
        self._transport = transport
        self._kinds = kinds
        self._page_size = page_size
        self._poll_s = poll_s
        self._deadline_s = deadline_s
        self._waiting: list[EventOut] = []
        self._following = cursor
        self.cursor = cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventOut:
        while not self._waiting:
            self.cursor = self._following
            call = calls.page_of_events(self._page_size, self.cursor, self._kinds)
            page = await self._transport.call(call, self._deadline_s)
            self._waiting = page.events[::-1]
            self._following = page.next_cursor
            if not page.events:
                self.cursor = self._following
                if self._poll_s is None:
                    raise StopAsyncIteration
                await asyncio.sleep(self._poll_s)
        return self._waiting.pop()
