"""Planted rings and honest look-alikes: sizes, disguises, and truth in the files."""

import csv
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from model_export.contract.streamer import StreamerProfile
from training.commands.cli import main
from training.data import load_dataset
from training.disguises import KINDS
from training.disguises.wording import language_of
from training.errors import UsageError
from training.world import World, generate
from training.world.files import write_world
from training.world.look_alikes import KINDS as LOOK_ALIKES
from training.world.rings import FAMILIES, LARGEST, SMALLEST, ring_sizes
from training.world.topics import load_interests, load_phrases
from training.world.translation import phrasebook

pytestmark = pytest.mark.slow

STREAMERS = 1500
SHARE = 0.15


@pytest.fixture(scope="module")
def world() -> World:
    return generate(STREAMERS, 5, ring_share=SHARE)


def rings_of(world: World) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, (group, kind) in enumerate(zip(world.groups, world.kinds, strict=True)):
        if group is not None and kind in ("ring", "ring_original"):
            found[group].append(row)
    return found


def test_sizes_of_rings_add_up() -> None:
    for seed in range(50):
        for accounts in (0, 3, 4, 5, 6, 20, 21, 22, 23, 100, 101):
            sizes = ring_sizes(random.Random(seed), accounts)
            assert sum(sizes) == accounts
            assert all(SMALLEST <= size <= LARGEST for size in sizes)


def test_every_ring_has_one_original_and_disguised_copies(world: World) -> None:
    rings = rings_of(world)
    assert sum(map(len, rings.values())) == round(SHARE * STREAMERS)
    for rows in rings.values():
        assert SMALLEST <= len(rows) <= LARGEST
        assert Counter(world.kinds[row] for row in rows)["ring_original"] == 1
        assert {world.splits[row] for row in rows} == {"test"}
        names = {world.profiles[row]["name"] for row in rows}
        assert len(names) > len(rows) / 2
        for row in rows:
            kinds = world.disguises[row]
            assert bool(kinds) == (world.kinds[row] == "ring")
            assert all(sum(kind in family for kind in kinds) <= 1 for family in FAMILIES)
    used = Counter(kind for kinds in world.disguises for kind in kinds)
    assert used.keys() <= set(KINDS)
    assert len(used) >= len(KINDS) - 3
    several = sum(len(kinds) > 1 for kinds in world.disguises)
    assert 0.2 < several / sum(bool(kinds) for kinds in world.disguises) < 0.5


def test_look_alikes_are_of_all_kinds_and_no_duplicates(world: World) -> None:
    rows = [row for row, found in enumerate(world.look_alikes) if found is not None]
    assert len(rows) == pytest.approx(SHARE * STREAMERS, abs=1)
    assert {world.kinds[row] for row in rows} == set(LOOK_ALIKES)
    assert not any(world.groups[row] for row in rows)
    contents = [world.profiles[row] for row in rows]
    texts = [str({k: v for k, v in p.items() if k not in ("bio", "attributes")}) for p in contents]
    assert len(set(texts)) == len(texts)
    shops = [
        p["bio"] for row, p in zip(rows, contents, strict=True) if world.kinds[row] == "franchise"
    ]
    assert len(set(shops)) == len(shops)


def test_profiles_are_valid_and_a_world_without_rings_is_as_ever(world: World) -> None:
    for profile in world.profiles:
        StreamerProfile.model_validate(profile)
    plain = generate(200, 5)
    assert not any(plain.look_alikes)
    assert not any(plain.disguises)
    assert set(plain.kinds) == {None, "original", "second_account", "reupload"}


def test_truth_is_in_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    make = ["world", "--out", str(folder), "--streamers", "200", "--rings", "0.1"]
    assert main(make) == 0
    with (folder / "duplicates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["kind"] for row in rows).keys() >= {"ring", "ring_original"}
    for row in rows:
        kinds = row["disguise"].split("+") if row["disguise"] else []
        assert bool(kinds) == (row["kind"] == "ring")
        assert set(kinds) <= set(KINDS)
    with (folder / "look_alikes.csv").open(encoding="utf-8") as file:
        look_alikes = list(csv.DictReader(file))
    assert len(look_alikes) == 20
    dataset = load_dataset(folder)
    assert dataset.duplicates is not None
    assert len(set(dataset.duplicates.tolist())) == 200 - len(rows) + len(
        {r["group"] for r in rows}
    )

    assert main(make) == 0  # it is there already
    assert main(make[:-2]) == 1  # another world
    assert main([*make[:-2], "--overwrite"]) == 0
    assert not (folder / "look_alikes.csv").exists()


def test_both_formats_and_media_have_rings(tmp_path: Path) -> None:
    world = generate(60, 2, media=True, ring_share=0.2)
    write_world(world, tmp_path, 2, "parquet")
    assert (tmp_path / "look_alikes.parquet").is_file()
    assert len(load_dataset(tmp_path).ids) == 60


@pytest.mark.parametrize(
    ("share", "message"), [(0.31, "0 to 0.3"), (-0.1, "0 to 0.3"), (0.01, "fewer than")]
)
def test_shares_that_can_not_be_planted_are_refused(share: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generate(100, 0, ring_share=share)


def test_the_worlds_sentences_are_translated_whole() -> None:
    book = phrasebook(load_interests(), load_phrases())
    rng = random.Random(0)
    assert book.translated("主要做团战和卡洛斯。", "en", rng) == "team fights and Kaluosi, mostly."
    assert book.translated("team fights and lovira, mostly.", "zh", rng) == "主要做团战和lovira。"
    world = generate(300, 4)
    share = []
    for profile, real in zip(world.profiles, world.earnest, strict=True):
        if "bio" in real and profile.get("language") == "zh":
            made = book.translated(profile["bio"], "en", rng)
            share.append(language_of(made) == "en")
    assert sum(share) > 0.95 * len(share)
