"""Streamers dealt anew: always alike, in the same proportions, and groups whole."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.folders import write_folder
from training.data import DataError, Dataset, load_dataset
from training.data.splits import dealt_split

IDS = [f"s{i}" for i in range(1000)]
OWN = np.repeat(np.array(["train", "val", "test"]), [650, 150, 200])
GROUPS = np.concatenate([np.zeros(7, np.int64), 1 + np.arange(993) // 3])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_parts_have_the_sizes_that_they_have_in_the_own_split(number: int) -> None:
    dealt = dealt_split(IDS, OWN, None, number)
    assert {part: (dealt == part).sum() for part in ("train", "val", "test")} == {
        "train": 650,
        "val": 150,
        "test": 200,
    }
    assert (dealt == dealt_split(IDS, OWN, None, number)).all()


def test_splits_are_as_unlike_as_chance_makes_them() -> None:
    splits = [OWN, *(dealt_split(IDS, OWN, None, number) for number in (1, 2, 3))]
    for one, other in combinations(splits, 2):
        both = ((one == "test") & (other == "test")).mean()
        assert both == pytest.approx(0.2 * 0.2, abs=0.02)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_duplicates_stay_together(number: int) -> None:
    dealt = dealt_split(IDS, OWN, GROUPS, number)
    for group in range(GROUPS.max() + 1):
        assert len(set(dealt[group == GROUPS])) == 1
    for part in ("train", "val", "test"):
        assert abs(np.count_nonzero(part == dealt) - np.count_nonzero(part == OWN)) <= 7


def test_the_order_of_the_file_does_not_matter() -> None:
    dealt = dealt_split(IDS, OWN, GROUPS, 1)
    backwards = dealt_split(IDS[::-1], OWN[::-1], GROUPS[::-1], 1)
    assert backwards[::-1].tolist() == dealt.tolist()


def test_a_data_set_is_dealt_with_all_that_it_has(world: Dataset) -> None:
    assert world.dealt(0) is world
    dealt, other = world.dealt(1), world.dealt(2)
    assert len({world.digest, dealt.digest, other.digest}) == 3
    assert dealt.ids == world.ids
    assert dealt.interactions is world.interactions
    rows = [dealt.rows(part) for part in ("train", "val", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(world.ids)))
    for group in np.unique(world.groups):
        assert len(set(dealt.split[world.groups == group])) == 1
    assert (dealt.split != world.split).any()
    assert (dealt.split != other.split).any()


def test_what_is_too_small_is_refused(tmp_path: Path) -> None:
    small = load_dataset(write_folder(tmp_path))  # four, two of them duplicates

    def deal() -> None:
        for number in range(1, 30):
            assert set(small.dealt(number).split) == {"train", "val", "test"}

    with pytest.raises(DataError, match=r"is too small for split number \d+: nobody would be in"):
        deal()
