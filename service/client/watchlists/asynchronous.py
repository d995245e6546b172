"""Watchlists of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import AsyncGenerator

from service.client.async_transport import AsyncTransport
from service.client.models import (
    AlertOut,
    AlertPage,
    DeletedWatchlistOut,
    ListedWatchlistOut,
    WatchlistOut,
    WatchlistPage,
)
from service.client.watchlists import calls
from service.client.watchlists.calls import Change, Mode, State, Wanted


class AsyncWatchlists:
    """Seeds that all that is stored, and every write, is matched with."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def create(self, wanted: Wanted, *, deadline_s: float | None = None) -> WatchlistOut:
        """Keep a list: writes from now on are matched, and all that is stored is swept soon."""
        return await self._transport.call(calls.create(wanted), deadline_s)

    async def replace(
        self,
        watchlist_id: str,
        wanted: Wanted,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> WatchlistOut:
        """Make a list another one, at any revision or at this one; else `Conflict`."""
        call = calls.replace(watchlist_id, wanted, if_revision)
        return await self._transport.call(call, deadline_s)

    async def change(
        self,
        watchlist_id: str,
        wanted: Change,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> WatchlistOut:
        """Change name, probability or mode, at any revision or at this one; its seeds stay."""
        call = calls.change(watchlist_id, wanted, if_revision)
        return await self._transport.call(call, deadline_s)

    async def get(self, watchlist_id: str, *, deadline_s: float | None = None) -> WatchlistOut:
        """A list with its seeds."""
        return await self._transport.call(calls.get(watchlist_id), deadline_s)

    async def delete(
        self,
        watchlist_id: str,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> DeletedWatchlistOut:
        """Delete a list; its alerts stay."""
        return await self._transport.call(calls.delete(watchlist_id, if_revision), deadline_s)

    async def page(
        self, *, limit: int = 100, cursor: str | None = None, deadline_s: float | None = None
    ) -> WatchlistPage:
        """A page of lists, without their seeds."""
        return await self._transport.call(calls.page(limit, cursor), deadline_s)

    async def all(
        self, *, page_size: int = 100, deadline_s: float | None = None
    ) -> AsyncGenerator[ListedWatchlistOut, None]:
        """All lists, without their seeds; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(limit=page_size, cursor=cursor, deadline_s=deadline_s)
            for each in page.watchlists:
                yield each
            cursor = page.next_cursor
            if cursor is None:
                return


class AsyncAlerts:
    """Who matched a watchlist, and what people made of it."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def page(
        self,
        *,
        state: State | None = None,
        mode: Mode = "on",
        watchlist_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> AlertPage:
        """A page in the order in which they were raised; of large ones fewer than `limit`.

        `next_cursor` of the answer, given as `cursor`, fetches those that come behind, now or
        later.
        """
        call = calls.page_of_alerts(state, mode, watchlist_id, limit, cursor)
        return await self._transport.call(call, deadline_s)

    async def all(
        self,
        *,
        state: State | None = None,
        mode: Mode = "on",
        watchlist_id: str | None = None,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[AlertOut, None]:
        """All alerts that there are by now; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                state=state,
                mode=mode,
                watchlist_id=watchlist_id,
                limit=page_size,
                cursor=cursor,
                deadline_s=deadline_s,
            )
            for alert in page.alerts:
                yield alert
            if not (page.alerts and page.has_more):
                return
            cursor = page.next_cursor

    async def get(self, alert_id: str, *, deadline_s: float | None = None) -> AlertOut:
        """An alert with its evidence."""
        return await self._transport.call(calls.alert(alert_id), deadline_s)

    async def decide(
        self,
        alert_id: str,
        state: State,
        note: str = "",
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> AlertOut:
        """Say what became of it, at any revision or at this one; else `Conflict`."""
        call = calls.decide(alert_id, state, note, if_revision)
        return await self._transport.call(call, deadline_s)
