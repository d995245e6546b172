"""Bytes of a picture to the array that a tower's graph reads.

What a picture is does not depend on who reads it: the file decides nothing but its pixels. Colour
profiles are not applied, transparency lies on white, the first frame stands for an animation, EXIF
turns the picture, and 16 bits a channel are cut to the upper 8.

Every limit is checked on the header, before anything is decoded: `MAX_IMAGE_BYTES`,
`MAX_IMAGE_PIXELS` and `MAX_IMAGE_SIDE`. The largest picture takes about 2 s of a core and at most
400 MB (WebP; 230 MB for others).

Pillow is imported when the first picture is read.
"""

import io
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from model_export.contract.calibration import Part
from model_export.contract.errors import MissingExtra, UnreadableContent
from model_export.contract.media.headers import Header, HeaderError, read_header

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_IMAGE_BYTES = 16 * 1024 * 1024
MAX_IMAGE_PIXELS = 25_000_000
MAX_IMAGE_SIDE = 16_384
_CONTENT_TYPES = {
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",
    "image/pjpeg": "JPEG",
    "image/png": "PNG",
    "image/apng": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_SEND = "send JPEG, PNG, WebP or GIF"


class ImageSpec(Part):
    """What the tower of pictures reads: a square out of the middle.

    Attributes:
        size_px: the side of the square.
        resize_px: the shorter side of the whole picture at the scale of the square; `size_px` for
            the largest square that fits, more for a closer view.
        interpolation: of the resampling, which always smooths before it shrinks.
    """

    size_px: Annotated[int, Field(ge=8, le=1024)]
    resize_px: Annotated[int, Field(ge=8, le=2048)]
    interpolation: Literal["bilinear", "bicubic"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resize_px < self.size_px:
            raise ValueError("resize_px must be at least size_px: the square is cut out of it")
        return self


_ONE_COLOUR = 8
"""Of 256 levels: what compression makes of one colour."""


def decode_image(data: bytes, content_type: str, source: str) -> "Image":
    """Decodes a picture to RGB, upright, on white where it is transparent.

    Args:
        data: a JPEG, PNG, WebP or GIF file.
        content_type: what the sender says it is, as `image/png`; must agree with the bytes.
        source: the part of the profile, for errors.

    Raises:
        UnreadableContent: empty, over a limit, of another type than declared, none of the four
            formats, truncated or damaged.
        MissingExtra: Pillow is not installed.
    """
    header = _checked_header(data, content_type, source)
    pil = _pillow()
    try:
        with pil.open(io.BytesIO(header.drawn), formats=[header.format]) as image:
            if image.size != (header.width, header.height):
                raise ValueError("its parts disagree about the size")
            image.load()
            upright = _rgb(image)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes make a decoder raise anything
        said = str(error).partition(" <")[0]  # Pillow may name an object of ours
        reason = f"is truncated or damaged ({said}): send the whole file"
        raise UnreadableContent(source, reason) from None
    turn = _TURNS.get(header.orientation)
    return upright if turn is None else upright.transpose(pil.Transpose[turn])


def prepare_image(image: "Image", spec: ImageSpec) -> npt.NDArray[np.uint8]:
    """The square that the tower reads, cut and resampled in one step.

    One step, since the whole of a 10,000 x 1 picture at the scale of the square would be as large
    as a picture bomb. Pillow resamples 8-bit channels in integers, so every machine gets the same.

    Args:
        image: RGB, as `decode_image` returns it.
        spec: what the tower reads.

    Returns:
        uint8 (size_px, size_px, 3).
    """
    if image.mode != "RGB":
        raise ValueError(f"needs an RGB picture, as decode_image returns it, not {image.mode}")
    side = min(image.size) * spec.size_px / spec.resize_px
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = image.resize(
        (spec.size_px, spec.size_px),
        _pillow().Resampling[spec.interpolation.upper()],
        box=(left, top, left + side, top + side),
    )
    return np.array(square, np.uint8)  # (S, S, 3)


def shows_nothing(square: npt.NDArray[np.uint8]) -> bool:
    """Whether a prepared square is as good as one colour: a placeholder, a camera that is off.

    In each channel all but the darkest and the brightest 1 % of the pixels (of a large square, of
    those on a grid) are within `_ONE_COLOUR` levels of each other.
    """
    step = max(1, len(square) // 64)
    levels = np.sort(square[::step, ::step].reshape(-1, 3).astype(np.int64), axis=0)  # (N, 3)
    rare = len(levels) // 100
    return bool((levels[-1 - rare] - levels[rare] <= _ONE_COLOUR).all())


def perceptual_hash(image: "Image") -> int:
    """64 bits that a re-encoded, shrunk or recoloured copy of a picture shares but for a few.

    Each bit tells whether one of the 64 lowest frequencies of a 32 x 32 grey copy (DCT-II, along
    the diagonals, without the mean) is above their median; in integers, so that every machine gets
    the same. A picture of one colour gives 0, as does one that is too small to show anything: 0 is
    no evidence of a copy.

    Chosen by measuring on 300 drawn pictures, half of them shapes on a flat ground. Share of copies
    within 10 bits: JPEG quality 40 1.0, half size 1.0, gain and offset of each channel .99, gamma
    .6 or 1.6 .98, cropped at random to 80 % of the area .19; of pairs of others .00002. The usual
    8 x 8 corner of the DCT does the same at .00004. Difference hashes find more of the crops (.80)
    but also join .011 of the others, for flat grounds look alike to them. A hue turned at will is
    missed by all. For crops see `crop_hashes`.

    Args:
        image: RGB, as `decode_image` returns it.
    """
    return _hash(_small_grey(image), _CROPS[0])


def crop_hashes(image: "Image") -> tuple[int, ...]:
    """Hashes of a picture and of 22 parts of it, to find copies that were cropped by up to 20 %.

    The parts are 90 % and 80 % of each side in nine places, and the whole less a fifth at one edge.
    One picture was cut out of another when the first hash of either is close to any of the other:
    within 10 bits, measured as for `perceptual_hash`, are crops to 80 % of the area .99 (at random)
    and 1.0 (centred), a fifth off one edge 1.0, 64 % of the area .73 (at random) and 1.0 (centred);
    of pairs of others .0008.

    Returns:
        23 hashes; the first is `perceptual_hash(image)`.
    """
    small = _small_grey(image)
    return tuple(_hash(small, crop) for crop in _CROPS)


def hamming(first: int, second: int) -> int:
    """How many of the 64 bits of two hashes differ."""
    return (first ^ second).bit_count()


_WORKING_SIDE, _HASHED_SIDE = 160, 32


def _cosines() -> npt.NDArray[np.int64]:
    """DCT-II's first 11 rows over 32 samples, in 1/4096: what 64 frequencies on diagonals take."""
    rows, columns = np.arange(11)[:, None], np.arange(_HASHED_SIDE)[None]
    angles = (2 * columns + 1) * rows * np.pi / (2 * _HASHED_SIDE)
    return np.rint(np.cos(angles) * 4096).astype(np.int64)  # (11, 32)


_COSINES = _cosines()
_LOWEST = sorted(
    ((row, column) for row in range(11) for column in range(11) if row + column),
    key=lambda place: (sum(place), place),
)[:64]
_ROWS, _COLUMNS = (np.array(axis) for axis in zip(*_LOWEST, strict=True))
_CROPS = (
    (0, 0, 160, 160),
    *((x, y, x + 144, y + 144) for x in (0, 8, 16) for y in (0, 8, 16)),
    *((x, y, x + 128, y + 128) for x in (0, 16, 32) for y in (0, 16, 32)),
    *((32, 0, 160, 160), (0, 32, 160, 160), (0, 0, 128, 160), (0, 0, 160, 128)),
)
"""Left, top, right, bottom in the working copy."""


def _small_grey(image: "Image") -> "Image":
    size = (_WORKING_SIDE, _WORKING_SIDE)
    return image.convert("L").resize(size, _pillow().Resampling.BOX)


def _hash(small: "Image", crop: tuple[int, int, int, int]) -> int:
    size = (_HASHED_SIDE, _HASHED_SIDE)
    grey = np.asarray(small.resize(size, _pillow().Resampling.BOX, box=crop), np.int64)
    lowest = (_COSINES @ grey @ _COSINES.T)[_ROWS, _COLUMNS]  # (64,)
    ranked = np.sort(lowest)
    bits = 2 * lowest > ranked[31] + ranked[32]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


# How to turn a picture upright, by EXIF's orientation.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def _checked_header(data: bytes, content_type: str, source: str) -> Header:
    """The header of a picture within the limits and of the declared type."""
    if not data:
        raise UnreadableContent(source, f"is empty: {_SEND}, or leave it out")
    if len(data) > MAX_IMAGE_BYTES:
        reason = f"has {len(data):,} bytes: send at most {MAX_IMAGE_BYTES:,}"
        raise UnreadableContent(source, reason)
    essence = content_type.partition(";")[0].strip().lower()
    declared = _CONTENT_TYPES.get(essence)
    if declared is None:
        raise UnreadableContent(source, f"can't be read as {essence!r}: {_SEND}")
    try:
        header = read_header(data)
    except HeaderError as error:
        raise UnreadableContent(source, f"is truncated or damaged: {error}") from None
    if header is None:
        raise UnreadableContent(source, f"is declared {essence} but is no known picture: {_SEND}")
    if header.format != declared:
        reason = f"is declared {essence} but its bytes are {header.format}: correct the type"
        raise UnreadableContent(source, reason)
    width, height = header.width, header.height
    if min(width, height) < 1:
        reason = "is truncated or damaged: its header gives no size, send the whole file"
        raise UnreadableContent(source, reason)
    if max(width, height) > MAX_IMAGE_SIDE or width * height > MAX_IMAGE_PIXELS:
        limits = f"{MAX_IMAGE_PIXELS:,} pixels and {MAX_IMAGE_SIDE:,} a side"
        raise UnreadableContent(source, f"is {width:,} x {height:,}: send at most {limits}")
    return header


def _rgb(image: "Image") -> "Image":
    """An image of any mode that the four formats decode to, as RGB on white."""
    pil = _pillow()
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        return pil.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = image if image.mode == "RGBA" else image.convert("RGBA")
    white = pil.new("RGB", image.size, "white")
    white.paste(pixels, mask=pixels.getchannel("A"))
    return white


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("images", error) from None
    return Image
