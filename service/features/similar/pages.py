"""Long answers that are handed out page by page, as they were when the question was asked."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import Curve
from service.engine.scoring.precision import Threshold
from service.errors import CursorExpired
from service.settings import Paging


@dataclass(frozen=True, eq=False)
class Pinned:
    """A whole answer.

    Attributes:
        ids: all that reach the score, best first (N,).
        scores: float32 (N,).
        page_size: hits of one page.
        curves: what is known of the scores' precision.
        threshold: what `min_precision` came to.
        incomplete_because: what was missing when it was made.
        sequence: of the index that was searched.
        warnings: what the caller may have got wrong, and why no precision is promised.
        coverage: the lowest of the positive seeds.
        model_version: of the model that made it, which need not be the one that serves by now.
    """

    ids: Sequence[str]
    scores: NDArray[np.float32]
    page_size: int
    curves: Sequence[Curve]
    threshold: Threshold | None
    incomplete_because: str | None
    sequence: int
    warnings: Sequence[str] = ()
    coverage: float | None = None
    model_version: str = ""


class Pages:
    """Keeps answers for a while, in memory; those asked for least recently go first."""

    def __init__(self, settings: Paging, now: Callable[[], float] = time.monotonic) -> None:
        """Keep as much, and as long, as the settings say."""
        self._settings = settings
        self._now = now
        self._kept: OrderedDict[str, tuple[float, Pinned]] = OrderedDict()
        self._hits = 0

    def pin(self, answer: Pinned) -> str:
        """Keep an answer; a cursor to the page after its first."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = self._now(), answer
        self._hits += len(answer.ids)
        self._let_go()
        return f"{name}.{answer.page_size}"

    def at(self, cursor: str) -> tuple[Pinned, int, str | None]:
        """An answer, where in it the cursor stands, and the cursor to the page after, if any.

        Raises:
            CursorExpired: it was given too long ago, by another process, or never.
        """
        self._let_go()
        name, _, place = cursor.partition(".")
        kept = self._kept.get(name)
        start = int(place) if place.isascii() and place.isdigit() and len(place) < 10 else -1
        if kept is None or start < 0:
            raise CursorExpired(
                "the cursor was given too long ago, or not by this process: ask the question again"
            )
        answer = kept[1]
        self._kept[name] = self._now(), answer
        self._kept.move_to_end(name)
        following = start + answer.page_size
        return answer, start, f"{name}.{following}" if following < len(answer.ids) else None

    def _let_go(self) -> None:
        """Of what is too old; and of the oldest but one, while it is too much."""
        oldest = self._now() - self._settings.keep_s
        while self._kept:
            name, (used, answer) = next(iter(self._kept.items()))
            too_much = self._hits > self._settings.max_hits and len(self._kept) > 1
            if used >= oldest and not too_much:
                return
            del self._kept[name]
            self._hits -= len(answer.ids)
