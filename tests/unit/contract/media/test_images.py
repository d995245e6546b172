"""Every kind of picture becomes the same square of RGB; what can't is refused in words."""

import io
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from model_export.contract.media import ImageSpec, decode_image, prepare_image, shows_nothing
from model_export.contract.media.images import MAX_IMAGE_BYTES
from tests.unit.contract.media.files import COVER, picture, png, png_chunk, refusal, saved

SPEC = ImageSpec(size_px=32, resize_px=36, interpolation="bicubic")
LOSSLESS = ("PNG", "WEBP")


def decoded(data: bytes, content_type: str) -> Image.Image:
    return decode_image(data, content_type, COVER)


def pixels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image, np.int64)


def refused(data: bytes, content_type: str) -> str:
    return refusal(lambda: decoded(data, content_type))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_pictures_keep_every_pixel(kind: str) -> None:
    original = picture()
    image = decoded(saved(original, kind, lossless=True), f"image/{kind.lower()}")
    assert image.mode == "RGB"
    assert np.array_equal(pixels(image), pixels(original))


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive: bool) -> None:
    original = picture()
    image = decoded(saved(original, "JPEG", quality=95, progressive=progressive), "image/jpeg")
    assert np.abs(pixels(image) - pixels(original)).max() <= 8


@pytest.mark.parametrize("declared", ["IMAGE/PNG", "image/png; charset=binary", " image/png "])
def test_a_content_type_may_carry_case_and_parameters(declared: str) -> None:
    assert decoded(saved(picture(), "PNG"), declared).size == (96, 64)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = picture().convert("L")
    if mode == "I;16":
        original = Image.fromarray(pixels(grey).astype(np.uint16) * 257)
    else:
        original = (picture() if mode in ("P", "RGBA", "CMYK") else grey).convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    data = saved(original, kind)
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.mode == mode
    image = decoded(data, f"image/{kind.lower()}")
    assert image.mode == "RGB"
    expected = {"1": original, "L": grey, "LA": grey, "I;16": grey}.get(mode, picture())
    difference = np.abs(pixels(image) - pixels(expected.convert("RGB")))
    assert difference.max() <= {"P": 120, "CMYK": 24}.get(mode, 0)
    assert difference.mean() <= {"P": 20, "CMYK": 4}.get(mode, 0)


def test_16_bits_a_channel_keep_the_upper_8() -> None:
    colour = np.array([0x12FF, 0x8000, 0xFF00], ">u2").tobytes()
    image = decoded(png(1, 1, b"\0" + colour, depth=16, colour=2), "image/png")
    assert image.getpixel((0, 0)) == (0x12, 0x80, 0xFF)
    grey = decoded(png(1, 1, b"\0" + b"\x12\xff", depth=16), "image/png")
    assert grey.getpixel((0, 0)) == (0x12, 0x12, 0x12)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_what_is_transparent_is_white(kind: str) -> None:
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    upright = decoded(saved(image, kind, **options), f"image/{kind.lower()}")
    assert upright.getpixel((1, 1)) == (255, 255, 255)
    assert upright.getpixel((6, 6)) == (200, 0, 0)


def test_half_transparent_is_half_white() -> None:
    data = saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")
    assert decoded(data, "image/png").getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_stands_for_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as stored:
        assert getattr(stored, "n_frames", 1) == 3
    image = decoded(data, f"image/{kind.lower()}")
    assert image.size == (20, 10)
    assert image.getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_exif_turns_a_picture_upright(kind: str, turned: int) -> None:
    upright = picture(48, 32)
    lying = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[turned]
    exif = Image.Exif()
    exif[0x0112] = turned
    options: dict[str, Any] = {"quality": 98} if kind == "JPEG" else {"lossless": True}
    image = decoded(saved(lying, kind, exif=exif, **options), f"image/{kind.lower()}")
    assert image.size == (48, 32)
    assert np.abs(pixels(image) - pixels(upright)).max() <= (12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (16_384, 2), (3, 2)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_of_extreme_shape(
    size: tuple[int, int], interpolation: Literal["bilinear", "bicubic"]
) -> None:
    image = decoded(saved(Image.new("RGB", size, (10, 200, 30)), "PNG"), "image/png")
    spec = ImageSpec(size_px=32, resize_px=36, interpolation=interpolation)
    square = prepare_image(image, spec)
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8
    assert square.flags.c_contiguous
    assert (square == (10, 200, 30)).all()


def test_the_square_is_cut_out_of_the_middle() -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste((0, 0, 255), (100, 0, 200, 100))
    whole = prepare_image(image, ImageSpec(size_px=50, resize_px=50, interpolation="bilinear"))
    assert (whole[:, 1:-1] == (0, 0, 255)).all()
    closer = prepare_image(picture(200, 100), SPEC)
    by_hand = picture(200, 100).resize((72, 36), Image.Resampling.BICUBIC).crop((20, 2, 52, 34))
    assert np.abs(closer.astype(int) - pixels(by_hand)).max() <= 2


def test_a_square_is_resampled_smoothly() -> None:
    """A fine pattern becomes the grey of its mean, rather than what a coarse grid meets of it."""
    pattern = np.indices((256, 256)).sum(0) % 2 * 255
    image = Image.fromarray(pattern.astype(np.uint8)).convert("RGB")
    square = prepare_image(image, ImageSpec(size_px=32, resize_px=32, interpolation="bilinear"))
    assert np.abs(square.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("data", [b"hello world", b"\0" * 100, bytes(range(256)) * 50, b"BM" * 99])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    reason = refused(data, "image/png")
    assert reason == ("is declared image/png but is no known picture: send JPEG, PNG, WebP or GIF")


def test_nothing_is_refused() -> None:
    assert refused(b"", "image/png").startswith("is empty: send JPEG, PNG, WebP or GIF")


@pytest.mark.parametrize("declared", ["image/tiff", "image/svg+xml", "audio/mpeg", "text/html", ""])
def test_other_types_are_refused(declared: str) -> None:
    assert refused(saved(picture(), "PNG"), declared) == (
        f"can't be read as {declared!r}: send JPEG, PNG, WebP or GIF"
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_the_declared_type_must_be_that_of_the_bytes(kind: str) -> None:
    declared = "image/png" if kind == "JPEG" else "image/jpeg"
    assert refused(saved(picture(), kind), declared) == (
        f"is declared {declared} but its bytes are {kind}: correct the type"
    )


def test_only_what_draws_reaches_the_decoder() -> None:
    """A comment, a text or a profile that a decoder would choke on does not matter."""
    data = saved(picture(), "PNG")
    broken = png_chunk(b"zTXt", b"Comment\0\0" + b"\xff" * 50) + png_chunk(b"iCCP", b"x\0\0" * 9)
    broken += png_chunk(b"acTL", b"\0") + png_chunk(b"eXIf", b"II*\0\xff")
    cut = data.index(b"IDAT") - 4
    assert decoded(data[:cut] + broken + data[cut:], "image/png").size == (96, 64)


def test_too_many_bytes_are_refused() -> None:
    data = saved(picture(), "PNG") + b"\0" * MAX_IMAGE_BYTES
    assert refused(data, "image/png").endswith(f"bytes: send at most {MAX_IMAGE_BYTES:,}")


@pytest.mark.parametrize("side", [8, 32, 224])
def test_one_colour_shows_nothing_and_a_little_more_shows_something(side: int) -> None:
    square = np.full((side, side, 3), (9, 200, 90), np.uint8)
    assert shows_nothing(square)
    noise = np.random.default_rng(0).integers(-4, 5, square.shape)
    assert shows_nothing((square + noise).astype(np.uint8))  # as compression leaves it
    stripe = square.copy()
    stripe[: side // 4] = (9, 200, 120)
    assert not shows_nothing(stripe)
    ramp = square + np.linspace(0, 40, side, dtype=np.uint8)[:, None, None]
    assert not shows_nothing(ramp)
