"""Every kind of sound becomes the same array; what can't is refused in words."""

import numpy as np
import numpy.typing as npt
import pytest

from model_export.contract.errors import SilentContent
from model_export.contract.media import AudioSpec, decode_audio
from model_export.contract.media.audio import MAX_AUDIO_BYTES
from tests.unit.contract.media.files import DECLARED, SOUND, encoded, refusal, tone, wav

SPEC = AudioSpec(rate_hz=16_000, seconds=2)
LOSSY_RATES = {
    "mp3": (8_000, 11_025, 44_100, 48_000),
    "opus": (8_000, 48_000),
    "aac": (7_350, 8_000, 11_025, 44_100, 48_000),
}
ODD_RATES = (7_350, 8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000)


def decoded(
    data: bytes, declared: str = "audio/wav", spec: AudioSpec = SPEC
) -> npt.NDArray[np.float32]:
    return decode_audio(data, declared, spec, SOUND)


def refused(data: bytes, declared: str = "audio/wav", spec: AudioSpec = SPEC) -> str:
    return refusal(lambda: decoded(data, declared, spec))


def heard_hz(sound: npt.NDArray[np.float32], rate_hz: int = SPEC.rate_hz) -> float:
    """The loudest frequency."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
    return float(spectrum.argmax() * rate_hz / sound.size)


@pytest.mark.parametrize("kind", sorted(DECLARED))
def test_every_container_is_read(kind: str) -> None:
    layout = "stereo" if kind == "vorbis" else "mono"
    sound = decoded(encoded(tone(3, 48_000), kind, 48_000, layout=layout), DECLARED[kind])
    assert sound.shape == (32_000,)
    assert sound.dtype == np.float32
    assert sound.flags.c_contiguous
    assert heard_hz(sound) == pytest.approx(440, abs=1)
    loud = np.sqrt(np.mean(sound[4_000:] ** 2))
    assert loud == pytest.approx(0.5 / np.sqrt(2), rel=0.15)


def test_a_lossless_sound_keeps_every_sample() -> None:
    signal = tone(2, 16_000, pitch_hz=997)
    steps = np.round(signal * 32_767).astype(np.int16)
    expected = steps.astype(np.float32) / 32_768
    assert np.array_equal(decoded(wav(steps, 16_000)), expected)
    assert np.array_equal(decoded(wav(expected, 16_000)), expected)
    assert np.abs(decoded(encoded(signal, "flac", 16_000), "audio/flac") - signal).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "rate_hz"),
    [("wav", rate) for rate in ODD_RATES]
    + [(kind, rate) for kind, rates in LOSSY_RATES.items() for rate in rates],
)
def test_odd_rates_become_that_of_the_tower(kind: str, rate_hz: int) -> None:
    sound = decoded(encoded(tone(3, rate_hz, 1_000), kind, rate_hz), DECLARED[kind])
    assert sound.shape == (32_000,)
    assert heard_hz(sound) == pytest.approx(1_000, abs=1)
    if kind == "wav":  # a codec shifts the sound by its delay
        assert np.abs(sound - tone(2, 16_000, 1_000))[500:].max() < 1e-3


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 192_000])
def test_what_the_tower_cannot_hear_does_not_fold_back(rate_hz: int) -> None:
    """12 kHz are above half of 16 kHz: naive resampling would make them 4 kHz."""
    high = decoded(wav(tone(3, rate_hz, 12_000) + tone(3, rate_hz, 500, 0.01), rate_hz))
    assert heard_hz(high) == pytest.approx(500, abs=1)
    assert np.abs(high[500:-500]).max() < 0.0101


@pytest.mark.parametrize("rate_hz", [1, 3_999, 192_001, 2**31])
def test_other_rates_are_refused(rate_hz: int) -> None:
    samples = np.zeros((4_000, 1), np.uint8)
    samples[::2] = 255
    reason = refused(wav(samples, rate_hz))
    assert "send 4,000 to 192,000 Hz" in reason or "truncated or damaged" in reason


@pytest.mark.parametrize(
    ("kind", "layout"),
    [("wav", "stereo"), ("wav", "5.1"), ("flac", "5.1"), ("opus", "5.1"), ("m4a", "5.1")],
)
def test_channels_are_averaged(kind: str, layout: str) -> None:
    sound = decoded(encoded(tone(3, 48_000), kind, 48_000, layout=layout), DECLARED[kind])
    assert heard_hz(sound) == pytest.approx(440, abs=1)
    loud = np.sqrt(np.mean(sound[4_000:] ** 2))
    assert loud == pytest.approx(0.5 / np.sqrt(2), rel=0.2)


def test_the_mean_of_channels_by_hand() -> None:
    signal = tone(2, 16_000)
    left_only = np.column_stack([signal, np.zeros_like(signal)])
    assert np.abs(decoded(wav(left_only, 16_000)) - signal / 2).max() < 1e-6
    six = np.column_stack([signal * share for share in (1, 0.5, 0.25, 0.125, 0.5, 0.625)])
    assert np.abs(decoded(wav(six, 16_000)) - signal / 2).max() < 1e-6


def test_nine_channels_are_refused() -> None:
    assert "has 9 channels: send at most 8" in refused(wav(np.ones((9_000, 9), "f4"), 16_000))


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_every_depth_has_the_same_scale(dtype: str) -> None:
    signal = tone(2, 16_000)
    full = {"u1": 128, "i2": 2**15, "i4": 2**31}.get(dtype, 1)
    scaled = signal.astype(np.float64) * full + (128 if dtype == "u1" else 0)
    samples = np.round(scaled) if dtype[0] in "ui" else scaled
    assert np.abs(decoded(wav(samples.astype(dtype), 16_000)) - signal).max() <= 1 / 128


def test_a_longer_sound_is_heard_from_its_beginning() -> None:
    signal = np.concatenate([tone(2, 16_000, 440), tone(5, 16_000, 3_000)])
    sound = decoded(wav(signal, 16_000))
    assert np.array_equal(sound, signal[:32_000])


def test_a_shorter_sound_is_repeated() -> None:
    signal = tone(0.75, 16_000, 441)
    sound = decoded(wav(signal, 16_000))
    assert np.array_equal(sound, np.concatenate([signal, signal, signal[:8_000]]))


@pytest.mark.parametrize("seconds", [0, 0.001, 0.09])
def test_a_sound_of_no_length_is_refused(seconds: float) -> None:
    said = f"lasts {seconds:.3f} s" if seconds else "holds no sound"
    reason = refused(wav(tone(seconds, 16_000), 16_000))
    assert reason == f"{said}: send at least 0.1 s"


@pytest.mark.parametrize("kind", ["flac", "mp3", "opus", "m4a"])
def test_an_encoded_file_without_samples_is_refused(kind: str) -> None:
    empty = encoded(tone(0, 48_000), kind, 48_000)
    reason = refused(empty, DECLARED[kind]) if empty else refused(b"", DECLARED[kind])
    assert "send" in reason


@pytest.mark.parametrize("level", [0, 1e-5])
def test_silence_is_named(level: float) -> None:
    with pytest.raises(SilentContent, match=r"audio: is silent for its first 2\.0 s: cut"):
        decoded(wav(tone(3, 16_000, level=level), 16_000))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_samples_that_are_no_numbers_are_refused(bad: float, dtype: str) -> None:
    signal = tone(2, 16_000).astype(dtype)
    signal[777] = bad
    assert refused(wav(signal, 16_000)).startswith("has samples that are NaN or infinite")


@pytest.mark.parametrize("huge", [7.0, 3e38, 1e300])
def test_samples_beyond_full_scale_are_clipped(huge: float) -> None:
    signal = tone(2, 48_000).astype("f8")
    signal[::1_000] = huge
    sound = decoded(wav(signal, 48_000))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1


def test_a_video_gives_its_sound() -> None:
    data = encoded(tone(3, 48_000), "m4a", 48_000)
    assert np.array_equal(decoded(data, "video/mp4"), decoded(data, "audio/x-m4a"))


def test_a_wav_file_may_have_other_chunks_and_no_length() -> None:
    signal = tone(2, 16_000)
    plain = decoded(wav(signal, 16_000))
    noted = wav(signal, 16_000, chunks=b"LIST\x05\0\0\0notes\0" + b"id3 \x02\0\0\0xx")
    assert np.array_equal(decoded(noted), plain)
    assert np.array_equal(decoded(wav(signal, 16_000, declared=2**32 - 1)), plain)


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b"Dear listener, this is a letter. " * 99, "audio/mpeg"),
        (b"hello", "audio/ogg"),
        (b"\0" * 1_000, "audio/wav"),
        (b"\x1aE\xdf\xa3" + b"\0" * 99, "audio/mp4"),
        (b"ID3\x04\0\0\0\0\0\x05hello then text", "audio/mpeg"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, declared: str) -> None:
    assert refused(data, declared) == (
        f"is declared {declared} but is no known sound: "
        "send WAV, FLAC, MP3, Ogg (Opus, Vorbis) or AAC (raw or in MP4)"
    )


def test_nothing_is_refused() -> None:
    assert refused(b"").startswith("is empty: send WAV, FLAC")


@pytest.mark.parametrize("declared", ["audio/midi", "audio/webm", "video/x-matroska", "image/png"])
def test_other_types_are_refused(declared: str) -> None:
    assert refused(wav(tone(1, 8_000), 8_000), declared).startswith(
        f"can't be read as {declared!r}: send WAV"
    )


@pytest.mark.parametrize("kind", sorted(DECLARED))
def test_the_declared_type_must_be_that_of_the_bytes(kind: str) -> None:
    layout = "stereo" if kind == "vorbis" else "mono"
    data = encoded(tone(1, 48_000), kind, 48_000, layout=layout)
    declared = "audio/mpeg" if kind != "mp3" else "audio/mp4"
    assert refused(data, declared).startswith(f"is declared {declared} but its bytes are ")


def test_other_codecs_are_refused_whatever_holds_them() -> None:
    alac = encoded(tone(1, 44_100), "m4a", 44_100, codec="alac")
    assert "send" in refused(alac, "audio/mp4")
    adpcm = encoded(tone(1, 44_100), "wav", 44_100, codec="adpcm_ms")
    assert "send" in refused(adpcm, "audio/wav")


def test_too_many_bytes_are_refused() -> None:
    data = wav(np.zeros(MAX_AUDIO_BYTES, np.uint8), 16_000)
    assert refused(data).endswith(f"bytes: send at most {MAX_AUDIO_BYTES:,}, or its beginning")
