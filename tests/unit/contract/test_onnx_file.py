"""External data is found wherever an ONNX model can keep a tensor, and garbage is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from model_export.contract.errors import BundleError
from model_export.contract.onnx_file import has_external_data
from tests.support.bundles import write_bundle

FLOATS = np.arange(6, dtype=np.float32)


def inside(name: str = "t") -> onnx.TensorProto:
    return numpy_helper.from_array(FLOATS, name)


def outside(name: str = "t") -> onnx.TensorProto:
    tensor = inside(name)
    set_external_data(tensor, "../secret.bin")
    tensor.ClearField("raw_data")
    return tensor


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [6])


def graph(
    nodes: list[onnx.NodeProto] | None = None,
    initializers: list[onnx.TensorProto] | None = None,
    sparse: list[onnx.SparseTensorProto] | None = None,
) -> onnx.GraphProto:
    identity = helper.make_node("Identity", ["t"], ["y"])
    return helper.make_graph(
        [*(nodes or []), identity],
        "g",
        [],
        [value("y")],
        initializers or [],
        sparse_initializer=sparse or [],
    )


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(values, indices, [9])


def indices(place: Callable[[str], onnx.TensorProto]) -> onnx.TensorProto:
    tensor = place("i")
    tensor.data_type = TensorProto.INT64
    tensor.dims[:] = [6]
    return tensor


def constant(**attribute: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["t"], **attribute)


def in_initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph(initializers=[inside("other"), tensor]))


def in_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph([constant(value=tensor)]))


def in_list_of_tensors(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Custom", [], ["t"], domain="test")
    node.attribute.append(helper.make_attribute("tensors", [inside(), tensor]))
    return helper.make_model(graph([node]))


def in_if(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node(
        "If",
        ["condition"],
        ["t"],
        then_branch=graph([constant(value=inside())]),
        else_branch=graph(initializers=[tensor]),
    )
    return helper.make_model(graph([node]))


def in_loop_in_if(tensor: onnx.TensorProto) -> onnx.ModelProto:
    loop = helper.make_node("Loop", ["n", "c"], ["t"], body=graph([constant(value=tensor)]))
    branch = graph([loop])
    node = helper.make_node("If", ["condition"], ["t"], then_branch=branch, else_branch=branch)
    return helper.make_model(graph([node]))


def in_list_of_graphs(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Custom", [], ["t"], domain="test")
    graphs = [graph([constant(value=inside())]), graph(initializers=[tensor])]
    node.attribute.append(helper.make_attribute("graphs", graphs))
    return helper.make_model(graph([node]))


def in_sparse_values(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph(sparse=[sparse(tensor, indices(inside))]))


def in_sparse_indices(tensor: onnx.TensorProto) -> onnx.ModelProto:
    tensor.data_type = TensorProto.INT64
    return helper.make_model(graph(sparse=[sparse(inside(), tensor)]))


def in_sparse_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph([constant(sparse_value=sparse(tensor, indices(inside)))]))


def in_list_of_sparse(tensor: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Custom", [], ["t"], domain="test")
    attribute = onnx.AttributeProto(name="many", type=onnx.AttributeProto.SPARSE_TENSORS)
    attribute.sparse_tensors.append(sparse(tensor, indices(inside)))
    node.attribute.append(attribute)
    return helper.make_model(graph([node]))


def in_function(tensor: onnx.TensorProto) -> onnx.ModelProto:
    opset = [helper.make_opsetid("", 18)]
    function = helper.make_function("test", "F", [], ["t"], [constant(value=tensor)], opset)
    model = helper.make_model(graph([helper.make_node("F", [], ["t"], domain="test")]))
    model.functions.append(function)
    return model


def in_function_default(tensor: onnx.TensorProto) -> onnx.ModelProto:
    function = onnx.FunctionProto(name="F", domain="test")
    function.attribute_proto.append(helper.make_attribute("default", tensor))
    model = helper.make_model(graph([constant(value=inside())]))
    model.functions.append(function)
    return model


def in_training(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = helper.make_model(graph([constant(value=inside())]))
    model.training_info.add().initialization.CopyFrom(graph(initializers=[inside()]))
    model.training_info.add().algorithm.CopyFrom(graph(initializers=[tensor]))
    return model


PLACES = [
    in_initializer,
    in_constant,
    in_list_of_tensors,
    in_if,
    in_loop_in_if,
    in_list_of_graphs,
    in_sparse_values,
    in_sparse_indices,
    in_sparse_constant,
    in_list_of_sparse,
    in_function,
    in_function_default,
    in_training,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_tensor_elsewhere_is_found(
    place: Callable[[onnx.TensorProto], onnx.ModelProto],
) -> None:
    assert has_external_data(place(outside()).SerializeToString())
    assert not has_external_data(place(inside()).SerializeToString())


def test_either_sign_of_it_is_enough() -> None:
    only_location = inside()
    only_location.data_location = TensorProto.EXTERNAL
    only_entries = outside()
    only_entries.ClearField("data_location")
    explicitly_inside = inside()
    explicitly_inside.data_location = TensorProto.DEFAULT
    found = [
        has_external_data(in_initializer(tensor).SerializeToString())
        for tensor in (only_location, only_entries, explicitly_inside)
    ]
    assert found == [True, True, False]


def test_a_model_that_onnx_saved_with_external_data_is_found(tmp_path: Path) -> None:
    model = in_initializer(numpy_helper.from_array(np.zeros(4096, np.float32), "t"))
    onnx.save(model, tmp_path / "one.onnx")
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="data.bin")
    assert (tmp_path / "data.bin").exists()
    assert not has_external_data((tmp_path / "one.onnx").read_bytes())
    assert has_external_data((tmp_path / "two.onnx").read_bytes())


GOOD = in_if(inside()).SerializeToString()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"not a model at all",
        b"<html></html>",
        b"\x80" * 40,  # a number without an end
        b"\xba" + b"\x80" * 10 + b"\x00\x00",  # a number of more than 64 bits
        b"\x3a\x05abc",  # a graph that is longer than the file
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x08\x07",  # only a version
        b"\x3a\x00\x0d\x00",  # a fixed-width number that is cut
        b"\x3a\x00\x00\x00",  # field number 0
        b"\x3a\x00\x0b",  # a group, which ONNX has not
        b"\x3a\x00\x0f",  # wire type 7
    ],
    ids=lambda content: content[:12].hex() or "nothing",
)
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"^(cut short|not an ONNX model)"):
        has_external_data(content)


def test_a_model_cut_anywhere_is_never_trusted_further_than_it_goes() -> None:
    """A cut at the border of a field leaves a shorter model; everywhere else it is refused."""
    outcomes = [outcome(GOOD[:end]) for end in range(len(GOOD))]
    assert outcomes.count("refused") > len(GOOD) * 0.9
    assert "external" not in outcomes


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def outcome(content: bytes) -> str:
    try:
        return "external" if has_external_data(content) else "fine"
    except BundleError:
        return "refused"


@given(st.binary(max_size=300))
@example(GOOD)
@settings(max_examples=500)
def test_any_bytes_get_an_answer(content: bytes) -> None:
    assert outcome(content) in ("external", "fine", "refused")
    assert outcome(field(7, content)) in ("external", "fine", "refused")


def test_a_real_encoder_keeps_everything_inside(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    assert not has_external_data((tmp_path / "bundle" / "encoder.onnx").read_bytes())
