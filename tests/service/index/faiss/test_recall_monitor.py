"""A base that misses what people ask for is found out, given up, and replaced by a better one."""

import numpy as np
import pytest

from service.index.faiss.ann.pruning import Reach
from service.index.faiss.ann.recall_monitor import Canary
from service.index.faiss.segmented import Plan, SegmentedIndex
from tests.benchmarks.clustered import clustered
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM, ROWS = 24, 4, 4000
VECTORS = clustered(ROWS, DIM, spread=0.3, seed=5)
STRANGE = unit(np.random.default_rng(6), 80, DIM)
"""Questions that are near no cluster."""


@pytest.fixture
def index() -> SegmentedIndex:
    made = SegmentedIndex(DIM, CONTENT_DIM, (), Plan("IVF64,Flat", from_rows=100))
    for i, vector in enumerate(VECTORS):
        made.upsert(f"s{i}", 1, *row(vector, CONTENT_DIM, {}))
    made.rebuild()
    return made


def ask(index: SegmentedIndex, queries: np.ndarray, k: int = 20) -> None:
    """Each question once, and an audit after each."""
    for query in queries:
        index.search(query[None, :], None, k)
        index.audit()


def spoil(index: SegmentedIndex) -> None:
    """Let its base look into one cell, whatever is asked."""
    assert index.base is not None
    for name in ("reach", "reach_of_few"):
        object.__setattr__(index.base, name, Reach(1, 0.0))  # it is frozen


def reach(index: SegmentedIndex) -> Reach:
    assert index.base is not None
    assert index.base.reach is not None
    return index.base.reach


def test_a_good_base_is_known_to_be_good(index: SegmentedIndex) -> None:
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
    index: SegmentedIndex, caplog: pytest.LogCaptureFixture
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
    assert "of 50 questions lately asked, 0.95 is the least" in found.refused
    assert "everyone is scanned from now on: IVF64,Flat" in caplog.text
    assert index.search(STRANGE[:1], None, 5).exact
    assert index.is_due()


def test_the_next_base_proves_itself_on_these_questions_too(index: SegmentedIndex) -> None:
    before = reach(index)
    spoil(index)
    ask(index, STRANGE)
    assert index.state().kind == "exact"
    index.rebuild()
    assert index.state().kind == "IVF64,Flat"
    assert index.state().refused is None
    assert not index.is_due()
    assert reach(index).cells > before.cells
    ask(index, unit(np.random.default_rng(7), 60, DIM))
    served = index.state().served_recall
    assert served is not None
    assert served >= 0.95


def test_one_question_is_kept_at_a_time() -> None:
    canary = Canary(0.9)
    assert canary.take() is None
    assert canary.is_curious
    canary.offer(VECTORS[0], 3, {"a"})
    assert not canary.is_curious
    question = canary.take()
    assert question is not None
    assert question.query.tolist() == VECTORS[0].tolist()
    assert (question.k, question.exclude) == (3, ("a",))
    assert canary.is_curious
    assert canary.take() is None


def test_only_answers_of_a_base_are_audited(index: SegmentedIndex) -> None:
    for query in VECTORS[:60]:
        index.search(query[None, :], None, 5, exact=True)
        index.search(query[None, :], None, 60)
        index.audit()
    assert index.state().served_recall is None


def test_what_changed_meanwhile_is_no_miss(index: SegmentedIndex) -> None:
    for i in range(60):
        index.search(VECTORS[i][None, :], None, 10)
        for j in range(40):
            index.remove(f"s{40 * i + j}", 2)
        index.audit()
    served = index.state().served_recall
    assert served is not None
    assert served >= 0.98
