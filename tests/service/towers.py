"""Towers at work in this process, what a service's towers did, and media as requests carry them."""

import base64
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import Decoded, Payload, Prepared, TowerSpec
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.profile_reader import Reader, Reading, ToRead
from service.engine.encoding.tower_jobs import Fetch, TowerJobs
from service.engine.encoding.tower_pool import TowerPool
from service.engine.encoding.tower_vectors import TowerCache
from service.engine.work.lanes import Lanes
from service.media.fetch import Fetched
from service.settings import Towers, Work

PATIENT = Work(deadline_ms=60_000, slow_deadline_ms=60_000)
"""So that nothing is refused on a slow machine."""


class Client(Protocol):
    """httpx's or Starlette's."""

    def get(self, url: str) -> Any: ...


class Counts:
    """What a service's towers did since this was asked last; what they did not is left out."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before: Mapping[str, int] = {}

    def __call__(self) -> dict[str, int]:
        """By what was read; for what was decoded, `image decoded`."""
        now: dict[str, int] = {}
        for tower in self._client.get("/readyz").json()["towers"]:
            now[tower["reads"]] = tower["encoded"]
            now[f"{tower['reads']} decoded"] = tower["decoded"]
        news = {name: count - self._before.get(name, 0) for name, count in now.items()}
        self._before = now
        return {name: count for name, count in news.items() if count}


def media(data: bytes, content_type: str = "image/png") -> dict[str, str]:
    return {"data": base64.b64encode(data).decode(), "content_type": content_type}


def titles(*found: str) -> list[dict[str, str]]:
    return [{"video_id": f"v{i}", "title": title} for i, title in enumerate(found)]


def profile(**shown: Any) -> StreamerProfile:
    return StreamerProfile.model_validate({"streamer_id": "s", **shown})


@dataclass
class Recorded:
    """Real towers, and how many payloads they were given in each run.

    Attributes:
        before_run: called with each run's payloads, in its thread.
    """

    towers: OnnxTowers
    runs: list[int] = field(default_factory=list[int])
    before_run: Callable[[Sequence[Prepared]], None] = lambda _: None

    @property
    def specs(self) -> list[TowerSpec]:
        return self.towers.specs

    def prepare(self, name: str, payload: Payload) -> Prepared:
        return self.towers.prepare(name, payload)

    def decode(self, name: str, payload: Payload) -> Decoded:
        return self.towers.decode(name, payload)

    def run(self, name: str, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        self.runs.append(len(prepared))
        self.before_run(prepared)
        return self.towers.run(name, prepared)


@dataclass
class Reads:
    """A reader with towers."""

    reader: Reader
    work: TowerPool
    lanes: Lanes
    towers: Recorded

    async def __call__(self, *, before: bytes = b"", old: bool = False, **shown: Any) -> Reading:
        """Read a profile: `before` is what was stored of it; `old` means that nothing is news."""
        item = profile(**shown)
        stored = item.model_dump_json(exclude_none=True).encode() if old else b""
        return await self.reader.read(ToRead(item, tower_vectors=before, stored=stored))


async def nobody(url: str, kind: str, pointer: str) -> Fetched:
    raise AssertionError(f"{url} was fetched for {pointer}")


@contextlib.asynccontextmanager
async def reading(
    bundle: Bundle,
    fetch: Fetch = nobody,
    *,
    recent_bytes: int = 0,
    work_settings: Work | None = None,
    **settings: Any,
) -> AsyncGenerator[Reads]:
    """A reader that remembers nothing unless it is told how much."""
    towers = Recorded(OnnxTowers(bundle))
    lanes = Lanes(work_settings or PATIENT)
    work = TowerPool(towers, Towers(**settings), lanes)
    lanes.start()
    sightings = TowerJobs(work, TowerCache(recent_bytes), fetch)
    try:
        yield Reads(Reader(bundle.featurizer, work.specs, sightings), work, lanes, towers)
    finally:
        lanes.stop()
