"""Copies among the pictures of two streamers, each named once."""

import numpy as np
from PIL import Image, ImageOps

from model_export.contract.media import outline_of
from service.retrieval.pictures import Pictures, copies, pictures_of
from tests.contract.media.files import scene


def shown(**images: Image.Image) -> Pictures:
    return pictures_of({place: outline_of(image) for place, image in images.items()})


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


def test_the_same_outline_counts_once() -> None:
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
