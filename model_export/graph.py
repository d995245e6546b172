"""Conversion of a module to one ONNX graph, and checks of its output contract."""

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from google.protobuf.message import Message
from numpy.typing import NDArray

from model_export.contract.features import FeatureBatch, Features, collate
from model_export.contract.pieces import MODALITIES
from model_export.contract.vocabulary import Vocabulary
from model_export.errors import GraphError, SourceError
from model_export.parity import run_module
from model_export.source import ExportSource

OPSET = 18
_MAX_AXIS = 4096
_UNIT_TOLERANCE = 1e-2
"""Tolerance of unit lengths: norms with an epsilon are slightly below 1."""


def output_names(source: ExportSource) -> list[str]:
    """Output names of the graph, in order."""
    names = ["embedding", "content", "modality_weights"]
    return [*names, "id_embedding"] if source.id_space else names


def check_outputs(source: ExportSource, features: Sequence[Features]) -> None:
    """Check the module's outputs for usable profiles against the contract of `ExportSource`.

    Raises:
        SourceError: an output is missing, has another shape or type, or is not normalised.
    """
    outputs = run_module(source.module, collate(features))
    names = output_names(source)
    if len(outputs) != len(names):
        raise SourceError(
            f"{type(source.module).__name__} has {len(outputs)} outputs in place of "
            f"{len(names)}: {', '.join(names)}"
        )
    widths = [source.dim, source.content_dim, len(MODALITIES)]
    widths += [source.id_space.dim] if source.id_space else []
    for name, output, width in zip(names, outputs, widths, strict=True):
        if output.shape != (len(features), width) or output.dtype != np.float32:
            raise SourceError(
                f"{name} is {output.dtype} {output.shape} for {len(features)} profiles, "
                f"not float32 {(len(features), width)}"
            )
    for name, lengths in (
        ("the length of embedding", np.linalg.norm(outputs[0], axis=1)),
        ("the length of content", np.linalg.norm(outputs[1], axis=1)),
        ("the sum of modality_weights", outputs[2].sum(axis=1)),
    ):
        _check_unit(name, lengths)


def _check_unit(name: str, lengths: NDArray[np.float32]) -> None:
    worst = float(lengths[np.argmax(np.abs(lengths - 1))])  # NaN is the largest
    if not abs(worst - 1) <= _UNIT_TOLERANCE:
        raise SourceError(f"{name} must be 1 for every profile, one has {worst:.4f}")


def example_batch(vocabulary: Vocabulary, rows: int, tokens: int, vectors: int) -> FeatureBatch:
    """Random batch (B = rows, L = tokens, P = vectors) that exercises the whole graph.

    Rows are padded, so a graph that reads padding fails the parity check.
    """
    rng = np.random.default_rng(rows * 1000 + tokens)
    ids = rng.integers(1, vocabulary.size, (rows, tokens))
    live = np.arange(tokens)[None, :] < rng.integers(1, tokens + 1, (rows, 1))  # (B, L)
    batch: FeatureBatch = {
        "token_ids": ids * live,
        "token_counts": rng.integers(1, 9, (rows, tokens)) * live,
        "token_modality": rng.integers(1, 8, (rows, tokens)) * live,
    }
    for i, space in enumerate(vocabulary.spaces):
        live = np.arange(vectors)[None, :] < rng.integers(0, vectors + 1, (rows, 1))  # (B, P)
        values = rng.standard_normal((rows, vectors, space.width)).astype(np.float32)
        batch[f"vectors_{i}"] = values * live[:, :, None].astype(np.float32)
        batch[f"vectors_{i}_modality"] = rng.integers(8, 12, (rows, vectors)) * live
    return batch


def to_onnx(source: ExportSource) -> bytes:
    """Convert the encoder to one ONNX graph with dynamic batch, token and vector axes.

    Raises:
        GraphError: PyTorch can't export the module, or only for batches of one shape.
    """
    batch = example_batch(source.vocabulary, rows=3, tokens=7, vectors=5)
    return module_to_onnx(source.module, batch, output_names(source), _dynamic_axes(batch))


def module_to_onnx(
    module: torch.nn.Module,
    batch: FeatureBatch,
    outputs: Sequence[str],
    axes: Sequence[Mapping[int, torch.export.Dim]],
) -> bytes:
    """Convert a module to one ONNX graph.

    Args:
        module: its `forward` takes the arrays of the batch in order.
        batch: example inputs.
        outputs: output names.
        axes: per input, its dynamic axes.

    Raises:
        GraphError: PyTorch can't export the module, or only for batches of one shape.
    """
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                tuple(torch.from_numpy(array) for array in batch.values()),
                input_names=list(batch),
                output_names=list(outputs),
                dynamic_shapes=_by_parameter(module, axes),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # its exceptions share no base but Exception
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise GraphError(f"PyTorch can't export {type(module).__name__}: {reason}") from error
    if program is None:
        raise GraphError(f"PyTorch exported no graph of {type(module).__name__}")
    model = program.model_proto
    _drop_notes(model)
    return model.SerializeToString(deterministic=True)


def _dynamic_axes(batch: FeatureBatch) -> list[Mapping[int, torch.export.Dim]]:
    """Per input: dynamic axis -> dimension, shared by inputs of one kind."""
    rows = torch.export.Dim("rows", min=1, max=_MAX_AXIS)
    tokens = torch.export.Dim("tokens", min=1, max=_MAX_AXIS)
    shapes: list[Mapping[int, torch.export.Dim]] = []
    for name in batch:
        inner = tokens
        if name.startswith("vectors_"):
            inner = torch.export.Dim(f"vectors_{name.split('_')[1]}", min=1, max=_MAX_AXIS)
        shapes.append({0: rows, 1: inner})
    return shapes


def _by_parameter(module: torch.nn.Module, shapes: Sequence[object]) -> tuple[object, ...]:
    """Shapes by parameter of `forward`; those of a variadic parameter in one tuple."""
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    rest = tuple(shapes[named:])
    return (*shapes[:named], rest) if rest else tuple(shapes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the export libraries' warnings; the parity check is the test."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _drop_notes(message: Message) -> None:
    """Remove debugging metadata, also in subgraphs.

    It contains local paths, which would give equal models different versions on different machines.
    """
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                _drop_notes(part)
