"""Decoding of pictures to the array that a tower's graph reads.

Colour profiles are not applied, transparent pixels lie on white, an animation is read as its first
frame, EXIF orientation is applied, and 16-bit channels are cut to their upper 8 bits. So every
reader gets the same pixels.

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
    """Input format of a picture tower: a centred square.

    Attributes:
        size_px: side of the square.
        resize_px: shorter side of the whole picture at the scale of the square; `size_px` for the
            largest square that fits, more for a closer crop.
        interpolation: resampling filter, antialiased when shrinking.
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
"""Spread of one colour after lossy compression, of 256 levels."""


def decode_image(data: bytes, content_type: str, source: str) -> "Image":
    """Decode a picture to upright RGB, on white where it is transparent.

    Args:
        data: a JPEG, PNG, WebP or GIF file.
        content_type: declared type, such as `image/png`; must agree with the bytes.
        source: part of the profile, for errors.

    Raises:
        UnreadableContent: the file is empty, over a limit, of another type than declared, of an
            unsupported format, truncated or damaged.
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
    """Crop and resample a picture to the square that the tower reads.

    Both happen in one step, since a 10,000 x 1 picture at the scale of the square would be as large
    as a decompression bomb. Pillow resamples 8-bit channels in integers, identically on all
    machines.

    Args:
        image: RGB, from `decode_image`.
        spec: input format of the tower.

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
    """Whether a prepared square is practically one colour, such as a placeholder.

    That is the case when, in each channel, all but the darkest and brightest 1 % of the pixels (on
    a grid, for large squares) are within `_ONE_COLOUR` levels of each other.
    """
    step = max(1, len(square) // 64)
    levels = np.sort(square[::step, ::step].reshape(-1, 3).astype(np.int64), axis=0)  # (N, 3)
    rare = len(levels) // 100
    return bool((levels[-1 - rare] - levels[rare] <= _ONE_COLOUR).all())


# EXIF orientation -> transposition that turns the picture upright.
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
    """Header of a picture, checked against the limits and the declared type."""
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
    """Image of any decoded mode as RGB on white."""
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
