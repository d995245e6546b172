"""What bytes are, from how they begin; what somebody says about them does not count."""

from typing import Literal

Kind = Literal["image", "audio"]

CONTENT_TYPES: dict[Kind, tuple[str, ...]] = {
    "image": ("image/jpeg", "image/png", "image/webp", "image/gif"),
    "audio": ("audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/flac", "audio/wav"),
}
"""All that `content_type_of` can tell."""

_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
_AT_8 = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
}
_MP4_SOUND = (b"M4A ", b"M4B ")
"""Brands of MP4 files without a video track; the others say nothing about what is inside."""
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")


def content_type_of(data: bytes) -> str | None:
    """The content type of a picture or sound, None if it is neither or of no known format.

    Only the beginning is looked at: the rest may still be damaged.
    """
    for start, found in _STARTS:
        if data.startswith(start):
            return found
    if found := _AT_8.get((data[:4], data[8:12])):
        return found
    if data[4:8] == b"ftyp" and data[8:12] in _MP4_SOUND:
        return "audio/mp4"
    if data.startswith(b"OggS") and len(data) > 27 and data[27 + data[26] :].startswith(_OGG_SOUND):
        return "audio/ogg"
    return _mpeg_frame(data)


def _mpeg_frame(data: bytes) -> str | None:
    """MP3 or AAC without a container: a frame header of 4 bytes (ISO 11172-3, 14496-3 ADTS)."""
    if len(data) < 4 or data[0] != 0xFF:
        return None
    if data[1] & 0xF6 == 0xF0:
        return "audio/aac"
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    is_frame = data[1] & 0xE0 == 0xE0 and version != 1 and layer == 1
    return "audio/mpeg" if is_frame and bitrate not in (0, 15) and rate != 3 else None
