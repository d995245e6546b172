"""Picture headers, parsed without decoding pixels.

Size limits are checked here, before a decoder sees the file, and only the blocks that draw the
picture are passed on. Comments, colour profiles, embedded thumbnails and later frames never reach
the decoder, so a hostile file can't make it work on them.

Layouts: JPEG ITU-T T.81 annex B, PNG 3rd edition (W3C), GIF89a, WebP RFC 9649, EXIF 3.0 (TIFF 6).
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_BLOCKS = 20_000
"""Most segments or chunks that are scanned; files of 16 MiB have far fewer."""
MAX_SCANS = 64
"""Most scans of a progressive JPEG; encoders write about ten, each may cost a full decode."""
MAX_SUB_BLOCKS = 200_000
"""Most sub-blocks in the first frame of a GIF; 16 MiB hold 66,000 full ones."""


class HeaderError(ValueError):
    """A damaged header, or one over a limit; the message says which."""


@dataclass(frozen=True)
class Header:
    """Header of a picture file.

    Attributes:
        format: Pillow's name of the format.
        width, height: stored size in pixels.
        orientation: EXIF orientation, 1 to 8; 1 if absent.
        drawn: the file reduced to the blocks that draw the picture.
    """

    format: str
    width: int
    height: int
    orientation: int
    drawn: bytes


def read_header(data: bytes) -> Header | None:
    """Header of a JPEG, PNG, WebP or GIF file; None for anything else.

    Raises:
        HeaderError: the file is one of these but its header can't be read.
    """
    read = _READERS.get(sniff(data))
    if read is None:
        return None
    try:
        return read(data)
    except (struct.error, IndexError):
        raise HeaderError("it ends too early: send the whole file") from None


def sniff(data: bytes) -> str:
    """`JPEG`, `PNG`, `WEBP` or `GIF` by the first bytes; empty for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "GIF" if data[:6] in (b"GIF87a", b"GIF89a") else ""


def orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8, of a TIFF structure; 1 if absent or damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, first)
        for at in range(first + 2, first + 2 + 12 * min(entries, 256), 12):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, at)
            if (tag, kind, count) == (0x0112, 3, 1):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


# 0xFF within compressed data is followed by 0; a restart marker is part of the data too.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_EXIF, _EXTENSIONS, _SCAN, _END = 0xE1, (0xE1, 0xE2), 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Header:
    kept = [b"\xff\xd8"]
    size, turned, scans = (0, 0), 1, 0
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            size = (width, height)
        elif marker == _EXIF and body.startswith(b"Exif\0\0"):
            turned = orientation(body)
        elif marker == _SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise HeaderError(f"more than {MAX_SCANS} scans: save it as a baseline JPEG")
        if marker not in _EXTENSIONS:
            kept.append(data[start:end])
    return Header("JPEG", *size, turned, b"".join(kept))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the end of image; scans include their data."""
    at = 2
    for _ in range(MAX_BLOCKS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        at, marker = found.start(), data[found.start() + 1]
        if marker == _END:
            yield marker, at, at + 2
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == _SCAN:
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield marker, at, end
        at = end
    raise HeaderError(f"more than {MAX_BLOCKS} segments: save it again")


def _png(data: bytes) -> Header:
    if data[12:16] != b"IHDR":
        raise HeaderError("a PNG file without its header chunk: send a picture")
    width, height = struct.unpack_from(">II", data, 16)
    kept, turned, at = [data[:8]], 1, 8
    for _ in range(MAX_BLOCKS):
        if at + 8 > len(data):
            return Header("PNG", width, height, turned, b"".join(kept))
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[at:end])
        elif kind == b"eXIf":
            turned = orientation(data[at + 8 : at + 8 + length])
        at = len(data) if kind == b"IEND" else end
    raise HeaderError(f"more than {MAX_BLOCKS} chunks: save it again")


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    kept = [data[:at]]
    for _ in range(MAX_BLOCKS):
        start, kind = at, data[at]
        if kind == 0x21:  # an extension; the one of the frame to come holds its transparent colour
            at = _after_sub_blocks(data, at + 2)
            if data[start + 1] == 0xF9:
                kept.append(data[start:at])
        elif kind == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            end = _after_sub_blocks(data, at + 11 + _colours(flags))
            kept += [data[start:end], b";"]
            # A frame may stand out of the screen; the decoder then makes the screen larger.
            size = max(width, left + wide), max(height, top + high)
            return Header("GIF", *size, 1, b"".join(kept))
        else:
            break
    raise HeaderError("a GIF file without a frame: send a picture")


def _colours(flags: int) -> int:
    """Size in bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    for _ in range(MAX_SUB_BLOCKS):
        length = data[at]
        at += 1 + length
        if length == 0:
            return at
    raise HeaderError("its data comes in too many small blocks: save it again")


def _webp(data: bytes) -> Header:
    kind, payload = data[12:16], data[20:30]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(payload[4:7], "little")
        height = 1 + int.from_bytes(payload[7:10], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(payload[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", payload, 6))
    else:
        raise HeaderError("a WebP file without a picture: send a picture")
    return Header("WEBP", width, height, _webp_orientation(data), data)


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in range(MAX_BLOCKS):
        if at + 8 > len(data):
            return 1
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return orientation(data[at + 8 : at + 8 + length])
        at += 8 + length + (length & 1)
    raise HeaderError(f"more than {MAX_BLOCKS} chunks: save it again")


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
}
