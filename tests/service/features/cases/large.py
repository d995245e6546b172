"""A case of thousands of members on a real store; edges are made up, all else is what serves."""

import asyncio
import gc
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from service.engine.expansion.edges import ChannelOf, EvidenceEdge
from service.engine.work.lanes import Lane, Lanes
from service.features.cases.expanding import Expander
from service.features.cases.exports.exporting import Exports
from service.features.cases.keeping import KeptCases
from service.features.cases.running import Runs
from service.features.cases.service import Cases
from service.settings import Work
from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore

MODEL = "model-1"
_SAME_CONTACT = ChannelOf("contacts", 11.5, "same")
_AT_ONCE = 500


class MadeUpEdges:
    """A tree of which each has twenty below it, and some other edges: all within four hops."""

    is_complete = True

    def __init__(self, names: Sequence[str]) -> None:
        """Edges between these."""
        rng = np.random.default_rng(0)
        self._edges: dict[tuple[str, str], float] = {}
        self._near: dict[str, list[str]] = {name: [] for name in names}
        for i in range(1, len(names)):
            for other in {(i - 1) // 20, int(rng.integers(0, i)), int(rng.integers(0, i))}:
                pair = names[other], names[i]
                self._edges[pair] = round(float(rng.uniform(0.9, 0.99)), 6)
                self._near[pair[0]].append(pair[1])
                self._near[pair[1]].append(pair[0])

    def below(self, name: str) -> list[tuple[str, str]]:
        """Edges to those that come after a streamer."""
        return [(name, other) for other in self._near[name] if name < other]

    def looking(self, kinds: object, lane: Lane) -> "MadeUpEdges":
        return self

    async def candidates(self, names: Sequence[str]) -> list[list[str]]:
        return [self._near[name] for name in names]

    async def compare(self, pairs: Sequence[tuple[str, str]], least: float) -> list[EvidenceEdge]:
        return [EvidenceEdge(*pair, self._edges[pair], 11.5, [_SAME_CONTACT]) for pair in pairs]


@dataclass(frozen=True)
class Large:
    """What serves cases, and the ids of all streamers."""

    cases: Cases
    exports: Exports
    names: Sequence[str]


@asynccontextmanager
async def large_cases(folder: Path, count: int, model: str = MODEL) -> AsyncGenerator[Large, None]:
    """So many stored streamers that belong together, as a model has them."""
    names = [f"w{i:06}" for i in range(count)]
    lanes = Lanes(Work(threads=2))
    lanes.start()
    async with EmbeddedStore(folder / "store") as embedded:
        store = await ArchivedStore(embedded.url).open()
        try:
            for start in range(0, count, _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                await store.write([Upsert(_record(name, model)) for name in some])

            async def everybody(_: Mapping[str, object], some: Sequence[str]) -> list[bool]:
                return [True for _ in some]

            async def evaluated() -> int:
                return count

            async def here() -> Literal["here"]:
                return "here"

            edges = cast(Any, MadeUpEdges(names))
            expander = Expander(store, edges, everybody, evaluated, lanes, model)
            kept = KeptCases(store.documents, lanes)
            runs = Runs(kept, expander, cast(Any, None), here)
            yield Large(Cases(store, kept, runs), Exports(kept, expander, lanes), names)
        finally:
            await store.close()
            lanes.stop()


class LoopSteps:
    """The longest step of the running event loop, in seconds of this thread's processor time."""

    def __init__(self) -> None:
        """Nothing is measured before `start`."""
        self.longest_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "LoopSteps":
        # As the service does: or what is measured is a full collection of this process's garbage.
        gc.freeze()
        gc.set_threshold(5000, 10, 200)
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _look(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_s, before = max(self.longest_s, now - before), now


def _record(name: str, model: str) -> Record:
    profile = json.dumps({"streamer_id": name, "bio": f"the account {name} " * 20}).encode()
    return Record(
        streamer_id=name,
        version=0,
        embedding=b"",
        content=b"",
        facets=b"{}",
        model_version=model,
        profile=profile,
        digest=hashlib.sha256(profile).hexdigest(),
        status="insufficient_content",
        modalities=b"{}",
        id_embedding=b"",
        updated_at=0.0,
    )
