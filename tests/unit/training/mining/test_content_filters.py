from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.mining.content_filters import (
    LONGEST_TEXT,
    Form,
    Similarity,
    cosine_similarity,
    edit_similarity,
    passed,
    shuffled,
    tag_similarity,
    tags_of,
    text_of,
)

FORMS: list[Form] = ["hard", "soft"]
TOPICS = 40
EMPTY = 2 * TOPICS
"""Streamers 2 t and 2 t + 1 are of topic t; the last one shows nothing."""


def _texts() -> list[str]:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    topics = ["".join(rng.choice(letters, 30)) for _ in range(TOPICS)]
    return [text for topic in topics for text in (topic, topic[4:])] + [""]


def _vectors() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    topics = np.repeat(rng.standard_normal((TOPICS, 32)), 2, axis=0)
    vectors = topics + 0.3 * rng.standard_normal(topics.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.concatenate([vectors, np.zeros((1, 32))]).astype(np.float32)


TAGS = [frozenset((f"topic {i // 2}", f"own {i}", f"{i % 7}")) for i in range(EMPTY)]
SIMILARITIES: dict[str, Similarity] = {
    "edit-distance": edit_similarity(_texts(), threads=1),
    "tags": tag_similarity([*TAGS, frozenset()]),
    "similarity": cosine_similarity(_vectors()),
}
_ROWS = np.arange(EMPTY)
NEAR = np.stack([_ROWS ^ 1, (_ROWS + 2) % EMPTY, np.full(EMPTY, EMPTY)], 1)
NEAR = np.concatenate([NEAR, [[0, 1, 2]]])
"""Per row: the other of its topic, one of another topic, and the one that shows nothing."""


def of_pairs(similarity: Similarity, *pairs: tuple[int, int]) -> list[float]:
    left, right = np.array(pairs).T
    return similarity(left, right).tolist()


def profile() -> StreamerProfile:
    return StreamerProfile.model_validate(
        {
            "streamer_id": "x",
            "name": "Mia",
            "bio": "Hello, WORLD!",
            "tags": ["C++", "!"],
            "language": "en",
            "category": "Just chatting",
            "videos": [{"video_id": "v", "title": "One", "tags": ["Two", "c++"]}],
            "lives": [{"live_id": "l", "title": "红烧肉"}],
        }
    )


def test_the_text_is_name_bio_titles_and_tags():
    words = text_of(pieces_of(profile())).split()
    assert sorted(words) == sorted(["mia", "hello", "world", "c", "one", "two", "c", "红烧肉"])
    assert text_of([]) == ""


def test_a_very_long_text_is_cut():
    long = StreamerProfile.model_validate({"streamer_id": "x", "bio": "word " * 900})
    assert len(text_of(pieces_of(long))) == LONGEST_TEXT


def test_the_tags_are_those_of_the_streamer_and_its_videos():
    assert tags_of(pieces_of(profile())) == {"c++", "!", "two"}


def test_edit_similarity_is_one_minus_the_share_of_edits():
    similarity = edit_similarity(["rainy guitar songs", "rainy guitar song", ""], threads=1)
    found = of_pairs(similarity, (0, 1), (1, 0), (1, 1), (0, 2), (2, 2))
    assert found[:3] == pytest.approx([1 - 1 / 18, 1 - 1 / 18, 1])
    assert np.isnan(found[3:]).all()


def test_tag_similarity_is_the_share_of_common_tags():
    tags = [frozenset(each.split()) for each in ("a b c", "a b d", "x y", "x y z", "")]
    found = of_pairs(tag_similarity(tags), (0, 1), (2, 3), (0, 2), (4, 0), (4, 4))
    assert found[:3] == pytest.approx([2 / 4, 2 / 3, 0])
    assert np.isnan(found[3:]).all()


def test_cosine_similarity_is_the_cosine():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0]], np.float32)
    found = of_pairs(cosine_similarity(vectors), (0, 1), (0, 2), (0, 3), (3, 3))
    assert found[:2] == pytest.approx([0.6, 0])
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("name", SIMILARITIES)
def test_hard_keeps_the_alike_and_drops_most_others(name: str):
    weights = passed(NEAR, SIMILARITIES[name], 0.9, "hard", np.random.default_rng(0))[:EMPTY]
    assert (weights[:, 0] == 1).all()
    assert weights[:, 1].mean() < 0.2


@pytest.mark.parametrize("name", SIMILARITIES)
def test_soft_weights_grow_with_the_likeness(name: str):
    weights = passed(NEAR, SIMILARITIES[name], 0.9, "soft", np.random.default_rng(0))
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[:EMPTY, 0].min() > weights[:EMPTY, 1].max()


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(("form", "expected"), [("hard", 1), ("soft", 0.5)])
def test_a_pair_that_shows_too_little_is_not_refuted(name: str, form: Form, expected: float):
    weights = passed(NEAR, SIMILARITIES[name], 0.9, form, np.random.default_rng(0))
    assert set(weights[:EMPTY, 2]) == set(weights[EMPTY]) == {expected}


@pytest.mark.parametrize("form", FORMS)
def test_when_nobody_shows_anything_all_pass_alike(form: Form):
    near = np.array([[1, 2], [2, 0], [0, 1]])
    nothing = tag_similarity([frozenset()] * 3)
    weights = passed(near, nothing, 0.9, form, np.random.default_rng(0))
    assert len(set(weights.ravel())) == 1
    assert weights[0, 0] > 0


@pytest.mark.parametrize("form", FORMS)
def test_nothing_in_common_never_passes(form: Form):
    near = np.array([[1, 2], [2, 0], [0, 1]])
    unlike = tag_similarity([frozenset(tag) for tag in "abc"])
    assert not passed(near, unlike, 0.0, form, np.random.default_rng(0)).any()


def streamers(n: int = 300) -> tuple[np.ndarray, Similarity]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rng.integers(0, n, (n, 10)), cosine_similarity(vectors)


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_the_threshold_is_a_quantile_of_random_pairs(quantile: float):
    near, similarity = streamers()  # these neighbours are random pairs themselves
    weights = passed(near, similarity, quantile, "hard", np.random.default_rng(1))
    assert set(np.unique(weights)) == {0, 1}
    assert weights.mean() == pytest.approx(1 - quantile, abs=0.06)


@pytest.mark.parametrize("form", FORMS)
def test_the_random_control_has_the_same_size(form: Form):
    near, similarity = streamers()
    weights = passed(near, similarity, 0.9, form, np.random.default_rng(1))
    control = shuffled(weights, np.random.default_rng(2))
    np.testing.assert_array_equal(np.sort(control, axis=None), np.sort(weights, axis=None))
    assert np.corrcoef(control.ravel(), weights.ravel())[0, 1] < 0.1
    np.testing.assert_array_equal(control, shuffled(weights, np.random.default_rng(2)))


def test_many_pairs_are_compared_like_few(monkeypatch: pytest.MonkeyPatch):
    near, similarity = streamers()
    filtered = partial(passed, near, similarity, 0.8, "soft")
    whole = filtered(np.random.default_rng(3))
    monkeypatch.setattr("training.mining.content_filters._WIDTH", 1 << 23)  # a few pairs at a time
    np.testing.assert_array_equal(filtered(np.random.default_rng(3)), whole)
