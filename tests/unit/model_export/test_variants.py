"""Smaller graphs stand beside the full ones if they rank alike, and are refused otherwise."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from model_export.contract.bundle import CARD, ENCODER, Bundle, Manifest
from model_export.contract.errors import BundleError
from model_export.contract.features import collate
from model_export.contract.streamer import StreamerProfile
from model_export.contract.variants import VARIANTS
from model_export.errors import GraphError, SourceError
from model_export.quantize import quantize
from model_export.ranking_check import Ranked, RankingCheck, Trial
from model_export.variants import add_variants, main
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from tests.support import bundles, towers

TEXTS = ["cooking noodles", "gaming boss", "music", "noodles", "boss", "music gaming"]


def profiles(kind: str, count: int) -> list[StreamerProfile]:
    topics = list(bundles.TOPICS)
    return [
        StreamerProfile.model_validate(
            {
                "streamer_id": f"{kind}{i}",
                "bio": TEXTS[i % len(TEXTS)],
                "tags": [topics[i % len(topics)], bundles.TOPICS[topics[i % 3]].split()[i % 4]],
            }
        )
        for i in range(count)
    ]


def trial(folder: Path = Path(), most: int = 72) -> Trial:
    """Those whose tags are of one topic should be found."""
    size, topics = most * 2 // 3, len(bundles.TOPICS)
    found = [np.arange(i % topics, size, topics) for i in range(most // 3)]
    return Trial(profiles("q", most // 3), profiles("g", size), found)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "bundle"
    bundles.write_bundle(folder, tower=True)
    return folder


@pytest.fixture(scope="module")
def made(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    out = tmp_path_factory.mktemp("variants") / "bundle"
    return out, add_variants(bundle, trial(), out)


def test_what_was_there_stays_as_it_was(bundle: Path, made: tuple[Path, Manifest]) -> None:
    before, after = Bundle(bundle), Bundle(made[0])
    assert after.encoder_bytes() == before.encoder_bytes()
    assert after.tower_bytes("test-text") == before.tower_bytes("test-text")
    assert after.manifest.model_version == before.manifest.model_version
    assert after.manifest.towers == before.manifest.towers
    assert [variant.name for variant in made[1].variants] == list(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_another_version_of_smaller_graphs(
    made: tuple[Path, Manifest], name: str
) -> None:
    full, small = Bundle(made[0]), Bundle(made[0], name)
    variant = full.manifest.variant(name)
    assert ENCODER in variant.files
    assert small.manifest.model_version == f"{full.manifest.model_version}-{name}"
    for file, smaller in variant.files.items():
        assert (made[0] / smaller).stat().st_size == variant.graphs[0].size_bytes or file != ENCODER
    assert small.encoder_bytes() == (made[0] / variant.files[ENCODER]).read_bytes()
    changed = "towers/test-text.onnx" in variant.files
    assert (small.manifest.towers[0].version != towers.spec().version) == changed
    assert variant.ndcg > 0.995 * variant.full_ndcg
    assert variant.overlap >= 0.95


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_served(made: tuple[Path, Manifest], name: str) -> None:
    vectors: list[list[Any]] = []
    for opened in (Bundle(made[0]), Bundle(made[0], name)):
        read = OnnxTowers(opened).read(profiles("x", 6))
        features = [opened.featurizer.from_pieces(pieces) for pieces in read]
        vectors.append(OnnxEncoder(opened).encode(features))
    for full, small in zip(*vectors, strict=True):
        assert float(full.embedding @ small.embedding) > 0.99


@pytest.mark.parametrize("name", VARIANTS)
def test_the_sketch_of_contents_stays_as_it_is(bundle: Path, name: Any) -> None:
    opened = Bundle(bundle)
    batch = collate([opened.featurizer(profile) for profile in profiles("x", 9)])
    found: list[Any] = []
    for graph in (opened.encoder_bytes(), quantize(opened.encoder_bytes(), name)):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        feed = {given.name: batch[given.name] for given in session.get_inputs()}
        found.append(session.run(["content", "embedding"], feed))
    # The service keeps float16, so its last bit may be lost.
    np.testing.assert_allclose(found[0][0], found[1][0], atol=2**-12)
    assert not np.array_equal(found[0][1], found[1][1])


def with_outlier(graph: bytes) -> bytes:
    """One weight that no text uses, so large that the others are nothing in 8 bits."""
    model = onnx.load_from_string(graph)
    (table,) = [each for each in model.graph.initializer if each.name == "table"]
    values = numpy_helper.to_array(table).copy()
    values[towers.WORDS.index("[UNK]")] = 6e4
    table.CopyFrom(numpy_helper.from_array(values, "table"))
    return model.SerializeToString()


def test_a_graph_that_ranks_otherwise_is_refused_with_the_figure(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle(bundle)
    check = RankingCheck(opened, trial())
    spec = opened.manifest.towers[0]
    graph = with_outlier(opened.tower_bytes(spec.name))
    check.read(spec, graph)  # as it is, it can be run
    with pytest.raises(GraphError, match="not finite"):
        check.read(spec, quantize(graph, "int8"))
    monkeypatch.setattr(towers, "graph", lambda: graph)
    bundles.write_bundle(tmp_path / "full", tower=True)
    manifest = add_variants(tmp_path / "full", trial(), tmp_path / "out")
    half, eight = manifest.variants
    assert "towers/test-text.onnx" in half.files
    assert set(eight.files) == {ENCODER}
    (refused,) = [graph for graph in eight.graphs if graph.file is None]
    assert refused.refused == "the graph's output is not finite"
    assert "refused: the graph's output" in (tmp_path / "out" / CARD).read_text()
    assert not (tmp_path / "out" / "towers" / "test-text.int8.onnx").exists()
    small = Bundle(tmp_path / "out", "int8")
    assert small.manifest.towers[0] == towers.spec()  # the full one, so the same version


def changed_graph(graph: bytes, name: str, change: Callable[[Any], Any]) -> bytes:
    model = onnx.load_from_string(graph)
    (given,) = [each for each in model.graph.initializer if each.name == name]
    given.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(given)), name))
    return model.SerializeToString()


def ranked(bundle: Path, asked: Trial, change: Callable[[bytes], bytes] = bytes) -> Ranked:
    """The ranking with the encoder's graph changed."""
    opened = Bundle(bundle)
    check = RankingCheck(opened, asked)
    vectors = {
        spec.name: check.read(spec, opened.tower_bytes(spec.name))
        for spec in opened.manifest.towers
    }
    return check.rank(change(opened.encoder_bytes()), vectors)


def test_every_kind_of_vector_is_ranked_by(bundle: Path) -> None:
    full, short = ranked(bundle, trial()), f"first {bundles.SHORT_DIM} numbers of embedding"
    other_ids = ranked(bundle, trial(), lambda g: changed_graph(g, "to_id", np.sin))
    found = other_ids.overlaps(full)
    assert found.keys() == {"embedding", short, "id_embedding"}
    assert found["embedding"] == found[short] == 1
    assert other_ids.overlap(full) == found["id_embedding"] < 0.95

    def turned(graph: bytes) -> bytes:
        for name in ("table", "to_embedding"):
            graph = changed_graph(graph, name, lambda values: values[:, ::-1].copy())
        return changed_graph(graph, "to_id", lambda values: values[::-1].copy())

    found = ranked(bundle, trial(), turned).overlaps(full)
    assert min(found["embedding"], found["id_embedding"]) >= 0.95
    assert found[short] < 0.95


def silent(count: int) -> list[StreamerProfile]:
    return [StreamerProfile(streamer_id=f"silent{i}") for i in range(count)]


def test_who_shows_nothing_is_not_asked(bundle: Path, tmp_path: Path) -> None:
    asked = trial()
    found = [*asked.relevant, *asked.relevant]
    more = Trial([*asked.queries, *silent(len(asked.queries))], asked.gallery, found)
    few, many = ranked(bundle, asked), ranked(bundle, more)
    assert (many.queries, many.ndcg) == (few.queries, few.ndcg)

    def other(graph: bytes) -> bytes:
        return changed_graph(graph, "table", np.sin)

    overlap = ranked(bundle, asked, other).overlap(few)
    assert ranked(bundle, more, other).overlap(many) == overlap < 1
    alone = Trial(silent(len(asked.queries)), asked.gallery, asked.relevant)
    with pytest.raises(SourceError, match="none of 24 queries shows content"):
        add_variants(bundle, alone, tmp_path / "out")


def test_nothing_is_judged_where_nobody_relevant_is_found(bundle: Path, tmp_path: Path) -> None:
    asked = trial()
    places = np.arange(len(asked.gallery))
    far = [np.setdiff1d(places, near)[:1] for near in ranked(bundle, asked).nearest["embedding"]]
    with pytest.raises(SourceError, match=r"nobody relevant for any of 24 queries \(NDCG@20 is 0"):
        add_variants(bundle, Trial(asked.queries, asked.gallery, far), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_the_variant(bundle: Path) -> None:
    with pytest.raises(BundleError, match="test-0 has no variant 'int8'; it has: none"):
        Bundle(bundle, "int8")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def options(bundle: Path, out: Path, function: str) -> Sequence[object]:
    where = f"tests.unit.model_export.test_variants:{function}"
    return "--bundle", bundle, "--trial", where, "--data", out.parent, "--out", out


def test_the_command(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(*options(bundle, out, "trial"), "--streamers", 72) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fp16: encoder.onnx")
    assert "int8: " in printed
    assert run(*options(bundle, out, "trial")) == 1
    assert "exists already" in capsys.readouterr().err
