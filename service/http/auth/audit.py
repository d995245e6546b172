"""What the audit log is told of each request, and the protocol of that log.

Who asked what, about whom, with how many results: never a key, a body, a vector or a profile.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import Depends, Request
from starlette.types import Message, Scope

from service.http.auth.callers import Caller
from service.http.auth.route_scopes import RouteScope
from service.http.traffic import Known
from service.maxima import MOST_USER_ID_CHARS

_BEFORE_ANSWER = frozenset({"streamers:write", "spaces:write", "embeddings:read", "cases", "admin"})
"""Scopes of writes, of changes of keys, and of answers with vectors."""
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_EXPORTS = ("/export", "/result", "/points")
QUESTIONS = frozenset(
    {
        "/v1/similar",
        "/v1/cold-start",
        "/v1/cold-start:batch",
        "/v1/dedup",
        "/v1/compare",
        "/v1/lists:preview",
        "/v1/streamers:find",
        "/v1/streamers:facets",
        "/v1/ratings:mine",
        "/v1/layouts/current:select",
    }
)
"""Templates of POST that change nothing; any other POST is in the log before its answer."""
_KEY_PREFIX = "ssk_"
REFUSALS = frozenset({401, 403, 421, 429})
"""Statuses of who may not ask, or not so often: whoever sends them can't fill the disk."""


class Entry(NamedTuple):
    """What happened.

    Attributes:
        at: seconds since 1970.
        key_id: of the API key; None where nobody was recognised.
        client: address of who was not recognised or was refused; else None.
        method: of HTTP, or "COMMAND".
        route: template of the path; None where there is none.
        scope: that the route needs.
        ids: the first of those that it is about.
        more_ids: how many more there are.
        results: how many streamers were answered, written or deleted; None = not told.
        status: of HTTP; 0 = no answer was begun.
        request_id: as in the answer.
        action: what method and route do not tell, such as "erase".
    """

    at: float
    key_id: str | None
    client: str | None
    method: str
    route: str | None
    scope: str | None
    ids: Sequence[str]
    more_ids: int
    results: int | None
    status: int
    request_id: str
    action: str | None = None


class AuditLog(Protocol):
    """Where entries are written.

    Attributes:
        most_ids: ids of one entry.
    """

    most_ids: int

    def note(self, entry: Entry) -> None:
        """Have an entry written soon; refused ones are counted together beyond a rate."""
        ...

    async def write(self, entries: Sequence[Entry | Mapping[str, Any]]) -> None:
        """Write entries, and those that wait; they are in the file when this returns.

        Args:
            entries: of requests, or the fields of others as JSON.

        Raises:
            AuditUnavailable: they are not, and the settings do not go on without.
        """
        ...

    def check(self) -> None:
        """Refuse what could not be written.

        Raises:
            AuditUnavailable: the log can't be written, and the settings do not go on without.
        """
        ...


class RequestAudit:
    """Tells the log of one request; `audit` in its ASGI scope.

    Attributes:
        comes_first: whether the log has it before the answer is sent.
    """

    __slots__ = (
        "_action",
        "_ids",
        "_is_told",
        "_log",
        "_results",
        "_route",
        "_scope",
        "comes_first",
    )

    def __init__(self, log: AuditLog, scope: Scope, route: RouteScope | None) -> None:
        """Of a request on a route, if there is one."""
        self._log = log
        self._scope = scope
        self._route = route
        self._ids: list[str] = [] if route is None else [i for i in route.ids if _is_id(i)]
        self._results: int | None = None
        self._action: str | None = None
        self.comes_first = self._is_told = False

    def begin(self) -> None:
        """The caller may ask: decide whether the log comes before the answer.

        Raises:
            AuditUnavailable: it would, and the log can't be written.
        """
        route = self._route
        if route is not None and (
            route.scope in _BEFORE_ANSWER
            or route.template.endswith(_EXPORTS)
            or not (self._scope["method"] in _READS or route.template in QUESTIONS)
        ):
            self._scope["route"] = Known(route.template)  # of a refusal, which is no overload
            self._log.check()
            self.comes_first = True

    def about(
        self,
        ids: Iterable[str] = (),
        results: int | None = None,
        *,
        has_vectors: bool = False,
        is_export: bool = False,
        action: str | None = None,
    ) -> None:
        """Add what the path does not tell.

        Args:
            ids: of streamers or keys that were asked about, read or written.
            results: how many streamers are answered, or were written.
            has_vectors: the answer shows vectors, and waits until the log has it.
            is_export: the answer is a file, or a job that makes one, and waits likewise.
            action: what method and route do not tell, such as "erase".

        Raises:
            AuditUnavailable: it is an export, and the log can't be written.
        """
        if is_export and not self.comes_first:
            self._log.check()
        self._action = action or self._action
        self._ids += ids
        if results is not None:
            self._results = (self._results or 0) + results
        self.comes_first = self.comes_first or has_vectors or is_export

    async def before(self, message: Message, status: int) -> None:
        """Write what is known and new before a part of the answer is sent.

        Args:
            message: the part.
            status: of the answer; 0 = this is its beginning.

        Raises:
            AuditUnavailable: it may not be sent.
        """
        if status == 0:
            await self._log.write(self._taken(message["status"]))
        elif self._has_news:
            await self._log.write(self._taken(status))

    def finish(self, status: int) -> None:
        """Note what is not in the log yet."""
        if not self._is_told or self._has_news:
            for entry in self._taken(status):
                self._log.note(entry)

    @property
    def _has_news(self) -> bool:
        return bool(self._ids) or self._results is not None

    def _taken(self, status: int) -> list[Entry]:
        """Entries of what is known, each time the news; of writes no id is left out."""
        ids, results = self._ids, self._results
        self._ids, self._results, self._is_told = [], None, True
        scope, route, most = self._scope, self._route, self._log.most_ids
        caller: Caller | None = scope.get("caller")
        is_refused = caller is None or status in REFUSALS
        client = scope.get("client")
        needed = None if route is None else route.scope
        first = Entry(
            time.time(),
            None if caller is None else caller.key_id,
            client[0] if is_refused and client else None,
            scope["method"],
            None if route is None else route.template,
            needed,
            ids[:most],
            0,
            results,
            status,
            scope["request_id"],
            self._action,
        )
        if len(ids) <= most:
            return [first]
        if needed != "streamers:write":
            return [first._replace(more_ids=len(ids) - most)]
        parts = (ids[start : start + most] for start in range(most, len(ids), most))
        return [first, *(first._replace(ids=part, results=None) for part in parts)]


def _is_id(text: str) -> bool:
    """Whether a part of a path may be in the log: not if somebody took a key for an id."""
    return (
        len(text) <= MOST_USER_ID_CHARS and text.isprintable() and not text.startswith(_KEY_PREFIX)
    )


async def current_audit(request: Request) -> RequestAudit:
    """What the log is told of this request."""
    audit = request.scope["audit"]
    assert isinstance(audit, RequestAudit)
    return audit


CurrentAudit = Annotated[RequestAudit, Depends(current_audit)]
