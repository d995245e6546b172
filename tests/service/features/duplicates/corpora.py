"""A store and an index that are written together, for evaluations of them."""

import random

import numpy as np

from service.engine.candidates.corpus import Corpus
from service.engine.work.lanes import Lanes
from service.features.duplicates.evaluation import Evaluation
from service.features.duplicates.rebuild import rebuild
from service.index import base
from service.index.faiss.index import FaissIndex
from service.store.base import Delete, Record, Upsert, Written
from service.store.duplicates import JudgementRecord
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from tests.service.features.duplicates.cosines import ContentComparer

WIDTH = 64
THRESHOLD = 0.7


class Corpora:
    """A store and an index that are written together, and evaluations of them."""

    def __init__(self, store: RedisStore, lanes: Lanes) -> None:
        self.store = store
        self.index = FaissIndex(WIDTH, WIDTH)
        self.judgements = RedisJudgements(store.client)
        self.events = RedisEvents(store.client)
        self.groups = RedisGroups(store.client, self.judgements, self.events)
        self.lanes = lanes
        self.names: set[str] = set()
        self.random = random.Random(4)
        self.rng = np.random.default_rng(4)
        self.styles = self.rng.standard_normal((8, WIDTH))

    async def write(self, name: str) -> int:
        """Write a copy of one of a few styles, more or less disguised."""
        noise = self.random.choice([0.3, 0.6, 0.9]) * self.rng.standard_normal(WIDTH)
        vector = self.random.choice(list(self.styles)) + noise
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        record = Record(
            streamer_id=name,
            version=0,
            embedding=vector.tobytes(),
            content=vector.astype("<f2").tobytes(),
            facets=b"{}",
            model_version="model-1",
            profile=b'{"streamer_id": "%b"}' % name.encode(),
            digest="",
            status="indexed",
            modalities=b"{}",
            id_embedding=b"",
            updated_at=0.0,
        )
        (outcome,) = await self.store.write([Upsert(record)])
        assert isinstance(outcome, Written)
        change = base.Upsert(name, outcome.sequence, record.embedding, record.content, b"{}")
        await self.index.apply([change])
        self.names.add(name)
        return outcome.sequence

    async def delete(self, name: str) -> int:
        (outcome,) = await self.store.write([Delete(name)])
        assert isinstance(outcome, Written)
        await self.index.apply([base.Remove(name, outcome.sequence)])
        self.names.discard(name)
        return outcome.sequence

    async def judge(self, verdict: str) -> None:
        a, b = sorted(self.random.sample(sorted(self.names), 2))
        record = JudgementRecord(a, b, verdict, "", "", "", 0.0)  # type: ignore[arg-type]
        await self.judgements.put(record)

    def comparer(self, threshold: float = THRESHOLD) -> ContentComparer:
        return ContentComparer(lambda: self.index, threshold, self.lanes)

    def evaluation(self, token: int, comparer: ContentComparer) -> Evaluation:
        corpus = Corpus(WIDTH, WIDTH)
        parts = (self.store, self.groups, self.judgements, comparer, corpus, self.lanes)
        return Evaluation(*parts, token)

    async def open(
        self, owner: str, *, to_rebuild: bool = False, comparer: ContentComparer | None = None
    ) -> Evaluation:
        token = await self.groups.claim(owner, 60, force=True)
        assert token is not None
        evaluation = self.evaluation(token, comparer or self.comparer())
        await evaluation.open(to_rebuild=to_rebuild)
        return evaluation

    async def rebuilt(
        self,
        owner: str,
        after: str = "",
        upto: int | None = None,
        comparer: ContentComparer | None = None,
    ) -> Evaluation:
        """Rebuild; with `upto`, die when so many parts are done."""
        evaluation = await self.open(owner, to_rebuild=True, comparer=comparer)
        parts = 0

        async def told(_: str, __: int) -> None:
            nonlocal parts
            parts += 1
            if parts == upto:
                raise KeyboardInterrupt

        begin = evaluation.read_from
        assert begin is not None
        await rebuild(evaluation, self.store, owner, begin, after, told)
        return evaluation

    async def partition(self) -> set[frozenset[str]]:
        kept = await self.groups.load()
        for name, members in kept.members.items():
            assert kept.groups[name].size == len(members)
        return {frozenset(members) for members in kept.members.values()}
