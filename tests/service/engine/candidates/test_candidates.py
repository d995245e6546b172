"""Candidates: nearly all pairs that are alike, and every pair that shares an exact key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.kept import KeptCorpus
from service.engine.candidates.postings import MOST_ROWS, Postings
from service.engine.work.lanes import run_to_end
from service.index.faiss.codes import Codes, codes_of

WIDTH = 64
keys = st.frozensets(st.integers(0, 2**32 - 1) | st.integers(0, 5), max_size=4)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def as_keys(*keys: int) -> NDArray[np.uint32]:
    return np.array(keys, np.uint32)


def rows_of(postings: Postings, key: int) -> list[int]:
    return postings.shared(as_keys(key))[0].tolist()


@given(st.lists(st.tuples(st.integers(0, 9), keys | st.none()), max_size=40), st.booleans())
def test_rows_of_a_key_are_those_that_have_it_now(
    changes: list[tuple[int, frozenset[int] | None]], merged: bool
) -> None:
    postings = Postings()
    known: dict[int, frozenset[int]] = {}
    for step, (row, wanted) in enumerate(changes):
        if wanted is None:
            postings.remove(row)
            known.pop(row, None)
        else:
            postings.put(row, wanted)
            known[row] = wanted
        if merged and step % 3 == 0:
            postings.merge()
    for key in {key for some in known.values() for key in some} | {7}:
        expected = {row for row, some in known.items() if key in some}
        assert set(rows_of(postings, key)) == expected


def test_a_key_of_thousands_gives_its_first_rows_alone() -> None:
    postings = Postings()
    for row in range(100_000):
        postings.put(row, frozenset({0, 1, 2 * row + 10}))
    assert rows_of(postings, 0) == list(range(MOST_ROWS))
    assert not [row for row in rows_of(postings, 1) if row < 90_000]
    assert rows_of(postings, 2 * 99_999 + 10) == [99_999]


@pytest.mark.parametrize("removed", [600, 5000, 99_990])
def test_who_has_a_key_is_found_however_many_before_had_it(removed: int) -> None:
    postings = Postings()
    for row in range(100_000):
        postings.load(row, as_keys(0, 1, 2 * row + 10))
    postings.merge()
    for row in range(removed):
        postings.remove(row)
    left = range(removed, 100_000)
    assert rows_of(postings, 0) == list(left[:MOST_ROWS])
    assert rows_of(postings, 1) == (list(left) if len(left) <= MOST_ROWS else [])
    assert len(postings) < 3 * (len(left) + 2000)


def test_the_nearest_codes_are_those_with_the_fewest_different_bits() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((500, WIDTH)).astype(np.float32)
    codes = Codes(WIDTH // 8)
    for row, code in enumerate(codes_of(vectors)):
        codes.put(row, code)
    asked = codes_of(vectors[:20])
    distances, rows = codes.nearest(asked, 5, 500)
    bits = vectors > 0
    for i in range(20):
        apart = (bits[i] != bits).sum(1)
        assert distances[i].tolist() == sorted(apart.tolist())[:5]
        assert rows[i, 0] == i


def test_whoever_is_like_a_streamer_or_shares_a_key_is_a_candidate() -> None:
    rng = np.random.default_rng(5)
    contents = unit(rng.standard_normal((3000, WIDTH)))
    contents[1] = unit(contents[0] + 0.05 * contents[1])
    corpus = Corpus(WIDTH, WIDTH)
    entries = [
        Entry(content, content, shown := as_keys(14 * (i % 1500), 1), shown)
        for i, content in enumerate(contents)
    ]
    for i, entry in enumerate(entries[:2900]):
        corpus.load(f"s{i}", entry)
    corpus.settle()
    for i, entry in enumerate(entries[2900:], 2900):
        corpus.put(f"s{i}", entry)
    for i in range(5, 2000):
        corpus.remove(f"s{i}")
    both = corpus.candidates(["s0", "s2500"], [entries[0].asked, entries[2500].asked])
    first, last = run_to_end(both)
    again = corpus.candidates(["s0", "s2500"], [entries[0].asked, entries[2500].asked])
    assert sum(1 for _ in again) >= 2  # a pause for each
    assert "s1" in first
    assert {*first, *last}.isdisjoint({"s0", *(f"s{i}" for i in range(5, 2000))} - {"s0"})
    assert "s1000" not in last
    corpus.put("s1000", entries[1000])
    assert "s1000" in run_to_end(corpus.candidates(["s2500"], [entries[2500].asked]))[0]
    nothing = Entry(None, None, as_keys(), as_keys())
    corpus.put("empty", nothing)
    assert run_to_end(corpus.candidates(["empty"], [as_keys()])) == [set()]


def test_the_likeliest_of_each_source_come_first_for_who_is_not_there_yet() -> None:
    rng = np.random.default_rng(6)
    contents = unit(rng.standard_normal((1000, WIDTH)))
    corpus = Corpus(WIDTH, WIDTH)
    for i, content in enumerate(contents):
        shown = {7: [1000], 8: [2001 + 2 * j for j in range(3)]}.get(i, [])
        keys = as_keys(*shown)
        corpus.load(f"s{i}", Entry(content, contents[i - 1], keys, keys, i))
    corpus.settle()
    asked = as_keys(1000, *(2001 + 2 * j for j in range(3)))
    entry = Entry(unit(contents[9] + 0.01 * contents[1]), contents[20], as_keys(), asked)
    assert set(corpus.ranked("new", entry).ids[:4]) == {"s7", "s8", "s9", "s21"}
    assert set(corpus.ranked("s9", entry).ids[:4]) >= {"s7", "s8", "s21"}
    assert "s9" not in corpus.ranked("s9", entry).ids
    assert corpus.ranked("new", Entry(None, None, as_keys(), as_keys())).ids == []
    assert corpus.version("s7") == 7
    assert corpus.version("new") is None
    kept = KeptCorpus()
    assert kept.ranked("new", entry) is None
    kept.keep(corpus)
    assert kept.ranked("new", entry) == corpus.ranked("new", entry)


def test_who_changed_since_a_look_is_known_while_they_are_few() -> None:
    corpus = Corpus(WIDTH, WIDTH)
    nothing = Entry(None, None, as_keys(), as_keys())
    before = corpus.ranked("a", nothing).changes
    corpus.put("a", nothing)
    corpus.put("b", nothing)
    corpus.remove("nobody")
    corpus.remove("a")
    assert corpus.changed_since(before) == ["a", "b", "a"]
    assert corpus.changed_since(corpus.ranked("a", nothing).changes) == []
    assert corpus.changed_since(before + 100) is None  # of another corpus
    for _ in range(100):
        corpus.put("c", nothing)
    assert corpus.changed_since(before) is None
