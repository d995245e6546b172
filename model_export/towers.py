"""Export of towers to ONNX graphs, checked against PyTorch on golden payloads."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from model_export.contract.bundle import TowerCheck
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import (
    VECTOR,
    Payload,
    TowerBatch,
    TowerInputs,
    TowerSpec,
    golden_payloads,
    inputs_fingerprint,
    inputs_of,
)
from model_export.errors import ParityError, SourceError
from model_export.graph import module_to_onnx
from model_export.parity import MAX_ABS_DIFF, check_parity, run_module
from model_export.source import ExportSource, TowerSource

_MAX_ROWS = 4096
_UNIT_TOLERANCE = 1e-2


def check_towers(source: ExportSource) -> None:
    """Check that the vocabulary has a space for each tower.

    Raises:
        SourceError: two towers have one name, or a space is missing or has another width.
    """
    widths = {space.name: space.width for space in source.vocabulary.spaces}
    for spec in (tower.spec for tower in source.towers):
        if widths.pop(spec.name, None) != spec.width:
            raise SourceError(
                f"tower {spec.name} gives {spec.width} numbers, but the vocabulary has no such "
                "space of its own; train again with this tower"
            )


def tower_to_onnx(
    tower: TowerSource, golden: Iterable[StreamerProfile]
) -> tuple[bytes, TowerCheck]:
    """Convert a tower to one ONNX graph and check it.

    Raises:
        SourceError: the module's output is not unit vectors of the declared width.
        GraphError: the module can't be converted to a graph that ONNX Runtime runs.
        ParityError: the graph deviates from the module.
    """
    spec = tower.spec
    inputs = inputs_of(spec, tower.tokenizer)
    payloads = golden_payloads(spec, golden)
    batches = _batches(inputs, payloads)
    _check_vectors(tower, batches[0])
    graph = module_to_onnx(tower.module, batches[0], [VECTOR], _axes(spec, batches[0]))
    try:
        parity = check_parity(tower.module, graph, [VECTOR], batches)
    except ParityError as error:
        output = f"{VECTOR} of tower {spec.name}"
        raise ParityError(output, error.max_abs_diff, error.min_cosine, MAX_ABS_DIFF) from error
    fingerprint = inputs_fingerprint(inputs, payloads)
    check = TowerCheck(name=spec.name, inputs_fingerprint=fingerprint, **parity.model_dump())
    return graph, check


def _batches(inputs: TowerInputs, payloads: Sequence[Payload]) -> list[TowerBatch]:
    """Batches of three sizes (to export with), the smallest, many, and the largest payload."""
    by_size = [inputs.prepare(payload) for payload in sorted(payloads, key=lambda p: p.size)]
    three = [by_size[0], by_size[len(by_size) // 2], by_size[-2 if len(by_size) > 3 else -1]]
    return [inputs.batch(part) for part in (three, by_size[:1], by_size[:16], by_size[-1:])]


def _check_vectors(tower: TowerSource, batch: TowerBatch) -> None:
    spec, rows = tower.spec, len(next(iter(batch.values())))
    outputs = run_module(tower.module, batch)
    if outputs[0].shape != (rows, spec.width) or outputs[0].dtype != np.float32:
        raise SourceError(
            f"tower {spec.name} gives {outputs[0].dtype} {outputs[0].shape} for {rows} payloads, "
            f"not float32 {(rows, spec.width)}"
        )
    lengths = np.linalg.norm(outputs[0], axis=1)
    worst = float(lengths[np.argmax(np.abs(lengths - 1))])  # NaN is the largest
    if not abs(worst - 1) <= _UNIT_TOLERANCE:
        raise SourceError(f"vectors of tower {spec.name} must have length 1, one has {worst:.4f}")


def _axes(spec: TowerSpec, batch: TowerBatch) -> Sequence[Mapping[int, torch.export.Dim]]:
    """Dynamic axes: payloads, and for texts tokens up to the maximum."""
    rows = torch.export.Dim("rows", min=1, max=_MAX_ROWS)
    if spec.text is None:
        return [{0: rows} for _ in batch]
    tokens = torch.export.Dim("tokens", min=1, max=spec.text.max_tokens)
    return [{0: rows, 1: tokens} for _ in batch]
