"""Rings that hang together by chains: sizes, seeds, what each account reuses, and the table."""

import csv
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from model_export.contract.streamer import StreamerProfile
from training.commands.cli import main
from training.data import load_dataset
from training.errors import UsageError
from training.world import World, generate
from training.world.hidden_rings import LARGEST, SEEDS, SMALLEST, hidden_sizes

pytestmark = pytest.mark.slow

STREAMERS = 1200
SHARE = 0.1


@pytest.fixture(scope="module")
def world() -> World:
    return generate(STREAMERS, 5, hidden_share=SHARE)


def test_sizes_add_up_but_for_a_rest() -> None:
    for seed in range(50):
        for accounts in (0, 7, 8, 9, 24, 25, 26, 33, 100):
            sizes = hidden_sizes(random.Random(seed), accounts)
            assert accounts - SMALLEST < sum(sizes) <= accounts
            assert all(size <= LARGEST for size in sizes)
            assert all(size >= SMALLEST for size in sizes[:-1])


def test_each_ring_has_two_seeds_and_disguised_accounts_in_the_test_split(world: World) -> None:
    rings: defaultdict[str, list[int]] = defaultdict(list)
    for row, ring in enumerate(world.rings):
        if ring is not None:
            rings[ring].append(row)
    assert sum(map(len, rings.values())) <= round(SHARE * STREAMERS)
    for rows in rings.values():
        kinds = Counter(world.kinds[row] for row in rows)
        assert kinds["ring_seed"] == SEEDS
        for row in rows:
            assert world.splits[row] == "test"
            assert world.groups[row] is None
            assert bool(world.disguises[row]) == (world.kinds[row] == "ring")
            StreamerProfile.model_validate(world.profiles[row])


def test_look_alikes_of_ring_accounts_are_beside_them(world: World) -> None:
    beside = Counter(
        world.kinds[row] for row, name in enumerate(world.look_alikes) if name and name[0] == "b"
    )
    assert beside.keys() == {"fans", "reposts"}


def test_a_world_without_them_is_as_it_was() -> None:
    assert generate(400, 3).profiles == generate(400, 3, hidden_share=0.0).profiles
    with pytest.raises(UsageError, match="fewer than a ring's 8"):
        generate(100, 3, hidden_share=0.01)


def test_the_folder_tells_who_is_in_which_ring(tmp_path: Path) -> None:
    command = ["world", "--streamers", "300", "--hidden-rings", "0.1", "--out", str(tmp_path)]
    assert main(command) == 0
    with (tmp_path / "rings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    world = generate(300, 0, hidden_share=0.1)
    told = {row["streamer_id"]: (row["ring"], row["kind"]) for row in rows}
    assert told == {
        name: (ring, kind)
        for name, ring, kind in zip(world.ids, world.rings, world.kinds, strict=True)
        if ring is not None
    }
    assert len(load_dataset(tmp_path).ids) == 300
