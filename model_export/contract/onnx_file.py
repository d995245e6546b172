"""Check of ONNX files for external data, without the onnx package and before a runtime parses them.

ONNX Runtime follows `external_data` locations in a graph, so a bundle whose graph references other
files must be refused first. The parser follows the protobuf wire format and the field numbers of
onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from collections.abc import Iterator

from model_export.contract.errors import BundleError

# message -> {field number: nested message}; only paths that lead to a TensorProto.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of an ONNX model is stored outside the file.

    Raises:
        BundleError: the bytes are not an ONNX model.
    """
    pending = [("Model", memoryview(model))]
    seen_graph = False
    while pending:
        message, content = pending.pop()
        for number, value in _fields(content):
            if message == "Tensor" and (
                number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
            ):
                return True
            child = _CHILDREN[message].get(number)
            if child is not None and isinstance(value, memoryview):
                pending.append((child, value))
                seen_graph = seen_graph or child == "Graph"
    if not seen_graph:
        raise BundleError("not an ONNX model: it has no graph")
    return False


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message; fixed-width values are reported as 0."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:  # a parser that keeps 32 bits of it would see another field
            raise BundleError(f"not an ONNX model: field number {number}")
        if wire == 0:
            value, at = _varint(content, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(content, at)
            if at + length > len(content):
                raise BundleError("cut short")
            yield number, content[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > len(content):
                raise BundleError("cut short")
            yield number, 0
        else:
            raise BundleError(f"not an ONNX model: wire type {wire}")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise BundleError("cut short or not an ONNX model")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
