"""Copies of a picture are near to it, other pictures are not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from model_export.contract.media import (
    COPY_BITS,
    THUMBNAIL_SIDE,
    ThumbnailHashes,
    bits_apart,
    decode_image,
    hashes_of,
    thumbnail_of,
)
from model_export.contract.media.thumbnail_hash import HASH_BITS
from tests.unit.contract.media.files import COVER, saved, scene


def hashed(*images: Image.Image) -> ThumbnailHashes:
    return hashes_of(np.stack([thumbnail_of(image) for image in images]))


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [scene(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def hashes(scenes: list[Image.Image]) -> ThumbnailHashes:
    return hashed(*scenes)


def jpeg(image: Image.Image) -> Image.Image:
    return decode_image(saved(image, "JPEG", quality=40), "image/jpeg", COVER)


def recoloured(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float64) * (1.15, 0.85, 1.0) + (10, -5, -15)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def cropped(
    wide: float, high: float, left: float, top: float
) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.width * wide, image.height * high
        x, y = (image.width - width) * left, (image.height - height) * top
        return image.crop((round(x), round(y), round(x + width), round(y + height)))

    return crop


def all_at_once(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(recoloured(cropped(0.82, 0.93, 0.4, 0.9)(image)).resize((150, 101)))


DISGUISES = [
    jpeg,
    recoloured,
    ImageOps.grayscale,
    ImageOps.mirror,
    lambda image: image.resize((150, 101)),
    cropped(0.894, 0.894, 0.3, 0.8),
    cropped(0.8, 0.8, 0.5, 0.5),
    cropped(0.8, 1, 1, 0),
    cropped(0.97, 0.83, 0.2, 0.7),
    all_at_once,
]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_copies_are_found_and_nothing_else(
    disguise: Callable[[Image.Image], Image.Image],
    scenes: list[Image.Image],
    hashes: ThumbnailHashes,
) -> None:
    made = hashed(*(jpeg(disguise(image).convert("RGB")) for image in scenes))
    apart = bits_apart(made, hashes)  # (40, 40)
    copy = np.eye(len(scenes), dtype=bool)
    assert np.mean(apart[copy] <= COPY_BITS) >= 0.95
    assert np.mean(apart[~copy] <= COPY_BITS) <= 0.0005
    np.testing.assert_array_equal(apart, bits_apart(hashes, made).T)


def test_bits_are_those_of_hashes_one_by_one(scenes: list[Image.Image]) -> None:
    first, second = hashed(*scenes[:3]), hashed(*scenes[3:7])
    mirrored = hashed(*map(ImageOps.mirror, scenes[:3]))
    for i, row in enumerate(bits_apart(first, second)):
        for j, bits in enumerate(row):
            tried = [
                int(np.unpackbits(whole ^ part).sum())
                for whole in (first.bits[i, 0], mirrored.bits[i, 0])
                for part in second.bits[j]
            ]
            assert bits <= min(tried)
            assert bits > 0
    assert bits_apart(first, first).diagonal().tolist() == [0, 0, 0]
    np.testing.assert_array_equal(bits_apart(first, mirrored).diagonal(), [0, 0, 0])


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (64, 48), (9, 200, 90)),
        Image.linear_gradient("L").convert("RGB"),
        ImageOps.expand(Image.new("RGB", (64, 24), "red"), (0, 12), "black"),
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (10_000, 1), "white"),
    ],
)
def test_what_shows_too_little_is_no_copy_even_of_itself(
    image: Image.Image, hashes: ThumbnailHashes
) -> None:
    found = hashed(image)
    assert not found.telling[0]
    assert bits_apart(found, found).tolist() == [[HASH_BITS]]
    assert (bits_apart(found, hashes) == HASH_BITS).all()


def test_no_pictures(hashes: ThumbnailHashes) -> None:
    nothing = hashes_of(np.zeros((0, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8))
    assert bits_apart(nothing, hashes).shape == (0, len(hashes.bits))
    assert bits_apart(hashes, nothing).shape == (len(hashes.bits), 0)


def test_the_outline_is_what_it_was_in_the_last_release() -> None:
    """Stored outlines stay comparable: raise `vectors.OUTLINE` when this changes."""
    ramp = np.add.outer(np.arange(120) ** 2, 3 * np.arange(160)) % 256
    outline = thumbnail_of(Image.fromarray(ramp.astype(np.uint8)).convert("RGB"))
    assert outline.dtype == np.uint8
    assert outline.shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    assert outline[3, :8].tolist() == [164, 179, 194, 209, 160, 162, 126, 115]
    assert int(outline.sum()) == 130741
