"""What can go wrong while exporting, and what the person at the terminal is told.

ExportError            ends the command with its message on stderr, exit status 1
├── SourceError        what was to be exported is none: a checkpoint that is missing, unfinished or
│                      damaged, a module that does not keep the graph contract
├── GraphError         the module can't be made into a graph, or ONNX Runtime can't run the graph
└── ParityError        the graph computes something else than the module

A loader (`training.inference.load:load_checkpoint`, or anybody's) raises SourceError, so that the
exporter needs to know no trainer. None of this needs torch.
"""

import math


class ExportError(Exception):
    """Base of all errors of the exporter that a person can mend; the message says how."""


class SourceError(ExportError):
    """What was to be exported can't be: the checkpoint or the module is not what it should be."""


class GraphError(ExportError):
    """The module can't be made into a graph, or ONNX Runtime can't run the graph."""


class ParityError(ExportError):
    """The exported graph differs from the module.

    Attributes:
        output: the output that differs most.
        max_abs_diff: by how much, in any component; infinite where one is not finite or the shapes
            differ.
        min_cosine: the smallest cosine between a row of it and the module's row.
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
