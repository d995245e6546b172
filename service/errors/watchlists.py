"""Errors of watchlists and their alerts."""

from service.errors.base import RequestError


class WatchlistNotFound(RequestError):
    """There is no watchlist of this id; it may have been deleted."""

    status, code, title = 404, "watchlist_not_found", "Unknown watchlist"
    example = "there is no watchlist 'wl-0f3c9a1b5e7d2c4a6b8f9e01'; GET /v1/watchlists lists all"


class AlertNotFound(RequestError):
    """There was never an alert of this id."""

    status, code, title = 404, "alert_not_found", "Unknown alert"
    example = "there was never an alert 'al-0f3c9a1b5e7d2c4a6b8f9e01'"


class TooManyWatchlists(RequestError):
    """The service keeps no more watchlists or seeds; delete one, or give fewer seeds."""

    status, code, title = 409, "too_many_watchlists", "No more watchlists are kept"
    example = (
        "2000 watchlists are kept (STREAMER_WATCHLISTS__MAX_LISTS): delete one that is not needed"
    )
