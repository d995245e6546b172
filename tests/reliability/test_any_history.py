"""Any history of writes, rebuilds, snapshots, restarts and rollbacks, against brute force.

A real store, its log, a follower and an index of every kind, as the service puts them together.
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Model, Schedule, Snapshots
from service.index.base import EXACT, Hit
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.filters import EVERYONE, Condition, Filter
from service.index.query import Query, ScoringSpec
from service.store.base import Delete, Record, Refused, Upsert, Written
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore
from tests.service.index.asked import matches, now, rows_of, search
from tests.service.index.faiss.records import lets_through, row, unit
from tests.service.store.records import until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow

DIM, CONTENT_DIM = 16, 4
MODEL = Model("m", DIM, CONTENT_DIM, "fingerprint")
IDS = [f"s{i}" for i in range(50)]
KINDS = (EXACT, "Flat", "IVF4,SQfp16", "HNSW8")
LIMITS = Limits(answer_timeout_s=30.0, follow_block_s=0.1)
T = TypeVar("T")

ids = st.sampled_from(IDS)
seeds = st.integers(1, 400)
groups = st.integers(0, 2)
changes = st.lists(st.tuples(ids, seeds, groups), max_size=6)
filters = st.none() | st.builds(
    lambda group, outside: (
        Filter(must_not=[Condition("group", any=[group])])
        if outside
        else Filter(must=[Condition("group", any=[group])])
    ),
    groups,
    st.booleans(),
)


def vector(seed: int) -> np.ndarray | None:
    """Every eleventh streamer shows nothing."""
    return unit(np.random.default_rng(seed), DIM) if seed % 11 else None


@dataclass(frozen=True)
class Stored:
    version: int
    seed: int
    group: int

    @property
    def facets(self) -> dict[str, Any]:
        return {"attributes": {"group": self.group}}


def record(streamer_id: str, seed: int, group: int) -> Record:
    facets = Stored(0, seed, group).facets
    embedding, content, packed = row(vector(seed), CONTENT_DIM, facets)
    return Record(
        streamer_id=streamer_id,
        version=0,
        embedding=embedding,
        content=content,
        facets=packed,
        profile=b"{}",
        digest="",
        model_version="m",
        status="indexed" if embedding else "insufficient_content",
        modalities=b"{}",
        id_embedding=b"",
        updated_at=0.0,
    )


@dataclass(slots=True, eq=False)
class Interrupted(ScoringSpec):
    """Lets something happen while rows are scored."""

    meanwhile: Callable[[], None] = lambda: None

    def combine(self, products: np.ndarray) -> np.ndarray:
        self.meanwhile()
        return ScoringSpec.combine(self, products)


def new_index(kind: str) -> FaissIndex:
    plan = Plan(kind, from_rows=20, recall=0.5, fresh_share=0.2, fresh_rows=5)
    return FaissIndex(DIM, CONTENT_DIM, (), None if kind == EXACT else plan)


class AnyHistory(RuleBasedStateMachine):
    """The event loop stands still between the rules, and a rule ends when the index caught up."""

    kind: str
    url: str

    def __init__(self) -> None:
        super().__init__()
        url = self.url
        self.admin = Redis.from_url(url)
        self.admin.flushall()
        self.runner = asyncio.Runner()
        self.store = self.run(RedisStore(url, limits=LIMITS).open())
        self.model: dict[str, Stored] = {}
        self.backup: tuple[Mapping[bytes, bytes], dict[str, Stored]] | None = None
        self.folder = tempfile.TemporaryDirectory()
        self.snapshots = self._snapshots()
        self.follower = self.run(self._followed())
        self._write([Upsert(record(name, i + 1, i % 3)) for i, name in enumerate(IDS[:40])])
        for i, name in enumerate(IDS[:40]):
            self.model[name] = Stored(i + 1, i + 1, i % 3)

    def teardown(self) -> None:
        self.run(self.follower.stop())
        self.run(self.store.close())
        self.runner.close()
        self.admin.close()
        self.folder.cleanup()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @property
    def index(self) -> FaissIndex:
        return cast(FaissIndex, self.follower.index)

    def _snapshots(self) -> Snapshots:
        return Snapshots(Path(self.folder.name), MODEL, Schedule(reserve_bytes=0))

    async def _followed(self) -> Follower:
        follower = Follower(self.store, lambda: new_index(self.kind), MODEL, self.snapshots)
        follower.start()
        await until(lambda: follower.is_ready)
        return follower

    def _write(self, operations: list[Upsert | Delete]) -> list[Written | Refused]:
        async def write() -> list[Written | Refused]:
            outcomes = await self.store.write(operations)
            done = [o.sequence for o in outcomes if isinstance(o, Written)]
            if done:
                # It may only now notice that its connection is lost.
                await until(lambda: self.follower.behind_because is None)
                await self.follower.wait_for(max(done), 30_000)
            return outcomes

        return self.run(write())

    # Writes

    @rule(streamer_id=ids, seed=seeds, group=groups)
    def upsert(self, streamer_id: str, seed: int, group: int) -> None:
        (outcome,) = self._write([Upsert(record(streamer_id, seed, group))])
        assert isinstance(outcome, Written)
        assert outcome.created == (streamer_id not in self.model)
        self.model[streamer_id] = Stored(outcome.sequence, seed, group)

    @rule(streamer_id=ids, group=groups, is_outdated=st.booleans())
    def patch(self, streamer_id: str, group: int, is_outdated: bool) -> None:
        """Another group, the same content, if nobody was faster."""
        known = self.model.get(streamer_id, Stored(0, 1, 0))
        expected = known.version + is_outdated
        (outcome,) = self._write([Upsert(record(streamer_id, known.seed, group), expected)])
        if is_outdated:
            assert outcome == Refused(known.version)
        else:
            assert isinstance(outcome, Written)
            self.model[streamer_id] = Stored(outcome.sequence, known.seed, group)

    @rule(streamer_id=ids)
    def remove(self, streamer_id: str) -> None:
        (outcome,) = self._write([Delete(streamer_id)])
        assert isinstance(outcome, Written) == (streamer_id in self.model)
        self.model.pop(streamer_id, None)

    def _change(self, changed: list[tuple[str, int, int]]) -> None:
        for streamer_id, seed, group in changed:
            if seed % 4:
                self.upsert(streamer_id, seed, group)
            else:
                self.remove(streamer_id)

    # Rebuilds and restarts

    @rule()
    def rebuild(self) -> None:
        self.index.rebuild(lambda: False)
        assert not self.index.is_due()

    @rule(changed=changes, seed=seeds)
    def rebuild_while_others_write_and_search(self, changed, seed) -> None:
        left = list(changed)

        def meanwhile() -> bool:
            if left:
                self._change([left.pop()])
                self.nearest(seed, 10, False)
            return False

        self.index.rebuild(meanwhile)

    @rule()
    def save(self) -> None:
        assert self.follower.complete is not None
        assert self.snapshots.write(*self.follower.complete)

    @rule(changed=changes)
    def restart(self, changed) -> None:
        """From a snapshot, if one was saved that the store still agrees with."""
        self.run(self.follower.stop())
        self._write_unseen(changed)
        self.snapshots = self._snapshots()
        self.follower = self.run(self._followed())
        self._wait_until_equal()

    @rule(changed=changes)
    def sleep_while_others_write(self, changed) -> None:
        self.run(self.follower.stop())
        self._write_unseen(changed)
        self.run(self._wake())
        self._wait_until_equal()

    def _write_unseen(self, changed: list[tuple[str, int, int]]) -> None:
        for streamer_id, seed, group in changed:
            (outcome,) = self.run(self.store.write([Upsert(record(streamer_id, seed, group))]))
            assert isinstance(outcome, Written)
            self.model[streamer_id] = Stored(outcome.sequence, seed, group)

    async def _wake(self) -> None:
        self.follower.start()

    @rule()
    def back_up(self) -> None:
        """Of the store alone, as whoever runs it would."""
        keys = cast(list[bytes], self.admin.keys("ss:*"))
        self.backup = {key: cast(bytes, self.admin.dump(key)) for key in keys}, dict(self.model)

    @rule(lost=changes, changed=changes, is_awake=st.booleans(), is_old=st.booleans())
    def roll_back(self, lost, changed, is_awake: bool, is_old: bool) -> None:
        """A backup takes the store's place, and it counts on, perhaps past where it was."""
        if self.backup is None or not is_old:
            self.back_up()
        assert self.backup is not None
        content, model = self.backup
        self._change(lost)
        if not is_awake:
            self.run(self.follower.stop())
        with self.admin.pipeline(transaction=True) as pipeline:
            pipeline.flushall()
            for key, packed in content.items():
                pipeline.restore(key, 0, packed)
            pipeline.client_kill_filter(_type="normal", skipme=True)
            pipeline.execute()
        self.model = dict(model)
        self._write_unseen(changed)
        if not is_awake:
            self.run(self._wake())
        self._wait_until_equal()

    def _wait_until_equal(self) -> None:
        self.run(until(self._is_equal))

    def _is_equal(self) -> bool:
        if self.follower.behind_because is not None:
            return False
        rows = rows_of(self.index, IDS)
        known = [self.model.get(name) for name in IDS]
        return [r and r.version for r in rows] == [k and k.version for k in known]

    # Questions

    def _scores(self, query: np.ndarray, wanted: Filter | None) -> dict[str, float]:
        return {
            name: float(query @ embedding)
            for name, stored in self.model.items()
            if (embedding := vector(stored.seed)) is not None
            if lets_through(wanted or EVERYONE, stored.facets)
        }

    @rule(seed=seeds, k=st.integers(1, 60), exact=st.booleans())
    def nearest(self, seed: int, k: int, exact: bool) -> None:
        query = unit(np.random.default_rng(seed), DIM)
        found = search(self.index, query, k, exact=exact)
        assert found.exact or not (exact or self.kind == EXACT)
        self._check(found.hits, self._scores(query, None), k, found.exact or self.kind == "Flat")

    @rule(streamer_id=ids)
    def nearest_to_one_of_them(self, streamer_id: str) -> None:
        """It finds itself, or another that shows the same."""
        stored = self.model.get(streamer_id)
        if stored is not None and (query := vector(stored.seed)) is not None:
            found = search(self.index, query, 1)
            assert found.hits[0].score > 1 - 1e-5

    @rule(seed=seeds, k=st.integers(1, 60), wanted=filters)
    def nearest_of_some(self, seed: int, k: int, wanted: Filter | None) -> None:
        query = unit(np.random.default_rng(seed), DIM)
        found = search(self.index, query, k, filter=wanted or EVERYONE)
        self._check(found.hits, self._scores(query, wanted), k, found.exact)

    @rule(seed=seeds, least=st.floats(-1, 1), wanted=filters)
    def everyone_above(self, seed: int, least: float, wanted: Filter | None) -> None:
        query = unit(np.random.default_rng(seed), DIM)
        scores = self._scores(query, wanted)
        if any(abs(score - least) < 1e-5 for score in scores.values()):
            return  # rounding may put it on either side
        above = {name: score for name, score in scores.items() if score >= least}
        found = matches(self.index, query, least, filter=wanted or EVERYONE)
        hits = [Hit(i, x) for i, x in zip(found.ids, found.scores.tolist(), strict=True)]
        self._check(hits, above, len(above), True)
        best = search(self.index, query, 5, min_score=least, filter=wanted or EVERYONE)
        assert best.reached == len(above)
        self._check(best.hits, above, 5, True)

    @rule(seed=seeds, changed=changes)
    def a_new_base_while_one_reads(self, seed: int, changed) -> None:
        """An answer is of the moment at which it began."""
        query = unit(np.random.default_rng(seed), DIM)
        before = self._scores(query, None)

        def meanwhile() -> None:
            self._change(changed)
            self.index.rebuild(lambda: False)
            self._change(changed)

        asked = Interrupted(np.stack([query, query]), (1, 1), "best_score", meanwhile)
        found = now(self.index.search(Query(asked, 10)))
        self._check(found.hits, before, 10, True)

    def _check(self, hits: Any, expected: dict[str, float], k: int, is_exact: bool) -> None:
        assert len(hits) == min(k, len(expected))
        assert len({hit.streamer_id for hit in hits}) == len(hits)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        for hit in hits:
            assert abs(expected[hit.streamer_id] - hit.score) < 1e-5
        if is_exact:
            np.testing.assert_allclose(
                scores, sorted(expected.values(), reverse=True)[:k], atol=1e-5
            )

    @invariant()
    def the_index_is_what_was_written(self) -> None:
        assert self.index.count == sum(vector(s.seed) is not None for s in self.model.values())
        for name, found in zip(IDS, rows_of(self.index, IDS), strict=True):
            stored = self.model.get(name)
            if stored is None or found is None:
                assert found is stored is None, name
                continue
            assert (found.version, found.facets) == (stored.version, stored.facets)
            embedding = vector(stored.seed)
            assert (found.embedding is None) == (embedding is None)
            if embedding is not None:
                np.testing.assert_array_equal(found.embedding, embedding)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("store")
    server = Server(folder)
    server.start()
    yield server.url
    server.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_any_history(url: str, kind: str) -> None:
    run_state_machine_as_test(
        type("AnyHistoryOfOneKind", (AnyHistory,), {"kind": kind, "url": url}),
        settings=settings(max_examples=5, stateful_step_count=25, deadline=None, derandomize=True),
    )
