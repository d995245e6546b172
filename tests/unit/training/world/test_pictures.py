"""Pictures tell the topic, not too plainly, and a copy is still the same picture."""

import random
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.unit.training.world.probe import hit_rates
from training.disguises.pictures import decoded, disguise, jpeg
from training.world.media.looks import SIZES, Look, interest_look, personal_look, topic_looks
from training.world.media.pictures import (
    PLACEHOLDERS,
    draw_avatar,
    draw_cover,
    draw_frame,
    draw_placeholder,
)

pytestmark = pytest.mark.slow

TOPICS = [f"d{domain}/t{topic}" for domain in range(4) for topic in range(6)]
PEOPLE = 24
"""Of each topic."""


@pytest.fixture(scope="module")
def looks() -> list[list[Look]]:
    """Of people, by topic."""
    rng = random.Random(11)
    return [
        [personal_look(rng, interest_look(rng, topic)) for _ in range(PEOPLE)]
        for topic in topic_looks(rng, TOPICS)
    ]


def test_a_simple_probe_learns_the_topic_from_people_it_has_not_seen(
    looks: list[list[Look]],
) -> None:
    drawn = [
        (topic, statistics(jpeg(draw_cover(look, 1000 * topic + i), 75)))
        for topic, people in enumerate(looks)
        for i, look in enumerate(people)
    ]
    topics, features = np.array([t for t, _ in drawn]), np.stack([f for _, f in drawn])
    learned, shuffled = hit_rates(features, topics)
    assert learned > 6 / len(TOPICS)
    assert learned < 0.95  # there is something left to learn for a better model
    assert shuffled < 2.5 / len(TOPICS)


def test_a_copy_is_found_among_pictures_of_the_same_topic(looks: list[list[Look]]) -> None:
    for topic in (0, 9):
        originals = [jpeg(draw_cover(look, i), 80) for i, look in enumerate(looks[topic])]
        copies = [jpeg(*disguise(decoded(data), i)) for i, data in enumerate(originals)]
        assert not set(originals) & set(copies)
        windows = np.stack([views_of(data) for data in originals])  # (N, views, 32 * 32)
        found = [int((windows @ grey(decoded(copy))).max(1).argmax()) for copy in copies]
        assert np.mean(np.array(found) == np.arange(PEOPLE)) >= 0.9


def test_frames_of_a_live_session_show_the_same_from_elsewhere(looks: list[list[Look]]) -> None:
    look = looks[0][0]
    one, next_one = (np.asarray(draw_frame(look, 5, moment), np.float64) for moment in (0, 1))
    other = np.asarray(draw_frame(look, 6, 0), np.float64)
    assert (one != next_one).any()
    near, far = (histogram_distance(one, frame) for frame in (next_one, other))
    assert near < far


def test_pictures_are_small_and_the_same_each_time(looks: list[list[Look]]) -> None:
    for i, look in enumerate(people[0] for people in looks):
        for image in (draw_cover(look, i), draw_avatar(look, i), draw_frame(look, i, 1)):
            assert image.mode == "RGB"
            assert min(image.size) >= 96
            assert max(image.size) <= 160
            assert len(jpeg(image, 80)) < 16_000
        assert draw_cover(look, i).tobytes() == draw_cover(look, i).tobytes()
        assert draw_cover(look, i).size in SIZES


@pytest.mark.parametrize("kind", ["cover", "avatar", "frame"])
def test_placeholders_have_no_colour(kind: str) -> None:
    placeholders = [draw_placeholder(number, kind) for number in range(PLACEHOLDERS)]
    assert len({image.tobytes() for image in placeholders}) == PLACEHOLDERS
    for image in placeholders:
        assert np.ptp(np.asarray(image, np.int16), axis=2).max() == 0


def statistics(data: bytes) -> NDArray[np.float64]:
    """Histograms of hue, value and direction of edges."""
    image = decoded(data)
    hue, saturation, value = (
        np.asarray(c, np.float64).ravel() for c in image.convert("HSV").split()
    )
    hues = np.bincount((hue // 16).astype(int), saturation / 255, 16) / len(hue)
    values = np.bincount((value // 32).astype(int), minlength=8) / len(value)
    down, across = np.gradient(np.asarray(image.convert("L").resize((48, 48)), np.float64))
    direction = np.arctan2(down, across) % np.pi * (11.999 / np.pi)
    edges = np.bincount(direction.astype(int).ravel(), np.hypot(down, across).ravel(), 12)
    return np.concatenate([np.sqrt(hues), np.sqrt(values), np.sqrt(edges / edges.sum())])


def grey(image: Image.Image) -> NDArray[np.float64]:
    """(32 * 32,) brightness without mean, of length 1."""
    small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), np.float64)
    small = small.ravel() - small.mean()
    return small / np.linalg.norm(small)


def views_of(data: bytes) -> NDArray[np.float64]:
    """What a copy may show: parts of a picture, and what a mirror shows of them."""
    image = decoded(data)
    views = []
    for w, h, x, y in product((1.0, 0.9, 0.8), (1.0, 0.9, 0.8), (0, 0.5, 1), (0, 0.5, 1)):
        left, top = x * (1 - w) * image.width, y * (1 - h) * image.height
        part = image.crop(
            (int(left), int(top), int(left + w * image.width), int(top + h * image.height))
        )
        views += [grey(part), grey(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    return np.stack(views)


def histogram_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    bins = [np.histogramdd(a.reshape(-1, 3), 6, [(0, 256)] * 3)[0] for a in (one, other)]
    return float(np.abs(bins[0] - bins[1]).sum())
