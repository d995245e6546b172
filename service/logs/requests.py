"""Request log: one line per answered request, written beside the event loop.

A line has ids, a route's template, a status, a duration and sizes. It has no path, no query, no
header and no body, which could tell of a person.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Self

from service.logs.formats import Format, line_of

LOGGER = "service.requests"
_WRITE_EVERY_S = 0.05
"""Few lines at a time: while they are made, the event loop waits for the interpreter."""
_MOST_KEPT = 50_000
"""Requests that may wait for their line, about 20 MB; what comes while so many do is counted."""
_MOST_UNAVAILABLE = 2
"""Lines with status 503 in one writing; the rest is counted, so that overload costs no lines."""
_UNAVAILABLE = 503
_UNEVENTFUL = frozenset({"/livez", "/startupz", "/readyz", "/metrics"})
"""Routes whose 200 is asked for every few seconds, and tells nothing."""
_Entry = tuple[float, str, str, str, int, float, int, int, str | None]


class RequestLog:
    """Collects what is known of answered requests, and writes their lines in a thread.

    A context manager: the thread runs within, and has written everything when it is left.
    """

    def __init__(self, write: Callable[[str], None], log_format: Format) -> None:
        """Start no thread yet.

        Args:
            write: takes whole lines; called by one thread.
            log_format: of the lines.
        """
        self._write_lines = write
        self._line_of = line_of(log_format, LOGGER)
        self._entries: deque[_Entry] = deque()
        self._unavailable = 0  # since the last writing
        self._refused = self._dropped = 0  # ever
        self._told = (0, 0)
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._thread.join(timeout=5)  # nobody may read the log any more

    def note(
        self,
        scope: MutableMapping[str, Any],
        route: str,
        status: int,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """Keep what the line of a request needs; on the event loop, in less than a microsecond.

        Args:
            scope: of the request; without a `request_id` it was refused before it was looked at.
            route: its template.
            status: of the answer; 0 if none was begun.
            seconds: from the request's head to the end of the answer.
            received: bytes of the request's body that were read.
            sent: bytes of the answer's body.
        """
        request_id = scope.get("request_id")
        if request_id is None:
            self._refused += 1
            return
        if status == _UNAVAILABLE:
            self._unavailable += 1
            if self._unavailable > _MOST_UNAVAILABLE:
                self._refused += 1
                return
        elif status == 200 and route in _UNEVENTFUL:
            return
        if len(self._entries) >= _MOST_KEPT:
            self._dropped += 1
            return
        who = getattr(scope.get("caller"), "key_id", None)
        method = scope["method"]
        self._entries.append(
            (time.time(), request_id, method, route, status, seconds, received, sent, who)
        )

    def _run(self) -> None:
        while not self._is_ending.wait(_WRITE_EVERY_S):
            self._write()
        self._write()

    def _write(self) -> None:
        """Write a line for each request that is kept, and how many have none."""
        self._unavailable = 0
        lines = [self._line(self._entries.popleft()) for _ in range(len(self._entries))]
        counts = self._refused, self._dropped
        if counts != self._told:
            refused, dropped = (now - told for now, told in zip(counts, self._told, strict=True))
            self._told = counts
            fields = {"refused": refused, "dropped": dropped}
            lines.append(self._line_of(time.time(), "requests without a line", fields))
        if lines:
            with contextlib.suppress(OSError):  # a log that takes nothing stops no service
                self._write_lines("".join(lines))

    def _line(self, entry: _Entry) -> str:
        created, request_id, method, route, status, seconds, received, sent, who = entry
        fields: dict[str, Any] = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "received": received,
            "sent": sent,
        }
        if who is not None:
            fields["key_id"] = who
        return self._line_of(created, "request", fields)
