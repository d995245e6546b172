"""Written by `generate.py` from `watchlists/asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Generator

from service.client.transport import Transport
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


class Watchlists:
    """Seeds that all that is stored, and every write, is matched with."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def create(self, wanted: Wanted, *, deadline_s: float | None = None) -> WatchlistOut:
        """Keep a list: writes from now on are matched, and all that is stored is swept soon."""
        return self._transport.call(calls.create(wanted), deadline_s)

    def replace(
        self,
        watchlist_id: str,
        wanted: Wanted,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> WatchlistOut:
        """Make a list another one, at any revision or at this one; else `Conflict`."""
        call = calls.replace(watchlist_id, wanted, if_revision)
        return self._transport.call(call, deadline_s)

    def change(
        self,
        watchlist_id: str,
        wanted: Change,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> WatchlistOut:
        """Change name, probability or mode, at any revision or at this one; its seeds stay."""
        call = calls.change(watchlist_id, wanted, if_revision)
        return self._transport.call(call, deadline_s)

    def get(self, watchlist_id: str, *, deadline_s: float | None = None) -> WatchlistOut:
        """A list with its seeds."""
        return self._transport.call(calls.get(watchlist_id), deadline_s)

    def delete(
        self,
        watchlist_id: str,
        *,
        if_revision: int | None = None,
        deadline_s: float | None = None,
    ) -> DeletedWatchlistOut:
        """Delete a list; its alerts stay."""
        return self._transport.call(calls.delete(watchlist_id, if_revision), deadline_s)

    def page(
        self, *, limit: int = 100, cursor: str | None = None, deadline_s: float | None = None
    ) -> WatchlistPage:
        """A page of lists, without their seeds."""
        return self._transport.call(calls.page(limit, cursor), deadline_s)

    def all(
        self, *, page_size: int = 100, deadline_s: float | None = None
    ) -> Generator[ListedWatchlistOut, None, None]:
        """All lists, without their seeds; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self.page(limit=page_size, cursor=cursor, deadline_s=deadline_s)
            for each in page.watchlists:
                yield each
            cursor = page.next_cursor
            if cursor is None:
                return


class Alerts:
    """Who matched a watchlist, and what people made of it."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def page(
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
        return self._transport.call(call, deadline_s)

    def all(
        self,
        *,
        state: State | None = None,
        mode: Mode = "on",
        watchlist_id: str | None = None,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> Generator[AlertOut, None, None]:
        """All alerts that there are by now; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self.page(
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

    def get(self, alert_id: str, *, deadline_s: float | None = None) -> AlertOut:
        """An alert with its evidence."""
        return self._transport.call(calls.alert(alert_id), deadline_s)

    def decide(
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
        return self._transport.call(call, deadline_s)
