"""Golden payloads: inputs that must come out identical on every installation."""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.media import AudioSpec
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.text import readable
from model_export.contract.towers.inputs import Payload, TowerInputs
from model_export.contract.towers.spec import TowerSpec

_SIZES = ((40, 30), (17, 64), (300, 200))


def golden_payloads(spec: TowerSpec, profiles: Iterable[StreamerContent]) -> list[Payload]:
    """Distinct texts of the golden profiles, or generated pictures or sounds, by tower kind."""
    if spec.image is not None:
        return [Payload("golden", data=_png(*s), content_type="image/png") for s in _SIZES]
    if spec.audio is not None:
        rate = spec.audio.rate_hz  # nothing is resampled: that would not be exact
        return [
            Payload("golden", data=_wav(rate, count), content_type="audio/wav")
            for count in (rate // 2, rate, _longer(spec.audio))
        ]
    pieces = (piece for profile in profiles for piece in pieces_of(profile))
    texts = (readable(p.text) for p in pieces if p.kind in ("text", "tag", "category"))
    return [Payload("golden", text=text) for text in dict.fromkeys(texts) if text]


def inputs_fingerprint(inputs: TowerInputs, payloads: Sequence[Payload]) -> str:
    """SHA-256 over the inputs of each payload alone and of all in one batch."""
    digest = hashlib.sha256()
    prepared = [inputs.prepare(payload) for payload in payloads]
    for part in (*([one] for one in prepared), prepared):
        for name, values in sorted(inputs.batch(part).items()):
            digest.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def _longer(spec: AudioSpec) -> int:
    return spec.samples + spec.rate_hz // 4


def _noise(count: int) -> NDArray[np.int64]:
    """Pseudo-random bytes of a linear congruential generator (Knuth's MMIX).

    The n-th state is a^n x + (a^(n-1) + ... + 1) c modulo 2^64, as these integers overflow.
    """
    powers = np.cumprod(np.full(count, 6364136223846793005, np.uint64))  # a, a^2, ...
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint64), powers[:-1]]), dtype=np.uint64)
    states = powers * np.uint64(count) + sums * np.uint64(1442695040888963407)
    return (states >> np.uint64(56)).astype(np.int64)


def _png(width: int, height: int) -> bytes:
    """RGB picture of noise on a gradient, as PNG."""
    noise = _noise(3 * width * height).reshape(height, width, 3)
    gradient = np.arange(height)[:, None, None] + np.arange(width)[:, None]
    pixels = ((noise // 4 + 2 * gradient) % 256).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _wav(rate_hz: int, count: int) -> bytes:
    """Noisy square wave of rising pitch, as 16-bit mono WAV."""
    at = np.arange(count)
    period = np.maximum(4, rate_hz // (220 + 40 * (10 * at // rate_hz % 8)))
    samples = np.where(at % period * 2 < period, 8000, -8000) + 16 * _noise(count) - 2048
    body = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    parts = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    parts += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(parts)) + parts
