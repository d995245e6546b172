"""`/v1/events`: what happened, in order, as a page, as lines, or as server-sent events."""

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import format_sse_event

from service.engine.work.lanes import Lanes
from service.errors import CursorExpired, InvalidRequest, RateLimited
from service.features.events.kinds import (
    MOST_KINDS,
    Selection,
    UnknownKind,
    everything,
    selection,
)
from service.features.events.schemas import (
    EXAMPLE,
    EXAMPLE_CURSOR,
    EventOut,
    EventPage,
    EventsEnd,
    RetentionOut,
)
from service.features.events.service import MOST_CURSOR, Events, FoundPage, cursor_of
from service.http.auth.callers import Caller, CurrentCaller, still_allowed
from service.http.auth.rate_limits import Charges, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, service_named
from service.http.documents import STORE, responses
from service.http.json_bodies import written
from service.http.lifecycle import Lifecycle
from service.http.ndjson import NDJSON, line_of
from service.http.openapi import ANTI_FRAUD
from service.http.streams.server_sent import MEDIA_TYPE, Take, Watchers, event_stream
from service.scopes import Scope
from service.store.events import MOST_KEPT, StoredEvent

CurrentEvents = Annotated[Events, Depends(service_named("events", Events))]
_SCOPE: Scope = "streamers:read"
_MOST_WAIT_S = 30
_PAUSE_S = 5.0


def _out(event: StoredEvent) -> EventOut:
    return EventOut(
        event_id=event.event_id, kind=event.kind, at=event.at, data=json.loads(event.data)
    )


def _end(found: FoundPage) -> EventsEnd:
    return EventsEnd(
        next_cursor=found.cursor,
        retention={
            group: RetentionOut(most_events=MOST_KEPT, oldest_at=at)
            for group, at in found.oldest_at.items()
        },
    )


def _page(found: FoundPage) -> str:
    shown, end = [_out(event) for event, _ in found.events], _end(found)
    page = EventPage(events=shown, next_cursor=end.next_cursor, retention=end.retention)
    return page.model_dump_json()


def _lines(found: FoundPage) -> str:
    shown = [_out(event).model_dump_json() for event, _ in found.events]
    return "".join(f"{line}\n" for line in (*shown, _end(found).model_dump_json()))


def _sse(event: EventOut, cursor: str) -> bytes:
    return format_sse_event(event=event.kind, id=cursor, data_str=event.model_dump_json())


def _stream(found: FoundPage) -> bytes:
    return b"".join(_sse(_out(event), cursor_of(place)) for event, place in found.events)


_EXAMPLE = EventOut.model_validate(EXAMPLE)
_LINES = (line_of(EXAMPLE) + line_of({"next_cursor": EXAMPLE_CURSOR, "retention": {}})).decode()


def _selected(kinds: str | None, caller: Caller) -> Selection:
    """The kinds that a caller asks for.

    Raises:
        InvalidRequest: there is no such kind.
        MissingScope: the caller may not read one.
    """
    if kinds is None:
        return everything(caller.scopes.__contains__)
    try:
        wanted = selection([kind.strip() for kind in kinds.split(",", MOST_KINDS)])
    except UnknownKind as error:
        raise InvalidRequest.of_parameter("kinds", str(error)) from None
    for scope in sorted(wanted.scopes):
        caller.require(scope)
    return wanted


def _charging(charges: Charges, units: int) -> Callable[[], None]:
    """Charges one unit more, beside so many, whenever it is called."""
    costs = itertools.count(units + 1)
    return lambda: charges.reach(_SCOPE, next(costs))


class _Taking:
    """Gives the events behind a cursor as they come; `more` is told of the first search alone.

    Each page after the first is charged like one that is asked for; where the limit is used up, the
    stream waits.
    """

    def __init__(
        self,
        events: Events,
        lanes: Lanes,
        cursor: str | None,
        limit: int,
        wanted: Selection,
        more: Callable[[], None],
        charges: Charges,
    ) -> None:
        self._events = events
        self._lanes = lanes
        self._cursor = cursor
        self._limit = limit
        self._wanted = wanted
        self._more: Callable[[], None] | None = more
        self._charges = charges
        self._wait_s = 0  # until the limit allows another page

    async def take(self) -> tuple[bytes, bool]:
        found = await self._events.page(self._cursor, self._limit, self._wanted, self._more)
        if found.events and self._more is None:
            try:
                self._charges.anew().reach(_SCOPE, hits_units(len(found.events)))
            except RateLimited as error:
                self._wait_s = error.retry_after_s
                return b"", False  # it is read once more then
        self._cursor, self._more = found.cursor, None  # an answer that has begun is not refused
        return await written(partial(_stream, found), len(found.events), self._lanes), False

    def seen(self) -> str | None:
        """The cursor behind all that was looked at, of whatever kind."""
        return self._cursor

    async def pause(self) -> None:
        wait_s, self._wait_s = self._wait_s, 0
        if wait_s:
            await asyncio.sleep(min(wait_s, _PAUSE_S))
        elif self._cursor is not None:
            await self._events.wait(self._cursor, self._wanted, _PAUSE_S)


def router_of(lifecycle: Lifecycle) -> APIRouter:
    """The route; those who wait are answered when the process is to stop."""
    router = CheckedRouter(prefix="/v1", tags=[ANTI_FRAUD])
    watchers = Watchers(lifecycle)

    @router.get(
        "/events",
        operation_id="list_events",
        summary="Read the feed of events",
        dependencies=[requires(_SCOPE)],
        response_model=EventPage,
        responses={
            **responses(*STORE, CursorExpired),
            200: {
                "content": {
                    NDJSON: {
                        "schema": {"type": "object"},
                        "examples": {"lines": {"value": _LINES}},
                    },
                    MEDIA_TYPE: {
                        "schema": {"type": "string"},
                        "examples": {
                            "an event": {"value": _sse(_EXAMPLE, EXAMPLE_CURSOR).decode()}
                        },
                    },
                },
                "description": "A page; with `Accept: application/x-ndjson` an event a line and "
                "then what comes after them; with `Accept: text/event-stream` events without end, "
                "whose ids are cursors.",
            },
        },
    )
    async def list_events(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        events: CurrentEvents,
        lanes: CurrentLanes,
        caller: CurrentCaller,
        charges: CurrentCharges,
        cursor: Annotated[
            str | None,
            Query(
                max_length=MOST_CURSOR,
                description="next_cursor of the page before; none = the oldest kept.",
            ),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Most events on a page.")] = 100,
        kinds: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=MOST_KINDS * 82,
                description="By comma, such as `duplicates.merged,streamer.*`; none = all that the "
                "key may read.",
                examples=["duplicates.merged,streamer.*"],
            ),
        ] = None,
        wait_s: Annotated[
            float,
            Query(
                ge=0,
                le=_MOST_WAIT_S,
                allow_inf_nan=False,
                description="Where there is no event yet, wait for one so many seconds.",
            ),
        ] = 0,
        last_event_id: Annotated[
            str | None,
            Header(
                max_length=MOST_CURSOR,
                description="Of server-sent events: the id of the last one that was seen.",
            ),
        ] = None,
    ) -> Response:
        """Each event once and in order: keep `next_cursor`, which says where the next page begins.

        About the 100,000 newest of each group of kinds are kept, and `retention` tells since when;
        a cursor that is older is answered with 410. Kinds need scopes: streamer.* streamers:read,
        duplicates.* duplicates, watchlist.* cases, webhook.* admin; without `kinds`, those that the
        key may not read are left out.
        """
        wanted = _selected(kinds, caller)
        units = hits_units(limit)
        charges.reach(_SCOPE, units)
        more = _charging(charges, units)
        accept = request.headers.get("accept", "")
        allowed = still_allowed(request, [_SCOPE, *wanted.scopes])
        if MEDIA_TYPE in accept:
            taking = _Taking(events, lanes, last_event_id or cursor, limit, wanted, more, charges)
            with ExitStack() as place:
                place.enter_context(watchers.waiting(caller, "read the feed page by page"))
                text, _ = await taking.take()
                stream = watchers.stream(_after(text, taking), taking.pause, allowed, taking.seen)
                return event_stream(stream, place.pop_all())
        if wait_s == 0:
            found = await events.page(cursor, limit, wanted, more)
        else:
            with watchers.waiting(caller, "ask without wait_s"):
                found = await events.page_within(
                    cursor, limit, wanted, wait_s, lambda: watchers.is_over, more
                )
            allowed()  # the key may have been revoked meanwhile
        make, kind = (_lines, NDJSON) if NDJSON in accept else (_page, "application/json")
        text = await written(partial(make, found), len(found.events), lanes)
        return Response(text, media_type=kind)

    return router


def _after(first: bytes, taking: _Taking) -> Take:
    """What was taken before the answer began, so that a wrong cursor is refused; then the rest."""
    ready = [first]

    async def take() -> tuple[bytes, bool]:
        return (ready.pop(), False) if ready else await taking.take()

    return take
