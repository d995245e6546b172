"""Filtered searches against brute force, from one streamer in ten thousand to all of them."""

import numpy as np
import pytest

from service.index.faiss.index import FaissIndex
from service.index.filters import Condition, Filter
from tests.service.index.asked import drop, put, search
from tests.service.index.faiss.records import lets_through, row, unit

ROWS, DIM, CONTENT_DIM = 10_000, 16, 4
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.3, 0.9, 0.9999, 1.0)


class World:
    """Streamers that were also changed and deleted, so that slots are used again."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.vectors, self.facets = unit(rng, ROWS, DIM), []
        self.index = FaissIndex(DIM, CONTENT_DIM, {f"s{i}" for i in range(0, ROWS, 50)})
        order = rng.permutation(ROWS)
        for i in range(ROWS):
            self.facets.append(
                {
                    "language": ("zh", "en", "ja")[int(rng.integers(3))],
                    "tags": [f"t{t}" for t in rng.integers(0, 40, 3)],
                    "attributes": {"views": int(order[i]), "live": bool(rng.random() < 0.5)},
                }
            )
        for i in range(ROWS):  # an older version of all, another one of some, and some go
            old = row(self.vectors[(i + 1) % ROWS], CONTENT_DIM, self.facets[(i + 1) % ROWS])
            put(self.index, f"s{i}", 1, *old)
        for i in range(ROWS):
            put(self.index, f"s{i}", 2, *row(self.vectors[i], CONTENT_DIM, self.facets[i]))
        self.gone = set(range(3, ROWS, 97))
        for i in self.gone:
            drop(self.index, f"s{i}", 3)

    def allowed(self, wanted: Filter) -> np.ndarray:
        kept = [
            i for i, f in enumerate(self.facets) if i not in self.gone and lets_through(wanted, f)
        ]
        return np.array(kept, np.int64)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def check(world: World, wanted: Filter, **options) -> None:
    allowed = world.allowed(wanted)
    if options.get("established_only"):
        allowed = allowed[allowed % 50 == 0]
    for seed in range(5):
        query = unit(np.random.default_rng(seed), DIM)
        scores = world.vectors[allowed] @ query
        best = np.argsort(-scores, kind="stable")[:10]
        found = search(world.index, query, 10, filter=wanted, **options)
        assert [hit.streamer_id for hit in found.hits] == [f"s{i}" for i in allowed[best]]
        np.testing.assert_allclose([h.score for h in found.hits], scores[best], atol=1e-6)
        assert found.reached == len(allowed)
        scored = search(world.index, query, 10, scored=True, filter=wanted, **options)
        assert [hit.streamer_id for hit in scored.hits] == [hit.streamer_id for hit in found.hits]


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_ranges(world: World, share: float) -> None:
    check(world, Filter([Condition("views", lt=share * ROWS)]))
    check(world, Filter(must_not=[Condition("views", gte=share * ROWS)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    [
        Filter([Condition("language", any=["zh"])]),
        Filter([Condition("language", any=["zh", "ja"])], [Condition("tags", any=["t1", "t2"])]),
        Filter([Condition("tags", all=["t1", "t2"])]),
        Filter([Condition("tags", all=["t1", "t2", "t3", "t4"])]),
        Filter([Condition("live", any=[True]), Condition("views", gt=100, lte=300)]),
        Filter([Condition("language", any=["fr"])]),
        Filter(must_not=[Condition("live", any=[True, False])]),
    ],
)
def test_values(world: World, wanted: Filter) -> None:
    check(world, wanted)


def test_established_ones_alone(world: World) -> None:
    check(world, Filter(), established_only=True)
    check(world, Filter([Condition("views", lt=2000)]), established_only=True)
