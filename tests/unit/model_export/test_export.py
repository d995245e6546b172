"""A module becomes a bundle that the service can trust, or nothing is left behind."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from model_export.__main__ import main
from model_export.contract.bundle import (
    CARD,
    ENCODER,
    ESTABLISHED,
    GOLDEN,
    MANIFEST,
    VOCABULARY,
    Bundle,
    IdSpace,
    Manifest,
)
from model_export.contract.errors import BundleError
from model_export.contract.established import Established
from model_export.contract.features import FeatureBatch, Featurizer, collate
from model_export.contract.pieces import MODALITIES
from model_export.contract.streamer import StreamerProfile
from model_export.errors import GraphError, ParityError, SourceError
from model_export.export import export_bundle
from model_export.graph import example_batch, output_names, to_onnx
from model_export.parity import MAX_ABS_DIFF, check_parity, run_module
from model_export.source import ExportSource
from tests.unit.model_export import modules

Exported = tuple[ExportSource, Path, Manifest]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    source = modules.source()
    out = tmp_path_factory.mktemp("export") / "new" / "bundle"
    return source, out, export_bundle(source, out)


def session(out: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(out / ENCODER, providers=["CPUExecutionProvider"])


def run(out: Path, batch: FeatureBatch) -> list[np.ndarray]:
    return [np.asarray(output) for output in session(out).run(None, dict(batch))]


def test_the_folder_holds_what_the_manifest_lists(exported: Exported) -> None:
    _, out, manifest = exported
    names = {ENCODER, VOCABULARY, GOLDEN, ESTABLISHED, CARD}
    assert {path.name for path in out.iterdir()} == names | {MANIFEST}
    assert set(manifest.files) == names
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert oct(out.stat().st_mode & 0o777) == "0o755"


def test_the_bundle_says_what_was_exported(exported: Exported) -> None:
    source, out, manifest = exported
    bundle = Bundle(out)
    assert bundle.manifest == manifest
    assert bundle.featurizer.vocabulary == source.vocabulary
    assert (manifest.recipe, manifest.dim, manifest.content_dim) == ("tiny", 8, 16)
    assert manifest.dims == [2, 4]
    assert manifest.id_space == IdSpace(name="likes", dim=4)
    assert manifest.duplicate_threshold == source.duplicate_threshold
    assert manifest.calibration == source.calibration
    assert manifest.data_digest == source.data_digest
    assert manifest.metrics == {"ndcg": 0.25}  # what was not measured is left out
    assert re.fullmatch(r"tiny-[0-9a-f]{12}", manifest.model_version)
    assert re.fullmatch(r"similar-streamer \d+\.\d+.*", manifest.created_by)
    assert 0 <= manifest.parity.max_abs_diff < MAX_ABS_DIFF
    assert manifest.parity.min_cosine > 0.9999
    established = bundle.established()
    assert established is not None
    assert established.ids == ["a", "ü"]
    assert established.vectors.tolist() == np.eye(2, 4).tolist()


def test_the_manifest_is_json_for_any_reader(exported: Exported) -> None:
    _, out, _ = exported

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (out / MANIFEST).read_text(encoding="utf-8")
    manifest = json.loads(text, parse_constant=refuse)
    assert manifest["config"] == {"seed": 0, "名": ["字"], "history": [[0, None]]}
    assert "名" in text


def test_the_model_card_tells_what_was_measured(exported: Exported) -> None:
    _, out, manifest = exported
    card = (out / CARD).read_text(encoding="utf-8")
    for told in (
        f"# {manifest.model_version}",
        "| ndcg | 0.2500 |",
        "near-duplicates from a content cosine of 0.875: measured on nothing",
        "vector in the ID space `likes` (4 numbers)",
        "recipe: `tiny`",
        "data digest: `sha256:0`",
        "personal data",
        "The first 2 or 4 numbers of an embedding, scaled to unit length, are a shorter emb",
    ):
        assert told in card


def test_the_graph_names_its_inputs_and_outputs(exported: Exported) -> None:
    source, out, _ = exported
    graph = session(out)
    assert [i.name for i in graph.get_inputs()] == list(example_batch(source.vocabulary, 1, 1, 1))
    assert [o.name for o in graph.get_outputs()] == [
        "embedding",
        "content",
        "modality_weights",
        "id_embedding",
    ]
    assert [o.name for o in graph.get_outputs()] == output_names(source)
    fixed = {i.name: [d for d in i.shape if isinstance(d, int)] for i in graph.get_inputs()}
    assert {name: dims for name, dims in fixed.items() if dims} == {
        "vectors_0": [3],
        "vectors_1": [2],
    }


@pytest.mark.parametrize(("rows", "tokens", "vectors"), [
    (1, 1, 1), (1, 2048, 256), (7, 1, 3), (64, 13, 1), (2, 2, 2), (300, 5, 4),
])  # fmt: skip
def test_batch_tokens_and_vectors_are_really_dynamic(
    exported: Exported, rows: int, tokens: int, vectors: int
) -> None:
    source, out, _ = exported
    batch = example_batch(source.vocabulary, rows, tokens, vectors)
    if rows == 7:  # the spaces have axes of their own
        batch |= {
            "vectors_1": np.ones((rows, 11, 2), np.float32),
            "vectors_1_modality": np.full((rows, 11), 11),
        }
    found, expected = run(out, batch), run_module(source.module, batch)
    assert [o.shape for o in found] == [(rows, w) for w in (8, 16, len(MODALITIES), 4)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=MAX_ABS_DIFF)


def test_padding_and_company_change_nothing(exported: Exported) -> None:
    _, out, _ = exported
    featurizer = Bundle(out).featurizer
    small = StreamerProfile(streamer_id="s", bio="night 音乐", tags=["c++"])
    large = StreamerProfile(streamer_id="l", bio=" ".join(f"word{i}" for i in range(300)))
    alone = run(out, collate([featurizer(small)]))
    together = run(out, collate([featurizer(large), featurizer(small)]))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a[0], b[1], atol=1e-5)


def test_the_golden_profiles_are_encoded_as_by_the_module(exported: Exported) -> None:
    source, out, _ = exported
    featurizer = Featurizer(source.vocabulary)
    lines = (out / GOLDEN).read_text(encoding="utf-8").splitlines()
    profiles = [StreamerProfile.model_validate_json(line) for line in lines]
    assert {p.streamer_id for p in profiles} >= {"golden-known", "golden-space-0", "golden-space-1"}
    for profile in profiles:
        batch = collate([featurizer(profile)])
        for a, b in zip(run(out, batch), run_module(source.module, batch), strict=True):
            np.testing.assert_allclose(a, b, atol=MAX_ABS_DIFF)


def test_equal_models_have_one_version(exported: Exported) -> None:
    _, out, manifest = exported
    again = out.parent.parent / "again"
    other_story = dataclasses.replace(modules.source(), metrics={"ndcg": 0.5}, data_digest="other")
    second = export_bundle(other_story, again)
    assert (again / ENCODER).read_bytes() == (out / ENCODER).read_bytes()
    assert second.model_version == manifest.model_version


def test_the_command_exports_a_checkpoint_and_other_weights_are_another_version(
    exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint, out = tmp_path / "checkpoint.json", tmp_path / "bundle"
    checkpoint.write_text(json.dumps({"seed": 1}))
    loader = "tests.unit.model_export.modules:load"
    assert main([loader, "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    version = Bundle(out).manifest.model_version
    printed = capfd.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"{out}: {version}, 8 dimensions, 0.0 MB, ")
    assert printed.out.count("\n") == 1
    assert version != exported[2].model_version


def test_a_model_without_spaces_and_without_a_teacher(tmp_path: Path) -> None:
    words = modules.vocabulary(())
    source = dataclasses.replace(
        modules.source(modules.Tiny(words, id_dim=None), vocabulary=words),
        id_space=None,
        established=None,
        metrics={},
    )
    (tmp_path / "bundle").mkdir()  # an empty folder may be there
    manifest = export_bundle(source, tmp_path / "bundle")
    assert ESTABLISHED not in manifest.files
    bundle = Bundle(tmp_path / "bundle")
    assert bundle.established() is None
    graph = session(tmp_path / "bundle")
    assert len(graph.get_inputs()) == len(graph.get_outputs()) == 3
    card = (tmp_path / "bundle" / CARD).read_text(encoding="utf-8")
    assert "It predicts no ID-embedding." in card
    assert "nothing was measured" in card


def test_a_module_that_takes_each_input_by_name() -> None:
    words = modules.vocabulary(modules.SPACES[:1])
    source = modules.source(modules.ByName(modules.Tiny(words)), vocabulary=words)
    batches = [example_batch(words, 1, 1, 1), example_batch(words, rows=5, tokens=9, vectors=4)]
    graph = to_onnx(source)
    assert check_parity(source.module, graph, output_names(source), batches).max_abs_diff < 1e-5


def refused(source: ExportSource, folder: Path, error: type[Exception]) -> str:
    """Why an export fails; nothing of it may be left."""
    with pytest.raises(error) as caught:
        export_bundle(source, folder / "bundle")
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_a_module_that_computes_something_else_when_exported(tmp_path: Path) -> None:
    words = modules.vocabulary(())
    source = modules.source(modules.OtherWhenExported(words), vocabulary=words)
    message = refused(source, tmp_path, ParityError)
    assert "differ in 'embedding' by 1.00e-03 (allowed 1e-04), smallest cosine 0.9" in message


def test_a_module_that_is_no_number_somewhere(tmp_path: Path) -> None:
    words = modules.vocabulary(())
    source = modules.source(modules.NotANumberWithoutTokens(words), vocabulary=words)
    message = refused(source, tmp_path, ParityError)
    assert message.endswith("'modality_weights' in shape, or one of them is not finite")


def test_a_graph_of_one_shape(tmp_path: Path) -> None:
    words = modules.vocabulary(())
    source = modules.source(modules.LoopOverTokens(words), vocabulary=words)
    message = refused(source, tmp_path, GraphError)
    assert message.startswith("ONNX Runtime can't run the graph on token_ids (")


def changed(change: Any) -> ExportSource:
    return modules.source(modules.Changed(modules.Tiny(modules.vocabulary()), change))


def not_unit(output: str, length: str) -> str:
    return f"{output} must be 1 for every profile, one has {length}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (modules.source(dim=9), "embedding is float32 ("),
        (modules.source(content_dim=8), "content is float32 ("),
        (modules.source(id_space=IdSpace(name="i", dim=5)), "id_embedding is float32 ("),
        (modules.source(id_space=None), "Tiny has 4 outputs in place of 3: embedding, content, "),
        (changed(lambda o: o[:3]), "Changed has 3 outputs in place of 4: "),
        (changed(lambda o: [o[0].double(), *o[1:]]), "embedding is float64 ("),
        (changed(lambda o: [o[0] * 2, *o[1:]]), not_unit("the length of embedding", "2.0000")),
        (changed(lambda o: [o[0] * math.nan, *o[1:]]), not_unit("the length of embedding", "nan")),
        (changed(lambda o: [o[0], o[1] * 0, *o[2:]]), not_unit("the length of content", "0.0000")),
        (
            changed(lambda o: [*o[:2], o[2] / 2, o[3]]),
            not_unit("the sum of modality_weights", "0.5000"),
        ),
    ],
)
def test_a_module_that_breaks_the_contract(
    tmp_path: Path, source: ExportSource, reason: str
) -> None:
    assert refused(source, tmp_path, SourceError).startswith(reason)


def test_established_streamers_of_another_width(tmp_path: Path) -> None:
    """Found as late as the service would find it, by reading the bundle: still nothing is left."""
    narrow = Established(["a"], np.zeros((1, 3), np.float32))
    source = modules.source(vocabulary=modules.vocabulary(()), established=narrow)
    message = refused(source, tmp_path, BundleError)
    assert "established.npz: the vectors have 3 numbers" in message


@pytest.mark.parametrize("there", ["file", "full folder"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, there: str) -> None:
    out = tmp_path / "bundle"
    if there == "file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "precious").write_text("precious")
    with pytest.raises(FileExistsError, match=f"{re.escape(str(out))} exists already; choose"):
        export_bundle(modules.source(), out)
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["precious"]
    assert len(list(tmp_path.iterdir())) == 1
