"""Sound towers: what sounds alike is near, however loud it is, and what doesn't is far."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from model_export.contract.media import AudioSpec
from model_export.contract.towers import VECTOR
from model_export.source import TowerSource
from model_export.towers import tower_to_onnx
from tests.unit.training.towers.encoders import transformers
from training.errors import UsageError
from training.towers import find_tower
from training.towers.audio import LogMelStatistics
from training.towers.base import encode

RATE_HZ, SECONDS = 16_000, 10
TIME = np.arange(RATE_HZ * SECONDS) / RATE_HZ


@pytest.fixture(scope="module")
def tower() -> TowerSource:
    return find_tower("audio", "log-mel", Path("unused"))


def tune(notes: list[int], beat_s: float, brightness: float, seed: int = 0) -> NDArray[np.float32]:
    """Notes (semitones from A4) one after the other, each a decaying tone with overtones."""
    rng = np.random.default_rng(seed)
    beat = (TIME / beat_s).astype(int)
    hertz = 440 * 2 ** (np.array(notes)[beat % len(notes)] / 12)
    decay = np.exp(-4 * (TIME / beat_s - beat))
    tone = sum(brightness**k * np.sin(2 * np.pi * (k + 1) * hertz * TIME) for k in range(5))
    return (0.2 * tone * decay + 0.005 * rng.standard_normal(len(TIME))).astype(np.float32)


def vectors(tower: TowerSource, *sounds: NDArray[np.floating]) -> NDArray[np.float32]:
    return encode(tower, {"samples": np.stack(sounds).astype(np.float32)})


MARCH, LULLABY = tune([0, 4, 7, 4], 0.25, 0.8), tune([-9, -5, -2], 1.0, 0.2)


def test_the_tower(tower: TowerSource) -> None:
    spec = tower.spec
    assert (spec.name, spec.kind, spec.modalities) == ("log-mel", "audio", ["audio"])
    assert spec.audio == AudioSpec(rate_hz=RATE_HZ, seconds=10.0)
    found = vectors(tower, MARCH, LULLABY)
    assert found.shape == (2, spec.width)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_loudness_plays_no_part(tower: TowerSource) -> None:
    loud, soft = vectors(tower, MARCH, MARCH / 4)
    assert loud @ soft > 0.99


def test_a_copy_is_nearer_than_another_tune(tower: TowerSource) -> None:
    later = np.roll(MARCH, RATE_HZ // 3)
    noisy = MARCH + 0.005 * np.random.default_rng(1).standard_normal(len(MARCH))
    higher = tune([1, 5, 8, 5], 0.25, 0.8, seed=2)  # by one semitone
    found = vectors(tower, MARCH, later, noisy, higher, LULLABY)
    cosine = found[0] @ found.T
    assert cosine[1] > 0.99
    assert cosine[2:4].min() > 0.9
    assert 1 - cosine[4] > 5 * (1 - cosine[1:4].min())


def test_a_tone_is_in_its_band(tower: TowerSource) -> None:
    module = tower.module
    assert isinstance(module, LogMelStatistics)
    for hertz in (300.0, 440.0, 1000.0, 5000.0):
        tone = 0.5 * np.sin(2 * np.pi * hertz * TIME)
        (found,) = vectors(tower, tone)
        centre = module.mel[:, found[:64].argmax()].argmax() * RATE_HZ / 1024
        assert abs(float(centre) - hertz) < 0.06 * hertz


def test_what_moves_is_told_from_what_stays(tower: TowerSource) -> None:
    still = 0.3 * np.sin(2 * np.pi * 440 * TIME)
    moving = still * (np.sin(2 * np.pi * 4 * TIME) > 0)
    found = vectors(tower, still, moving)
    assert found[0] @ found[1] < 0.4


def test_silence_is_no_noise(tower: TowerSource) -> None:
    assert np.isfinite(vectors(tower, np.zeros_like(MARCH))).all()


def test_the_spectrum_is_that_of_fourier() -> None:
    module = LogMelStatistics()
    sound = torch.from_numpy(MARCH[:1024])
    waves = torch.nn.functional.conv1d(sound[None, None], module.basis)[0, :, 0]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    expected = np.fft.rfft(MARCH[:1024] * window) * 2 / window.sum()
    found = waves.numpy()
    np.testing.assert_allclose(found[:513], expected.real, atol=1e-5)
    np.testing.assert_allclose(found[513:], expected.imag, atol=1e-5)


@pytest.mark.slow
def test_the_graph_computes_what_the_module_computes(tower: TowerSource) -> None:
    graph, check = tower_to_onnx(tower, [])
    assert check.max_abs_diff < 1e-5
    batch = np.stack([MARCH, LULLABY])
    found = np.asarray(onnxruntime.InferenceSession(graph).run([VECTOR], {"samples": batch})[0])
    np.testing.assert_allclose(found, vectors(tower, *batch), atol=1e-5)


@pytest.mark.slow
def test_an_encoder_of_samples_of_hugging_face(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers().Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    folder = tmp_path / "wave"
    model = transformers().Wav2Vec2Model(config).eval()
    model.save_pretrained(folder)
    tower = find_tower("audio", f"hf:{folder}", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("wave", 16)
    short = MARCH[: RATE_HZ // 4]
    scaled = (short - short.mean()) / short.std()
    with torch.inference_mode():
        hidden = model(torch.from_numpy(scaled)[None]).last_hidden_state[0].mean(0).numpy()
    (found,) = encode(tower, {"samples": short[None]})
    np.testing.assert_allclose(found, hidden / np.linalg.norm(hidden), atol=1e-4)


@pytest.mark.slow
def test_a_model_that_reads_no_samples(tmp_path: Path) -> None:
    config = transformers().BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers().BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match=r"BertModel does not read samples; use wav2vec 2.0, Hu"):
        find_tower("audio", f"hf:{tmp_path / 'bert'}", tmp_path)
    with pytest.raises(UsageError, match=r"/nowhere can't be loaded \(.*\); give the folder of"):
        find_tower("audio", "hf:/nowhere", tmp_path)
    with pytest.raises(UsageError, match=r"has no options, remove \?a"):
        find_tower("audio", "log-mel?a=b", tmp_path)
