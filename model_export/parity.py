"""Parity check of an exported graph against its PyTorch module."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from model_export.contract.bundle import Parity
from model_export.contract.features import FeatureBatch
from model_export.errors import GraphError, ParityError

MAX_ABS_DIFF = 1e-4
"""Largest allowed difference in any output component (float32 graphs, unit vectors)."""
_SCALED = "id_embedding"
"""Output in the units of the recommender, whose differences are relative to its largest number."""


@dataclass
class _Gap:
    """Largest deviation of one output so far; infinite for non-finite values or other shapes."""

    is_scaled: bool
    difference: float = 0.0
    min_cosine: float = 1.0
    largest: float = 1.0

    def add(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        """Add an expected and a found output (B, D)."""
        difference, cosine = _compare(a, b)
        self.difference = max(self.difference, difference)
        self.min_cosine = min(self.min_cosine, cosine)
        if self.is_scaled and math.isfinite(difference):
            self.largest = max(self.largest, float(np.abs(a).max()))

    @property
    def max_abs_diff(self) -> float:
        """Largest difference, of a scaled output in units of its largest number if above 1."""
        return self.difference / self.largest


def check_parity(
    module: torch.nn.Module,
    onnx_model: bytes,
    output_names: Sequence[str],
    batches: Sequence[FeatureBatch],
) -> Parity:
    """Run module and graph over all batches and compare every output.

    Raises:
        ParityError: they differ by more than `MAX_ABS_DIFF`, or a value is not finite.
        GraphError: ONNX Runtime can't load or run the graph.
    """
    session = _session(onnx_model)
    gaps = {name: _Gap(name == _SCALED) for name in output_names}
    for batch in batches:
        expected = run_module(module, batch)
        found = _run(session, output_names, batch)
        for gap, a, b in zip(gaps.values(), expected, found, strict=True):
            gap.add(a, b)
    worst = max(gaps, key=lambda name: gaps[name].max_abs_diff)
    if gaps[worst].max_abs_diff > MAX_ABS_DIFF:
        raise ParityError(worst, gaps[worst].max_abs_diff, gaps[worst].min_cosine, MAX_ABS_DIFF)
    return Parity(
        max_abs_diff=gaps[worst].max_abs_diff,
        min_cosine=min(gap.min_cosine for gap in gaps.values()),
    )


def run_module(module: torch.nn.Module, batch: FeatureBatch) -> list[NDArray[np.float32]]:
    """Outputs of the module in eval mode."""
    with torch.inference_mode():
        outputs = module.eval()(*(torch.from_numpy(array) for array in batch.values()))
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    return [output.numpy() for output in outputs]


def _session(onnx_model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    try:
        return onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise GraphError(f"ONNX Runtime can't load the graph: {error}") from error


def _run(
    session: onnxruntime.InferenceSession, output_names: Sequence[str], batch: FeatureBatch
) -> list[NDArray[np.float32]]:
    feed = {given.name: batch[given.name] for given in session.get_inputs()}
    try:
        return cast(list[NDArray[np.float32]], session.run(list(output_names), feed))
    except Exception as error:  # its exceptions share no base but Exception
        shapes = ", ".join(f"{name} {array.shape}" for name, array in batch.items())
        raise GraphError(f"ONNX Runtime can't run the graph on {shapes}: {error}") from error


def _compare(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, float]:
    """Largest absolute difference and smallest row cosine of two outputs (B, D)."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf, -1.0
    return float(np.abs(a - b).max()), _min_cosine(a, b)


def _min_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Smallest cosine between rows (B, D); rows that are zero in both are ignored."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    live = norms > 1e-6
    if not live.any():
        return 1.0
    return float(((a * b).sum(axis=1)[live] / norms[live]).min())
