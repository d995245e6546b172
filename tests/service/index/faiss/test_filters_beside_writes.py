"""Numbers that a filter compares while others write."""

import threading
from typing import Any

import numpy as np

from service.index.base import Remove, Upsert
from service.index.faiss.rows.table import Rows
from service.index.filters import Condition, Filter
from tests.service.index.faiss.records import row

DIM, CONTENT_DIM = 8, 4
VIEWS = Filter(
    [Condition("views", any=[*range(0, 4000, 2), 2**60]), Condition("views", lt=2**61)],
    [Condition("views", any=[*range(0, 4000, 6)]), Condition("name", any=["x"])],
)


def put_views(rows: Rows, streamer_id: str, version: int, views: int) -> None:
    vector = np.full(DIM, views % 2**20, np.float32)
    rows.apply(
        Upsert(streamer_id, version, *row(vector, CONTENT_DIM, {"attributes": {"views": views}}))
    )


def are_wanted(views: int) -> bool:
    return views == 2**60 or (views < 4000 and views % 2 == 0 and views % 6 != 0)


def test_numbers_are_compared_while_others_write() -> None:
    """What was written or deleted meanwhile is as it is by the end; slots are not confused."""
    rows, rng = Rows(DIM, CONTENT_DIM), np.random.default_rng(0)
    known: dict[str, int] = {}
    version = 0

    def change(times: int) -> None:
        nonlocal version
        for _ in range(times):
            version += 1
            name = f"s{rng.integers(0, 4000)}"
            if name in known and rng.random() < 0.3:
                rows.apply(Remove(name, version))
                del known[name]
            else:
                known[name] = 2**60 if rng.random() < 0.1 else int(rng.integers(0, 8000))
                put_views(rows, name, version, known[name])

    change(2000)
    part_for, looked = rows.attributes.part_for, 0

    def slow(condition: Condition) -> Any:
        nonlocal looked
        part = part_for(condition)
        if part is None:
            return None
        holding = part.holding

        def meanwhile(*asked: Any) -> Any:
            nonlocal looked
            looked += 1
            assert not rows.lock.locked()  # a write, or who reads a vector, need not wait
            change(150)
            return holding(*asked)

        part.holding = meanwhile  # type: ignore[method-assign]
        return part

    rows.attributes.part_for = slow  # type: ignore[method-assign]
    for _ in range(5):
        with rows.reading(VIEWS, (), False) as view:
            found = sorted(str(view.ids[slot]) for slot in view.slots())
        assert found == sorted(name for name, views in known.items() if are_wanted(views))
    assert looked >= 10


def test_whoever_a_filter_lets_through_fulfils_it_while_others_write() -> None:
    rows = Rows(DIM, CONTENT_DIM)
    for i in range(3000):
        put_views(rows, f"s{i}", 1, i)
    stay = {f"s{i}" for i in range(1000, 3000) if are_wanted(i)}
    done, began = threading.Event(), threading.Event()

    def write() -> None:
        version = 1
        while not done.is_set():
            version += 1
            put_views(rows, f"s{version * 7 % 1000}", version, version * 13 % 8000)
            began.set()

    writer = threading.Thread(target=write)
    writer.start()
    began.wait()
    try:
        for _ in range(10):
            with rows.reading(VIEWS, (), False) as view:
                slots = view.slots()
                assert stay <= {view.ids[slot] for slot in slots}
                assert all(are_wanted(int(views)) for views in view.embeddings[slots, 0])
    finally:
        done.set()
        writer.join()
