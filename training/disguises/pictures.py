"""Disguises of pictures and of their vectors."""

import base64
import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

CROP = 0.2
"""Largest share of width and height cropped from a copy."""
_VECTOR_NOISE = 0.03
"""Standard deviation of a stolen cover's vector, in parts of the vector's own."""


def stolen(shown: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Picture of a profile as a thief shows it: other bytes, or a vector close by."""
    if "vector" in shown:
        vector = shown["vector"]
        spread = float(np.std(vector)) if vector else 0.0
        moved = [round(x + rng.gauss(0, _VECTOR_NOISE * spread), 6) for x in vector]
        return {**shown, "vector": moved}
    if "data" not in shown:
        return dict(shown)
    image, quality = disguise(decoded(base64.b64decode(shown["data"])), rng.getrandbits(48))
    content = base64.b64encode(jpeg(image, quality)).decode("ascii")
    return {**shown, "data": content, "content_type": "image/jpeg"}


def disguise(image: Image.Image, seed: int) -> tuple[Image.Image, int]:
    """Disguise a picture like a re-upload: crop, recolour, change contrast, mirror.

    Returns:
        The picture and the JPEG quality to save it with.
    """
    rng = np.random.default_rng(seed)
    changes = rng.random(4) < (0.6, 0.6, 0.5, 0.2)
    width, height = image.size
    if changes[0]:
        kept = 1 - CROP * rng.random(2)
        w, h = round(width * kept[0]), round(height * kept[1])
        left, top = rng.integers(0, (width - w + 1, height - h + 1)).tolist()
        image = image.crop((left, top, left + w, top + h))
        if rng.random() < 0.7:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    if changes[1]:
        hue, saturation, value = image.convert("HSV").split()
        turn = int(rng.integers(-16, 17))  # of 256
        hue = hue.point([(i + turn) % 256 for i in range(256)])
        saturation = saturation.point(levels(rng.uniform(0.75, 1.25), 0))
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if changes[2]:
        image = image.point(levels(rng.uniform(0.8, 1.2), rng.uniform(-20, 20)))
    if changes[3]:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image, int(rng.integers(35, 66))


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode a picture as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    """Decode a picture file to RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def levels(factor: float, shift: float) -> Callable[[int], float]:
    """Change of brightness levels, for `Image.point`."""
    return lambda level: level * factor + shift
