"""Augmentation of pictures: crop, mirror, colour and blur (SimCLR, Chen 2020).

The changes resemble those of copied pictures (`contract.media.thumbnail_hash`), with closer crops.
"""

import numpy as np
from PIL import Image, ImageFilter

from model_export.contract.media import decode_image, prepare_image
from model_export.contract.towers import Prepared
from training.towers import Tower
from training.tuning.items import Media

_LEAST_SIDE = 0.6
"""Smallest share of either side that a crop keeps."""
_RECOLOURED, _BLURRED, _MIRRORED = 0.8, 0.3, 0.5
_HUE, _SATURATION, _CONTRAST, _BRIGHTNESS = 16, 0.25, 0.2, 20
"""Largest hue shift (of 256), relative changes, and brightness shift (of 256)."""
_BLUR = 0.02
"""Largest blur radius, as a share of the side."""


class Pictures(Media):
    """Pictures with augmented views."""

    one, several = "a picture", "pictures"

    def __init__(self, tower: Tower) -> None:
        super().__init__(tower)
        assert tower.spec.image is not None
        self._spec = tower.spec.image

    def view(self, number: int, rng: np.random.Generator) -> Prepared:
        """Implements `Items`; uint8 (S, S, 3)."""
        payload = self.payload(number)
        image = decode_image(payload.data, payload.content_type, payload.source)
        square = prepare_image(_cropped(image, rng), self._spec)
        return changed(square, rng)


def _cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    shares = rng.uniform(_LEAST_SIDE, 1, 2)
    width, height = (max(1, round(s * n)) for s, n in zip(shares, image.size, strict=True))
    left, top = rng.integers(0, (image.width - width + 1, image.height - height + 1)).tolist()
    return image.crop((left, top, left + width, top + height))


def changed(square: Prepared, rng: np.random.Generator) -> Prepared:
    """Randomly mirror, recolour and blur a preprocessed picture (S, S, 3)."""
    image = Image.fromarray(square)
    if rng.random() < _MIRRORED:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < _RECOLOURED:
        hue, saturation, value = image.convert("HSV").split()
        turn = int(rng.integers(-_HUE, _HUE + 1))
        hue = hue.point([(level + turn) % 256 for level in range(256)])
        saturation = saturation.point(_levels(1 + _SATURATION * rng.uniform(-1, 1), 0, 0))
        image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
        gain, lift = 1 + _CONTRAST * rng.uniform(-1, 1), _BRIGHTNESS * rng.uniform(-1, 1)
        image = image.point(3 * _levels(gain, lift, 128))
    if rng.random() < _BLURRED:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, _BLUR * image.width)))
    return np.array(image, np.uint8)


def _levels(gain: float, lift: float, fixed: int) -> list[int]:
    """Look-up table of 256 levels: gain around `fixed`, plus lift."""
    levels = gain * (np.arange(256) - fixed) + fixed + lift
    return np.clip(np.rint(levels), 0, 255).astype(int).tolist()
