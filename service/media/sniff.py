"""What bytes are, from how they begin; what somebody says about them does not count."""

import re
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
)
_AT_8 = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
}
_MP4_SOUND = (b"M4A ", b"M4B ")
"""Brands of MP4 files without a video track; the others say nothing about what is inside."""
_TAG = re.compile(rb"ID3[\x02-\x04][\x00-\x0f].[\x00-\x7f]{4}", re.DOTALL)
"""Header of an ID3v2 tag: version, flags, and the length of what follows, 7 bits a byte."""
_TAGGED = ("audio/mpeg", "audio/aac", "audio/flac")
_MOST_TAGS = 16
_PADDING = 1 << 16
"""Most bytes after a tag that are looked at, as they may begin with zeros."""
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")


def content_type_of(data: bytes) -> str | None:
    """The content type of a picture or sound, None if it is neither or of no known format.

    Only the beginning, and what follows ID3 tags, is looked at: the rest may still be damaged.
    Tags without a known sound after them are taken for those of an MP3, which have them most.
    """
    if not data.startswith(b"ID3"):
        return _untagged(data)
    found = _untagged(_after_tags(data))
    return found if found in _TAGGED else "audio/mpeg"


def _after_tags(data: bytes) -> bytes:
    """The beginning of what follows ID3v2 tags and the zeros that may pad them."""
    at = 0
    for _ in range(_MOST_TAGS):
        tag = _TAG.match(data, at)
        if tag is None:
            break
        length = 0
        for digit in tag[0][6:]:
            length = length << 7 | digit
        footer = 10 if tag[0][5] & 0x10 else 0
        at = tag.end() + length + footer
    return data[at : at + _PADDING].lstrip(b"\0")


def _untagged(data: bytes) -> str | None:
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
