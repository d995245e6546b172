"""Whether the exported graph computes what the trained module computes."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.bundle import Parity
from model_export.contract.features import FeatureBatch

MAX_ABS_DIFF = 1e-4
"""Largest difference allowed in any component of any output (float32 graphs, unit vectors)."""


class ParityError(Exception):
    """The exported graph differs from the module.

    Attributes:
        output: the output that differs most.
        max_abs_diff: by how much, in any component.
        min_cosine: the smallest cosine between a row of it and the module's row.
    """

    def __init__(self, output: str, max_abs_diff: float, min_cosine: float) -> None:
        super().__init__(
            f"ONNX Runtime and PyTorch differ in {output!r} by {max_abs_diff:.2e} "
            f"(allowed {MAX_ABS_DIFF:.0e}), smallest cosine {min_cosine:.6f}"
        )
        self.output = output
        self.max_abs_diff = max_abs_diff
        self.min_cosine = min_cosine


def check_parity(
    module: torch.nn.Module,
    onnx_model: bytes,
    output_names: Sequence[str],
    batches: Sequence[FeatureBatch],
) -> Parity:
    """Run both over all batches and compare every output.

    Raises:
        ParityError: they differ by more than `MAX_ABS_DIFF`, or one is not finite.
    """
    # Imported here, since a service image has ONNX Runtime without this module's torch.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    input_names = [i.name for i in session.get_inputs()]
    worst, worst_output, min_cosine = 0.0, output_names[0], 1.0
    module.eval()
    for batch in batches:
        with torch.inference_mode():
            tensors = [torch.from_numpy(array) for array in batch.values()]
            expected = [t.numpy() for t in module(*tensors)]
        found = cast(
            list[NDArray[np.float32]],
            session.run(list(output_names), {name: batch[name] for name in input_names}),
        )
        for name, a, b in zip(output_names, expected, found, strict=True):
            difference = float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")
            cosine = _min_cosine(a, b) if np.isfinite(difference) else -1.0
            min_cosine = min(min_cosine, cosine)
            if not difference <= worst:  # also true for NaN
                worst, worst_output = difference, name
    if not worst <= MAX_ABS_DIFF:
        raise ParityError(worst_output, worst, min_cosine)
    return Parity(max_abs_diff=worst, min_cosine=min_cosine)


def _min_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Smallest cosine between rows (B, D); rows that are zero in both count as equal."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    live = norms > 1e-6
    if not live.any():
        return 1.0
    return float(((a * b).sum(axis=1)[live] / norms[live]).min())
