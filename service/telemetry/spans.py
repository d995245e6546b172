"""The span that work belongs to, wherever it runs; nothing here imports OpenTelemetry.

A request or a job that is not traced has no span, and all of this does nothing.
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol, Self

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
Kind = Literal["internal", "server", "client"]
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Parent(NamedTuple):
    """The caller's span (W3C Trace Context).

    Attributes:
        trace_id: 128 bits.
        span_id: 64 bits.
        is_sampled: whether the caller records it.
        state: `tracestate`, as it came.
    """

    trace_id: int
    span_id: int
    is_sampled: bool
    state: str = ""

    @classmethod
    def of(cls, traceparent: str, state: str = "") -> "Parent | None":
        """The span that a `traceparent` names; None if it names none."""
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None:
            return None
        trace_id, span_id, flags = (int(part, 16) for part in found.groups())
        return cls(trace_id, span_id, bool(flags & 1), state)


class Span(Protocol):
    """A piece of work of a trace that is recorded; may be used from any thread."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        ...

    @property
    def traceparent(self) -> str:
        """Names the span for others, as in the header of that name."""
        ...

    def child(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: Kind = "internal",
        begin_s: float | None = None,
        link: "Span | None" = None,
    ) -> "Span | None":
        """A part of this work.

        Args:
            name: one of few.
            attributes: that are known already.
            kind: `client` for a question to another process.
            begin_s: when it began, by `time.perf_counter`; by default now.
            link: other work that did this too.

        Returns:
            None if the trace has as many spans as it may have, or is over.
        """
        ...

    def tell(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def rename(self, name: str) -> None:
        """Give it the name that is known by now."""
        ...

    def end(self, *, at_s: float | None = None, error: str | None = None) -> None:
        """Record it.

        Args:
            at_s: when it ended, by `time.perf_counter`; by default now.
            error: the class of what it failed with, if it did.
        """
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(
        self,
        name: str,
        attributes: Attributes,
        *,
        kind: Kind,
        parent: Parent | None = None,
        link: Parent | None = None,
    ) -> Span | None:
        """The first span of a request or of a job; None if this one is not recorded.

        Args:
            name: one of few.
            attributes: that are known already.
            kind: `server` for the answer to a request.
            parent: the span of another process that it is a part of.
            link: the span that it follows from, in another trace.
        """
        ...


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span of the work that runs; None if it is not traced."""
    return _current.get()


def enter(span: Span | None) -> None:
    """Let what this task or thread does from now on belong to a span."""
    _current.set(span)


@contextmanager
def within(span: Span | None) -> Generator[None]:
    """Let what runs meanwhile, and tasks that begin, belong to a span."""
    before = _current.get()
    _current.set(span)
    try:
        yield
    finally:
        _current.set(before)


class spanned:
    """Context manager: a child of the current span, where there is one."""

    __slots__ = ("_attributes", "_before", "_kind", "_name", "_span")

    def __init__(
        self, name: str, attributes: Attributes | None = None, *, kind: Kind = "internal"
    ) -> None:
        self._name = name
        self._kind: Kind = kind
        self._attributes = attributes
        self._span: Span | None = None

    def __enter__(self) -> Self:
        self._before = _current.get()
        if self._before is not None:
            self._span = self._before.child(self._name, self._attributes, kind=self._kind)
            if self._span is not None:
                _current.set(self._span)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._span is not None:
            _current.set(self._before)
            self._span.end(error=None if kind is None else kind.__name__)
