"""Copies among the pictures of two streamers, each named once."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model_export.contract.media import fingerprint_of, thumbnail_of
from service.engine.encoding.tower_vectors import (
    FINGERPRINT,
    THUMBNAIL,
    Key,
    Seen,
    Vector,
    as_vector,
    pack,
)
from service.engine.evidence.media_copies import (
    NEAREST_COMPARED,
    Look,
    Pictures,
    copies,
    count_copies,
    look_in,
    pictures_of,
    who_shares,
)
from service.engine.work.lanes import run_to_end
from tests.contract.media.files import scene


def shown(**images: Image.Image) -> Pictures:
    return pictures_of({place: thumbnail_of(image) for place, image in images.items()})


def crop(image: Image.Image, share: float) -> Image.Image:
    return image.crop((0, 0, round(image.width * share), round(image.height * share)))


def test_each_picture_is_named_once_and_the_nearest_is_taken() -> None:
    one, two = scene(1), scene(2)
    ours = shown(b=two, a=one)
    theirs = shown(x=scene(3), far=crop(one, 0.83), near=ImageOps.mirror(one), z=crop(two, 0.9))
    assert copies(ours, theirs) == [("b", "z"), ("a", "near")]
    assert sorted(copies(theirs, ours)) == [("near", "a"), ("z", "b")]
    again = shown(a=one, c=crop(one, 0.95))
    assert copies(again, theirs) == [("a", "near"), ("c", "far")]


def test_the_same_thumbnail_counts_once() -> None:
    found = shown(first=scene(1), second=scene(1))
    assert found.places == ["first"]
    assert copies(found, shown(x=scene(1), y=scene(1))) == [("first", "x")]


def test_nothing_to_compare() -> None:
    nothing, grey = shown(), shown(a=Image.new("RGB", (40, 30), "grey"))
    for ours in (nothing, grey):
        for theirs in (nothing, grey, shown(a=scene(1))):
            assert copies(ours, theirs) == []
            assert copies(theirs, ours) == []


def test_others_are_no_copies() -> None:
    ours = shown(**{f"p{i}": scene(i) for i in range(12)})
    theirs = shown(**{f"q{i}": scene(100 + i) for i in range(12)})
    assert copies(ours, theirs) == []
    assert len(copies(ours, ours)) == 12
    assert np.all(ours.hashes.telling)


def look(direction: NDArray[np.float32], *seeds: int) -> Look:
    """Of these scenes, by a tower to which all look alike."""
    vectors: dict[Key, Vector] = {}
    for seed in seeds:
        key = seed.to_bytes(16, "big")
        vectors[THUMBNAIL, key] = as_vector(thumbnail_of(scene(seed)))
        vectors[bytes(32), key] = direction.astype(np.float16)
    return look_in(pack(Seen(vectors)))


def heard(direction: NDArray[np.float32], *hertz: int, pictures: Sequence[int] = ()) -> Look:
    """Of warbling tones, and of scenes, by towers to which all are alike."""
    vectors: dict[Key, Vector] = {}
    for pitch in hertz:
        key = pitch.to_bytes(16, "big")
        vectors[FINGERPRINT, key] = as_vector(fingerprint_of(warble(pitch), 16_000))
        vectors[b"a" * 32, key] = direction.astype(np.float16)
    for seed in pictures:
        vectors[THUMBNAIL, seed.to_bytes(16, "little")] = as_vector(thumbnail_of(scene(seed)))
    return look_in(pack(Seen(vectors)))


def warble(seed: int) -> NDArray[np.float32]:
    """A second of notes, 90 ms each."""
    notes = np.repeat(np.random.default_rng(seed).uniform(200, 2000, 12), 1440)[:16_000]
    return (0.5 * np.sin(2 * np.pi * np.cumsum(notes) / 16_000)).astype(np.float32)


def test_who_shares_two_sounds_or_one_of_either() -> None:
    one = np.ones(3, np.float32)
    shared = run_to_end(who_shares([heard(one, 1, 2, 3), heard(one, 4, 5), heard(one, 3, 6, 1)]))
    assert [(s.one, s.other, s.copies) for s in shared] == [(0, 2, 2)]
    assert run_to_end(who_shares([heard(one, 1, 2), heard(one, 1, 3)])) == []
    both = [heard(one, 1, pictures=[7]), heard(one, 1, pictures=[7]), heard(one, 2, pictures=[7])]
    assert [(s.one, s.other, s.copies) for s in run_to_end(who_shares(both))] == [(0, 1, 2)]
    assert count_copies(both[0], both[1:]) == [2, 1]
    assert set(both[0].means) == {b"a" * 32}


def test_of_many_sounds_so_many_are_compared_as_memory_allows() -> None:
    many = heard(np.ones(3, np.float32), *range(70))
    assert len(many.fingerprints) == 16
    assert many.fingerprints.changes.nbytes < 100_000


def test_a_few_songs_among_many_are_one_copy() -> None:
    one, many = np.ones(3, np.float32), range(10, 16)
    first = heard(one, 1, 2, *many)
    others = [
        heard(one, 1, 2, *(100 + x for x in many)),
        heard(one, 1, 2, 200, 201),
        heard(one, 1, 2, 200, 201, 202),
    ]
    assert count_copies(first, others) == [1, 2, 1]
    shown = [heard(one, 1, 2, *many, pictures=[7]), heard(one, 1, 2, 200, 201, 202, pictures=[7])]
    assert count_copies(shown[0], shown[1:]) == [2]


@pytest.mark.slow
def test_who_shares_two_pictures_among_those_that_look_alike() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.argsort(-(rows @ rows[5]))
    near, far = int(order[NEAREST_COMPARED // 2]), int(order[-1])
    shows = [(1000 + i, 2000 + i) for i in range(40)]
    for place in (5, near, far):  # who looks least alike is not compared
        shows[place] = (8, 9)
    looks = [look(row, *seeds) for row, seeds in zip(rows, shows, strict=True)]
    found = {(s.one, s.other): s.copies for s in run_to_end(who_shares(looks))}
    assert found.pop((min(5, near), max(5, near))) == 2
    assert set(found) <= {(min(far, near), max(far, near))}
    few = [looks[5], looks[0], looks[far], look_in(b"")]
    shared = run_to_end(who_shares(few))  # all are near, in a short list
    assert [(s.one, s.other) for s in shared] == [(0, 2)]


def test_one_picture_or_nobody_else_is_not_enough() -> None:
    one = np.ones(3, np.float32)
    assert run_to_end(who_shares([])) == []
    assert run_to_end(who_shares([look(one, 1, 2)])) == []
    assert run_to_end(who_shares([look(one, 1, 2), look(one, 1, 3)])) == []
    assert run_to_end(who_shares([look(one, 1, 2), look(one, 1), look_in(b"")])) == []
    both = run_to_end(who_shares([look(one, 1, 2, 3), look(one, 4, 3, 2)]))
    assert [s.copies for s in both] == [2]


def test_a_look_is_the_mean_of_what_says_something() -> None:
    vectors: dict[Key, Vector] = {}
    for i, direction in enumerate(([3, 0], [0, 4], [1, 0])):
        key = bytes([i]) * 16
        image = scene(i) if i < 2 else Image.new("RGB", (9, 9))
        vectors[THUMBNAIL, key] = as_vector(thumbnail_of(image))
        vectors[b"t" * 32, key] = np.array(direction, np.float16)
    vectors[b"t" * 32, b"text" * 4] = np.array([0, -9], np.float16)
    found = look_in(pack(Seen(vectors)))
    assert found.may_share
    assert found.hashes.telling.tolist() == [True, True, False]
    assert list(found.means) == [b"t" * 32]
    np.testing.assert_allclose(found.means[b"t" * 32], [0.5**0.5] * 2, atol=1e-6)
