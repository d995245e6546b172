"""A segment that misses too many on live traffic is disabled, and replaced by a better one."""

import numpy as np
import pytest

from service.index.faiss.ann.pruning import Reach
from service.index.faiss.ann.recall_monitor import RecallMonitor
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from tests.benchmarks.clustered import clustered
from tests.service.index.asked import drop, put, query_of, search
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM, ROWS = 24, 4, 4000
VECTORS = clustered(ROWS, DIM, spread=0.3, seed=5)
STRANGE = unit(np.random.default_rng(6), 80, DIM)
"""Questions that are near no cluster."""


@pytest.fixture
def index() -> FaissIndex:
    made = FaissIndex(DIM, CONTENT_DIM, (), Plan("IVF64,Flat", from_rows=100))
    for i, vector in enumerate(VECTORS):
        put(made, f"s{i}", 1, *row(vector, CONTENT_DIM, {}))
    made.rebuild()
    return made


def ask(index: FaissIndex, queries: np.ndarray, k: int = 20) -> None:
    """Each question once, and a recall check after each."""
    for query in queries:
        search(index, query, k)
        index.check_recall()


def spoil(index: FaissIndex) -> None:
    """Let its base look into one cell, whatever is asked."""
    assert index.segment is not None
    for name in ("reach", "reach_of_few"):
        object.__setattr__(index.segment, name, Reach(1, 0.0))  # it is frozen


def reach(index: FaissIndex) -> Reach:
    assert index.segment is not None
    assert index.segment.reach is not None
    return index.segment.reach


@pytest.mark.slow
def test_a_good_base_is_known_to_be_good(index: FaissIndex) -> None:
    assert index.state().served_recall is None
    ask(index, VECTORS[:49])
    assert index.state().served_recall is None  # too few to tell
    ask(index, VECTORS[49:90])
    found = index.state()
    assert found.served_recall is not None
    assert found.served_recall >= 0.98
    assert found.kind == "IVF64,Flat"
    assert found.refused is None
    index.rebuild()
    assert index.state().served_recall is None  # nothing is known of the new one


def test_a_base_that_became_bad_is_given_up(
    index: FaissIndex, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(index)
    ask(index, STRANGE[:49])
    assert index.state().kind == "IVF64,Flat"
    ask(index, STRANGE[49:])
    found = index.state()
    assert found.kind == "exact"
    assert found.scanned == ROWS
    assert found.refused is not None
    assert "IVF64,Flat is not used: it found 0." in found.refused
    assert "on the last 50 sampled queries, below the floor of 0.95" in found.refused
    assert "falling back to exact scan: IVF64,Flat" in caplog.text
    assert search(index, STRANGE[0], 5).exact
    assert index.is_due()


@pytest.mark.slow
def test_the_next_base_proves_itself_on_these_questions_too(index: FaissIndex) -> None:
    before = reach(index)
    spoil(index)
    ask(index, STRANGE)
    assert index.state().kind == "exact"
    index.rebuild()
    assert index.state().kind == "IVF64,Flat"
    assert index.state().refused is None
    assert not index.is_due()
    assert reach(index).nprobe > before.nprobe
    ask(index, unit(np.random.default_rng(7), 60, DIM))
    served = index.state().served_recall
    assert served is not None
    assert served >= 0.95


def compare_until_alarm(recall: float, most: int, seed: int) -> int | None:
    """Comparisons until an alarm, if any: most queries find all, a few find little."""
    rng = np.random.default_rng(seed)
    monitor, best = RecallMonitor(0.95), np.arange(10, 0, -1).astype(np.float32)
    shares = rng.beta(4 * recall, 4 * (1 - recall), most)
    for number, hits in enumerate(rng.binomial(10, shares).tolist(), start=1):
        monitor.note(STRANGE[0], best[:hits], best)
        if monitor.alarm is not None:
            return number
    return None


@pytest.mark.slow
def test_a_segment_above_the_floor_is_kept() -> None:
    for recall in (0.955, 0.98):
        assert [compare_until_alarm(recall, 2000, seed) for seed in range(20)] == [None] * 20


def test_one_below_the_floor_is_found_soon() -> None:
    for recall, soon in ((0.9, 400), (0.8, 100), (0.5, 60)):
        found = [compare_until_alarm(recall, soon, seed) for seed in range(20)]
        assert all(number is not None for number in found), (recall, found)


def test_one_that_became_bad_is_found_as_soon() -> None:
    monitor, best = RecallMonitor(0.95), np.arange(10, 0, -1).astype(np.float32)
    for _ in range(5000):
        monitor.note(STRANGE[0], best, best)
    for _ in range(100):
        monitor.note(STRANGE[0], best[:7], best)
    assert "below the floor of 0.95" in (monitor.alarm or "")
    monitor.forget()
    for number in range(50):
        monitor.note(STRANGE[0], best[: 10 if number % 5 else 5], best)
    assert (monitor.recall, monitor.alarm) == (0.9, None)  # ten of fifty may be chance


def test_one_question_is_kept_at_a_time() -> None:
    monitor, query = RecallMonitor(0.9), query_of(VECTORS[0], 3)
    assert monitor.take() is None
    assert monitor.wants_sample
    monitor.offer(query)
    assert not monitor.wants_sample
    assert monitor.take() is query
    assert monitor.wants_sample
    assert monitor.take() is None


def test_only_answers_of_a_base_are_audited(index: FaissIndex) -> None:
    for query in VECTORS[:60]:
        search(index, query, 5, exact=True)
        search(index, query, 60)
        index.check_recall()
    assert index.state().served_recall is None


def test_what_changed_meanwhile_is_no_miss(index: FaissIndex) -> None:
    for i in range(60):
        search(index, VECTORS[i], 10)
        for j in range(40):
            drop(index, f"s{40 * i + j}", 2)
        index.check_recall()
    served = index.state().served_recall
    assert served is not None
    assert served >= 0.98
