"""Spans of a batch in a thread: for each caller who is traced, the wait and the work."""

from collections.abc import Iterable
from typing import Protocol, Self

from service.telemetry.spans import Span, within
from service.telemetry.stages import Stage


class _Waited(Protocol):
    @property
    def since(self) -> float: ...

    @property
    def span(self) -> Span | None: ...


class BatchSpans:
    """Context manager around the work; what that does belongs to the first caller's span.

    The spans of the others link to that one: the work was done once for all of them.
    """

    __slots__ = ("_inside", "_spans")

    def __init__(self, stage: Stage, lane: str, jobs: Iterable[_Waited], begin_s: float) -> None:
        """Of a batch that begins.

        Args:
            stage: of the work.
            lane: whose batch it is.
            jobs: its items.
            begin_s: now, by `time.perf_counter`.
        """
        since: dict[Span, float] = {}
        items = 0
        for job in jobs:
            items += 1
            if job.span is not None:
                since[job.span] = min(job.since, since.get(job.span, job.since))
        self._spans: list[Span] = []
        if not since:
            return
        about = {"streamer.lane": lane, "streamer.stage": stage}
        for caller, waited_since in since.items():
            wait = caller.child("queue", about, begin_s=waited_since)
            if wait is not None:
                wait.end(at_s=begin_s)
            work = caller.child(
                stage,
                {"streamer.lane": lane, "streamer.items": items},
                begin_s=begin_s,
                link=self._spans[0] if self._spans else None,
            )
            if work is not None:
                self._spans.append(work)

    def __enter__(self) -> Self:
        self._inside = within(self._spans[0]) if self._spans else None
        if self._inside is not None:
            self._inside.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._inside is not None:
            self._inside.__exit__(None, None, None)
        for span in self._spans:
            span.end()
