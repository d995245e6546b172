"""A small text tower for tests: real files, a graph of four nodes, no training and no torch."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from model_export.contract.towers import VECTOR, TextSpec, TowerSpec

WIDTH = 4
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cooking", "noodles", "gaming", "boss", "music")
MAX_TOKENS = 6


def spec(**change: Any) -> TowerSpec:
    """Of the tower below; `change` replaces fields."""
    given: dict[str, Any] = {
        "name": "test-text",
        "width": WIDTH,
        "version": "0" * 64,
        "modalities": ["bio", "videos"],
        "text": TextSpec(max_tokens=MAX_TOKENS),
    }
    return TowerSpec(**{**given, **change})


def tokenizer() -> bytes:
    """Words as tokens, between two special ones."""
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = Lowercase()
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))],
    )
    return made.to_str().encode()


def table() -> NDArray[np.float32]:
    """A random vector (V, WIDTH) per token."""
    return np.random.default_rng(5).standard_normal((len(WORDS), WIDTH)).astype(np.float32)


def graph() -> bytes:
    """The unit vector along the sum of the tokens' vectors, padding left out."""
    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Gather", ["table", "input_ids"], ["rows"]),
        node("Cast", ["attention_mask"], ["present"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["present", "axis_2"], ["weights"]),
        node("Mul", ["rows", "weights"], ["weighted"]),
        node("ReduceSum", ["weighted", "axis_1"], ["total"], keepdims=0),
        node("ReduceL2", ["total", "axis_1"], ["length"], keepdims=1),
        node("Div", ["total", "length"], [VECTOR]),
    ]
    inputs = [
        value(name, TensorProto.INT64, ["rows", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    constants = {"table": table(), "axis_1": np.array([1]), "axis_2": np.array([2])}
    made = helper.make_graph(
        nodes,
        "tower",
        inputs,
        [value(VECTOR, TensorProto.FLOAT, ["rows", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def vector(*words: str) -> NDArray[np.float32]:
    """What the tower makes of these words (WIDTH,)."""
    ids = [WORDS.index(w) if w in WORDS else 1 for w in ("[CLS]", *words, "[SEP]")]
    total = table()[ids].sum(0)
    return total / np.linalg.norm(total)
