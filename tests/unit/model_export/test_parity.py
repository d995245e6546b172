"""Parity is measured over all outputs and batches, and what is no number never passes."""

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model_export.contract.features import FeatureBatch
from model_export.errors import ExportError, GraphError, ParityError
from model_export.parity import MAX_ABS_DIFF, check_parity

NAMES = ("first", "second")


class Add(nn.Module):
    """(x, y) -> (x + a, y + b)."""

    def __init__(self, a: float = 0.0, b: float = 0.0) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.a, y + self.b


def add_graph(
    a: float = 0.0, b: float = 0.0, *, rows: int | str = "rows", second: str = "second"
) -> bytes:
    """The same as ONNX, by hand."""
    value = helper.make_tensor_value_info
    numbers = {"a": a, "b": b}
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "a"], ["first"]),
            helper.make_node("Add", ["y", "b"], [second]),
        ],
        "add",
        [value(name, TensorProto.FLOAT, [rows, 2]) for name in ("x", "y")],
        [value(name, TensorProto.FLOAT, [rows, 2]) for name in ("first", second)],
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def batch(*rows: list[float]) -> FeatureBatch:
    given = np.array(rows, np.float32)
    return {"x": given, "y": given}


ONE = batch([3.0, 4.0])
LARGE = batch([3000.0, 4000.0])
ZERO = batch([0.0, 0.0], [0.0, 0.0])


def test_equal_graphs_have_no_difference() -> None:
    parity = check_parity(Add(1, 2), add_graph(1, 2), NAMES, [ONE, ZERO])
    assert parity.max_abs_diff == 0
    assert parity.min_cosine == pytest.approx(1)


def test_a_small_difference_is_measured() -> None:
    parity = check_parity(Add(0, 5e-5), add_graph(), NAMES, [ONE, ZERO])
    assert parity.max_abs_diff == pytest.approx(5e-5, rel=0.01)
    assert parity.max_abs_diff < MAX_ABS_DIFF


@pytest.mark.parametrize("batches", [[ONE, LARGE], [LARGE, ONE]], ids=["small first", "large"])
def test_a_predicted_vector_is_compared_in_its_own_units(batches: list[FeatureBatch]) -> None:
    names, graph = ("first", "id_embedding"), add_graph(second="id_embedding")
    parity = check_parity(Add(0, 0.125), graph, names, batches)
    assert parity.max_abs_diff == pytest.approx(0.125 / 4000, rel=1e-3)
    with pytest.raises(ParityError, match=r"'id_embedding' by 2.50e-04") as caught:
        check_parity(Add(0, 1), graph, names, batches)
    assert caught.value.max_abs_diff == pytest.approx(1 / 4001)
    with pytest.raises(ParityError, match=r"'first' by 1.25e-01"):
        check_parity(Add(0.125, 0), graph, names, batches)
    with pytest.raises(ParityError, match=r"'id_embedding' by 1.00e-03"):
        check_parity(Add(0, 1e-3), graph, names, [ZERO])


@pytest.mark.parametrize("batches", [[ONE, ZERO], [ZERO, ONE], [ONE]])
def test_a_difference_names_the_output_and_says_how_much(batches: list[FeatureBatch]) -> None:
    with pytest.raises(ParityError) as caught:
        check_parity(Add(1e-3, 0.25), add_graph(), NAMES, batches)
    error = caught.value
    assert error.output == "second"
    assert error.max_abs_diff == pytest.approx(0.25)
    # [3.25, 4.25] against [3, 4]; where both rows are zero no cosine is defined.
    assert error.min_cosine == pytest.approx((3.25 * 3 + 4.25 * 4) / (np.hypot(3.25, 4.25) * 5))
    assert str(error) == (
        "ONNX Runtime and PyTorch differ in 'second' by 2.50e-01 (allowed 1e-04), "
        f"smallest cosine {error.min_cosine:.6f}"
    )
    assert isinstance(error, ExportError)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("both", [True, False], ids=["both sides", "one side"])
@pytest.mark.parametrize("output", [0, 1])
def test_what_is_not_finite_is_never_parity(bad: float, both: bool, output: int) -> None:
    """Also when the very next batch or output is fine, and when both sides agree on it."""
    numbers = [bad, 0.0] if output == 0 else [0.0, bad]
    graph = add_graph(*numbers) if both else add_graph()
    with pytest.raises(ParityError) as caught:
        check_parity(Add(*numbers), graph, NAMES, [ONE, ZERO])
    assert caught.value.output == NAMES[output]
    assert caught.value.max_abs_diff == math.inf
    assert str(caught.value) == (
        f"ONNX Runtime and PyTorch differ in '{NAMES[output]}' in shape, "
        "or one of them is not finite"
    )


def test_one_bad_batch_among_good_ones_is_enough() -> None:
    bad = batch([math.nan, 1.0])
    for batches in ([bad, ONE], [ONE, bad], [ONE, bad, ONE]):
        with pytest.raises(ParityError, match="not finite"):
            check_parity(Add(), add_graph(), NAMES, batches)


def test_another_shape_is_no_parity() -> None:
    class FirstRow(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x[:1], y

    with pytest.raises(ParityError, match="differ in 'first' in shape"):
        check_parity(FirstRow(), add_graph(), NAMES, [ZERO])


def test_the_module_is_compared_as_it_is_served() -> None:
    """In eval mode: dropout is off, and a batch norm does not learn."""

    class Dropped(Add):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.9)

        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return self.dropout(x), y

    module = Dropped().train()
    many = batch(*[[1.0, 1.0]] * 64)
    assert check_parity(module, add_graph(), NAMES, [many]).max_abs_diff == 0
    torch.manual_seed(0)
    assert not torch.equal(
        module.train()(*map(torch.from_numpy, many.values()))[0], torch.ones(64, 2)
    )


@pytest.mark.parametrize(
    ("graph", "batches", "reason"),
    [
        (b"", [ONE], "can't load the graph: "),
        (b"garbage", [ONE], "can't load the graph: "),
        (add_graph(rows=1), [ONE, ZERO], "can't run the graph on x (2, 2), y (2, 2): "),
    ],
    ids=["empty", "garbage", "of one shape"],
)
def test_a_graph_that_does_not_run(graph: bytes, batches: list[FeatureBatch], reason: str) -> None:
    with pytest.raises(GraphError) as caught:
        check_parity(Add(), graph, NAMES, batches)
    assert str(caught.value).startswith(f"ONNX Runtime {reason}")


def test_an_output_that_the_graph_lacks() -> None:
    with pytest.raises(GraphError, match="third"):
        check_parity(Add(), add_graph(), (*NAMES, "third"), [ONE])
