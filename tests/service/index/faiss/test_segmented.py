"""Base, fresh rows and swaps against a dictionary and brute force, for every kind of base."""

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from service.files.checksummed import ChecksummedFolder
from service.index.faiss.ann.device import Cpu, Device
from service.index.faiss.ann.segment import AUTOMATIC, check_factory
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.filters import EVERYONE, Condition, Filter
from tests.benchmarks.clustered import clustered
from tests.service.index.asked import drop, put, query_of, rows_of, search
from tests.service.index.faiss.owned import OwnedDevice
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM = 16, 4
IDS = [f"s{i}" for i in range(60)]
KINDS = ("Flat", "HNSW8", "IVF4,SQfp16", "SQ8")


def vector(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed), DIM)


class Machine(RuleBasedStateMachine):
    """Any history; with rebuilds, and with writes while a base is being built."""

    kind = "Flat"
    on_device = False

    def __init__(self) -> None:
        super().__init__()
        self.device = OwnedDevice() if self.on_device else None
        self.plan = Plan(self.kind, from_rows=20, recall=0.5, fresh_share=0.2, fresh_rows=5)
        self.index = FaissIndex(DIM, CONTENT_DIM, IDS[:10], self.plan, device=self.device)
        self.model: dict[str, int] = {}  # id -> seed
        self.sequence = 0
        for i, streamer_id in enumerate(IDS[:40]):
            self.upsert(streamer_id, i + 1)

    @rule(streamer_id=st.sampled_from(IDS), seed=st.integers(1, 500))
    def upsert(self, streamer_id: str, seed: int) -> None:
        self.sequence += 1
        facets = {"attributes": {"group": seed % 3}}
        empty = seed % 11 == 0
        put(
            self.index,
            streamer_id,
            self.sequence,
            *row(None if empty else vector(seed), CONTENT_DIM, facets),
        )
        self.model[streamer_id] = seed

    @rule(streamer_id=st.sampled_from(IDS))
    def remove(self, streamer_id: str) -> None:
        self.sequence += 1
        drop(self.index, streamer_id, self.sequence)
        self.model.pop(streamer_id, None)

    @rule()
    def rebuild(self) -> None:
        self.index.rebuild()
        assert not self.index.is_due()

    @rule(changes=st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 500)), max_size=8))
    def rebuild_while_writes_go_on(self, changes: list[tuple[str, int]]) -> None:
        left = list(changes)

        def write() -> bool:
            if left:
                streamer_id, seed = left.pop()
                if seed % 4:
                    self.upsert(streamer_id, seed)
                else:
                    self.remove(streamer_id)
            return False

        self.index.rebuild(write)

    @rule()
    def snapshot_and_restart(self) -> None:
        before = self.index
        with tempfile.TemporaryDirectory() as folder:
            before.save(Path(folder, "s"), {}, lambda: False)
            self.index = FaissIndex(DIM, CONTENT_DIM, IDS[:10], self.plan, device=self.device)
            self.index.load(ChecksummedFolder(Path(folder, "s")))
        assert self.index.count == before.count
        if before.count >= 20 and not self.on_device:
            assert self.index.state() == replace(before.state(), refused=None)
        for a, b in zip(rows_of(self.index, IDS), rows_of(before, IDS), strict=True):
            assert repr(a) == repr(b)

    @rule()
    def stop_a_rebuild(self) -> None:
        before = self.index.state()
        self.index.rebuild(lambda: True)
        if self.index.count >= 20:
            assert self.index.state() == before

    @rule(
        seed=st.integers(1, 500),
        k=st.integers(1, 70),
        exclude=st.sets(st.sampled_from(IDS), max_size=4),
        group=st.none() | st.integers(0, 2),
        established_only=st.booleans(),
        exact=st.booleans(),
    )
    def search(self, seed, k, exclude, group, established_only, exact) -> None:
        query = vector(seed)
        wanted = EVERYONE if group is None else Filter([Condition("group", any=[group])])
        found = search(
            self.index,
            query,
            k,
            exclude=exclude,
            filter=wanted,
            established_only=established_only,
            exact=exact,
        )
        expected = {
            s: float(query @ vector(seed))
            for s, seed in self.model.items()
            if seed % 11 and s not in exclude and (group is None or seed % 3 == group)
            if s in IDS[:10] or not established_only
        }
        assert found.reached == len(expected)
        assert len(found.hits) == min(k, len(expected))
        assert len({hit.streamer_id for hit in found.hits}) == len(found.hits)
        scores = [hit.score for hit in found.hits]
        assert scores == sorted(scores, reverse=True)
        for hit in found.hits:
            assert abs(expected[hit.streamer_id] - hit.score) < 1e-6
        if exact or group is not None or established_only:
            assert found.exact
        if found.exact or self.kind in ("Flat", "SQ8"):
            best = sorted(expected.values(), reverse=True)[:k]
            np.testing.assert_allclose(scores, best, atol=1e-6)


def machine_of(kind: str, *, on_device: bool = False) -> type:
    test = type(f"Machine_{kind}", (Machine,), {"kind": kind, "on_device": on_device}).TestCase
    test.settings = settings(
        max_examples=10, stateful_step_count=30, deadline=None, derandomize=True
    )
    return pytest.mark.slow(test)


TestFlat, TestHNSW, TestIVF, TestScalar = map(machine_of, KINDS)
TestOnDevice = machine_of("Flat", on_device=True)


def filled(kind: str, vectors: np.ndarray, device: Device | None = None, **plan) -> FaissIndex:
    kinds = Plan(kind, from_rows=100, **plan)
    index = FaissIndex(vectors.shape[1], CONTENT_DIM, (), kinds, device=device)
    for i, each in enumerate(vectors):
        put(index, f"s{i}", 1, *row(each, CONTENT_DIM, {}))
    return index


def recall(index: FaissIndex, vectors: dict[str, np.ndarray], queries: np.ndarray) -> float:
    """Of the 10 nearest; every answer must be of the base."""
    names, matrix = list(vectors), np.stack(list(vectors.values()))
    found = 0
    for query in queries:
        answer = search(index, query, 10)
        assert not answer.exact
        best = {names[i] for i in np.argsort(-(matrix @ query))[:10]}
        found += len(best & {hit.streamer_id for hit in answer.hits})
    return found / (10 * len(queries))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AUTOMATIC, "HNSW32,SQfp16"])
def test_recall_of_queries_that_it_has_not_seen(kind: str) -> None:
    every = clustered(5_750, 32)
    every = every[np.random.default_rng(1).permutation(len(every))]
    vectors, queries = every[:5_500], every[5_500:]
    index = filled(kind, vectors[:5_000], fresh_rows=700)
    assert index.is_due()
    index.rebuild()
    state = index.state()
    assert state.kind == (Cpu().factory_for(5_000) if kind == AUTOMATIC else kind)
    assert state.recall is not None
    assert state.recall >= 0.99
    alive = {f"s{i}": v for i, v in enumerate(vectors[:5_000])}
    assert recall(index, alive, queries) >= 0.99
    for i in range(500):  # new ones, others as they are no more, and some gone
        put(index, f"n{i}", 2, *row(vectors[5_000 + i], CONTENT_DIM, {}))
        alive[f"n{i}"] = vectors[5_000 + i]
        put(index, f"s{i}", 2, *row(-vectors[i], CONTENT_DIM, {}))
        alive[f"s{i}"] = -vectors[i]
        drop(index, f"s{2000 + i}", 2)
        del alive[f"s{2000 + i}"]
    assert recall(index, alive, queries) >= 0.99
    assert index.is_due()
    index.rebuild()
    assert index.state().scanned == 0
    assert recall(index, alive, queries) >= 0.99


def test_more_than_the_recall_is_known_for_is_scanned() -> None:
    index = filled("Flat", unit(np.random.default_rng(0), 300, DIM))
    index.rebuild()
    query = vector(1)
    assert not search(index, query, 50).exact
    assert search(index, query, 51).exact
    assert search(index, query, 5, scored=True).exact
    assert search(index, query, 5, min_score=0.1).exact


def test_many_who_are_excluded_are_looked_up_by_the_exact_search() -> None:
    """Looked up all at once, they would keep writes from the rows."""
    index = filled("Flat", unit(np.random.default_rng(0), 300, DIM))
    index.rebuild()
    others = {f"other{i}" for i in range(1022)}
    for few, exact in (({"s0", "s1"}, False), ({"s0", "s1", "s2"}, True)):
        found = search(index, vector(1), 50, exclude=few | others)
        assert found.exact is exact
        assert found.reached == 300 - len(few)
        assert few.isdisjoint(hit.streamer_id for hit in found.hits)
    assert index._segmented is not None
    costs = [index._segmented.cost_ms(query_of(vector(1), exclude=x)) for x in ((), others)]
    assert costs[1] > costs[0] + 0.5


def test_what_does_not_reach_the_recall_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    index = filled("PQ4x2", unit(np.random.default_rng(0), 500, DIM))
    index.rebuild()
    assert "PQ4x2 has recall 0." in str(index.state().refused)
    assert "more rows are scanned: PQ4x2" in caplog.text
    assert index.state().kind == "exact"
    assert search(index, vector(1), 5).exact
    assert not index.is_due()  # it is not tried again and again
    for i in range(600):
        put(index, f"more{i}", 1, *row(vector(i), CONTENT_DIM, {}))
    assert index.is_due()


def test_what_faiss_can_not_make_leaves_the_exact_answers() -> None:
    index = filled("IVF1024,Flat", unit(np.random.default_rng(0), 300, DIM))
    index.rebuild()
    assert "IVF1024,Flat of 300 rows" in str(index.state().refused)
    assert search(index, vector(1), 5).exact


def test_a_new_base_that_can_not_be_had_leaves_the_old_one() -> None:
    vectors = unit(np.random.default_rng(0), 140, DIM)
    index = filled("IVF128,Flat", vectors, recall=0.5)
    index.rebuild()
    assert index.state().kind == "IVF128,Flat"
    for i in range(30):  # too few are left for so many cells
        drop(index, f"s{i}", 2)
    index.rebuild()
    assert "IVF128,Flat of 110 rows" in str(index.state().refused)
    assert index.state().kind == "IVF128,Flat"
    put(index, "new", 3, *row(vectors[0], CONTENT_DIM, {}))
    found = search(index, vectors[0], 5)
    assert found.hits[0].streamer_id == "new"
    assert not {hit.streamer_id for hit in found.hits} & {f"s{i}" for i in range(30)}


def test_few_streamers_are_scanned_again() -> None:
    index = filled("Flat", unit(np.random.default_rng(0), 150, DIM))
    index.rebuild()
    assert index.state().kind == "Flat"
    for i in range(60):
        drop(index, f"s{i}", 2)
    assert index.is_due()
    index.rebuild()
    assert index.state().kind == "exact"
    assert not index.is_due()


def test_many_dead_rows_around_a_query_starve_no_answer() -> None:
    rng = np.random.default_rng(0)
    crowd = unit(rng, DIM) + 0.01 * unit(rng, 400, DIM)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    index = filled("Flat", np.concatenate([crowd.astype(np.float32), unit(rng, 3000, DIM)]))
    index.rebuild()
    for i in range(395):
        drop(index, f"s{i}", 2)
    found = search(index, crowd[0].astype(np.float32), 10)
    assert {f"s{i}" for i in range(395, 400)} <= {hit.streamer_id for hit in found.hits}
    assert len(found.hits) == 10


def test_what_does_not_fit_a_device_leaves_the_old_base() -> None:
    device = OwnedDevice()
    vectors = unit(np.random.default_rng(0), 300, DIM)
    index = filled(AUTOMATIC, vectors, device)
    index.rebuild()
    device.full = True
    put(index, "new", 2, *row(vectors[0], CONTENT_DIM, {}))
    index.rebuild()
    assert "Flat of 301 rows: out of memory" in str(index.state().refused)
    assert index.state().kind == "Flat"
    found = search(index, vectors[0], 2)
    assert not found.exact
    assert {hit.streamer_id for hit in found.hits} == {"new", "s0"}


def test_a_device_that_fails_is_given_up_and_everyone_is_scanned() -> None:
    device = OwnedDevice()
    vectors = unit(np.random.default_rng(0), 300, DIM)
    index = filled(AUTOMATIC, vectors, device)
    index.rebuild()
    device.broken = True
    found = search(index, vectors[0], 5)
    assert found.exact
    best = np.sort(vectors @ vectors[0])[::-1][:5]
    np.testing.assert_allclose([hit.score for hit in found.hits], best, atol=1e-6)
    state = index.state()
    assert (state.kind, state.scanned) == ("exact", 300)
    assert "Flat failed on the gpu: CUDA error 719" in str(state.refused)
    assert not index.is_due()  # or it would fail again


def test_a_factory_string_is_checked_beforehand() -> None:
    check_factory("HNSW32,SQfp16", 128)
    with pytest.raises(ValueError, match="can't make an index 'Bogus' of width 128: could not"):
        check_factory("Bogus", 128)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "exact", "builds"), [("IVF16,Flat", False, 2), ("HNSW16", True, 4)]
)
def test_no_query_misses_a_live_streamer_while_bases_are_built_and_swapped(
    kind: str, exact: bool, builds: int
) -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng, 2000, DIM)
    index = filled(kind, vectors, recall=0.8)
    failures: list[BaseException] = []
    done = threading.Event()

    def read(start: int) -> None:
        try:
            i = start
            while not done.is_set():
                i = (i + 7) % 1000  # the first thousand stay
                before = set(gone)
                found = search(index, vectors[i], 3, exact=exact)
                assert found.hits[0].streamer_id == f"s{i}"
                assert before.isdisjoint(hit.streamer_id for hit in found.hits)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    gone: set[str] = set()
    readers = [threading.Thread(target=read, args=(i,)) for i in range(2)]
    builder = threading.Thread(target=lambda: [index.rebuild() for _ in range(builds)])
    for thread in (*readers, builder):
        thread.start()
    version = 1
    while builder.is_alive():
        version += 1
        i = 1000 + version % 900
        put(index, f"s{i}", version, *row(unit(rng, DIM), CONTENT_DIM, {}))
        if version % 50 == 0 and version < 5000:
            drop(index, f"s{1900 + version // 50}", version)
            gone.add(f"s{1900 + version // 50}")
    done.set()
    for thread in (*readers, builder):
        thread.join()
    assert failures == []
    assert index.state().kind == kind


@pytest.mark.slow
def test_fast_scan_kinds_are_filled_as_they_must_be() -> None:
    """Their lists are in blocks: written to as others are, they broke the memory of the process."""
    vectors = clustered(12_000, 32)
    index = FaissIndex(32, CONTENT_DIM, (), Plan("IVF64,PQ16x4fs", from_rows=100, recall=0.5))
    for i, vector in enumerate(vectors):
        put(index, f"s{i}", 1, *row(vector, CONTENT_DIM, {}))
    index.rebuild()
    assert index.state().kind == "IVF64,PQ16x4fs"
    assert search(index, vectors[0], 5).hits[0].streamer_id == "s0"
