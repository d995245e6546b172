"""What towers read, how it becomes their input, and what becomes of their vectors."""

import shutil
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx.external_data_helper import set_external_data
from pydantic import ValidationError

from model_export.contract.bundle import MANIFEST, Bundle
from model_export.contract.errors import BundleError
from model_export.contract.features import MAX_VECTORS, Featurizer
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import normalise, readable
from model_export.contract.towers import (
    TextSpec,
    TowerSpec,
    inputs_of,
    payload_key,
    pieces_for,
    vector_piece,
)
from model_export.contract.vocabulary import Space, Vocabulary
from tests import bundles, towers
from tests.contract.profiles import any_text
from tests.contract.test_bundle import change_manifest, refused, replace

SPEC = towers.spec()


def text(content: str, modality: str = "bio", source: str = "bio") -> Piece:
    return Piece(modality, "text", source, text=content)


@given(any_text)
@settings(max_examples=300)
def test_a_readable_text_says_what_the_text_says(content: str) -> None:
    assert normalise(readable(content)) == normalise(content)
    assert readable(readable(content)) == readable(content)


def test_a_readable_text_keeps_its_capitals() -> None:
    assert readable(" Night\u200b ＯＷＬ \n Straße ") == "Night OWL Straße"
    assert readable(" plain  ASCII ") == "plain ASCII"


def test_texts_become_tokens_and_a_mask() -> None:
    inputs = inputs_of(SPEC, towers.tokenizer())
    batch = inputs(["cooking Noodles", "boss", ""])
    assert {name: a.dtype for name, a in batch.items()} == {
        "input_ids": np.int64,
        "attention_mask": np.int64,
    }
    assert batch["input_ids"].tolist() == [[2, 4, 5, 3], [2, 7, 3, 0], [2, 3, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    row = inputs_of(SPEC, towers.tokenizer())(["cooking " * 50])["input_ids"]
    assert row.tolist() == [[2, 4, 4, 4, 4, 3]]


def test_the_prefix_and_the_padding_are_the_tower_s_own() -> None:
    spec = towers.spec(text=TextSpec(max_tokens=6, prefix="music ", pad_id=1))
    batch = inputs_of(spec, towers.tokenizer())(["boss", ""])
    assert batch["input_ids"].tolist() == [[2, 8, 7, 3], [2, 8, 3, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_no_texts_are_no_rows() -> None:
    assert inputs_of(SPEC, towers.tokenizer())([])["input_ids"].shape == (0, 1)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": 3}'])
def test_what_is_no_tokenizer(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"^here is no tokenizer file: .*; export again$"):
        inputs_of(SPEC, content, "here")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BundleError, match=r"here needs .*pip install 'similar-streamer\[text-tow"):
        inputs_of(SPEC, towers.tokenizer(), "here")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": ""},
        {"width": 0},
        {"version": "abc"},
        {"modalities": []},
        {"modalities": ["bios"]},
    ],
)
def test_what_no_tower_can_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        towers.spec(**change)


def test_a_tower_reads_its_modalities_and_kinds_and_no_more() -> None:
    profile = StreamerProfile.model_validate(
        {
            "streamer_id": "s",
            "name": "cooking",
            "bio": "noodles",
            "tags": ["boss"],
            "videos": [{"video_id": "v", "title": "music", "tags": ["a"], "category": "b"}],
            "lives": [{"live_id": "l", "title": "live"}],
        }
    )
    found = pieces_for(SPEC, pieces_of(profile))
    assert [piece.source for piece in found] == ["bio", "videos[0].title"]
    both = towers.spec(text=TextSpec(max_tokens=6, kinds=["text", "tag"]), modalities=["videos"])
    found = pieces_for(both, pieces_of(profile))
    assert [piece.source for piece in found] == ["videos[0].title", "videos[0].tags[0]"]


def test_a_text_of_which_nothing_can_be_read_is_left_out() -> None:
    assert pieces_for(SPEC, [text("\u200b\u3164"), text("x")]) == [text("x")]


def test_at_most_as_many_pieces_as_the_encoder_reads() -> None:
    pieces = [text(str(i)) for i in range(MAX_VECTORS + 5)]
    assert pieces_for(SPEC, pieces) == pieces[:MAX_VECTORS]


def test_the_key_is_that_of_what_is_read() -> None:
    def key(content: str) -> bytes:
        return payload_key(SPEC, text(content))

    assert key("Night  owl") == key("Ｎight\u200b owl")
    assert len({key("night owl"), key("Night owl"), key("night owl!")}) == 3
    assert len(key("x")) == 16


def test_a_vector_becomes_a_piece_beside_what_was_read() -> None:
    read = Piece("videos", "text", "videos[3].title", text="Boss!", time_s=8.0)
    piece = vector_piece(SPEC, read, np.array([0.1, -1, 0.25, 1e-9], np.float32))
    assert (piece.modality, piece.kind, piece.source) == ("videos", "vector", "videos[3].title")
    assert (piece.space, piece.time_s) == ("test-text", 8.0)
    assert list(piece.vector) == np.float16([0.1, -1, 0.25, 1e-9]).astype(np.float64).tolist()
    assert hash(piece) == hash(piece)


def test_equal_content_has_equal_vectors_whatever_their_last_bits() -> None:
    one = vector_piece(SPEC, text("Boss!"), np.array([0.1, 0, 0, 1], np.float32))
    two = vector_piece(SPEC, text("boss ~"), np.array([0.2, 0, 0, 1], np.float32))
    other = vector_piece(SPEC, text("music"), np.array([0.1, 0, 0, 1], np.float32))
    elsewhere = vector_piece(towers.spec(name="b"), text("boss"), np.zeros(4, np.float32))
    ready = Piece("bio", "vector", "bio", vector=array("f", one.vector), space="test-text")
    assert one.content_hash == two.content_hash
    assert len({p.content_hash for p in (one, other, elsewhere, ready)}) == 4


def test_the_featuriser_takes_it_for_a_ready_made_vector() -> None:
    words = Vocabulary([], [], 0, spaces=[Space("test-text", 4)])
    read = text("Boss!")
    made = vector_piece(SPEC, read, np.array([0.1, -1, 0.25, 0], np.float32))
    features = Featurizer(words).from_pieces([read, made])
    assert features.vectors[0].tolist() == [np.float16([0.1, -1, 0.25, 0]).tolist()]
    assert features.status["bio"] == "used"
    shared = Vocabulary(
        [], [], 0, spaces=words.spaces, uninformative=frozenset([made.content_hash])
    )
    assert not Featurizer(shared).from_pieces([read, made]).usable


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower") / "original"
    bundles.write_bundle(folder, tower=True)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


GRAPH, TOKENIZER = SPEC.files


def test_a_bundle_with_a_tower(folder: Path) -> None:
    bundle = Bundle(folder)
    assert bundle.manifest.towers == [SPEC]
    assert bundle.tower("test-text") == SPEC
    assert bundle.tower_bytes("test-text") == towers.graph() == (folder / GRAPH).read_bytes()
    assert bundle.tower_inputs("test-text")(["boss"])["input_ids"].tolist() == [[2, 7, 3]]
    with pytest.raises(BundleError, match=r"has no tower 'x'; it has: test-text$"):
        bundle.tower_bytes("x")


@pytest.mark.parametrize("name", [GRAPH, TOKENIZER])
def test_a_damaged_file_of_a_tower(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert refused(folder) == f"{name} was changed: its SHA-256 is not the manifest's; export again"
    (folder / name).unlink()
    assert refused(folder) == f"{name} can't be read: No such file or directory; export again"
    change_manifest(folder, lambda m: m["files"].pop(name))
    assert refused(folder) == f"{MANIFEST}: files: {name} is not listed; export again"


def test_a_graph_that_changes_after_it_was_verified(folder: Path) -> None:
    bundle = Bundle(folder)
    (folder / GRAPH).write_bytes(b"x")
    with pytest.raises(BundleError, match="has 1 bytes"):
        bundle.tower_bytes("test-text")


def test_a_tower_s_tensors_in_another_file(folder: Path) -> None:
    model = onnx.load_model_from_string(towers.graph())
    set_external_data(model.graph.initializer[0], "/etc/passwd")
    replace(folder, GRAPH, model.SerializeToString())
    assert refused(folder).startswith(f"{GRAPH} keeps tensors in external files")
    replace(folder, GRAPH, b"no graph")
    assert refused(folder).startswith(f"{GRAPH} is damaged: ")


def test_a_tower_that_the_encoder_does_not_read(folder: Path) -> None:
    change_manifest(folder, lambda m: m["towers"][0].update(width=8))
    assert refused(folder) == (
        f"{MANIFEST}: towers: test-text gives 8 numbers, the vocabulary's space of that name has 4;"
        " export again"
    )


def test_a_tower_that_was_never_checked(folder: Path) -> None:
    change_manifest(folder, lambda m: m.update(tower_checks=[]))
    assert refused(folder) == f"{MANIFEST}: tower_checks: test-text is not listed; export again"


def test_an_installation_that_makes_other_inputs(folder: Path) -> None:
    change_manifest(folder, lambda m: m["towers"][0]["text"].update(max_tokens=5))
    with pytest.raises(BundleError, match=r"makes other inputs of tower 'test-text' than the exp"):
        Bundle(folder).tower_inputs("test-text")


def test_a_spec_survives_its_json() -> None:
    assert TowerSpec.model_validate_json(SPEC.model_dump_json()) == SPEC
