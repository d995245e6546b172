"""Request counts and latencies, by method, route and status, and the log of requests."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from service.errors import ServiceError, catalogue
from service.logs.requests import RequestLog

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_UNEXPECTED = 500
_API = "/v1/"
_OTHER = "other"
"""The route of what no route is for: paths that somebody made up are no labels."""


class Known(NamedTuple):
    """A route by its template."""

    path_format: str


class Traffic:
    """Counts and times requests, by method, route and status.

    Attributes:
        seconds: the histogram.
        unexpected: answers with 500, and those that a defect cut off; an alert sees the first one,
            as it begins at 0.
        problems: answers with a 5xx below `/v1`, by code, each of which begins at 0.
        collectors: tell `/metrics` of what the process has beside its services.
        log: told of each request as well, where there is one.
    """

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.seconds = Histogram(
            "streamer_request_seconds",
            "From a request's head to the end of its answer; status 0: none was begun.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=None,
        )
        self.unexpected = Counter(
            "streamer_unexpected_errors",
            "Requests answered with 500, or cut off: no input should cause either.",
            registry=None,
        )
        self.problems = Counter(
            "streamer_problems",
            "Requests below /v1 that were let in and answered with a 5xx, by the problem's code.",
            ("code",),
            registry=None,
        )
        self._problems = {
            code: self.problems.labels(code)
            for code, kind in catalogue().items()
            if kind.status >= _UNEXPECTED
        }
        self.collectors: list[Collector] = [self.seconds, self.unexpected, self.problems]
        self.log: RequestLog | None = None
        self._known: dict[tuple[str, str, int], Histogram] = {}  # found faster than by labels

    def note(
        self,
        scope: MutableMapping[str, Any],
        status: int,
        seconds: float,
        received: int = 0,
        sent: int = 0,
    ) -> None:
        """Count a request, with the bytes of both bodies; its scope has the `route`, if any."""
        route = getattr(scope.get("route"), "path_format", _OTHER)
        key = (scope["method"], route, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self.seconds.labels(*key)
        known.observe(seconds)
        if status == _UNEXPECTED:
            self.unexpected.inc()
        if status >= _UNEXPECTED and route.startswith(_API):
            unknown = self._problems[ServiceError.code]
            self._problems.get(scope.get("problem", ""), unknown).inc()
        if self.log is not None:
            self.log.note(scope, route, status, seconds, received, sent)
