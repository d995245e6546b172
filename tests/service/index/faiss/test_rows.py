"""Slots are used again, and never while somebody reads them."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from service.files.checksummed import ChecksummedFolder
from service.index.base import Remove, Upsert
from service.index.faiss.index import FaissIndex
from service.index.faiss.rows import columns as columns_module
from service.index.faiss.rows import table
from service.index.faiss.rows.attributes import Attributes, Name
from service.index.faiss.rows.coverage import Coverage
from service.index.faiss.rows.table import Rows
from service.index.filters import Condition, Filter
from tests.service.index.asked import now, search
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM = 8, 4
MAPPED = columns_module.mmap.mmap


def write(rows: Rows | FaissIndex, streamer_id: str, version: int, value: float) -> None:
    vector = np.full(DIM, value, np.float32)
    change = Upsert(streamer_id, version, *row(vector, CONTENT_DIM, {}))
    if isinstance(rows, Rows):
        rows.apply(change)
    else:
        now(rows.apply([change]))


def test_what_is_read_stays_as_it_was() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    write(rows, "a", 1, 1)
    with rows.reading(Filter(), (), False) as view:
        for version in range(2, 50):
            write(rows, "a", version, version)
        with rows.reading(Filter(), (), False) as later:
            assert later.embeddings[later.slots()].tolist() == [[49] * DIM]
        rows.apply(Remove("a", 50))
        write(rows, "b", 51, 51)
        assert view.embeddings[view.slots()].tolist() == [[1] * DIM]
        assert [view.ids[slot] for slot in view.slots()] == ["a"]
        assert view.size == 1


def test_sketches_are_of_the_newest_versions_of_those_that_have_one() -> None:
    index = FaissIndex(DIM, CONTENT_DIM)
    for version, name in enumerate(["a", "b", "a", "gone"], start=1):
        write(index, name, version, version)
    now(index.apply([Remove("gone", 9), Upsert("bare", 8, *row(None, CONTENT_DIM, {}))]))
    found = now(index.sketches(["b", "gone", "bare", "nobody", "a"]))
    assert [(each.streamer_id, each.version) for each in found] == [("b", 2), ("a", 3)]
    assert [each.content.tolist() for each in found] == [[2] * CONTENT_DIM, [3] * CONTENT_DIM]


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


class Written(set[str]):
    """Ids; as soon as they have been gone through, some get another slot, or their first one."""

    def __init__(self, ids: list[str], rows: Rows) -> None:
        super().__init__(ids)
        self._rows = rows

    def __iter__(self) -> Iterator[str]:
        yield from sorted(super().__iter__())
        for i, streamer_id in enumerate(("s1", "s9", "late")):
            write(self._rows, streamer_id, 2, 90 + i)


@pytest.mark.parametrize("at_once", [2, 100])
def test_many_who_are_excluded_are_left_out_though_they_change_meanwhile(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(table, "_IDS_AT_ONCE", at_once)
    rows = Rows(DIM, CONTENT_DIM)
    for i in range(10):
        write(rows, f"s{i}", 1, i)
    excluded = ["s0", "s1", "s2", "late", "nobody"]
    out = Written(excluded, rows) if at_once == 2 else set(excluded)
    with rows.reading(Filter(), out, False) as view:
        found = {view.ids[slot]: view.embeddings[slot, 0] for slot in view.slots()}
        bits = np.unpackbits(view.bits(), bitorder="little")
        assert np.flatnonzero(bits).tolist() == view.slots().tolist()
    assert found == {f"s{i}": i for i in range(3, 10)} | ({"s9": 91} if at_once == 2 else {})
    assert view.size == 7


@pytest.mark.slow
def test_no_reader_sees_half_a_row_or_two_versions_of_one() -> None:
    """Each row is one number throughout; a search finds every streamer, and each once."""
    index, streamers = FaissIndex(DIM, CONTENT_DIM), 40
    for i in range(streamers):
        write(index, f"s{i}", 1, 1)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        query = unit(np.random.default_rng(0), DIM)
        try:
            while not done.is_set():
                found = search(index, query, streamers + 5)
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
    shown = row(np.full(DIM, 3, np.float32), CONTENT_DIM, {"modalities_used": 2, "coverage": 0.312})
    rows.apply(Upsert("a", 1, *shown))
    found = rows.vector("a")
    assert found is not None
    assert found.embedding is not None
    assert found.embedding.tolist() == [3] * DIM
    assert found.modalities_used == 2
    assert found.coverage == 0.312
    rows.apply(Upsert("a", 2, *row(None, CONTENT_DIM, {"coverage": "much"})))
    found = rows.vector("a")
    assert found is not None
    assert found.embedding is None
    assert found.modalities_used is None
    assert found.coverage is None
    rows.apply(Remove("a", 3))
    assert rows.vector("a") is None
    assert found.embedding is None


@pytest.mark.slow
def test_no_write_copies_the_rows_that_are_there() -> None:
    """A million rows take a third of a second to copy, and writes are applied on the event loop."""
    rows = Rows(DIM, CONTENT_DIM)
    write(rows, "s0", 1, 0)
    first = rows.columns
    for i in range(1, 50_001):
        write(rows, f"s{i}", 1, -i)
    assert rows.columns is first
    with rows.reading(Filter(), (), False) as view:
        assert (-view.embeddings[view.slots(), 0]).tolist() == list(range(50_001))


def limit_addresses(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Let no more bytes be mapped at once, as where the system limits a process."""

    def limited(fd: int, size: int, **options: Any) -> Any:
        if size > limit:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return MAPPED(fd, size, **options)

    monkeypatch.setattr(columns_module.mmap, "mmap", limited)


def test_where_addresses_are_limited_fewer_are_reserved_and_rows_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_addresses(monkeypatch, 4 * DIM * 10_000)
    rows = Rows(DIM, CONTENT_DIM)
    assert rows.columns.slots == 8192
    for i in range(8192):
        write(rows, f"s{i}", 1, i)
    with rows.reading(Filter(), (), False) as view:
        limit_addresses(monkeypatch, 4 * DIM * 40_000)
        for i in range(9000):
            write(rows, f"s{i}", 2, -i)
        assert rows.columns.slots >= 9000
        assert view.embeddings[view.slots(), 0].tolist() == list(range(8192))
    with rows.reading(Filter(), (), False) as view:
        assert sorted(-view.embeddings[view.slots(), 0]) == list(range(9000))
    limit_addresses(monkeypatch, 1000)
    with pytest.raises(MemoryError, match="no room for 1024 rows of width 8"):
        Rows(DIM, CONTENT_DIM)


def test_a_filter_sees_what_is_written_between_two_of_its_conditions() -> None:
    """Others have the lock between them: each streamer is in the answer once, as it is then."""
    rows, looked = Rows(DIM, CONTENT_DIM), list[str]()

    def put(streamer_id: str, version: int, **attributes: int) -> None:
        facets = {"attributes": attributes}
        vector = np.full(DIM, version, np.float32)
        rows.apply(Upsert(streamer_id, version, *row(vector, CONTENT_DIM, facets)))

    for version, name in enumerate(["stays", "leaves", "changes", "spoils", "out"], start=1):
        put(name, version, level=1, age=1)
    put("other", 6, level=2, age=1)
    holding = rows.attributes.holding

    def slow(condition: Condition, among: Any, slots_of: Any) -> Any:
        found = holding(condition, among, slots_of)
        if not looked:
            looked.append(condition.field)
            rows.lock.release()  # as another thread has it in between
            rows.apply(Remove("leaves", 10))
            put("changes", 11, level=1, age=2)
            put("spoils", 12, level=1, age=9)
            put("comes", 13, level=1, age=1)
            put("out", 14, level=1, age=1)
            rows.lock.acquire()
        return found

    rows.attributes.holding = slow  # type: ignore[method-assign]
    wanted = Filter([Condition("level", any=[1])], [Condition("age", any=[9])])
    with rows.reading(wanted, ["out"], False) as view:
        found = [str(view.ids[slot]) for slot in view.slots()]
        assert sorted(found) == ["changes", "comes", "stays"]
    assert looked


def test_a_snapshot_is_without_who_came_after_it_began(tmp_path: Path) -> None:
    """Also those whose number is one of few: their slots are beyond the ones that were counted."""
    index = FaissIndex(DIM, CONTENT_DIM)

    def put(streamer_id: str, version: int) -> None:
        vector, facets = np.full(DIM, version, np.float32), {"attributes": {"level": version}}
        index._rows.apply(Upsert(streamer_id, version, *row(vector, CONTENT_DIM, facets)))

    put("before", 1)
    attributes = index._rows.attributes
    copy = attributes.copy

    def slow(name: Name) -> Attributes:
        index._rows.lock.release()  # as another thread has it in between
        put("late", 2)
        index._rows.lock.acquire()
        return copy(name)

    attributes.copy = slow  # type: ignore[method-assign]
    index.save(tmp_path / "s", {}, lambda: False)
    loaded = FaissIndex(DIM, CONTENT_DIM)
    loaded.load(ChecksummedFolder(tmp_path / "s"))
    wanted = Filter([Condition("level", any=[1, 2])])
    found = search(loaded, np.ones(DIM, np.float32), filter=wanted)
    assert [hit.streamer_id for hit in found.hits] == ["before"]


class Counted(np.ndarray):
    """Numbers that count how often all of them are compared or calculated with."""

    passes = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        Counted.passes += 1
        plain = [np.asarray(each) for each in inputs]
        return getattr(ufunc, method)(*plain, **options)


@pytest.mark.parametrize("excluded", [0, 1, 300])
def test_candidates_are_without_the_excluded_in_one_pass(excluded: int) -> None:
    """Writes wait meanwhile, on the event loop."""
    coverage, live, covered = Coverage(), BitMap(range(2000)), BitMap(range(0, 1500, 2))
    coverage.use(None, covered, live, 2000)
    rng = np.random.default_rng(0)
    out = {*rng.choice(2500, excluded, replace=False).tolist()}  # some are not live
    found = rng.permutation(1500)[:700]
    for _ in range(2):  # nothing of it stays
        Counted.passes = 0
        near = coverage.candidates(found.view(Counted), out)
        assert Counted.passes <= 2
        expected = [slot for slot in found.tolist() if slot in covered and slot not in out]
        assert near.slots.tolist() == expected + [
            slot for slot in range(2000) if slot not in covered and slot not in out
        ]
        assert (near.found, near.covered) == (len(expected), len(covered - BitMap(out)))
        assert near.size == len(live - BitMap(out))
