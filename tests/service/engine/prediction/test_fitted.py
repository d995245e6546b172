"""A fitted generation in which some were erased."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.contract.established import VOTERS
from service.engine.prediction.fit import Fit
from service.engine.prediction.fitted import SPARE, FittedGeneration
from service.engine.prediction.inner_products import InnerProductIndex
from service.engine.prediction.neighbours import MOST
from service.engine.prediction.shrinkage import Shrinkage
from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.generation import Generation
from service.engine.spaces.row_vectors import RowVectors
from tests.service.engine.prediction.worlds import unit

COUNT, WIDTH = 6000, 16


@pytest.fixture(scope="module")
def contents() -> NDArray[np.float32]:
    return unit(np.random.default_rng(0).standard_normal((COUNT, WIDTH)))


@pytest.fixture(scope="module")
def made(contents: NDArray[np.float32]) -> FittedGeneration:
    ids = [f"s{row}" for row in range(COUNT)]
    users = RowVectors.empty(0, WIDTH)
    generation = Generation("als", "g0", 0.0, ids, contents, None, [], users)
    index = InnerProductIndex(
        RowVectors.of(contents), contents[:64], most=VOTERS + SPARE, exact_rows=1000, recall=0.9
    )
    assert not index.is_exact
    fit = Fit(None, Shrinkage(0.0), None)
    return FittedGeneration(generation, np.arange(COUNT), index, fit, None, None)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each look at all rows."""
    found: list[None] = []
    scores = RowVectors.scores

    def counted(
        self: RowVectors, query: NDArray[np.float32], rows: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        if rows is None:
            found.append(None)
        return scores(self, query, rows)

    monkeypatch.setattr(RowVectors, "scores", counted)
    return found


@pytest.mark.parametrize("erased", [2, SPARE, 500])
def test_codes_find_the_nearest_where_some_were_erased(
    made: FittedGeneration, contents: NDArray[np.float32], scans: list[None], erased: int
) -> None:
    order = np.argsort(-(contents @ contents[5]), kind="stable")
    near = made.near(contents[5], 0, without=order[:erased])
    assert near is not None
    assert not scans
    places = near.places[0]
    assert len(places) == min(VOTERS, VOTERS + SPARE - erased)
    assert not np.isin(order[:erased], places).any()
    assert np.isin(places, order[: VOTERS + SPARE]).mean() > 0.9


def test_all_are_looked_at_where_too_few_are_left(
    made: FittedGeneration, contents: NDArray[np.float32], scans: list[None]
) -> None:
    order = np.argsort(-(contents @ contents[5]), kind="stable")
    erased = order[: COUNT - MOST - 1]
    near = made.near(contents[5], 0, without=erased)
    assert near is not None
    assert near.places[0].tolist() == order[-MOST - 1 :].tolist()


def test_rows_of_the_erased_are_found_once(made: FittedGeneration) -> None:
    served = ServedGeneration(made.generation, made)
    served = served.without(users=["u1"], streamers=["s7", "stranger"])
    served = served.without(users=[], streamers=["s3", "s7"])
    assert served.erased_rows.tolist() == [3, 7]
    assert served.erased_streamers == {"s3", "s7", "stranger"}
    assert served.erased_users == {"u1"}
