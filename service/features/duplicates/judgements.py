"""Judgements of people: given, listed, taken back, and which of them contradict each other."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.errors import FieldError, InvalidRequest, JudgementNotFound, StreamerNotFound
from service.features.duplicates.groups.edges import Judgement, Pair, pair_of
from service.features.duplicates.groups.settling import settle
from service.store.base import StreamerStore
from service.store.duplicates import JudgementRecord, JudgementStore

_MOST_LOOKED_AT = 5000
"""Judgements that are looked at for contradictions with one."""
_FEW = 50
"""Judgements that are settled at once, in less time than a thread takes to begin."""
_SETTLED_AT_ONCE = 2
"""More would only wait for each other's turns, and keep threads from others."""
_MOST_NAMED = 100
"""Of the judgements that overrule one, the first of their chain."""


@dataclass(frozen=True)
class Given:
    """A judgement that was given.

    Attributes:
        record: as it is stored.
        before: the judgement of the pair before, if there was one.
        overrules: pairs whose older judgement contradicts it, and does not hold now.
    """

    record: JudgementRecord
    before: JudgementRecord | None
    overrules: Sequence[Pair]


@dataclass(frozen=True)
class Listed:
    """A judgement, and newer ones that overrule it, up to a hundred; none if it holds."""

    record: JudgementRecord
    overruled_by: Sequence[Pair]


class Judgements:
    """The use-cases behind `/v1/judgements`."""

    def __init__(
        self, streamers: StreamerStore, store: JudgementStore, told: Callable[[], None]
    ) -> None:
        """Keep judgements in `store`; `told` hears of each that is given or taken back."""
        self._streamers = streamers
        self._store = store
        self._told = told
        self._settling = asyncio.Semaphore(_SETTLED_AT_ONCE)

    async def give(
        self,
        a: str,
        b: str,
        verdict: Literal["same", "different", "unsure"],
        note: str,
        key_id: str,
        key_name: str,
    ) -> Given:
        """Judge a pair, in place of what was judged before; it is on disk when this returns.

        Raises:
            InvalidRequest: both are the same streamer.
            StreamerNotFound: names those that are not stored.
        """
        if a == b:
            raise InvalidRequest.of("/b", f"is {a!r} as well: judge two different streamers")
        first, second = pair_of(a, b)
        record = JudgementRecord(first, second, verdict, note, key_id, key_name, time.time())
        before, missing = await self._store.put(record)
        if missing:
            raise StreamerNotFound(
                "not stored: " + ", ".join(repr(name) for name in missing),
                [
                    FieldError(pointer, f"streamer {name!r} is not stored")
                    for pointer, name in (("/a", a), ("/b", b))
                    if name in missing
                ],
            )
        self._told()
        stored = await self._store.get(first, second) or record
        overruled = (await self._overruled([stored])).items()
        pair = (first, second)
        return Given(stored, before, sorted(p for p, newer in overruled if pair in newer))

    async def take_back(self, a: str, b: str) -> JudgementRecord:
        """Remove the judgement of a pair; what it was.

        Raises:
            JudgementNotFound: there is none.
        """
        first, second = pair_of(a, b)
        before = await self._store.remove(first, second)
        if before is None:
            raise JudgementNotFound(f"the pair {first!r}, {second!r} has no judgement")
        self._told()
        return before

    async def page(
        self, streamer_id: str | None, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """Judgements in order of their pairs, of one streamer or all; and what continues them."""
        found, following = await self._store.page(after, limit, streamer_id)
        overruled = await self._overruled(found)
        return [Listed(r, overruled.get((r.a, r.b), ())[:_MOST_NAMED]) for r in found], following

    async def _overruled(
        self, records: Sequence[JudgementRecord]
    ) -> Mapping[Pair, tuple[Pair, ...]]:
        """Which judgements do not hold, among these and all that `same` leads to from them.

        Those about streamers that are not stored are left out, as in groups.
        """
        known: dict[Pair, JudgementRecord] = {(r.a, r.b): r for r in records}
        seen: set[str] = set()
        waiting = sorted({name for record in records for name in (record.a, record.b)})
        while waiting and len(known) < _MOST_LOOKED_AT:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            found, _ = await self._store.page("", _MOST_LOOKED_AT, name)
            known |= {(r.a, r.b): r for r in found}
            joined = [r for r in found if r.verdict == "same"]
            waiting += [other for r in joined for other in (r.a, r.b) if other not in seen]
        names = sorted({name for pair in known for name in pair})
        absent = set(await not_stored(self._streamers, names))

        def overruled() -> Mapping[Pair, tuple[Pair, ...]]:
            present = ((p, r) for p, r in known.items() if absent.isdisjoint(p))
            return settle(Judgement(p, r.verdict, r.order) for p, r in present).overruled

        if len(known) <= _FEW:
            return overruled()
        # Thousands may contradict a long chain. What waits is not refused: the judgement is kept.
        await self._settling.acquire()
        work = asyncio.get_running_loop().run_in_executor(None, overruled)
        work.add_done_callback(lambda _: self._settling.release())  # the thread outlasts the caller
        return await asyncio.shield(work)


async def not_stored(store: StreamerStore, ids: Sequence[str]) -> list[str]:
    """Which of some streamers are not stored: judgements about them join and part nobody."""
    found = await store.digests(ids)
    return [name for name, known in zip(ids, found, strict=True) if known is None]
