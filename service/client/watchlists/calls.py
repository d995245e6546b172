"""Requests of watchlists and alerts."""

import uuid
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, json_of, params_of, reader_of
from service.client.models import (
    AlertOut,
    AlertPage,
    DeletedWatchlistOut,
    WatchlistChangeIn,
    WatchlistIn,
    WatchlistOut,
    WatchlistPage,
)

Wanted = WatchlistIn | Mapping[str, Any]
Change = WatchlistChangeIn | Mapping[str, Any]
State = Literal["open", "confirmed", "dismissed"]
Mode = Literal["shadow", "on"]
_JSON = {"Content-Type": "application/json"}


def _list(watchlist_id: str) -> str:
    return f"/v1/watchlists/{quote(watchlist_id, safe='')}"


def _alert(alert_id: str) -> str:
    return f"/v1/alerts/{quote(alert_id, safe='')}"


def _precondition(if_revision: int | None) -> dict[str, str]:
    return {} if if_revision is None else {"If-Match": f'"{if_revision}"'}


def create(wanted: Wanted) -> Call[WatchlistOut]:
    """`POST /v1/watchlists`: sent again with its key, it makes no other one."""
    headers = {**_JSON, "Idempotency-Key": f'"{uuid.uuid4()}"'}
    path = "/v1/watchlists"
    return Call("POST", path, reader_of(WatchlistOut), content=json_of(wanted), headers=headers)


def _written(
    method: str, watchlist_id: str, wanted: Wanted | Change, if_revision: int | None
) -> Call[WatchlistOut]:
    return Call(
        method,
        _list(watchlist_id),
        reader_of(WatchlistOut),
        content=json_of(wanted),
        headers=_JSON | _precondition(if_revision),
        is_repeatable=if_revision is None,
    )


def replace(watchlist_id: str, wanted: Wanted, if_revision: int | None) -> Call[WatchlistOut]:
    """`PUT /v1/watchlists/{watchlist_id}`."""
    return _written("PUT", watchlist_id, wanted, if_revision)


def change(watchlist_id: str, wanted: Change, if_revision: int | None) -> Call[WatchlistOut]:
    """`PATCH /v1/watchlists/{watchlist_id}`."""
    return _written("PATCH", watchlist_id, wanted, if_revision)


def get(watchlist_id: str) -> Call[WatchlistOut]:
    """`GET /v1/watchlists/{watchlist_id}`."""
    return Call("GET", _list(watchlist_id), reader_of(WatchlistOut))


def page(limit: int, cursor: str | None) -> Call[WatchlistPage]:
    """`GET /v1/watchlists`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", "/v1/watchlists", reader_of(WatchlistPage), params=params)


def delete(watchlist_id: str, if_revision: int | None) -> Call[DeletedWatchlistOut]:
    """`DELETE /v1/watchlists/{watchlist_id}`."""
    return Call(
        "DELETE",
        _list(watchlist_id),
        reader_of(DeletedWatchlistOut),
        headers=_precondition(if_revision),
        is_repeatable=False,
    )


def page_of_alerts(
    state: State | None,
    mode: Mode,
    watchlist_id: str | None,
    limit: int,
    cursor: str | None,
) -> Call[AlertPage]:
    """`GET /v1/alerts`."""
    params = params_of(
        state=state, mode=mode, watchlist_id=watchlist_id, limit=limit, cursor=cursor
    )
    return Call("GET", "/v1/alerts", reader_of(AlertPage), params=params)


def alert(alert_id: str) -> Call[AlertOut]:
    """`GET /v1/alerts/{alert_id}`."""
    return Call("GET", _alert(alert_id), reader_of(AlertOut))


def decide(alert_id: str, state: State, note: str, if_revision: int | None) -> Call[AlertOut]:
    """`PUT /v1/alerts/{alert_id}`; sent again, it would undo what others decided meanwhile."""
    return Call(
        "PUT",
        _alert(alert_id),
        reader_of(AlertOut),
        content=to_json({"state": state, "note": note}),
        headers=_JSON | _precondition(if_revision),
        is_repeatable=False,
    )
