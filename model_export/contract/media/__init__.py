"""Bytes of a picture or a sound to the fixed-size array that a tower's graph reads.

The same in training and in serving, without torch. The libraries that decode are imported when the
first picture or sound is read: an install without the extras `images` and `audio` works until then.
"""

from model_export.contract.media.audio import AudioSpec, decode_audio
from model_export.contract.media.images import (
    ImageSpec,
    crop_hashes,
    decode_image,
    hamming,
    perceptual_hash,
    prepare_image,
    shows_nothing,
)

__all__ = [
    "AudioSpec",
    "ImageSpec",
    "crop_hashes",
    "decode_audio",
    "decode_image",
    "hamming",
    "perceptual_hash",
    "prepare_image",
    "shows_nothing",
]
