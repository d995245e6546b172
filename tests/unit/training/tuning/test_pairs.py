"""What is drawn as a pair, and what is not called unlike."""

from pathlib import Path

import numpy as np
import pytest

from model_export.contract.towers import Payload
from training.data import Dataset
from training.mining.supervised_pairs import near_by_behaviour
from training.towers import Tower, find_tower
from training.tuning.pairs import Drawn, Pairs
from training.tuning.shown import Shown, meaningless, shown_to
from training.tuning.texts import Texts


@pytest.fixture(scope="module")
def tower(encoder_folder: Path) -> Tower:
    return find_tower("text", f"hf:{encoder_folder}?modalities=bio,videos", encoder_folder)


def shown_texts(tower: Tower, indptr: list[int], shown: list[int]) -> Shown:
    """Of streamers 1, 2 and 3."""
    items = Texts(tower)
    for text in "abc":
        items.add(Payload("bio", text=text), "s")
    return Shown(np.array([1, 2, 3]), items, np.array(indptr), np.array(shown))


def test_positives_are_of_the_same_streamer_or_of_one_near_by(tower: Tower, world: Dataset) -> None:
    known = world.rows("train")
    relation = near_by_behaviour(world, known, 5)
    texts = shown_to(tower, world, known, meaningless(world, known))
    own = {row: set(_of(texts, place)) for place, row in enumerate(texts.rows.tolist())}
    kinds = {"same text": 0, "own": 0, "abroad": 0}
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = Pairs(texts, relation, world.groups).draw(40, rng)
        assert len(set(drawn.rows[:40].tolist())) == 40
        for i in range(40):
            (a, b), (s, t) = drawn.rows[[i, i + 40]].tolist(), drawn.items[[i, i + 40]].tolist()
            assert s in own[a]
            assert t in own[b]
            if a != b:
                assert relation.alike(np.array([a]), np.array([b])).all()
                kinds["abroad"] += 1
            elif s == t:
                assert len(own[a]) == 1
                kinds["same text"] += 1
            else:
                kinds["own"] += 1
    assert kinds["abroad"] > 100
    assert kinds["own"] > 100


def _of(texts: Shown, place: int) -> list[int]:
    return texts.shown[texts.indptr[place] : texts.indptr[place + 1]].tolist()


class Near:
    """Streamers 1 and 3 are near each other."""

    anchors = np.array([1, 3])

    def draw(self, anchors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 4 - anchors

    def alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (np.minimum(one, other) == 1) & (np.maximum(one, other) == 3)


def test_what_would_be_called_unlike_by_mistake_is_left_out(tower: Tower) -> None:
    texts = shown_texts(tower, [0, 1, 2, 4], [0, 0, 0, 1])
    drawn = Drawn(np.array([1, 2, 3, 4, 1, 2, 3, 4]), np.array([0, 1, 2, 5, 3, 4, 0, 6]))
    groups = np.array([0, 1, 2, 3, 2])  # 2 and 4 are near-duplicates
    wanted, excluded = Pairs(texts, Near(), groups).masks(drawn)
    for i in range(8):
        for j in range(8):
            partner = abs(i - j) == 4
            rows = {int(drawn.rows[i]), int(drawn.rows[j])}
            doubtful = len(rows) == 1 or drawn.items[i] == drawn.items[j]
            doubtful |= rows in ({1, 3}, {2, 4})
            assert wanted[i, j] == partner
            assert excluded[i, j] == (doubtful and not partner)


@pytest.mark.parametrize("relation", [None, Near()])
def test_who_has_one_text_meets_it_again_or_one_of_a_neighbour(
    tower: Tower, relation: Near | None
) -> None:
    texts = shown_texts(tower, [0, 1, 2, 3], [0, 1, 2])
    drawn = Pairs(texts, relation, np.arange(4)).draw(9, np.random.default_rng(0))
    pairs = dict(zip(drawn.rows[:3].tolist(), drawn.rows[3:].tolist(), strict=True))
    assert pairs == ({1: 3, 2: 2, 3: 1} if relation else {1: 1, 2: 2, 3: 3})
    assert np.array_equal(texts.rows[drawn.items], drawn.rows)


def test_what_means_nothing_is_left_out(tower: Tower, world: Dataset) -> None:
    known = world.rows("train")
    uninformative = meaningless(world, known)
    assert uninformative  # the world has boilerplate
    fewer, all_of = (
        shown_to(tower, world, known, rule).items for rule in (uninformative, frozenset())
    )
    assert isinstance(fewer, Texts)
    assert isinstance(all_of, Texts)
    assert set(fewer.kept) < set(all_of.kept)
    assert shown_to(tower, world, known, frozenset(), most=1).counts.max() == 1
