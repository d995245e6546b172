"""Shared evidence by hand."""

from collections.abc import Sequence

import pytest

from model_export.contract.pieces import Piece
from service.engine.evidence.shared_content import MAX_SAME, SameContent, contents_of, same_contents


def picture(modality: str, source: str, digest: str = "data:1") -> Piece:
    return Piece(modality, "media", source, payload_digest=digest)


def vector(modality: str, source: str, *numbers: float, space: str = "s") -> Piece:
    return Piece(modality, "vector", source, vector=numbers, space=space)


def title(source: str, text: str) -> Piece:
    return Piece(source.split("[")[0], "text", source, text=text)


def shared(seed: Sequence[Piece], hit: Sequence[Piece]) -> dict[str, list[tuple[str, str]]]:
    found = same_contents(contents_of(seed, set()), contents_of(hit, set()))
    return {kind: [(same.seed, same.hit) for same in pairs] for kind, pairs in found.items()}


def test_a_picture_is_the_same_wherever_it_is_shown() -> None:
    seed = [picture("avatar", "avatar"), vector("covers", "videos[0].cover", 1, 2)]
    hit = [
        picture("frames", "lives[0].frames[2]"),
        vector("avatar", "avatar", 1, 2),
        vector("covers", "videos[1].cover", 1, 2.5),
    ]
    assert shared(seed, hit) == {
        "pictures": [("avatar", "lives[0].frames[2]"), ("videos[0].cover", "avatar")]
    }


def test_a_sound_is_no_picture_and_a_space_is_part_of_a_vector() -> None:
    assert shared([picture("audio", "lives[0].audio")], [picture("avatar", "avatar")]) == {}
    assert (
        shared([vector("avatar", "avatar", 1, 2)], [vector("avatar", "avatar", 1, 2, space="t")])
        == {}
    )
    sounds = [vector("audio", f"videos[{i}].audio", 3, 4) for i in range(2)]
    assert shared(sounds[:1], sounds[1:]) == {"sounds": [("videos[0].audio", "videos[1].audio")]}


def test_titles_are_the_same_by_their_words() -> None:
    seed = [title("videos[0].title", "Night, Kitchen!"), title("lives[0].title", "late")]
    hit = [title("lives[1].title", "night kitchen"), title("videos[3].title", "LATE 🎮")]
    assert shared(seed, hit) == {"titles": [("videos[0].title", "lives[1].title")]}


@pytest.mark.parametrize(
    "piece",
    [
        Piece("bio", "text", "bio", text="night kitchen"),
        Piece("name", "text", "name", text="night kitchen"),
        Piece("tags", "tag", "tags[0]", text="night"),
        Piece("videos", "tag", "videos[0].tags[0]", text="night"),
        Piece("videos", "category", "videos[0].category", text="night"),
        title("videos[0].title", "?! ~"),
        vector("avatar", "avatar", 0, 0),
        vector("avatar", "avatar", 1e-300, -0.0),
        vector("bio", "bio", 1, 2),  # what a model made of a text is no content of its own
    ],
)
def test_what_is_no_evidence(piece: Piece) -> None:
    assert shared([piece], [piece]) == {}


def test_what_everyone_shows_is_no_evidence() -> None:
    placeholder, own = picture("avatar", "avatar"), picture("covers", "videos[0].cover", "data:2")
    boring = {placeholder.content_hash}
    contents = contents_of([placeholder, own], boring)
    assert same_contents(contents, contents) == {
        "pictures": [SameContent("videos[0].cover", "videos[0].cover")]
    }


def test_each_content_once_and_a_few_of_a_kind() -> None:
    seed = [picture("covers", f"videos[{i}].cover", f"data:{i // 2}") for i in range(20)]
    hit = [picture("frames", f"lives[0].frames[{i}]", f"data:{9 - i}") for i in range(10)]
    assert shared(seed, hit) == {
        "pictures": [(f"videos[{2 * i}].cover", f"lives[0].frames[{9 - i}]") for i in range(3)]
    }
    assert MAX_SAME == 3
