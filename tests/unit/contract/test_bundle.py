"""A bundle is loaded when all of it is right, and else refused with file and remedy named."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from model_export.contract.bundle import (
    CARD,
    ENCODER,
    ESTABLISHED,
    GOLDEN,
    MANIFEST,
    VOCABULARY,
    Bundle,
    file_entry,
)
from model_export.contract.errors import BundleError
from model_export.contract.features import fingerprint
from model_export.contract.vocabulary import Vocabulary
from model_export.golden import golden_profiles
from tests.support import bundles

FILES = (ENCODER, VOCABULARY, GOLDEN, ESTABLISHED, CARD)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "original"
    bundles.write_bundle(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def refused(folder: Path) -> str:
    """Why a bundle is refused: one line that names the folder."""
    with pytest.raises(BundleError) as caught:
        Bundle(folder).established()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message.removeprefix(str(folder)).removeprefix("/")


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    bundles.write_manifest(folder, manifest)


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file and list it, as somebody would who makes a bundle by hand."""
    (folder / name).write_bytes(content)
    entry = file_entry(content).model_dump()
    change_manifest(folder, lambda m: m["files"].update({name: entry}))


def test_a_good_bundle(folder: Path) -> None:
    bundle = Bundle(folder)
    manifest = bundle.manifest
    assert bundle.path == folder
    assert (manifest.dim, manifest.content_dim) == (bundles.DIM, bundles.CONTENT_DIM)
    assert set(manifest.files) == set(FILES)
    assert bundle.encoder_bytes() == (folder / ENCODER).read_bytes()
    assert bundle.featurizer.vocabulary == Vocabulary.load(folder / VOCABULARY)
    golden = golden_profiles(bundle.featurizer.vocabulary)
    assert fingerprint(bundle.featurizer, golden) == manifest.features_fingerprint
    bundle.release_encoder_bytes()
    assert bundle.encoder_bytes() == b""


def test_established_streamers(folder: Path) -> None:
    found = Bundle(folder).established()
    assert found is not None
    assert found.ids == list(bundles.ESTABLISHED_IDS)
    assert all(type(i) is str for i in found.ids)
    assert found.vectors.shape == (len(found.ids), bundles.ID_DIM)
    assert found.vectors.dtype == np.float32
    assert found.graph is None


def test_a_bundle_without_established_streamers(folder: Path) -> None:
    (folder / ESTABLISHED).unlink()
    change_manifest(folder, lambda m: m["files"].pop(ESTABLISHED))
    assert Bundle(folder).established() is None
    change_manifest(folder, lambda m: m.update(id_space=None))
    assert Bundle(folder).established() is None


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file(folder: Path, name: str, where: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    (folder / name).write_bytes(content)
    assert refused(folder) == f"{name} was changed: its SHA-256 is not the manifest's; export again"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refused(folder) == f"{name} can't be read: No such file or directory; export again"


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_or_gone_on(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    size = len(content)
    for wrong in (content[:-1], content + b"\n", b""):
        (folder / name).write_bytes(wrong)
        assert refused(folder) == (
            f"{name} has {len(wrong)} bytes, the manifest says {size}; export again"
        )


def test_no_bundle_at_all(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        assert refused(missing) == (
            "manifest.json can't be read: No such file or directory; is this a bundle?"
        )
    file = tmp_path / "file"
    file.write_text("")
    assert refused(file) == "manifest.json can't be read: Not a directory; is this a bundle?"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"nothing", b'{"schema_version": 1', b"[" * 100_000],
    ids=lambda content: repr(content[:12]),
)
def test_a_manifest_that_is_not_json(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert refused(folder).startswith("manifest.json is not JSON: ")


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, [1]])
def test_another_schema_version(folder: Path, version: object) -> None:
    # Another version may have other fields: they are not what is complained about.
    change_manifest(folder, lambda m: m.update(schema_version=version, new_field=1))
    assert refused(folder) == (
        f"manifest.json: schema_version is {version!r}, this release reads 1; "
        "export the model again with this release"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"dim": 0}, "dim: Input should be greater than 0"),
        ({"dim": "32"}, "dim: Input should be a valid integer"),
        ({"dim": True}, "dim: Input should be a valid integer"),
        ({"model_version": ""}, "model_version: String should match"),
        ({"model_version": "../x"}, "model_version: String should match"),
        ({"model_version": "a\n"}, "model_version: String should match"),
        ({"id_space": {"name": "s"}}, "id_space.dim: Field required"),
        ({"duplicate_threshold": {"value": 1.5, "source": "s"}}, "duplicate_threshold.value: "),
        ({"metrics": {"ndcg": float("nan")}}, "metrics.ndcg: Input should be a finite number"),
        (
            {"files": {ENCODER: {"sha256": "0" * 63, "size_bytes": 1}}},
            "files.encoder.onnx.sha256: ",
        ),
        ({"files": {ENCODER: {"sha256": "0" * 64, "size_bytes": -1}}}, "files.encoder.onnx.size_"),
        ({"files": []}, "files: Input should be"),
    ],
    ids=repr,
)
def test_a_manifest_with_a_wrong_field(folder: Path, change: dict[str, Any], reason: str) -> None:
    change_manifest(folder, lambda m: m.update(change))
    message = refused(folder)
    assert message.startswith(f"manifest.json: {reason}")
    assert message.endswith("; export again")


def test_a_manifest_with_a_missing_field(folder: Path, original: Path) -> None:
    names = json.loads((original / MANIFEST).read_text())
    optional = "schema_version calibration towers tower_checks dims variants folding_version"
    for name in set(names) - set(optional.split()):
        bundles.write_manifest(folder, {k: v for k, v in names.items() if k != name})
        assert refused(folder) == f"manifest.json: {name}: Field required; export again"


@pytest.mark.parametrize("name", [ENCODER, VOCABULARY, GOLDEN])
def test_a_file_that_is_needed_and_not_listed(folder: Path, name: str) -> None:
    change_manifest(folder, lambda m: m["files"].pop(name))
    assert refused(folder) == f"manifest.json: files: {name} is not listed; export again"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "./a",
        ".",
        "..",
        "",
        "a/",
        "..\\x",
        "C:\\x",
        "a\0b",
    ],
)
def test_a_file_outside_of_the_bundle(folder: Path, name: str) -> None:
    secret = b"secret"
    (folder.parent / "x").write_bytes(secret)
    entry = file_entry(secret).model_dump()
    change_manifest(folder, lambda m: m["files"].update({name: entry}))
    assert refused(folder) == f"manifest.json: files: {name!r} is outside of the bundle"


def test_more_files_than_are_known_are_verified_too(folder: Path) -> None:
    (folder / "towers").mkdir()
    replace(folder, "towers/text.onnx", b"tower")
    Bundle(folder)
    (folder / "towers" / "text.onnx").write_bytes(b"other")
    assert refused(folder).startswith("towers/text.onnx was changed")


def test_external_data_is_refused_before_any_runtime_reads_the_graph(folder: Path) -> None:
    model = onnx.load(folder / ENCODER)
    set_external_data(model.graph.initializer[0], "../../secret.bin")
    model.graph.initializer[0].ClearField("raw_data")
    replace(folder, ENCODER, model.SerializeToString())
    assert refused(folder) == (
        "encoder.onnx keeps tensors in external files, which are not covered by the manifest; "
        "export it as one file"
    )


def test_an_encoder_that_is_no_model(folder: Path) -> None:
    replace(folder, ENCODER, b"<html></html>")
    message = refused(folder)
    assert message.startswith("encoder.onnx is damaged: ")
    assert message.endswith("; export again")


def test_a_vocabulary_that_is_none(folder: Path) -> None:
    replace(folder, VOCABULARY, b"{}")
    assert refused(folder).startswith("vocabulary.json is not a vocabulary: ")


@pytest.mark.parametrize("place", [0, -1])
def test_other_features_than_the_exporter_made(folder: Path, place: int) -> None:
    """As after an update that changes the featuriser; here it is the vocabulary that changes."""
    vocabulary = json.loads((folder / VOCABULARY).read_text())
    vocabulary["tokens"][place] += "changed"
    replace(folder, VOCABULARY, json.dumps(vocabulary).encode())
    message = refused(folder)
    assert message.startswith(": this installation computes other features of the golden profiles")
    assert message.endswith("use the release that exported it (the tests) or export again")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"streamer_id": "s", "of_a_later_release": 1}', "of_a_later_release: Extra inputs"),
        (b"not JSON", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (
            b'{"streamer_id": "s", "avatar": {"vector": [1], "space": "new"}}',
            "avatar.space: vector space 'new' is unknown",
        ),
    ],
)
def test_golden_profiles_that_this_release_can_not_read(
    folder: Path, line: bytes, reason: str
) -> None:
    replace(folder, GOLDEN, (folder / GOLDEN).read_bytes() + line + b"\n")
    message = refused(folder)
    assert message.startswith(f"golden.jsonl can't be read by this release: {reason}")
    assert message.endswith("use the release that exported it (the tests) or export again")


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


IDS, WIDE = np.array(["a", "b"]), np.zeros((2, bundles.ID_DIM), np.float32)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "can't be read: "),
        (b"not a zip", "can't be read: "),
        (npz(ids=IDS), "can't be read: "),
        (npz(vectors=WIDE), "can't be read: "),
        (npz(ids=np.array(["a", 1], object), vectors=WIDE), "can't be read: "),  # pickled
        (npz(ids=IDS, vectors=WIDE)[:-30], "can't be read: "),
        (npz(ids=np.array([1, 2]), vectors=WIDE), ": ids are int64 and vectors float32"),
        (npz(ids=IDS, vectors=WIDE.astype(int)), ": ids are <U1 and vectors int64"),
        (npz(ids=IDS, vectors=WIDE[:1]), ": ids have the shape (2,), vectors (1, 8); "),
        (
            npz(ids=IDS, vectors=WIDE[:, :7]),
            ": the vectors have 7 numbers, the manifest's id_space has 8",
        ),
        (npz(ids=IDS[None], vectors=WIDE), ": ids have the shape (1, 2), vectors (2, 8); "),
        (npz(ids=IDS, vectors=np.full_like(WIDE, np.nan)), ": not all numbers are finite"),
        (npz(ids=IDS[[0, 0]], vectors=WIDE), ": an id is listed twice"),
    ],
)
def test_established_streamers_that_make_no_sense(
    folder: Path, content: bytes, reason: str
) -> None:
    replace(folder, ESTABLISHED, content)
    message = refused(folder)
    assert message.startswith("established.npz")
    assert message.removeprefix("established.npz").lstrip().startswith(reason)


def test_established_streamers_need_an_id_space(folder: Path) -> None:
    change_manifest(folder, lambda m: m.update(id_space=None))
    assert refused(folder) == (
        "established.npz: the vectors have 8 numbers, the manifest's id_space has none; "
        "export again"
    )


def test_a_shorter_width_is_another_version_of_the_model(folder: Path) -> None:
    manifest = Bundle(folder).manifest
    assert manifest.at(None) is manifest.at(manifest.dim) is manifest
    short = manifest.at(bundles.SHORT_DIM)
    assert (short.dim, short.model_version) == (bundles.SHORT_DIM, "test-0-d32")
    assert manifest.calibration is not None
    assert short.calibration is not None
    assert short.calibration.content == manifest.calibration.content
    assert short.calibration.embedding.curves == []
    assert "measured with 128 dimensions, not with 32" in short.calibration.embedding.source
    shorter = {"32": manifest.calibration.embedding}
    known = manifest.calibration.model_copy(update={"shorter": shorter})
    short = manifest.model_copy(update={"calibration": known}).at(bundles.SHORT_DIM)
    assert short.calibration == manifest.calibration
    for dim in (0, 33, 256):
        with pytest.raises(BundleError, match=f"has no {dim} dimensions, it has 32, 128"):
            manifest.at(dim)


@pytest.mark.parametrize("dims", [[0], [64, 32], [32, 32], [128], [32, 256]])
def test_widths_must_rise_below_the_full_one(folder: Path, dims: list[int]) -> None:
    change_manifest(folder, lambda m: m.update(dims=dims))
    assert "dims" in refused(folder)
