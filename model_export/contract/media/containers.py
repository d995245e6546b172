"""Recognition and sanitising of sound containers, before a decoder sees them.

libavformat reads tags and tables before a caller can limit it, and some of them grow without bound:
2 MB of compressed ID3 frames keep it busy for 40 s; a compressed index of 1.5 MB, or a sample count
in 2 KB of MP4, take gigabytes. Tags and such tables are therefore removed or refused here.

Layouts: ID3v2.4, RIFF/WAVE, FLAC (RFC 9639), Ogg (RFC 3533), ADTS (ISO/IEC 14496-3), MPEG audio
(ISO/IEC 11172-3), ISO base media (ISO/IEC 14496-12).
"""

import re
import struct

CONTENT_TYPES = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/vorbis": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/aac": "aac",
    "audio/aacp": "aac",
    "audio/x-aac": "aac",
    "audio/mp4": "mp4",
    "audio/m4a": "mp4",
    "audio/x-m4a": "mp4",
    "video/mp4": "mp4",
}
"""Declared content type -> container; the sound track of a video is read."""

MAX_SAMPLES_LISTED = 2_000_000
"""Most packets an MP4 file may list: 11 hours of AAC, 50 MB of tables in memory."""
MAX_BLOCKS = 1_000
"""Most tags, or chunks of a WAV file, that are scanned."""


class ContainerError(ValueError):
    """A file that must not reach a decoder; the message states the reason and the remedy."""


def read_container(data: bytes) -> tuple[str, bytes]:
    """Kind of a sound file and its bytes without tags, safe for a demuxer.

    Returns:
        `wav`, `flac`, `ogg`, `mp3`, `aac` or `mp4`, and the sanitised file; `("", b"")` for
        anything else.

    Raises:
        ContainerError: the file is one of these but would exhaust a demuxer's memory.
    """
    kind = sniff(data)
    if kind == "wav":
        return kind, _plain_wav(data)
    if kind == "mp4":
        _check_index(_index(data))
    if kind in ("mp4", "ogg"):
        return kind, data
    sound = _without_tags(data)
    kind = sniff(sound)
    return (kind, sound) if kind in ("flac", "mp3", "aac") else ("", b"")


def sniff(data: bytes) -> str:
    """Container kind by the first bytes of a file without leading tags; empty if unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[4:8] == b"ftyp":
        return "mp4"
    if len(data) > 3 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        if data[1] & 0xF6 == 0xF0:  # 12 bits of sync, layer 0
            return "aac"
        if data[1] & 0x06 and data[1] & 0x18 != 0x08 and data[2] & 0xF0 != 0xF0:
            return "mp3"
    return ""


_TAG = re.compile(rb"ID3[\x02-\x04][\x00-\x0f].[\x00-\x7f]{4}", re.DOTALL)


def _without_tags(data: bytes) -> bytes:
    """The file without ID3v2 tags and the zeros that may pad them."""
    kept: list[bytes] = []
    at = 0
    for _ in range(MAX_BLOCKS):
        found = _TAG.search(data, at)
        if found is None:
            break
        kept.append(data[at : found.start()])
        length = 0
        for digit in found.group()[6:]:
            length = length << 7 | digit
        footer = 10 if found.group()[5] & 0x10 else 0
        at = found.end() + length + footer
    if not at:
        return data
    sound = b"".join([*kept, data[at:]]).lstrip(b"\0")
    if _TAG.search(sound):
        raise ContainerError("has more tags than sound: send it without tags")
    return sound


def _plain_wav(data: bytes) -> bytes:
    """A WAV file reduced to its format and sample chunks."""
    layout, at = b"", 12
    for _ in range(MAX_BLOCKS):
        if at + 8 > len(data):
            raise ContainerError("ends before its samples: send the whole file")
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"fmt ":
            layout = struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) & 1)
        elif kind == b"data":
            chunks = layout + struct.pack("<4sI", kind, len(body)) + body
            return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks
        at += 8 + length + (length & 1)
    raise ContainerError(f"has more than {MAX_BLOCKS} chunks: save it again")


def _index(data: bytes) -> bytes:
    """The boxes of an MP4 file except its media data."""
    kept: list[bytes] = []
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        end = at + size if size >= 8 else len(data)
        if kind != b"mdat":
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


# Offset of the sample count from the box type.
_COUNTS = {b"stsz": 12, b"stz2": 12, b"trun": 8}


def _check_index(index: bytes) -> None:
    if b"cmov" in index:
        raise ContainerError("has a compressed index: save it again without one")
    listed = 0
    for found in re.finditer(b"|".join(_COUNTS), index):
        at = found.start() + _COUNTS[found.group()]
        listed += int.from_bytes(index[at : at + 4], "big")
        if listed > MAX_SAMPLES_LISTED:
            limit = f"{MAX_SAMPLES_LISTED:,}"
            raise ContainerError(f"lists more than {limit} packets: send a shorter part")
