"""Decoding of pictures and sounds to the fixed-size arrays that a tower's graph reads.

Training and serving share this package; it needs no torch. Decoders are imported when the first
picture or sound is read, so an installation without the extras `images` and `audio` works until
then.
"""

from model_export.contract.media.audio import AudioSpec, decode_audio
from model_export.contract.media.audio_fingerprint import (
    COPY_AGREEMENT,
    FINGERPRINT_BANDS,
    FINGERPRINT_MOMENTS,
    Fingerprints,
    agreement,
    fingerprint_of,
    fingerprints_of,
)
from model_export.contract.media.images import (
    ImageSpec,
    decode_image,
    prepare_image,
    shows_nothing,
)
from model_export.contract.media.thumbnail_hash import (
    COPY_BITS,
    THUMBNAIL_SIDE,
    ThumbnailHashes,
    bits_apart,
    bits_to_parts,
    hashes_of,
    thumbnail_of,
)

__all__ = [
    "COPY_AGREEMENT",
    "COPY_BITS",
    "FINGERPRINT_BANDS",
    "FINGERPRINT_MOMENTS",
    "THUMBNAIL_SIDE",
    "AudioSpec",
    "Fingerprints",
    "ImageSpec",
    "ThumbnailHashes",
    "agreement",
    "bits_apart",
    "bits_to_parts",
    "decode_audio",
    "decode_image",
    "fingerprint_of",
    "fingerprints_of",
    "hashes_of",
    "prepare_image",
    "shows_nothing",
    "thumbnail_of",
]
