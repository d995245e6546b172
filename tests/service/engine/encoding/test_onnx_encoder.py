"""The encoder on a verified bundle."""

import sys
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.errors import BundleError
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding import onnx_session
from service.engine.encoding.onnx_encoder import OnnxEncoder
from tests.bundles import CONTENT_DIM, DIM, ID_DIM, SHORT_DIM, TOPICS


def test_a_batch_of_any_mixture_gives_what_each_gives_alone(bundle: Path) -> None:
    """Lengths are mixed so that batches are cut and re-ordered inside."""
    opened = Bundle(bundle)
    encoder = OnnxEncoder(opened)
    words = [word for text in TOPICS.values() for word in text.split()]
    profiles = [
        StreamerProfile(streamer_id=f"s{i}", bio=" ".join(words[: 1 + i % len(words)]))
        for i in range(120)
    ]
    long = " ".join(f"w{i}" for i in range(900))
    profiles += [StreamerProfile(streamer_id=f"l{i}", bio=long, tags=["music"]) for i in range(60)]
    features = [opened.featurizer(p) for p in profiles]
    together = encoder.encode(features)
    for item, alone in zip(together, features, strict=True):
        (expected,) = encoder.encode([alone])
        np.testing.assert_allclose(item.embedding, expected.embedding, atol=5e-5)
        np.testing.assert_allclose(item.content, expected.content, atol=1e-2)
        assert item.embedding.shape == (DIM,)
        assert item.content.shape == (CONTENT_DIM,)
        assert item.id_embedding is not None
        assert item.id_embedding.shape == (ID_DIM,)
    assert encoder.encode([]) == []


def test_a_shorter_embedding_is_the_first_numbers_at_unit_length(bundle: Path) -> None:
    opened = Bundle(bundle)
    full, short = OnnxEncoder(opened), OnnxEncoder(Bundle(bundle), dim=SHORT_DIM)
    features = [opened.featurizer(StreamerProfile(streamer_id="s", bio=t)) for t in TOPICS.values()]
    for a, b in zip(full.encode(features), short.encode(features), strict=True):
        first = a.embedding[:SHORT_DIM]
        np.testing.assert_allclose(b.embedding, first / np.linalg.norm(first), atol=5e-5)
        assert b.embedding.dtype == np.float32
        # All else is what it was.
        np.testing.assert_array_equal(a.content, b.content)
        assert a.id_embedding is not None
        np.testing.assert_array_equal(a.id_embedding, b.id_embedding)
    with pytest.raises(BundleError, match="has no 33 dimensions"):
        OnnxEncoder(Bundle(bundle), dim=33)


def test_a_gpu_that_is_not_there_is_an_error_and_never_the_cpu(bundle: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime has a GPU here")
    with pytest.raises(BundleError, match="device gpu was asked for"):
        OnnxEncoder(Bundle(bundle), device="gpu")


class CudaRuntime:
    """ONNX Runtime for GPUs without torch: no CUDA in a session before its libraries are loaded."""

    SessionOptions = onnx_session.runtime.SessionOptions

    def __init__(self) -> None:
        self.is_loaded = False

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        sys.stdout.write("Failed to load libcufft.so.12\n")
        self.is_loaded = True

    def InferenceSession(self, graph: bytes, options: object, providers: list[str]) -> object:
        return Session(providers if self.is_loaded else ["CPUExecutionProvider"])


class Session:
    _model_bytes: bytes | None = b"graph"

    def __init__(self, providers: list[str]) -> None:
        self.get_providers = lambda: providers


def test_cuda_is_loaded_before_a_session_on_the_gpu_and_never_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = CudaRuntime()
    monkeypatch.setattr(onnx_session, "runtime", runtime)
    onnx_session.open_session(b"graph", "g", threads=1, device="cpu")
    assert not runtime.is_loaded
    session = onnx_session.open_session(b"graph", "g", threads=1, device="gpu")
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    # Standard output may be read by a program.
    assert capsys.readouterr() == ("", "Failed to load libcufft.so.12\n")


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives(bundle: Path) -> None:
    opened = Bundle(bundle)
    features = [opened.featurizer(StreamerProfile(streamer_id="s", bio=t)) for t in TOPICS.values()]
    on_gpu, on_cpu = OnnxEncoder(opened, device="gpu"), OnnxEncoder(Bundle(bundle))
    assert on_gpu.device == "gpu"
    for a, b in zip(on_gpu.encode(features), on_cpu.encode(features), strict=True):
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-3)
