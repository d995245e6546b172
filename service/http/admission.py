"""Admission: while more requests come than can be answered in time, the rest are refused at once.

What is measured is how late the event loop is, and how long interactive work waits for a thread.
The requests that may be in flight shrink by a share while that is above a target, and grow by steps
while it is below (AIMD, as TCP does), so that they settle where the delay is small, whatever a
request costs. A few clients that wait for each answer are never refused. Where many come whatever
is answered, the bound falls lower still while that costs no answers: the wait for each is shorter.
"""

import asyncio
from collections import deque
from typing import Protocol

from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Overloaded
from service.http.documents import MEDIA_TYPE, problem_of
from service.http.headers.request_ids import REQUEST_ID, ids_of
from service.http.ndjson import streamed_route
from service.http.traffic import Traffic

PROBES = frozenset({"/livez", "/startupz", "/readyz"})
_FREE = PROBES | {"/metrics"}
_TICK_S = 0.01
_TARGET_S = 0.003
"""Delay that is no sign of overload: of a turn of the event loop, or of a wait for a thread."""
_FEWEST, _MOST = 16, 128
"""Bounds of the requests of one kind in flight."""
_FEWEST_OVERLOADED = 4
"""Bound while many are refused anyway: as many are answered, and each waits for fewer others."""
_MANY_REFUSED, _REFUSED_TICKS = 0.1, 16
"""Share of the requests, smoothed over so many ticks with requests."""
_TRIAL_TICKS, _NEXT_TRIAL_TICKS, _TRIAL_GAIN = 25, 1000, 1.25
"""Twice `_FEWEST_OVERLOADED` are tried for so long, so long after the last time; if so many times
as many are let in then, or not many refused, `_FEWEST` are for that long."""
_SHRINK, _GROW, _GROW_OVERLOADED = 0.7, 0.5, 0.1
_BULK_MOST = _HEAVY_MOST = 32
_HEAVY_PATHS = frozenset({"/v1/dedup", "/v1/lists:preview", "/v1/similar/export"})
_SPACES = "/v1/spaces/"
"""Requests that are slow by nature, and keep no quick question out."""
_GENERATION_TICKS = 50
_IDLE_TICKS = 100
"""After so many ticks without a request the clock stops."""
_OVERLOADED = Overloaded(
    "more requests come than can be answered in time; send this one again later"
)
REFUSED = _OVERLOADED.status
_REFUSAL = to_json(problem_of(_OVERLOADED))
REFUSAL_HEADERS = (
    (b"content-type", MEDIA_TYPE.encode()),
    (b"retry-after", b"%d" % _OVERLOADED.retry_after_s),
)
"""Headers of every refusal; `refusal_of` has the others."""


class Lanes(Protocol):
    """What is asked of the threads beside the event loop."""

    def interactive_wait_s(self) -> tuple[float, float]:
        """Seconds that interactive work waits for a thread, and for a thread or its own kind."""
        ...


def refusal_of(scope: Scope) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The body of a refusal, and the headers that differ; cheap, as most of it is made already."""
    ids = ids_of(scope)
    named = ',"request_id":"' + ids.request_id
    if ids.trace_id is not None:
        named += '","trace_id":"' + ids.trace_id
    body = _REFUSAL[:-1] + named.encode() + b'"}'
    request_id = ids.request_id.encode()
    return body, ((b"content-length", b"%d" % len(body)), (REQUEST_ID, request_id))


class _Generation:
    """Requests that began within half a second."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = 0


class _Delay:
    """Delays smoothed over some ticks; a single stall, which is no overload, does not count."""

    def __init__(self) -> None:
        self._last: deque[float] = deque((0.0, 0.0, 0.0), maxlen=3)
        self._smooth_s = 0.0

    def add(self, delay_s: float) -> float:
        """Take in the delay of a tick; the moving average of the medians of three."""
        self._last.append(delay_s)
        self._smooth_s += (sorted(self._last)[1] - self._smooth_s) / 4
        return self._smooth_s


class _Fewest:
    """The least that the bound of a kind falls to: lower while many are refused anyway.

    That costs no answers where the requests themselves cause the delay. Where something else does,
    such as the backfill of a model, few in flight would have many refused, and those keep it few
    for good. So more are tried now and then.
    """

    def __init__(self) -> None:
        self._refused_share = 0.0  # smoothed
        self._spared = 0  # ticks for which no fewer than `_FEWEST` may be in flight
        self._until_tried = 0  # ticks
        self._few = self._more = self._kept_out = 0  # let in before a trial; in it, and refused

    def after(self, entered: int, refused: int) -> int:
        """What it is after a tick in which so many requests were let in and refused."""
        if came := entered + refused:
            self._refused_share += (refused / came - self._refused_share) / _REFUSED_TICKS
        if self._spared or self._refused_share <= _MANY_REFUSED:
            self._spared = max(0, self._spared - 1)
            self._few = self._more = self._kept_out = 0
            self._until_tried = 4 * _TRIAL_TICKS
            return _FEWEST
        self._until_tried -= 1
        if self._until_tried >= 0:
            self._few += entered if self._until_tried < _TRIAL_TICKS else 0
            return _FEWEST_OVERLOADED
        self._more += entered
        self._kept_out += refused
        if self._until_tried > -_TRIAL_TICKS:
            return 2 * _FEWEST_OVERLOADED
        came = self._more + self._kept_out
        if self._more > _TRIAL_GAIN * self._few or self._kept_out <= _MANY_REFUSED * came:
            self._spared = _NEXT_TRIAL_TICKS
        self._until_tried = _NEXT_TRIAL_TICKS
        self._few = self._more = self._kept_out = 0
        return _FEWEST_OVERLOADED


class _Kind:
    """Requests of one kind: how many are in flight, and may be.

    Who is in flight for longer than a second does not count: it waits for its body, for a write to
    become visible, for a host or for its turn at heavy work, and keeps nobody from a quick answer.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.limit = float(most)
        self.newest, self.older = _Generation(), _Generation()
        self.peak = 0
        self._entered = self._refused = 0  # since the last tick
        self._fewest = _Fewest()

    def enter(self) -> _Generation | None:
        """Count one more; None if it has to be refused."""
        running = self.newest.running + self.older.running
        if running >= self.limit:
            self.peak = running
            self._refused += 1
            return None
        self._entered += 1
        if running >= self.peak:
            self.peak = running + 1
        self.newest.running += 1
        return self.newest

    def adapt(self, is_late: bool) -> None:
        """Once a tick: fewer may be in flight, or a few more."""
        fewest = self._fewest.after(self._entered, self._refused)
        self._entered = self._refused = 0
        grow = _GROW if fewest == _FEWEST else _GROW_OVERLOADED
        if is_late:
            self.limit = max(fewest, min(self.limit, self.peak) * _SHRINK)
        else:
            self.limit = min(_MOST, self.limit + grow)
        self.peak = self.newest.running + self.older.running

    def age(self) -> None:
        """Begin a new generation, and stop counting the oldest."""
        self.newest, self.older = _Generation(), self.newest


def is_counted(scope: Scope) -> bool:
    """Whether a request may be refused, as no probe is, and no scrape."""
    return scope["path"] not in _FREE


class Limiter:
    """Decides which requests are let in.

    Attributes:
        lanes: whose delay counts as well, once there are any.
    """

    def __init__(self) -> None:
        """Start no clock yet: it runs while requests come."""
        self._reads, self._work = _Kind(), _Kind()
        self._heavy, self._bulk = _Kind(_HEAVY_MOST), _Kind(_BULK_MOST)  # which do not adapt
        self._clock: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._read_delay, self._work_delay = _Delay(), _Delay()
        self._ticks = self._idle = 0
        self.lanes: Lanes | None = None

    def enter(self, scope: Scope) -> _Generation | None:
        """Count a request that `is_counted`, until its `running` is taken back.

        Returns:
            None if it has to be refused.
        """
        if self._clock is None:
            self._read_delay, self._work_delay = _Delay(), _Delay()
            self._again(asyncio.get_running_loop())
        self._idle = 0
        return self._kind_of(scope).enter()

    def is_asked(self) -> bool:
        """Whether somebody waits for an answer that should be quick."""
        kinds = (self._reads, self._work)
        return any(kind.newest.running or kind.older.running for kind in kinds)

    def _kind_of(self, scope: Scope) -> _Kind:
        if scope["method"] in ("GET", "HEAD"):
            return self._reads
        if streamed_route(scope["method"], scope["path"]):
            return self._bulk
        is_heavy = scope["path"] in _HEAVY_PATHS or scope["path"].startswith(_SPACES)
        return self._heavy if is_heavy else self._work

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _TICK_S
        self._clock = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        """Look how late the event loop and the threads are."""
        loop = asyncio.get_running_loop()
        late_s = loop.time() - self._due
        for_threads, for_work = (
            (0.0, 0.0) if self.lanes is None else self.lanes.interactive_wait_s()
        )
        self._reads.adapt(self._read_delay.add(max(late_s, for_threads)) > _TARGET_S)
        self._work.adapt(self._work_delay.add(max(late_s, for_work)) > _TARGET_S)
        self._ticks += 1
        self._idle += 1
        if self._ticks % _GENERATION_TICKS == 0:
            self._reads.age()
            self._work.age()
        if self._idle > _IDLE_TICKS:
            self._clock = None
        else:
            self._again(loop)


class Admission:
    """ASGI middleware, the outermost: lets requests in or refuses them."""

    def __init__(self, app: ASGIApp, *, limiter: Limiter, traffic: Traffic) -> None:
        """Refuse for `app`; `traffic` counts what is refused."""
        self._app = app
        self._limiter = limiter
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http" or not is_counted(scope):
            await self._app(scope, receive, send)
            return
        entered = scope.pop("admitted", None) or self._limiter.enter(scope)
        if entered is None:
            self._traffic.note(scope, REFUSED, 0.0)
            body, differing = refusal_of(scope)
            headers = [*REFUSAL_HEADERS, *differing]
            await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        try:
            await self._app(scope, receive, send)
        finally:
            entered.running -= 1
