"""Slots are used again, and never while somebody reads them."""

import threading

import numpy as np

from service.index.faiss.flat import FlatIndex
from service.index.faiss.rows.table import Rows
from service.index.filters import Filter
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM = 8, 4


def write(rows: Rows | FlatIndex, streamer_id: str, version: int, value: float) -> None:
    vector = np.full(DIM, value, np.float32)
    rows.upsert(streamer_id, version, *row(vector, CONTENT_DIM, {}))


def test_what_is_read_stays_as_it_was() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    write(rows, "a", 1, 1)
    with rows.reading(Filter(), (), False) as view:
        for version in range(2, 50):
            write(rows, "a", version, version)
        with rows.reading(Filter(), (), False) as later:
            assert later.embeddings[later.slots()].tolist() == [[49] * DIM]
        rows.remove("a", 50)
        write(rows, "b", 51, 51)
        assert view.embeddings[view.slots()].tolist() == [[1] * DIM]
        assert [view.ids[slot] for slot in view.slots()] == ["a"]
        assert view.size == 1


def test_slots_are_used_again() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    for version in range(1, 5000):
        write(rows, f"s{version % 10}", version, version)
        with rows.reading(Filter(), (), False) as view:
            assert len(view.embeddings) <= 12
    assert len(rows) == 10


def test_a_slow_reader_keeps_its_own_slots_alone() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    for i in range(10):
        write(rows, f"s{i}", 1, i)
    with rows.reading(Filter(), (), False) as view:
        for version in range(2, 100):
            write(rows, "s0", version, version)
        assert view.embeddings[view.slots(), 0].tolist() == list(range(10))
    before = len(view.embeddings)
    for version in range(100, 180):
        write(rows, "s0", version, version)
    with rows.reading(Filter(), (), False) as view:
        assert len(view.embeddings) <= before + 100
        assert view.size == 10


def test_no_reader_sees_half_a_row_or_two_versions_of_one() -> None:
    """Each row is one number throughout; a search finds every streamer, and each once."""
    index, streamers = FlatIndex(DIM, CONTENT_DIM), 40
    for i in range(streamers):
        write(index, f"s{i}", 1, 1)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        query = unit(np.random.default_rng(0), DIM)
        try:
            while not done.is_set():
                found = index.search(query[None, :], None, streamers + 5)
                assert {hit.streamer_id for hit in found.hits} == {
                    f"s{i}" for i in range(streamers)
                }
                assert len(found.hits) == streamers
                for hit in found.hits:
                    value = hit.score / float(query.sum())
                    assert abs(value - round(value)) < 1e-3
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 6000):
        write(index, f"s{version % streamers}", version, version % 9 + 1)
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_a_vector_by_itself() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    assert rows.vector("a") is None
    rows.upsert("a", 1, *row(np.full(DIM, 3, np.float32), CONTENT_DIM, {"modalities_used": 2}))
    found = rows.vector("a")
    assert found is not None
    assert found.embedding is not None
    assert found.embedding.tolist() == [3] * DIM
    assert found.modalities_used == 2
    rows.upsert("a", 2, *row(None, CONTENT_DIM, {}))
    found = rows.vector("a")
    assert found is not None
    assert found.embedding is None
    assert found.modalities_used is None
    rows.remove("a", 3)
    assert rows.vector("a") is None
    assert found.embedding is None


def test_room_for_many_at_once_changes_nothing_that_is_read() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    for i in range(100):
        write(rows, f"s{i}", 1, i)
    with rows.reading(Filter(), (), False) as view:
        rows.reserve(50_001)
        for i in range(100):
            write(rows, f"s{i}", 2, -i)
        assert view.embeddings[view.slots(), 0].tolist() == list(range(100))
    for i in range(100, 50_001):
        write(rows, f"s{i}", 2, -i)
    with rows.reading(Filter(), (), False) as view:
        assert sorted(-view.embeddings[view.slots(), 0]) == list(range(50_001))
