"""Sound towers: log-mel statistics, and Hugging Face encoders of samples."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.media import AudioSpec
from model_export.contract.towers import KINDS
from training.errors import UsageError
from training.towers.base import Tower, make_tower, no_options, with_learned_from
from training.towers.packages import hugging_face_library

MODALITIES = KINDS["audio"]
MAX_PIECES = 16
"""Most sounds per profile, the newest; each takes 30 ms of a core."""
SECONDS = 10.0
_RATE_HZ, _WINDOW, _STEP = 16_000, 1024, 320
_MELS, _LOWEST_HZ, _HIGHEST_HZ = 64, 50.0, 7_600.0
_REVISION = 1
"""Revision of the computation, part of the tower version."""
_FLOOR, _SILENCE = 1e-3, 1e-12
"""Floors of a band's power relative to the mean, about 47 dB below tones, and of the mean."""
_FACTORS = (0.3, 1.0, 4.0)
"""Factors of mean, deviation and change, chosen on simulated sounds."""


def log_mel(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """Tower of log-mel spectrogram statistics, without learned weights.

    Raises:
        UsageError: options were given.
    """
    no_options("audio_tower", reference, options)
    module = LogMelStatistics()
    return make_tower(
        module,
        AudioSpec(rate_hz=_RATE_HZ, seconds=SECONDS),
        name="log-mel",
        width=module.width,
        modalities=MODALITIES,
        max_pieces=MAX_PIECES,
        reference=reference,
        detail=f"revision {_REVISION}",
    )


class LogMelStatistics(nn.Module):
    """Statistics of the log-mel spectrogram as unit vectors: timbre, its variation and its speed.

    Per mel band (HTK scale) of the log power: mean and standard deviation over time, and the mean
    absolute change between steps, each times one of `_FACTORS`. Power is relative to the sound's
    own mean, so loudness plays no part. The spectrum is a convolution with a Hann-windowed Fourier
    basis, which every runtime supports.
    """

    width = 3 * _MELS

    def __init__(self) -> None:
        super().__init__()
        # Not persistent: the last bits differ between machines.
        for name, values in (("basis", _fourier_basis()), ("mel", _mel_filters())):
            tensor = torch.from_numpy(values.astype(np.float32))
            self.register_buffer(name, tensor, persistent=False)
        self.basis: Tensor
        self.mel: Tensor

    def forward(self, samples: Tensor) -> Tensor:
        """Unit vectors (B, W) of sounds (B, N); zero for silence."""
        waves = functional.conv1d(samples.unsqueeze(1), self.basis, stride=_STEP)  # (B, 2F, T)
        real, imaginary = waves.chunk(2, dim=1)
        power = (real * real + imaginary * imaginary).transpose(1, 2)  # (B, T, F)
        power = power / (power.mean((1, 2), keepdim=True) + _SILENCE)
        bands = torch.log(power @ self.mel + _FLOOR)  # (B, T, M)
        bands = bands - bands.mean((1, 2), keepdim=True)
        mean = bands.mean(1)  # (B, M)
        spread = ((bands - mean.unsqueeze(1)) ** 2).mean(1).sqrt()
        change = (bands[:, 1:] - bands[:, :-1]).abs().mean(1)
        parts = zip(_FACTORS, (mean, spread, change), strict=True)
        whole = torch.cat([factor * part for factor, part in parts], dim=1)  # (B, W)
        return whole * torch.rsqrt((whole * whole).sum(1, keepdim=True) + 1e-8)


def _fourier_basis() -> NDArray[np.float64]:
    """Windowed cosines and sines (2F, 1, window); a full-scale tone has power 1."""
    time = np.arange(_WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / _WINDOW)
    angle = 2 * np.pi * np.outer(np.arange(_WINDOW // 2 + 1), time) / _WINDOW  # (F, window)
    waves = np.concatenate([np.cos(angle), -np.sin(angle)]) * window * 2 / window.sum()
    return waves[:, None, :]


def _frequencies() -> NDArray[np.float64]:
    return np.arange(_WINDOW // 2 + 1) * _RATE_HZ / _WINDOW


def _mel_filters() -> NDArray[np.float64]:
    """Triangular mel filters (F, M) with column sums of 1; mel = 2595 log10(1 + f / 700)."""
    mel = 2595 * np.log10(1 + _frequencies() / 700)
    lowest, highest = (2595 * math.log10(1 + f / 700) for f in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = np.linspace(lowest, highest, _MELS + 2)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.minimum(rising, falling).clip(0)
    nearest = np.abs(mel[:, None] - edges[1:-1]).argmin(0)  # a low band may lie between two bins
    empty = filters.sum(0) == 0
    filters[nearest[empty], np.flatnonzero(empty)] = 1
    return filters / filters.sum(0)


class SampleEncoder(nn.Module):
    """Transformers encoder of samples (wav2vec 2.0, HuBERT, WavLM), averaged over time."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, samples: Tensor) -> Tensor:
        """Unit vectors (B, W) of sounds (B, N), standardised first."""
        centred = samples - samples.mean(1, keepdim=True)
        scaled = centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + 1e-7)
        hidden = self.encoder(input_values=scaled).last_hidden_state  # (B, T, W)
        return functional.normalize(hidden.mean(1), dim=-1)


def hugging_face_audio(where: str, reference: str, space: str) -> Tower:
    """Tower of a Hugging Face encoder of samples.

    Models of spectrograms (AST, CLAP) compute them outside the model and are not supported.

    Args:
        where: folder, or name of a downloadable or cached model.
        reference: setting that recreates the tower.
        space: name of the tower.

    Raises:
        UsageError: transformers is not installed, or the model can't be loaded or reads no samples.
    """
    transformers = hugging_face_library("audio_tower")
    try:
        encoder = transformers.AutoModel.from_pretrained(where, dtype=torch.float32)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"audio_tower={reference}: {where} can't be loaded ({reason}); give the folder of an "
            "encoder, or the name of a downloadable or cached model"
        ) from error
    if not hasattr(encoder.config, "conv_stride") or encoder.main_input_name != "input_values":
        raise UsageError(
            f"audio_tower={reference}: {type(encoder).__name__} does not read samples; use "
            "wav2vec 2.0, HuBERT or WavLM, or the tower log-mel"
        )
    tower = make_tower(
        SampleEncoder(encoder),
        AudioSpec(rate_hz=_RATE_HZ, seconds=SECONDS),
        name=space,
        width=int(encoder.config.hidden_size),
        modalities=MODALITIES,
        max_pieces=MAX_PIECES,
        reference=reference,
        detail=type(encoder).__name__,
    )
    return with_learned_from(tower, where)
