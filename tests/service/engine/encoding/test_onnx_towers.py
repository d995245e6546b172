"""The service's towers: what the graph computes, in any batch, once per content."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model_export.contract.bundle import Bundle
from model_export.contract.errors import BundleError
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile, Video
from model_export.contract.towers import Payload
from service.__main__ import main
from service.engine.encoding.onnx_towers import OnnxTowers
from tests import bundles, towers
from tests.contract.test_bundle import replace

WORDS = ("cooking", "noodles", "gaming", "boss", "music")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower") / "bundle"
    bundles.write_bundle(folder, tower=True)
    return folder


def encode(made: OnnxTowers, texts: list[str]) -> np.ndarray:
    return made.encode("test-text", [Payload("bio", text=text) for text in texts])


def test_vectors_are_the_same_in_any_batch(folder: Path) -> None:
    made = OnnxTowers(Bundle(folder))
    texts = [" ".join(WORDS[: 1 + i % 4]) for i in range(40)]
    found = encode(made, texts)
    assert found.dtype == np.float32
    expected = np.stack([towers.vector(*text.split()) for text in texts])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alone = np.concatenate([encode(made, [text]) for text in texts])
    np.testing.assert_allclose(found, alone, atol=1e-6)
    assert encode(made, []).shape == (0, towers.WIDTH)


def test_vectors_stand_beside_what_was_read(folder: Path) -> None:
    made = OnnxTowers(Bundle(folder))
    both = StreamerProfile(streamer_id="a", bio="boss", tags=["x"])
    tag = StreamerProfile(streamer_id="b", tags=["x"])
    titled = StreamerProfile(
        streamer_id="c", bio="boss", videos=[Video(video_id="v", title="boss music")]
    )
    first, second, third = made.read([both, tag, titled])
    assert (first[:2], second) == (pieces_of(both), pieces_of(tag))
    assert [(p.source, p.space) for p in first[2:]] == [("bio", "test-text")]
    assert [p.source for p in third[2:]] == ["bio", "videos[0].title"]
    assert first[2] == third[2]
    half = towers.vector("boss").astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(first[2].vector, half, atol=1e-3)


def test_a_bundle_without_towers_reads_nothing(tmp_path: Path) -> None:
    bundles.write_bundle(tmp_path / "bundle")
    made = OnnxTowers(Bundle(tmp_path / "bundle"))
    profile = StreamerProfile(streamer_id="a", bio="boss")
    assert made.specs == []
    assert made.read([profile]) == [pieces_of(profile)]


def test_a_graph_of_another_output(tmp_path: Path) -> None:
    bundles.write_bundle(tmp_path / "bundle", tower=True)
    value = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n"]) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    replace(tmp_path / "bundle", towers.spec().file, model.SerializeToString())
    with pytest.raises(BundleError, match=r"test-text.onnx has not the one output 'vector'"):
        OnnxTowers(Bundle(tmp_path / "bundle"))


def test_embed_reads_what_the_towers_make(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"streamer_id": "a", "bio": "boss"}', '{"streamer_id": "b", "bio": "zzz boss"}']
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    out = tmp_path / "v.npz"
    arguments = ["--bundle", str(folder), "--data", str(tmp_path / "s.jsonl"), "--out", str(out)]
    assert main(["embed", *arguments]) == 0
    assert "2 vectors" in capsys.readouterr().out
    with np.load(out) as found:
        assert found["ids"].tolist() == ["a", "b"]
