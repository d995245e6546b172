"""What is drawn as a pair, and what is not called unlike."""

import numpy as np
import pytest

from model_export.contract.towers import TextSpec, TowerSpec
from training.data import Dataset
from training.relations import near_by_behaviour
from training.tuning.pairs import Drawn, Pairs
from training.tuning.texts import Texts, meaningless, texts_of

SPEC = TowerSpec(
    name="t", width=2, version="0" * 64, modalities=["bio", "videos"], text=TextSpec(max_tokens=8)
)


def test_positives_are_of_the_same_streamer_or_of_one_near_by(world: Dataset) -> None:
    known = world.rows("train")
    relation = near_by_behaviour(world, known, 5)
    texts = texts_of(world, known, SPEC, meaningless(world, known))
    own = {row: set(_of(texts, place)) for place, row in enumerate(texts.rows.tolist())}
    kinds = {"same text": 0, "own": 0, "abroad": 0}
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = Pairs(texts, relation).draw(40, rng)
        assert len(set(drawn.rows[:40].tolist())) == 40
        for i in range(40):
            (a, b), (s, t) = drawn.rows[[i, i + 40]].tolist(), drawn.texts[[i, i + 40]].tolist()
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


def _of(texts: Texts, place: int) -> list[int]:
    return texts.shown[texts.indptr[place] : texts.indptr[place + 1]].tolist()


class Near:
    """Streamers 1 and 3 are near each other."""

    anchors = np.array([1, 3])

    def draw(self, anchors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 4 - anchors

    def alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (np.minimum(one, other) == 1) & (np.maximum(one, other) == 3)


def test_what_would_be_called_unlike_by_mistake_is_left_out() -> None:
    texts = Texts(np.array([1, 2, 3]), ["a", "b"], np.array([0, 1, 2, 4]), np.array([0, 0, 0, 1]))
    drawn = Drawn(np.array([1, 2, 3, 1, 2, 3]), np.array([0, 1, 2, 3, 4, 0]))
    wanted, excluded = Pairs(texts, Near()).masks(drawn)
    for i in range(6):
        for j in range(6):
            partner = abs(i - j) == 3
            rows = {int(drawn.rows[i]), int(drawn.rows[j])}
            doubtful = len(rows) == 1 or rows == {1, 3} or drawn.texts[i] == drawn.texts[j]
            assert wanted[i, j] == partner
            assert excluded[i, j] == (doubtful and not partner)


@pytest.mark.parametrize("relation", [None, Near()])
def test_who_has_one_text_meets_it_again_or_one_of_a_neighbour(relation: Near | None) -> None:
    texts = Texts(np.array([1, 2, 3]), ["a", "b", "c"], np.arange(4), np.arange(3))
    drawn = Pairs(texts, relation).draw(9, np.random.default_rng(0))
    pairs = dict(zip(drawn.rows[:3].tolist(), drawn.rows[3:].tolist(), strict=True))
    assert pairs == ({1: 3, 2: 2, 3: 1} if relation else {1: 1, 2: 2, 3: 3})
    assert np.array_equal(texts.rows[drawn.texts], drawn.rows)


def test_what_means_nothing_is_left_out(world: Dataset) -> None:
    known = world.rows("train")
    uninformative = meaningless(world, known)
    assert uninformative  # the world has boilerplate
    fewer, all_of = (texts_of(world, known, SPEC, rule) for rule in (uninformative, frozenset()))
    assert set(fewer.texts) < set(all_of.texts)
    assert texts_of(world, known, SPEC, frozenset(), most=1).counts.max() == 1
