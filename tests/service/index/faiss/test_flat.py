"""The exact index against a dictionary and plain numpy."""

import json
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.index.faiss.index import FaissIndex
from service.index.filters import EVERYONE, Condition, Filter
from tests.service.index.asked import drop, matches, put, rows_of, search

DIM, CONTENT_DIM = 8, 4
IDS = [f"s{i}" for i in range(12)]
ESTABLISHED = {*IDS[:5], "never stored"}


def vector(seed: int, dim: int = DIM) -> np.ndarray:
    v = np.random.default_rng(seed).standard_normal(dim)
    return (v / np.linalg.norm(v)).astype(np.float32)


def entry(seed: int) -> tuple[bytes, bytes, bytes]:
    """Embedding, content and facets; every fifth streamer shows nothing."""
    facets = json.dumps({"attributes": {"group": seed % 3}}).encode()
    if seed % 5 == 0:
        return b"", b"", facets
    content = vector(seed, CONTENT_DIM).astype("<f2").tobytes()
    return vector(seed).astype("<f4").tobytes(), content, facets


class AgainstADictionary(RuleBasedStateMachine):
    """Any history of versions, also late ones, ends as the dictionary says."""

    def __init__(self) -> None:
        super().__init__()
        self.index = FaissIndex(DIM, CONTENT_DIM, ESTABLISHED)
        self.model: dict[str, tuple[int, int]] = {}  # id -> version, seed
        self.sequence = 0

    @rule(streamer_id=st.sampled_from(IDS), seed=st.integers(0, 1000))
    def upsert(self, streamer_id: str, seed: int) -> None:
        self.sequence += 1
        put(self.index, streamer_id, self.sequence, *entry(seed))
        self.model[streamer_id] = (self.sequence, seed)

    @rule(streamer_id=st.sampled_from(IDS), seed=st.integers(0, 1000), back=st.integers(0, 5))
    def upsert_late(self, streamer_id: str, seed: int, back: int) -> None:
        version = max(0, self.sequence - back)
        if streamer_id in self.model and version <= self.model[streamer_id][0]:
            put(self.index, streamer_id, version, *entry(seed))

    @rule(streamer_id=st.sampled_from(IDS))
    def remove(self, streamer_id: str) -> None:
        self.sequence += 1
        drop(self.index, streamer_id, self.sequence)
        self.model.pop(streamer_id, None)

    @rule(streamer_id=st.sampled_from(IDS), back=st.integers(0, 5))
    def remove_late(self, streamer_id: str, back: int) -> None:
        version = max(0, self.sequence - back)
        if streamer_id in self.model and self.model[streamer_id][0] >= version:
            drop(self.index, streamer_id, version)

    @rule(
        seed=st.integers(0, 1000),
        k=st.integers(1, 15),
        exclude=st.sets(st.sampled_from(IDS), max_size=4),
        group=st.none() | st.integers(0, 2),
        min_score=st.none() | st.floats(-1, 1),
        scored=st.booleans(),
        established_only=st.booleans(),
    )
    def search(self, seed, k, exclude, group, min_score, scored, established_only) -> None:
        query = vector(seed)
        wanted = EVERYONE if group is None else Filter([Condition("group", any=[group])])
        found = search(
            self.index,
            query,
            k,
            scored=scored,
            exclude=exclude,
            min_score=min_score,
            filter=wanted,
            established_only=established_only,
        )
        expected = {
            s: float(query @ vector(seed))
            for s, (_, seed) in self.model.items()
            if seed % 5 and s not in exclude and (group is None or seed % 3 == group)
            if s in ESTABLISHED or not established_only
        }
        near = {s: x for s, x in expected.items() if min_score is None or x >= min_score}
        clear = min_score is None or all(abs(x - min_score) > 1e-6 for x in expected.values())
        if clear:  # a score within rounding of the limit may fall on either side
            assert found.reached == len(near)
            assert len(found.hits) == min(k, len(near))
        scores = [hit.score for hit in found.hits]
        assert scores == sorted(scores, reverse=True)
        best = sorted(near.values(), reverse=True)[: len(scores)]
        if clear:
            np.testing.assert_allclose(scores, best, atol=1e-6)
        for hit in found.hits:
            assert abs(expected[hit.streamer_id] - hit.score) < 1e-6

    @rule(
        seed=st.integers(0, 20),
        least=st.floats(-1, 1),
        exclude=st.sets(st.sampled_from(IDS), max_size=4),
        group=st.none() | st.integers(0, 2),
    )
    def matches(self, seed, least, exclude, group) -> None:
        query = vector(seed)
        wanted = EVERYONE if group is None else Filter([Condition("group", any=[group])])
        found = matches(self.index, query, least, exclude=exclude, filter=wanted)
        scores = {
            s: float(query @ vector(seed))
            for s, (_, seed) in self.model.items()
            if seed % 5 and s not in exclude and (group is None or seed % 3 == group)
        }
        if all(abs(x - least) > 1e-6 for x in scores.values()):
            assert set(found.ids) == {s for s, x in scores.items() if x >= least}
        assert len(found.ids) == len(set(found.ids)) == len(found.scores)
        pairs = list(zip(-found.scores, found.ids, strict=True))
        assert pairs == sorted(pairs)  # the best first, equal ones by their ids
        np.testing.assert_allclose(found.scores, [scores[s] for s in found.ids], atol=1e-6)

    @precondition(lambda self: self.model)
    @invariant()
    def knows_what_the_dictionary_knows(self) -> None:
        rows = rows_of(self.index, IDS)
        assert self.index.count == sum(seed % 5 != 0 for _, seed in self.model.values())
        for streamer_id, row in zip(IDS, rows, strict=True):
            if streamer_id not in self.model:
                assert row is None
                continue
            version, seed = self.model[streamer_id]
            assert row is not None
            assert row.version == version
            assert row.facets == {"attributes": {"group": seed % 3}}
            if seed % 5 == 0:
                assert row.embedding is None
                assert row.content is None
            else:
                np.testing.assert_array_equal(row.embedding, vector(seed))


AgainstADictionary.TestCase.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, derandomize=True
)
TestAgainstADictionary = pytest.mark.slow(AgainstADictionary.TestCase)


def test_it_grows_past_its_first_rows() -> None:
    index = FaissIndex(DIM, CONTENT_DIM)
    for i in range(3000):
        put(index, f"s{i}", i + 1, *entry(5 * i + 1))
    assert index.count == 3000
    found = search(index, vector(5 * 2999 + 1), 1)
    assert found.hits[0].streamer_id == "s2999"


def test_readers_and_a_writer_at_the_same_time() -> None:
    """FAISS crashes when rows are added during a search; the index must keep them apart."""
    index = FaissIndex(DIM, CONTENT_DIM)
    for i in range(500):
        put(index, f"s{i}", i + 1, *entry(5 * i + 1))
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for i in range(300):
                found = search(index, vector(i), 10)
                assert len(found.hits) == 10
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(500, 3000):
        put(index, f"s{i}", i + 1, *entry(5 * i + 1))
        if i % 3 == 0:
            drop(index, f"s{i - 400}", i + 1)
    for reader in readers:
        reader.join()
    assert failures == []


def test_equal_ones_at_the_end_of_an_answer_are_those_with_the_lowest_ids() -> None:
    """Whoever asks for more gets the same ones first, and so does another process."""
    index, names = FaissIndex(DIM, CONTENT_DIM), [f"s{i:02}" for i in range(30)]
    order = np.random.default_rng(1).permutation(len(names)).tolist()
    for version, place in enumerate(order, start=1):
        put(index, names[place], version, *entry(1 if place else 2))
    for k in (1, 10, 29, 30, 31):
        ids = [hit.streamer_id for hit in search(index, vector(1), k).hits]
        assert ids == [*names[1:], names[0]][:k]
