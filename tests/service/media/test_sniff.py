import io
import wave

import pytest

from model_export.contract.media.containers import CONTENT_TYPES as CONTAINERS
from model_export.contract.media.containers import read_container
from service.media.sniff import CONTENT_TYPES, content_type_of


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()


def ogg(packet: bytes) -> bytes:
    """A first page: header, segment table of one, packet (RFC 3533)."""
    return b"OggS\0\x02" + bytes(20) + b"\x01" + bytes([len(packet)]) + packet


KNOWN = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
    (b"GIF87a\1\0\1\0", "image/gif"),
    (b"GIF89a\1\0\1\0", "image/gif"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    (wav(), "audio/wav"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"),
    (b"\xff\xfb\x90\x64", "audio/mpeg"),
    (b"\xff\xf3\x40\xc4", "audio/mpeg"),
    (b"\xff\xf1\x50\x80", "audio/aac"),
    (b"\xff\xf9\x50\x80", "audio/aac"),
    (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio/mp4"),
    (ogg(b"OpusHead\1\2"), "audio/ogg"),
    (ogg(b"\x01vorbis\0\0"), "audio/ogg"),
    (ogg(b"\x7fFLAC\1\0"), "audio/ogg"),
]


@pytest.mark.parametrize(("data", "content_type"), KNOWN)
def test_known_formats(data: bytes, content_type: str) -> None:
    assert content_type_of(data) == content_type


def tag(content: bytes, flags: int = 0) -> bytes:
    """An ID3v2.4 tag: 28 bits of length in 4 bytes."""
    length = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI\4\0" + bytes([flags]) + length if flags & 0x10 else b""
    return b"ID3\4\0" + bytes([flags]) + length + content + footer


@pytest.mark.parametrize(
    "before",
    [tag(bytes(5000)), tag(b"\xff\xfb\x90\x64" * 50, flags=0x10), tag(b"a") + tag(b"b") + bytes(9)],
    ids=["long", "footer", "two and zeros"],
)
@pytest.mark.parametrize(
    ("sound", "content_type"),
    [
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
    ],
)
def test_a_tag_is_skipped(before: bytes, sound: bytes, content_type: str) -> None:
    assert content_type_of(before + sound) == content_type
    assert read_container(before + sound)[0] == CONTAINERS[content_type]


def test_all_that_is_promised_can_be_told() -> None:
    assert {t for _, t in KNOWN} == {t for types in CONTENT_TYPES.values() for t in types}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><body>not found</body></html>",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"PK\3\4",
        b"#EXTM3U\n",
        b"II*\0\x08\0\0\0",
        b"RIFF\x24\0\0\0AVI LIST",
        b"\0\0\0\x20ftypisom\0\0\0\0",
        ogg(b"\x80theora"),
        b"\xff\xfeA\0b\0c\0",  # UTF-16
        b"\xff\xfb\xf0\x64",  # no such bit rate
        b"\xff\xfb\x9c\x64",  # no such sample rate
        b" \x89PNG\r\n\x1a\n",
    ],
)
def test_anything_else(data: bytes) -> None:
    assert content_type_of(data) is None


@pytest.mark.parametrize(("data", "content_type"), KNOWN)
def test_any_prefix_is_taken_calmly(data: bytes, content_type: str) -> None:
    for length in range(min(len(data), 64)):
        assert content_type_of(data[:length]) in (None, content_type)
