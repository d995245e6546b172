"""A store with what matches its log with watchlists, without a service around it."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lanes
from service.features.jobs.runner import RunningJob
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.alerts.service import Alerts
from service.features.watchlists.cursor import LogCursor
from service.features.watchlists.following import AlertFollower
from service.features.watchlists.matching import Matching
from service.features.watchlists.seeds import Given, SeedReader
from service.features.watchlists.service import Maxima, ShownList, Wanted, Watchlists, Writer
from service.features.watchlists.sweeping import SweepJobs
from service.features.watchlists.watched import WatchedLists
from service.store.base import Record, Upsert, Written
from service.store.jobs import Job
from service.store.redis.backup import ArchivedStore

MODEL = "model-1"
NOODLES = "每天晚上手工拉面直播 从和面开始 一直到出锅 还有奶奶的红油秘方"
CHESS = "每周三晚上国际象棋残局讲解 从入门到大师 观众可以连线对弈"
WRITER = Writer("k", "desk")


class Deployment:
    """A store, and processes that match and sweep."""

    def __init__(self, store: ArchivedStore, evidence: Evidence, lanes: Lanes) -> None:
        self.store, self.documents, self.lanes = store, store.documents, lanes
        self.evidence = evidence
        sides = StoredSides(store, evidence, lanes, MODEL)
        pipeline = cast(EncodingPipeline, SimpleNamespace(model_version=MODEL))
        self.reader = SeedReader(store, pipeline, evidence, lanes)
        self.matching = Matching(store, sides, lanes, MODEL)
        self.alerts = Alerts(self.documents, lanes, 1000)
        self.lists = Watchlists(self.documents, self.reader, self.alerts, Maxima(100, 1000, 1000))

    async def write(self, name: str, bio: str, **fields: Any) -> int:
        shown = {"streamer_id": name, "bio": bio, **fields}
        profile = json.dumps(shown, ensure_ascii=False).encode()
        record = Record(
            streamer_id=name,
            version=0,
            embedding=b"",
            content=b"",
            facets=b"{}",
            model_version=MODEL,
            profile=profile,
            digest=hashlib.sha256(profile).hexdigest(),
            status="insufficient_content",
            modalities=b"{}",
            id_embedding=b"",
            updated_at=0.0,
        )
        (outcome,) = await self.store.write([Upsert(record)])
        assert isinstance(outcome, Written)
        return outcome.sequence

    def book(self, most_open: int = 1000) -> AlertBook:
        return AlertBook(self.documents, self.lanes, MODEL, most_open)

    def follower(self, owner: str, lease_s: float = 60, most_open: int = 1000) -> AlertFollower:
        lists = WatchedLists(self.documents, self.reader, self.evidence, self.lanes)
        cursor = LogCursor(self.documents, owner, lease_s)
        return AlertFollower(
            self.store, self.documents, cursor, lists, self.matching, self.book(most_open), MODEL
        )

    def sweeps(self, matching: Matching | None = None, most_open: int = 1000) -> SweepJobs:
        return SweepJobs(
            self.store,
            self.documents,
            self.reader,
            matching or self.matching,
            self.book(most_open),
            self.evidence,
            self.lanes,
        )

    async def create(self, *seeds: str, **fields: Any) -> ShownList:
        positive = [Given(seed) for seed in seeds]
        return await self.lists.create(wanted_of(positive, **fields), WRITER, None)

    async def raised(self, list_id: str) -> list[str]:
        found, *_ = await self.alerts.page("on", None, list_id, "", 1000)
        return [each.alert.streamer_id for each in found]

    async def reached(self, follower: AlertFollower, sequence: int) -> None:
        async with asyncio.timeout(60):
            while follower.place is None or follower.place.sequence < sequence:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def wanted_of(positive: list[Given], **fields: Any) -> Wanted:
    return Wanted(
        **{"name": "l", "mode": "on", "min_probability": 0.9, "positive": positive} | fields
    )


class Progress(RunningJob):
    """A job that nobody else runs, and whose steps are told of."""

    def __init__(self, told: Callable[[dict[str, Any]], Any] = lambda _: None) -> None:
        self.job = cast(Job, SimpleNamespace(done=0))
        self.checkpoint: dict[str, Any] = {}
        self._told = told

    async def advance(self, checkpoint: Any, done: int, total: int | None = None) -> None:
        self.checkpoint = json.loads(json.dumps(checkpoint))
        result = self._told(self.checkpoint)
        if result is not None:
            await result
