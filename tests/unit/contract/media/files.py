"""Pictures and sounds as files, made on the spot."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from model_export.contract.errors import UnreadableContent

COVER = "videos[0].cover"
SOUND = "videos[0].audio"


def picture(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """RGB, smooth, with four differently coloured corners: what is up and what is left shows."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3)).astype(np.uint8)
    corners[0, 0] = (250, 10, 10)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """RGB, clouds of every size: no two are alike."""
    rng = np.random.default_rng(seed)
    waves = np.fft.rfft2(rng.normal(size=(height, width, 3)), axes=(0, 1))
    high, wide = np.fft.fftfreq(height)[:, None, None], np.fft.rfftfreq(width)[None, :, None]
    waves /= np.maximum(np.hypot(high, wide), 1 / width) ** 1.4
    clouds = np.fft.irfft2(waves, s=(height, width), axes=(0, 1))
    clouds = 128 + 45 * (clouds - clouds.mean()) / clouds.std()
    return Image.fromarray(clouds.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG file of any announced size, whatever its rows are."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def tone(
    seconds: float, rate_hz: int, pitch_hz: float = 440, level: float = 0.5
) -> npt.NDArray[np.float32]:
    """float32 (samples,): a sine."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)


ENCODERS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "vorbis": ("ogg", "vorbis"),
    "aac": ("adts", "aac"),
    "m4a": ("mp4", "aac"),
}
DECLARED = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "vorbis": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
}


def encoded(
    signal: npt.NDArray[np.float32],
    kind: str,
    rate_hz: int,
    *,
    layout: str = "mono",
    bit_rate: int | None = None,
    codec: str | None = None,
) -> bytes:
    """A sound file of one of `ENCODERS`, with the same signal in every channel."""
    container_kind, usual = ENCODERS[kind]
    file = io.BytesIO()
    options = {"strict": "experimental"}  # which FFmpeg's own encoder of Vorbis calls itself
    with av.open(file, "w", format=container_kind) as container:
        stream: Any = container.add_stream(
            codec or usual, rate=rate_hz, layout=layout, options=options
        )
        if bit_rate:
            stream.bit_rate = bit_rate
        channels = stream.layout.nb_channels
        for start in range(0, signal.size, rate_hz):
            part = np.tile(signal[start : start + rate_hz], (channels, 1))
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def wav(
    samples: npt.NDArray[Any], rate_hz: int, *, chunks: bytes = b"", declared: int | None = None
) -> bytes:
    """A WAV file of (samples, channels), written by hand so that anything can be wrong with it."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    channels, width = samples.shape[1], samples.dtype.itemsize
    kind = 3 if samples.dtype.kind == "f" else 1
    row = channels * width
    layout = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * row, row, 8 * width)
    body = samples.tobytes()
    length = len(body) if declared is None else declared
    parts = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + chunks
    parts += b"data" + struct.pack("<I", length) + body
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def refusal(decode: Callable[[], object]) -> str:
    """What a decoder says of content that it refuses; it names where the content stands."""
    with pytest.raises(UnreadableContent) as caught:
        decode()
    error = caught.value
    assert error.source in (COVER, SOUND)
    assert str(error) == f"{error.source}: {error.reason}"
    return error.reason


def megabytes(field: str) -> int:
    """Of this process, as Linux accounts for it: VmRSS, or VmHWM for its highest."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) // 1024


def peak_megabytes(work: Callable[[], object]) -> int:
    """How much memory a piece of work takes at its peak, beyond what is taken already."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the highest
    before = megabytes("VmRSS")
    work()
    return megabytes("VmHWM") - before
