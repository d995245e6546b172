"""Copies of a picture keep their hash, other pictures have another."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from model_export.contract.media import crop_hashes, decode_image, hamming, perceptual_hash
from tests.contract.media.files import COVER, saved, scene

SCENES = [scene(seed) for seed in range(60)]
HASHES = [crop_hashes(image) for image in SCENES]


def jpeg(image: Image.Image) -> Image.Image:
    return decode_image(saved(image, "JPEG", quality=40), "image/jpeg", COVER)


def recoloured(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float64) * (1.15, 0.85, 1.0) + (10, -5, -15)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def cropped(share: float, left: float, top: float) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.width * share, image.height * share
        x, y = (image.width - width) * left, (image.height - height) * top
        return image.crop((round(x), round(y), round(x + width), round(y + height)))

    return crop


@pytest.mark.parametrize(
    "disguise", [jpeg, recoloured, ImageOps.grayscale, lambda image: image.resize((150, 101))]
)
def test_copies_are_within_10_bits(disguise: Callable[[Image.Image], Image.Image]) -> None:
    copies = [perceptual_hash(disguise(image).convert("RGB")) for image in SCENES]
    near = [hamming(copy, known[0]) <= 10 for copy, known in zip(copies, HASHES, strict=True)]
    assert np.mean(near) >= 0.95


def test_other_pictures_are_not() -> None:
    first = [known[0] for known in HASHES]
    far = [hamming(a, b) for i, a in enumerate(first) for b in first[:i]]
    assert min(far) > 10
    assert 28 < np.mean(far) < 36


@pytest.mark.parametrize(
    ("share", "left", "top"), [(0.894, 0.3, 0.8), (0.9, 0, 1), (0.8, 0.5, 0.5), (0.8, 1, 0)]
)
def test_crops_are_found_by_the_hashes_of_parts(share: float, left: float, top: float) -> None:
    crop = cropped(share, left, top)
    copies = [crop_hashes(jpeg(crop(image))) for image in SCENES]
    found = [nearest(a, b) <= 10 for a, b in zip(copies, HASHES, strict=True)]
    assert np.mean(found) >= 0.95


def test_parts_of_other_pictures_are_far() -> None:
    others = [nearest(a, b) for i, a in enumerate(HASHES) for b in HASHES[:i]]
    assert np.mean(np.array(others) <= 10) <= 0.001


def nearest(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """The least distance between the whole of either and any part of the other."""
    ours = min(hamming(first[0], part) for part in second)
    return min(ours, *(hamming(second[0], part) for part in first))


def test_the_first_of_23_is_that_of_the_whole() -> None:
    assert all(len(parts) == 23 for parts in HASHES)
    assert [parts[0] for parts in HASHES] == [perceptual_hash(image) for image in SCENES]
    assert all(0 <= part < 2**64 for parts in HASHES for part in parts)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (64, 48)])
def test_a_picture_of_one_colour_has_no_evidence(size: tuple[int, int]) -> None:
    assert crop_hashes(Image.new("RGB", size, (9, 200, 90))) == (0,) * 23


def test_hamming_by_hand() -> None:
    assert hamming(0, 0) == 0
    assert hamming(0b1010, 0b0110) == 2
    assert hamming(2**64 - 1, 0) == 64


def test_the_hash_is_what_it_was_in_the_last_release() -> None:
    """Stored hashes stay comparable: say so in the changelog when this changes."""
    ramp = np.add.outer(np.arange(120) ** 2, 3 * np.arange(160)) % 256
    image = Image.fromarray(ramp.astype(np.uint8)).convert("RGB")
    assert f"{perceptual_hash(image):016x}" == "6a9754ac935f81b2"
