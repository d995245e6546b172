"""Changes from one model to another: what all do alike is none, and who moved is told apart."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from service.engine.layouts.model_change import ModelChange, TooFew
from service.engine.work.lanes import run_to_end
from service.index.base import Remove, Upsert
from service.index.faiss.index import FaissIndex
from tests.service.index.faiss.records import row, unit

COUNT = 400


def index_of(vectors: Mapping[str, np.ndarray], dim: int, version: int = 1) -> FaissIndex:
    index = FaissIndex(dim, dim)
    changes = [Upsert(name, version, *row(v, dim, {})) for name, v in vectors.items()]
    asyncio.run(index.apply(changes))
    return index


def changes_of(change: ModelChange, here: FaissIndex, other: FaissIndex) -> dict[str, float]:
    found = run_to_end(change.looking(here, other))
    return dict(zip(here.ids_in(found.slots), found.changes.tolist(), strict=True))


def named(vectors: np.ndarray) -> dict[str, np.ndarray]:
    return {f"s{i}": vector for i, vector in enumerate(vectors)}


@pytest.mark.parametrize("width", [8, 12])
def test_a_space_that_is_only_turned_has_no_changes(width: int) -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng, COUNT, 8)
    turn = np.linalg.qr(rng.standard_normal((width, 8)))[0].T  # (8, width)
    other = (vectors @ turn).astype(np.float32)
    here = index_of(named(vectors), 8)
    there = index_of(dict(reversed(named(other).items())), width)  # in other slots
    found = changes_of(ModelChange(), here, there)
    assert len(found) == COUNT
    assert max(found.values()) < 1e-4
    back = changes_of(ModelChange(), there, here)
    assert max(back.values()) < 1e-4


def test_whoever_moved_among_the_others_is_told_apart() -> None:
    rng = np.random.default_rng(1)
    vectors = unit(rng, COUNT, 8)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    other = (vectors @ turn).astype(np.float32)
    other[:20] = -other[:20]
    here, there = index_of(named(vectors), 8), index_of(named(other), 8)
    found = changes_of(ModelChange(), here, there)
    assert all((change > 1.5) == (int(name[1:]) < 20) for name, change in found.items())


def test_who_was_written_since_is_looked_at_again() -> None:
    rng = np.random.default_rng(2)
    vectors = unit(rng, COUNT, 8)
    here, there = index_of(named(vectors), 8), index_of(named(vectors), 8)
    change = ModelChange()
    assert len(changes_of(change, here, there)) == COUNT
    moved = row(-vectors[3], 8, {})
    asyncio.run(here.apply([Upsert("s3", 2, *moved), Remove("s4", 2)]))
    found = changes_of(change, here, there)
    assert found.keys() == {f"s{i}" for i in range(COUNT)} - {"s3", "s4"}  # the other is behind
    asyncio.run(there.apply([Upsert("s3", 2, *row(vectors[3], 8, {}))]))
    assert changes_of(change, here, there)["s3"] > 1.9


def test_too_few_tell_nothing() -> None:
    vectors = unit(np.random.default_rng(3), 63, 8)
    here, there = index_of(named(vectors), 8), index_of(named(vectors), 8)
    with pytest.raises(TooFew) as refused:
        run_to_end(ModelChange().looking(here, there))
    assert refused.value.args == (63, 64)
    nobody = FaissIndex(8, 8)
    with pytest.raises(TooFew):
        run_to_end(ModelChange().looking(nobody, there))
