"""A small tower of pictures and one of sounds for tests, and things for them to read."""

import io
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from model_export.contract.bundle import TowerCheck
from model_export.contract.media import AudioSpec, ImageSpec
from model_export.contract.towers import (
    TOWERS,
    VECTOR,
    TowerSpec,
    golden_payloads,
    inputs_fingerprint,
    inputs_of,
)

WIDTH = 4
SIDE, RATE_HZ = 8, 8000


def image_spec() -> TowerSpec:
    """Of a tower that sees the mean colour."""
    return TowerSpec(
        name="test-image",
        width=WIDTH,
        version="1" * 64,
        modalities=["avatar", "covers", "frames"],
        image=ImageSpec(size_px=SIDE, resize_px=SIDE, interpolation="bilinear"),
    )


def audio_spec() -> TowerSpec:
    """Of a tower that hears how fast a sound changes."""
    return TowerSpec(
        name="test-audio",
        width=WIDTH,
        version="2" * 64,
        modalities=["audio"],
        audio=AudioSpec(rate_hz=RATE_HZ, seconds=1),
    )


def picture(colour: str, kind: str = "PNG", size: tuple[int, int] = (12, 9)) -> bytes:
    """A picture of one colour, below a white stripe: one without shows nothing."""
    file = io.BytesIO()
    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0], size[1] // 4))
    image.save(file, kind)
    return file.getvalue()


def blank(colour: str) -> bytes:
    """A picture of one colour, as a camera sends that is off."""
    file = io.BytesIO()
    Image.new("RGB", (12, 9), colour).save(file, "JPEG", quality=40)
    return file.getvalue()


def sound(hz: float, seconds: float = 0.5, rate_hz: int = RATE_HZ) -> bytes:
    """A tone as WAV; silence for 0 Hz."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = (8000 * np.sin(2 * np.pi * hz * time)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def write(folder: Path) -> list[TowerCheck]:
    """Both towers into a bundle."""
    (folder / TOWERS).mkdir(exist_ok=True)
    checks: list[TowerCheck] = []
    for spec, graph in ((image_spec(), _image_graph()), (audio_spec(), _audio_graph())):
        (folder / spec.file).write_bytes(graph)
        found = inputs_fingerprint(inputs_of(spec, None), golden_payloads(spec, []))
        check = {"max_abs_diff": 0, "min_cosine": 1, "inputs_fingerprint": found}
        checks.append(TowerCheck(name=spec.name, **check))
    return checks


def _image_graph() -> bytes:
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["levels"], to=TensorProto.FLOAT),
        node("ReduceMean", ["levels", "axes_1_2"], ["colour"], keepdims=0),
        node("Sub", ["colour", "grey"], ["centred"]),
        node("MatMul", ["centred", "map"], ["raw"]),
        *_normalised(),
    ]
    constants = {"axes_1_2": np.array([1, 2]), "grey": np.array(127.5, np.float32), "map": _map(3)}
    shape = ["rows", SIDE, SIDE, 3]
    return _model(nodes, "pixels", TensorProto.UINT8, shape, constants)


def _audio_graph() -> bytes:
    node, samples = helper.make_node, audio_spec().audio.samples  # type: ignore[union-attr]
    nodes = [
        node("Slice", ["samples", "from_1", "end", "along"], ["later"]),
        node("Slice", ["samples", "from_0", "last", "along"], ["earlier"]),
        node("Sub", ["later", "earlier"], ["steps"]),
        node("ReduceL2", ["steps", "along"], ["change"], keepdims=1),
        node("ReduceL2", ["samples", "along"], ["loudness"], keepdims=1),
        node("Concat", ["change", "loudness"], ["heard"], axis=1),
        node("MatMul", ["heard", "map"], ["raw"]),
        *_normalised(),
    ]
    places = {"from_0": 0, "from_1": 1, "last": samples - 1, "end": samples, "along": 1}
    constants = {name: np.array([place]) for name, place in places.items()} | {"map": _map(2)}
    return _model(nodes, "samples", TensorProto.FLOAT, ["rows", samples], constants)


def _map(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).standard_normal((rows, WIDTH)).astype(np.float32)


def _normalised() -> list[onnx.NodeProto]:
    """`raw` to unit length."""
    return [
        helper.make_node("ReduceL2", ["raw", "axis_1"], ["length"], keepdims=1),
        helper.make_node("Div", ["raw", "length"], [VECTOR]),
    ]


def _model(
    nodes: Sequence[onnx.NodeProto],
    name: str,
    kind: int,
    shape: Sequence[str | int],
    constants: dict[str, NDArray],
) -> bytes:
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "tower",
        [value(name, kind, shape)],
        [value(VECTOR, TensorProto.FLOAT, ["rows", WIDTH])],
        [
            numpy_helper.from_array(array, key)
            for key, array in {**constants, "axis_1": np.array([1])}.items()
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()
