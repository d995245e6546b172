"""Decoding of sound files to the array that a tower's graph reads.

A tower reads the first `AudioSpec.seconds` of a sound, in mono, at one sample rate. The rest of a
longer file is not decoded, so an hour costs as much as ten seconds; a shorter sound is repeated, so
a sound and a part of it look alike. Channels are averaged, samples are clipped to [-1, 1], and gaps
in the timestamps are closed.

PyAV decodes WAV, FLAC, MP3, Ogg (Opus, Vorbis) and AAC (raw or in MP4), and soxr resamples; both
are imported when the first sound is read. No other container or codec is ever tried, whatever the
bytes ask for.
"""

import importlib
import io
import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from model_export.contract.calibration import Part
from model_export.contract.errors import MissingExtra, SilentContent, UnreadableContent
from model_export.contract.media.containers import (
    CONTENT_TYPES,
    ContainerError,
    read_container,
)

MAX_AUDIO_BYTES = 32 * 1024 * 1024
MIN_AUDIO_SECONDS = 0.1
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 192_000
MAX_CHANNELS = 8
SILENCE = 2.0**-13
"""Peak below which a sound is silent: four steps of 16 bits, -78 dB."""
_MAX_PACKETS = 100_000
_MARGIN_S = 0.05
"""Extra seconds to decode, since resampling looks ahead."""
_SEND = "send WAV, FLAC, MP3, Ogg (Opus, Vorbis) or AAC (raw or in MP4)"
# Of libavformat and libavcodec. `mov` is what reads MP4.
_DEMUXERS = {"mp4": "mov"}
_CODECS = (
    "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw,"
    "flac,mp3,mp3float,aac,opus,vorbis"
)
_FULL_SCALE = {"u1": 128, "i2": 2**15, "i4": 2**31, "f4": 1, "f8": 1}


class AudioSpec(Part):
    """Input format of a sound tower.

    Attributes:
        rate_hz: samples per second.
        seconds: length of the beginning that is read.
    """

    rate_hz: Annotated[int, Field(ge=8_000, le=48_000)]
    seconds: Annotated[float, Field(ge=0.5, le=60)]

    @property
    def samples(self) -> int:
        """Number of samples that the tower reads."""
        return round(self.rate_hz * self.seconds)


def decode_audio(
    data: bytes, content_type: str, spec: AudioSpec, source: str
) -> npt.NDArray[np.float32]:
    """Decode the beginning of a sound.

    Args:
        data: a file in one of the supported formats.
        content_type: declared type, such as `audio/mpeg`; must agree with the bytes. The sound
            track of `video/mp4` is read.
        spec: input format of the tower.
        source: part of the profile, for errors.

    Returns:
        float32 (spec.samples,), within [-1, 1].

    Raises:
        SilentContent: the part that the tower reads is silent.
        UnreadableContent: the file is empty, over a limit, shorter than `MIN_AUDIO_SECONDS`, of
            another type than declared, of an unsupported format, damaged, or has NaN samples.
        MissingExtra: PyAV is not installed.
    """
    kind, sound = _checked_container(data, content_type, source)
    av = _import("av")
    try:
        rate_hz, heard = _beginning(av, kind, sound, spec.seconds)
    except MemoryError:
        raise
    except ContainerError as error:
        raise UnreadableContent(source, str(error)) from None
    except Exception as error:  # noqa: BLE001 - hostile bytes make a decoder raise anything
        said = getattr(error, "strerror", None) or error
        reason = f"is truncated or damaged ({said}): send the whole file"
        raise UnreadableContent(source, reason) from None
    if heard.size < MIN_AUDIO_SECONDS * rate_hz:
        said = f"lasts {heard.size / rate_hz:.3f} s" if heard.size else "holds no sound"
        raise UnreadableContent(source, f"{said}: send at least {MIN_AUDIO_SECONDS} s")
    length = min(spec.seconds, heard.size / rate_hz)
    if np.abs(heard[: math.ceil(length * rate_hz)]).max() < SILENCE:
        reason = f"is silent for its first {length:.1f} s: cut that off, or leave it out"
        raise SilentContent(source, reason)
    return np.resize(_resampled(heard, rate_hz, spec.rate_hz).clip(-1, 1), spec.samples)


def _checked_container(data: bytes, content_type: str, source: str) -> tuple[str, bytes]:
    """Container kind, which must match the declared type, and the bytes without leading tags."""
    if not data:
        raise UnreadableContent(source, f"is empty: {_SEND}, or leave it out")
    if len(data) > MAX_AUDIO_BYTES:
        reason = f"has {len(data):,} bytes: send at most {MAX_AUDIO_BYTES:,}, or its beginning"
        raise UnreadableContent(source, reason)
    essence = content_type.partition(";")[0].strip().lower()
    declared = CONTENT_TYPES.get(essence)
    if declared is None:
        raise UnreadableContent(source, f"can't be read as {essence!r}: {_SEND}")
    try:
        kind, sound = read_container(data)
    except ContainerError as error:
        raise UnreadableContent(source, str(error)) from None
    if not kind:
        raise UnreadableContent(source, f"is declared {essence} but is no known sound: {_SEND}")
    if kind != declared:
        reason = f"is declared {essence} but its bytes are {kind}: correct the type"
        raise UnreadableContent(source, reason)
    return kind, sound


def _beginning(
    av: Any, kind: str, sound: bytes, seconds: float
) -> tuple[int, npt.NDArray[np.float32]]:
    """Sample rate and mono samples of the first `seconds` plus a margin, or of the whole sound."""
    options = {"codec_whitelist": _CODECS, "protocol_whitelist": "none"}
    blocks: list[npt.NDArray[np.float32]] = []
    rate_hz = wanted = missing = 1
    with av.open(
        io.BytesIO(sound),
        format=_DEMUXERS.get(kind, kind),
        container_options=options,
        metadata_errors="replace",  # titles in GBK and the like
    ) as container:
        for frame in _frames(container):
            if not blocks:
                rate_hz = _checked_rate(frame)
                missing = wanted = math.ceil((seconds + _MARGIN_S) * rate_hz)
            elif frame.sample_rate != rate_hz:
                raise ContainerError("changes its sample rate: save it with a single one")
            blocks.append(_mono(frame))
            missing -= frame.samples
            if missing <= 0:
                break
    heard = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    return rate_hz, heard[:wanted]


def _frames(container: Any) -> Iterator[Any]:
    """Decoded frames of the first audio stream."""
    if not container.streams.audio:
        raise ContainerError(f"holds no sound: {_SEND}")
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None or codec.name not in _CODECS.split(","):
        name = "something else" if codec is None else codec.name
        raise ContainerError(f"is coded as {name}: {_SEND}")
    codec.thread_count = 1
    for number, packet in enumerate(container.demux(stream)):
        if number > _MAX_PACKETS:
            raise ContainerError("has too many small packets: save it again")
        for frame in packet.decode():
            if frame.samples:
                yield frame


def _checked_rate(frame: Any) -> int:
    if not LOWEST_RATE_HZ <= frame.sample_rate <= HIGHEST_RATE_HZ:
        limits = f"{LOWEST_RATE_HZ:,} to {HIGHEST_RATE_HZ:,} Hz"
        raise ContainerError(f"has a rate of {frame.sample_rate:,} Hz: send {limits}")
    return frame.sample_rate


def _mono(frame: Any) -> npt.NDArray[np.float32]:
    """Mean over a frame's channels, float32 (samples,)."""
    channels = frame.layout.nb_channels
    if not 1 <= channels <= MAX_CHANNELS:
        raise ContainerError(f"has {channels} channels: send at most {MAX_CHANNELS}")
    samples: npt.NDArray[Any] = frame.to_ndarray()
    # (channels, samples), whether the codec keeps channels apart or interleaves them
    samples = samples if frame.format.is_planar else samples.reshape(-1, channels).T
    kind = samples.dtype.str[1:]
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all():
            raise ContainerError("has samples that are NaN or infinite: send a valid file")
        samples = samples.clip(-1, 1)
    mean = samples.mean(axis=0, dtype=np.float64)
    return ((mean - 128 if kind == "u1" else mean) / _FULL_SCALE[kind]).astype(np.float32)


def _resampled(
    signal: npt.NDArray[np.float32], from_hz: int, to_hz: int
) -> npt.NDArray[np.float32]:
    """Band-limited resampling by soxr at high quality, in float32."""
    if from_hz == to_hz:
        return signal
    return _import("soxr").resample(signal, from_hz, to_hz, quality="HQ")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("audio", error) from None
