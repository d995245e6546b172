"""Errors of the exporter. None of them needs torch.

ExportError            ends the command with its message on stderr, exit status 1
├── SourceError        the checkpoint is missing, unfinished or damaged, or the module violates the
│                      graph contract
├── GraphError         the module can't be converted to a graph, or ONNX Runtime can't run the graph
└── ParityError        the graph deviates from the module

A loader such as `training.inference.load:load_checkpoint` raises SourceError, so the exporter needs
no knowledge of the trainer.
"""

import math


class ExportError(Exception):
    """Base of the exporter's errors; the message states the remedy."""


class SourceError(ExportError):
    """The checkpoint or module can't be exported."""


class GraphError(ExportError):
    """The module can't be converted to a graph, or ONNX Runtime can't run the graph."""


class ParityError(ExportError):
    """The exported graph deviates from the module.

    Attributes:
        output: output that deviates most.
        max_abs_diff: largest difference of a component; infinite for non-finite values or shapes
            that differ.
        min_cosine: smallest cosine between corresponding rows.
    """

    def __init__(self, output: str, max_abs_diff: float, min_cosine: float, allowed: float) -> None:
        measured = (
            f"by {max_abs_diff:.2e} (allowed {allowed:.0e}), smallest cosine {min_cosine:.6f}"
            if math.isfinite(max_abs_diff)
            else "in shape, or one of them is not finite"
        )
        super().__init__(f"ONNX Runtime and PyTorch differ in {output!r} {measured}")
        self.output = output
        self.max_abs_diff = max_abs_diff
        self.min_cosine = min_cosine
