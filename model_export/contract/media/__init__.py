"""Bytes of a picture or a sound to the fixed-size array that a tower's graph reads.

The same in training and in serving, without torch. The libraries that decode are imported when the
first picture or sound is read: an install without the extras `images` and `audio` works until then.
"""

from model_export.contract.media.audio import AudioSpec, decode_audio
from model_export.contract.media.copies import (
    COPY_BITS,
    OUTLINE_SIDE,
    Hashes,
    bits_apart,
    bits_to_parts,
    hashes_of,
    outline_of,
)
from model_export.contract.media.images import (
    ImageSpec,
    decode_image,
    prepare_image,
    shows_nothing,
)
from model_export.contract.media.sound_copies import (
    COPY_AGREEMENT,
    PRINT_BANDS,
    PRINT_MOMENTS,
    Prints,
    agreement,
    print_of,
    prints_of,
)

__all__ = [
    "COPY_AGREEMENT",
    "COPY_BITS",
    "OUTLINE_SIDE",
    "PRINT_BANDS",
    "PRINT_MOMENTS",
    "AudioSpec",
    "Hashes",
    "ImageSpec",
    "Prints",
    "agreement",
    "bits_apart",
    "bits_to_parts",
    "decode_audio",
    "decode_image",
    "hashes_of",
    "outline_of",
    "prepare_image",
    "print_of",
    "prints_of",
    "shows_nothing",
]
