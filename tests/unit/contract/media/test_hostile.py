"""Small files that would become large, and files with any bit wrong: read or refused, in bounds."""

import struct
import time
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model_export.contract.errors import UnreadableContent
from model_export.contract.media import (
    AudioSpec,
    ImageSpec,
    decode_audio,
    decode_image,
    prepare_image,
)
from model_export.contract.media.headers import MAX_SCANS
from tests.unit.contract.media.files import (
    COVER,
    DECLARED,
    SOUND,
    encoded,
    peak_megabytes,
    picture,
    png,
    refusal,
    saved,
    tone,
    wav,
)

HEARD = AudioSpec(rate_hz=16_000, seconds=2)
SEEN = ImageSpec(size_px=64, resize_px=72, interpolation="bicubic")
PICTURES = {
    "image/jpeg": saved(picture(), "JPEG"),
    "image/png": saved(picture(), "PNG"),
    "image/gif": saved(picture(), "GIF"),
    "image/webp": saved(picture().convert("RGBA"), "WEBP"),
}
PROGRESSIVE = saved(picture(), "JPEG", progressive=True)
SOUNDS = {
    kind: encoded(tone(0.5, 48_000), kind, 48_000, layout="stereo") for kind in sorted(DECLARED)
}


def quick(work: Callable[[], str], seconds: float, megabytes: int) -> str:
    """What a refusal says, that must come before much time or memory is spent."""
    said: list[str] = []
    start = time.process_time()
    peak = peak_megabytes(lambda: said.append(work()))
    assert time.process_time() - start < seconds
    assert peak < megabytes
    return said[0]


def refused_picture(data: bytes, declared: str) -> str:
    return refusal(lambda: decode_image(data, declared, COVER))


def refused_sound(data: bytes, declared: str) -> str:
    return refusal(lambda: decode_audio(data, declared, HEARD, SOUND))


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (png(50_000, 50_000, b""), "image/png"),
        (lambda: png(6_000, 6_000, b"\0" * 36_006_000, depth=8), "image/png"),
        (png(2**31 - 1, 1, b""), "image/png"),
        (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;", "image/gif"),
        (
            b"GIF89a\x01\0\x01\0\0\0\0,\xff\xff\xff\xff\xff\xff\xff\xff\0\x02\x02D\x01\0;",
            "image/gif",
        ),
        (b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff", "image/webp"),
        (b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0", "image/webp"),
        (
            b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0?\0",
            "image/jpeg",
        ),
    ],
)
def test_a_picture_bomb_is_refused_by_its_header(
    data: bytes | Callable[[], bytes], declared: str
) -> None:
    file = data() if callable(data) else data  # what takes long is made by its test alone
    assert len(file) < 500_000
    reason = quick(lambda: refused_picture(file, declared), seconds=0.5, megabytes=8)
    assert "send at most 25,000,000 pixels and 16,384 a side" in reason


def test_a_side_may_be_too_long_for_few_pixels() -> None:
    data = saved(Image.new("L", (16_385, 1)), "PNG")
    assert refused_picture(data, "image/png").startswith("is 16,385 x 1: send at most")


def test_rows_beyond_the_picture_are_not_inflated() -> None:
    data = png(100, 100, b"\0" * 100_000_000)
    peak = peak_megabytes(lambda: decode_image(data, "image/png", COVER))
    assert peak < 20


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_a_picture_without_size_is_refused(size: tuple[int, int]) -> None:
    assert "no size" in refused_picture(png(*size, b""), "image/png")


def test_thousands_of_scans_are_refused() -> None:
    """Each scan of 20 bytes makes the decoder go over the whole picture once more."""
    start = PROGRESSIVE.rindex(b"\xff\xda")
    scan = PROGRESSIVE[start:-2]
    data = PROGRESSIVE[:-2] + scan * MAX_SCANS + b"\xff\xd9"
    assert refused_picture(data, "image/jpeg").startswith(
        f"is truncated or damaged: more than {MAX_SCANS} scans"
    )


@pytest.mark.parametrize(
    ("blocks", "declared"),
    [
        ((PICTURES["image/jpeg"][:2], b"\xff\xfe\0\x02", 3_000_000), "image/jpeg"),
        ((PICTURES["image/png"][:33], b"\0\0\0\0IDATxxxx", 1_300_000), "image/png"),
        ((b"GIF89a\x01\0\x01\0\0\0\0!\xfe", b"\x01a", 8_000_000), "image/gif"),
        ((PICTURES["image/webp"], b"JUNK\0\0\0\0", 2_000_000), "image/webp"),
    ],
)
def test_millions_of_small_blocks_are_refused(
    blocks: tuple[bytes, bytes, int], declared: str
) -> None:
    start, block, times = blocks
    data = start + block * times
    reason = quick(lambda: refused_picture(data, declared), seconds=1, megabytes=70)
    assert "save it again" in reason


def tag_bomb() -> bytes:
    """Five compressed texts of 20 MB each in an ID3 tag of 100 KB."""

    def size(value: int) -> bytes:
        return bytes(value >> shift & 127 for shift in (21, 14, 7, 0))

    text = zlib.compress(b"\0d\0" + b"A" * 20_000_000, 9)
    frame = size(20_000_003) + text
    frames = (b"TXXX" + size(len(frame)) + b"\0\x09" + frame) * 5
    return b"ID3\x04\0\0" + size(len(frames)) + frames


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_tags_are_never_inflated() -> None:
    tag = tag_bomb()
    for kind in ("mp3", "aac", "flac"):
        whole = tag + SOUNDS[kind] + tag

        def decode(kind: str = kind, whole: bytes = whole) -> str:
            return str(decode_audio(whole, DECLARED[kind], HEARD, SOUND).shape)

        assert quick(decode, seconds=1, megabytes=30) == "(32000,)"
    chunk = b"id3 " + struct.pack("<I", len(tag)) + tag + b"\0" * (len(tag) & 1)
    data = wav(tone(1, 16_000), 16_000, chunks=chunk)
    shape = quick(lambda: str(decode_audio(data, "audio/wav", HEARD, SOUND).shape), 1, 30)
    assert shape == "(32000,)"


@pytest.mark.parametrize(
    "count", [b"stsz\0\0\0\0\0\0\0\1", b"stz2\0\0\0\0\0\0\0\4", b"trun\0\0\0\0"]
)
def test_an_index_of_countless_packets_is_refused(count: bytes) -> None:
    """libavformat would take 24 bytes for each of the 100 million that 20 bytes announce."""
    listed = box(b"moof", box(b"traf", box(count[:4], count[4:] + struct.pack(">I", 100_000_000))))
    data = box(b"ftyp", b"M4A \0\0\0\0M4A ") + listed + box(b"mdat", bytes(100))
    reason = quick(lambda: refused_sound(data, "audio/mp4"), seconds=0.5, megabytes=8)
    assert reason.startswith("lists more than 2,000,000 packets")


def test_a_compressed_index_is_refused() -> None:
    index = zlib.compress(b"\0" * 60_000_000, 9)
    body = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 60_000_000) + index)
    data = box(b"ftyp", b"M4A \0\0\0\0M4A ") + box(b"moov", box(b"cmov", body))
    reason = quick(lambda: refused_sound(data, "audio/mp4"), seconds=0.5, megabytes=8)
    assert reason == "has a compressed index: save it again without one"


def test_a_playlist_opens_nothing() -> None:
    for text in (b"#EXTM3U\n/etc/hostname\n", b"ffconcat version 1.0\nfile /etc/hostname\n"):
        assert "no known sound" in refused_sound(text * 20, "audio/mpeg")


def damaged(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A file with bits flipped, bytes cut out or the end missing."""

    @st.composite
    def damage(draw: st.DrawFn) -> bytes:
        file = bytearray(draw(data))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(file) - 1))
            file[at] ^= 1 << draw(st.integers(0, 7))
        if draw(st.booleans()):
            del file[draw(st.integers(0, len(file) - 1)) :]
        elif draw(st.booleans()):
            start = draw(st.integers(0, len(file) - 1))
            del file[start : start + draw(st.integers(1, 64))]
        return bytes(file)

    return damage()


def same_with_and_without_warnings(decode: Callable[[], bytes]) -> None:
    """Read or refused, and the same whether a warning is an error or is not heard at all."""
    outcomes: list[bytes | str] = []
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            try:
                outcomes.append(decode())
            except UnreadableContent as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("declared", sorted(PICTURES))
@settings(max_examples=200)
@given(st.data())
def test_a_damaged_picture_is_read_or_refused(declared: str, data: st.DataObject) -> None:
    originals = [PICTURES[declared]] + [PROGRESSIVE] * (declared == "image/jpeg")
    file = data.draw(damaged(st.sampled_from(originals)))
    same_with_and_without_warnings(
        lambda: prepare_image(decode_image(file, declared, COVER), SEEN).tobytes()
    )


@pytest.mark.parametrize("kind", sorted(SOUNDS))
@settings(max_examples=80)
@given(st.data())
def test_a_damaged_sound_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    file = data.draw(damaged(st.just(SOUNDS[kind])))

    def decode() -> bytes:
        sound = decode_audio(file, DECLARED[kind], HEARD, SOUND)
        assert np.abs(sound).max() <= 1
        return sound.tobytes()

    same_with_and_without_warnings(decode)


@given(st.sampled_from([*PICTURES, *DECLARED.values()]), st.binary(max_size=400))
def test_random_bytes_are_refused(declared: str, junk: bytes) -> None:
    for prefix in (b"", PICTURES.get(declared, b"\xff\xfb\x90\x00")[:8]):
        refused = refused_picture if declared.startswith("image") else refused_sound
        reason = refused(prefix + junk, declared)
        assert any(remedy in reason for remedy in ("send ", "save it", "correct the type"))
