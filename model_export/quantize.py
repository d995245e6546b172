"""Quantisation of ONNX graphs to half precision or 8-bit weights."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from model_export.contract.variants import VariantName
from model_export.errors import GraphError

EXACT_OUTPUT = "content"
"""Output whose nodes stay unquantised: the sketch's random frequencies don't tolerate rounding, and
the duplicate threshold was measured with it."""

LEAST_WEIGHTS = 0.05
"""Smallest share of a graph that is float32 weights."""


def quantize(graph: bytes, variant: VariantName) -> bytes:
    """Quantise a graph; inputs and outputs keep their types.

    `fp16` converts all weights and operations that support half precision. `int8` quantises the
    weights of matrix products, convolutions and embedding tables, and their inputs at run time
    (dynamic quantisation). Nodes that lead to an output named `content` are left unchanged.

    Raises:
        GraphError: the graph can't be converted, or hardly has weights to convert. Of one whose
            matrices are packed already, what unpacks them would run at every call.
    """
    model = onnx.load_from_string(graph)
    weights = sum(w.ByteSize() for w in model.graph.initializer if w.data_type == w.FLOAT)
    if weights < LEAST_WEIGHTS * len(graph):
        raise GraphError(f"only {weights / len(graph):.1%} of it is weights that {variant} changes")
    exact = _leading_to(model.graph, EXACT_OUTPUT)
    try:
        with _quiet():
            small = _fp16(model, exact) if variant == "fp16" else _int8(model, exact)
    except Exception as error:  # its exceptions share no base but Exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise GraphError(f"can't be made {variant}: {reason}") from error
    return small.SerializeToString(deterministic=True)


def _fp16(model: onnx.ModelProto, exact: list[str]) -> onnx.ModelProto:
    return convert_float_to_float16(
        model,
        keep_io_types=True,
        node_block_list=exact,
    )


def _int8(model: onnx.ModelProto, exact: list[str]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "int8.onnx")
        quantize_dynamic(
            model,
            out,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=exact,
        )
        return onnx.load(out)


def _leading_to(graph: onnx.GraphProto, output: str) -> list[str]:
    """Names of the nodes that an output depends on; unnamed nodes are named."""
    maker = {}
    for place, node in enumerate(graph.node):
        node.name = node.name or f"node_{place}"
        maker.update(dict.fromkeys(node.output, node))
    waiting, found = [output], dict[str, None]()
    while waiting:
        node = maker.get(waiting.pop())
        if node is not None and node.name not in found:
            found[node.name] = None
            waiting += node.input
    return list(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the converters' warnings; the ranking check is the test."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
