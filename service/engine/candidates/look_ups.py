"""What was found for the answer to a write, for who evaluates the write next.

Both look for the same candidates and compare the same profiles, in Python for the most part: side
by side they take turns at its lock, and each takes as long as both. So the evaluation of a write
waits a moment for its answer, and goes on from what was found for that.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass

from model_export.contract.evidence import Verdict
from service.engine.candidates.corpus import Entry

EXPECTED_S = 0.25
"""Longest that an evaluation waits for the next answer of those that are made one by one."""
_MOST = 256
"""Writes that are answered and not evaluated yet; what was found for older ones is forgotten."""


@dataclass(frozen=True, eq=False)
class LookUp:
    """What was found for a write.

    Attributes:
        entry: what is known of the streamer, at the version that was written.
        candidates: who may be its duplicate, as `Corpus.candidates` has them.
        changes: `Corpus.changes` at the time.
        compared: by the id of each that it was compared with, that one's version.
        joined: by the id of each of those that is a duplicate, the weight and the verdict.
    """

    entry: Entry
    candidates: Set[str]
    changes: int
    compared: Mapping[str, int]
    joined: Mapping[str, tuple[float, Verdict]]


@dataclass
class _Batch:
    """Streamers that are looked up one after the other.

    Attributes:
        due: when the next one is over at the latest.
    """

    due: float


class LookUps:
    """Look-ups by streamer. For one event loop."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        """None yet; `now` tells the time in seconds, by default the event loop's."""
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._expected: dict[str, _Batch] = {}
        self._found: OrderedDict[str, LookUp] = OrderedDict()
        self._ended = asyncio.Event()

    def expect(self, streamer_ids: Collection[str]) -> None:
        """These are written now, and looked up for the answer then, one after the other."""
        if len(self._expected) > _MOST:  # writes that failed, or whose answers nobody waits for
            self._forget_late()
        self._expected.update(dict.fromkeys(streamer_ids, _Batch(self._now() + EXPECTED_S)))

    def end(self, streamer_id: str, found: LookUp | None = None) -> None:
        """The look-up of a streamer is over; what comes too late for its evaluation is not kept."""
        batch = self._expected.pop(streamer_id, None)
        if batch is None:
            return
        if found is not None:
            self._found[streamer_id] = found
            self._found.move_to_end(streamer_id)
            while len(self._found) > _MOST:
                self._found.popitem(last=False)
        batch.due = self._now() + EXPECTED_S
        self._ended.set()

    async def ended(self, streamer_ids: Collection[str]) -> None:
        """Return once those of these that are expected are over, or late."""
        while due := [self._expected[name].due for name in streamer_ids if name in self._expected]:
            left_s = min(due) - self._now()
            if left_s <= 0:
                self._forget_late()
                continue
            self._ended.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._ended.wait()
            except TimeoutError:
                continue

    def take(self, streamer_id: str, version: int) -> LookUp | None:
        """What was found for a version of a streamer, once; None of another version."""
        found = self.forget(streamer_id)
        return found if found is not None and found.entry.version == version else None

    def forget(self, streamer_id: str) -> LookUp | None:
        """Keep nothing of a streamer, which is evaluated or gone; what was kept."""
        self._expected.pop(streamer_id, None)
        return self._found.pop(streamer_id, None)

    def clear(self) -> None:
        """Forget what was found: candidates come from another corpus from now on."""
        self._found.clear()

    def _forget_late(self) -> None:
        now = self._now()
        self._expected = {name: batch for name, batch in self._expected.items() if batch.due > now}
