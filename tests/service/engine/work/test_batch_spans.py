"""Spans of batches: who waited, what was done once for several, and to whom the rest belongs."""

from dataclasses import dataclass, field
from typing import NamedTuple

from service.engine.work.batch_spans import BatchSpans
from service.telemetry.spans import Attributes, Kind, Span, current_span, spanned, within


@dataclass(eq=False)
class Kept:
    """A span that keeps what it is told."""

    name: str
    begin_s: float | None = None
    link: Span | None = None
    end_s: float | None = None
    is_over: bool = False
    error: str | None = None
    children: "list[Kept]" = field(default_factory=list["Kept"])
    most: int = 100

    @property
    def trace_id(self) -> str:
        return "0" * 32

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{'0' * 16}-01"

    def child(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: Kind = "internal",
        begin_s: float | None = None,
        link: Span | None = None,
    ) -> Span | None:
        del attributes, kind
        if len(self.children) >= self.most:
            return None
        self.children.append(Kept(name, begin_s, link))
        return self.children[-1]

    def tell(self, attributes: Attributes) -> None: ...

    def rename(self, name: str) -> None:
        self.name = name

    def end(self, *, at_s: float | None = None, error: str | None = None) -> None:
        assert not self.is_over
        self.is_over, self.end_s, self.error = True, at_s, error


class Waited(NamedTuple):
    since: float
    span: Span | None


def test_the_wait_ends_where_the_work_begins() -> None:
    caller = Kept("request")
    with BatchSpans("encode", "bulk", [Waited(3.0, caller), Waited(2.0, caller)], 5.0):
        inside = current_span()
    wait, work = caller.children
    assert (wait.name, wait.begin_s, wait.end_s) == ("queue", 2.0, 5.0)
    assert (work.name, work.begin_s) == ("encode", 5.0)
    assert inside is work
    assert work.is_over
    assert current_span() is None


def test_work_for_several_is_linked_to_the_first() -> None:
    first, second = Kept("first"), Kept("second")
    jobs = [Waited(1.0, first), Waited(1.0, None), Waited(1.0, second)]
    with BatchSpans("search", "interactive", jobs, 2.0), spanned("inner"):
        pass
    one, other = first.children[-1], second.children[-1]
    assert (one.link, other.link) == (None, one)
    assert [child.name for child in one.children] == ["inner"]
    assert other.children == []
    assert one.is_over
    assert other.is_over


def test_nobody_who_is_not_traced_is() -> None:
    with BatchSpans("search", "interactive", [Waited(1.0, None)], 2.0), spanned("inner"):
        assert current_span() is None


def test_a_trace_with_enough_spans_gets_no_more() -> None:
    caller = Kept("request", most=1)
    with BatchSpans("search", "interactive", [Waited(1.0, caller)], 2.0):
        assert current_span() is None
    assert [child.name for child in caller.children] == ["queue"]


def test_a_span_tells_what_went_wrong() -> None:
    caller = Kept("request")
    try:
        with within(caller), spanned("store"):
            raise TimeoutError
    except TimeoutError:
        pass
    assert [(child.name, child.error) for child in caller.children] == [("store", "TimeoutError")]
