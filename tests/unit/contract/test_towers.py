"""What towers read, how it becomes their input, and what becomes of their vectors."""

import base64
import shutil
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
from model_export.contract.errors import BundleError, UnreadableContent
from model_export.contract.features import MAX_VECTORS, Featurizer
from model_export.contract.media import AudioSpec, ImageSpec
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import normalise, readable
from model_export.contract.towers import (
    Payload,
    TextSpec,
    TowerBatch,
    TowerSpec,
    golden_payloads,
    inputs_fingerprint,
    inputs_of,
    payload_key,
    payload_of,
    pieces_for,
    vector_piece,
)
from model_export.contract.vocabulary import Space, Vocabulary
from tests.support import bundles, towers
from tests.unit.contract.profiles import any_text
from tests.unit.contract.test_bundle import change_manifest, refused, replace

SPEC = towers.spec()


def text(content: str, modality: str = "bio", source: str = "bio") -> Piece:
    return Piece(modality, "text", source, text=content)


@given(any_text)
@settings(max_examples=300)
def test_a_readable_text_says_what_the_text_says(content: str) -> None:
    assert normalise(readable(content)) == normalise(content)
    assert readable(readable(content)) == readable(content)


def batch_of(spec: TowerSpec, *texts: str) -> TowerBatch:
    inputs = inputs_of(spec, towers.tokenizer())
    return inputs.batch([inputs.prepare(Payload("bio", text=each)) for each in texts])


def test_a_readable_text_keeps_its_capitals() -> None:
    assert readable(" Night\u200b ＯＷＬ \n Straße ") == "Night OWL Straße"
    assert readable(" plain  ASCII ") == "plain ASCII"


def test_texts_become_tokens_and_a_mask() -> None:
    batch = batch_of(SPEC, "cooking Noodles", "boss", "")
    assert {name: a.dtype for name, a in batch.items()} == {
        "input_ids": np.int64,
        "attention_mask": np.int64,
    }
    assert batch["input_ids"].tolist() == [[2, 4, 5, 3], [2, 7, 3, 0], [2, 3, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    row = batch_of(SPEC, "cooking " * 50)["input_ids"]
    assert row.tolist() == [[2, 4, 4, 4, 4, 3]]


def test_the_prefix_and_the_padding_are_the_tower_s_own() -> None:
    spec = towers.spec(text=TextSpec(max_tokens=6, prefix="music ", pad_id=1))
    batch = batch_of(spec, "boss", "")
    assert batch["input_ids"].tolist() == [[2, 8, 7, 3], [2, 8, 3, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": 3}'])
def test_what_is_no_tokenizer(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"^here is no tokenizer file: .*; export again$"):
        inputs_of(SPEC, content, "here")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": ""},
        {"width": 0},
        {"version": "abc"},
        {"modalities": []},
        {"modalities": ["bios"]},
        {"modalities": ["covers"]},
        {"text": None},
        {"image": ImageSpec(size_px=8, resize_px=8, interpolation="bilinear")},
        {"max_pieces": 257},
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
    pieces = [text(chr(0x4E00 + i)) for i in range(MAX_VECTORS + 5)]
    assert pieces_for(SPEC, pieces) == pieces[:MAX_VECTORS]
    assert pieces_for(towers.spec(max_pieces=3), pieces) == pieces[:3]


PICTURES = towers.spec(
    text=None,
    image=ImageSpec(size_px=16, resize_px=20, interpolation="bicubic"),
    modalities=["avatar", "covers", "frames"],
)
SOUNDS = towers.spec(text=None, audio=AudioSpec(rate_hz=8000, seconds=0.75), modalities=["audio"])


def media_profile() -> StreamerProfile:
    picture, _, other = golden_payloads(PICTURES, [])
    sound = golden_payloads(SOUNDS, [])[0]

    def media(payload: Payload) -> dict[str, str]:
        data = base64.b64encode(payload.data).decode()
        return {"data": data, "content_type": payload.content_type}

    return StreamerProfile.model_validate(
        {
            "streamer_id": "s",
            "bio": "boss",
            "avatar": media(picture),
            "videos": [
                {"video_id": "a", "cover": {"vector": [1.0], "space": "x"}, "audio": media(sound)},
                {"video_id": "b", "cover": {"url": "https://a.example/x"}},
            ],
            "lives": [{"live_id": "l", "frames": [media(other), media(picture)]}],
        }
    )


def test_bytes_are_read_by_the_towers_of_their_kind() -> None:
    profile = media_profile()
    pieces = pieces_of(profile)
    pictures = pieces_for(PICTURES, pieces)
    assert [p.source for p in pictures] == ["avatar", "lives[0].frames[0]", "lives[0].frames[1]"]
    assert payload_key(pictures[0]) == payload_key(pictures[2]) != payload_key(pictures[1])
    (sound,) = pieces_for(SOUNDS, pieces)
    assert sound.source == "videos[0].audio"
    inputs = inputs_of(PICTURES, None)
    prepared = [inputs.prepare(payload_of(piece, profile)) for piece in pictures]
    assert (prepared[0] == prepared[2]).all()
    batch = inputs.batch(prepared)
    assert [(n, a.shape, a.dtype.name) for n, a in batch.items()] == [
        ("pixels", (3, 16, 16, 3), "uint8")
    ]
    heard = inputs_of(SOUNDS, None)
    batch = heard.batch([heard.prepare(payload_of(sound, profile))])
    assert [(n, a.shape, a.dtype.name) for n, a in batch.items()] == [
        ("samples", (1, 6000), "float32")
    ]


def test_what_can_t_be_decoded_names_the_field() -> None:
    payload = Payload("videos[0].cover", data=b"GIF89a", content_type="image/png")
    with pytest.raises(UnreadableContent, match=r"^videos\[0\].cover: "):
        inputs_of(PICTURES, None).prepare(payload)


def test_golden_pictures_and_sounds_have_one_fingerprint() -> None:
    """The same on every machine, so that a bundle from another one is told."""
    found = [
        inputs_fingerprint(inputs_of(spec, None), golden_payloads(spec, []))[:16]
        for spec in (PICTURES, SOUNDS)
    ]
    assert found == ["f9dd238edec77935", "af7b5c6c12bc3eac"]


def test_the_key_is_that_of_what_is_read() -> None:
    def key(content: str) -> bytes:
        return payload_key(text(content))

    assert key("Night  owl") == key("Ｎight\u200b owl")
    assert len({key("night owl"), key("Night owl"), key("night owl!")}) == 3
    assert len(key("x")) == 16


def test_a_vector_becomes_a_piece_beside_what_was_read() -> None:
    read = Piece("videos", "text", "videos[3].title", text="Boss!", time_s=8.0)
    piece = vector_piece(SPEC, read, np.array([0.1, -1, 0.25, 1e-9], np.float32))
    assert (piece.modality, piece.kind, piece.source) == ("videos", "vector", "videos[3].title")
    assert (piece.space, piece.time_s) == ("test-text", 8.0)
    assert list(piece.vector) == np.array([0.1, -1, 0.25, 1e-9], np.float16).tolist()
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
    assert features.vectors[0].tolist() == [np.array([0.1, -1, 0.25, 0], np.float16).tolist()]
    assert features.status["bio"] == "used"
    shared = Vocabulary(
        [], [], 0, spaces=words.spaces, uninformative=frozenset([made.content_hash])
    )
    assert not Featurizer(shared).from_pieces([read, made]).usable


def test_what_is_made_of_texts_that_many_show_nearly_alike_says_nothing() -> None:
    vector = np.array([0.1, -1, 0.25, 0], np.float32)
    made = [vector_piece(SPEC, text(shown), vector) for shown in ("Part 1", "part 22!", "boss")]
    assert made[0].content_hash != made[1].content_hash
    assert made[0].cluster_hash == made[1].cluster_hash != made[2].cluster_hash
    spaces = [Space("test-text", 4)]
    shared = Vocabulary([], [], 0, spaces=spaces, uninformative=frozenset([made[0].cluster_hash]))
    assert not Featurizer(shared).from_pieces(made[:2]).usable
    assert Featurizer(shared).from_pieces(made).usable


def test_empty_talk_is_not_read() -> None:
    pieces = [text("hahaha"), text("666"), text("boss")]
    assert pieces_for(SPEC, pieces) == pieces[2:]


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
    prepared = bundle.tower_inputs("test-text").prepare(Payload("bio", text="boss"))
    assert prepared.tolist() == [2, 7, 3]
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


def test_an_installation_that_makes_other_inputs(folder: Path) -> None:
    change_manifest(folder, lambda m: m["towers"][0]["text"].update(max_tokens=5))
    with pytest.raises(
        BundleError, match=r"computes other inputs of tower 'test-text' than the exp"
    ):
        Bundle(folder).tower_inputs("test-text")
