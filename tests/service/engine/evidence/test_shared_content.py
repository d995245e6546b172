"""What two profiles both show, by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerContent
from model_export.contract.vocabulary import Vocabulary
from service.engine.evidence.media_copies import pictures_of, sounds_of
from service.engine.evidence.shared_content import MAX_SAME, Contents, SameContent, SharedContent
from service.engine.evidence.waterfall import Shows, _titles

COMMON = ("w=night", "w=with", "g=今天", "g=天直", "g=直播", "t=music")
VOCABULARY = Vocabulary(COMMON, [400] * 5 + [300], documents=1000)


def picture(modality: str, source: str, digest: str = "data:1") -> Piece:
    return Piece(modality, "media", source, payload_digest=digest)


def vector(modality: str, source: str, *numbers: float, space: str = "s") -> Piece:
    return Piece(modality, "vector", source, vector=numbers, space=space)


def title(source: str, text: str) -> Piece:
    return Piece(source.split("[")[0], "text", source, text=text)


def bio(text: str) -> Piece:
    return Piece("bio", "text", "bio", text=text)


def tag(place: int, text: str) -> Piece:
    return Piece("tags", "tag", f"tags[{place}]", text=text)


def contents(pieces: Sequence[Piece], content: SharedContent) -> Contents:
    boring = content.boilerplate(pieces)
    telling = [piece for piece in pieces if piece.source not in boring]
    return Contents(telling, pictures_of({}), sounds_of({}))


def shared(
    seed: Sequence[Piece], hit: Sequence[Piece], vocabulary: Vocabulary = VOCABULARY
) -> dict[str, list[str] | list[SameContent]]:
    content = SharedContent(vocabulary)
    return content.shared(contents(seed, content), contents(hit, content))


def places(
    seed: Sequence[Piece], hit: Sequence[Piece], vocabulary: Vocabulary = VOCABULARY
) -> dict[str, list[tuple[str, str]]]:
    found = shared(seed, hit, vocabulary)
    return {
        kind: [(one.seed, one.hit) for one in some if isinstance(one, SameContent)]
        for kind, some in found.items()
    }


def quotes(seed: str, hit: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Phrases of two bios, with the disguises."""
    found = shared([bio(seed)], [bio(hit)]).get("phrases", [])
    return [
        (one.seed_quote, one.hit_quote, one.disguises)
        for one in found
        if isinstance(one, SameContent)
    ]


def test_a_picture_is_the_same_wherever_it_is_shown() -> None:
    seed = [picture("avatar", "avatar"), vector("covers", "videos[0].cover", 1, 2)]
    hit = [
        picture("frames", "lives[0].frames[2]"),
        vector("avatar", "avatar", 1, 2),
        vector("covers", "videos[1].cover", 1, 2.5),
    ]
    assert places(seed, hit) == {
        "pictures": [("avatar", "lives[0].frames[2]"), ("videos[0].cover", "avatar")]
    }


def test_vectors_that_are_nearly_equal_are_similar_pictures() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=32), rng.normal(size=32)
    near = one + rng.normal(size=32) * 1e-4
    seed = [vector("covers", "videos[0].cover", *one), vector("avatar", "avatar", *other)]
    hit = [vector("covers", "lives[1].cover", *near)]
    assert places(seed, hit) == {"similar_pictures": [("videos[0].cover", "lives[1].cover")]}


def test_a_sound_is_no_picture_and_a_space_is_part_of_a_vector() -> None:
    assert shared([picture("audio", "lives[0].audio")], [picture("avatar", "avatar")]) == {}
    elsewhere = vector("avatar", "avatar", 1, 2, space="t")
    assert shared([vector("avatar", "avatar", 1, 2)], [elsewhere]) == {}
    sounds = [vector("audio", f"videos[{i}].audio", 3, 4) for i in range(2)]
    assert places(sounds[:1], sounds[1:]) == {"sounds": [("videos[0].audio", "videos[1].audio")]}


def test_titles_are_the_same_by_their_letters_and_are_no_phrases_then() -> None:
    seed = [title("videos[0].title", "Night, Kitchen!"), title("lives[0].title", "late")]
    hit = [title("lives[1].title", "night kitchen"), title("videos[3].title", "LATE 🎮")]
    found = shared(seed, hit)
    assert list(found) == ["titles"]
    first = found["titles"][0]
    assert isinstance(first, SameContent)
    assert (first.seed_quote, first.hit_quote) == ("Night, Kitchen!", "night kitchen")
    assert len(found["titles"]) == 2


def test_a_phrase_is_quoted_in_the_words_of_both() -> None:
    ours = "Every Friday I carve wooden spoons, slowly"
    theirs = "I restore chairs - CARVE WOODEN SPOONS on Sundays"
    assert quotes(ours, theirs) == [("carve wooden spoons", "CARVE WOODEN SPOONS", ())]


def test_a_chinese_phrase_needs_no_blanks() -> None:
    assert quotes("今天直播手冲咖啡豆测评,欢迎", "我爱手冲咖啡豆和茶") == [
        ("手冲咖啡豆", "手冲咖啡豆", ())
    ]


def test_a_phrase_is_found_behind_a_disguise_which_is_named() -> None:
    ((ours, theirs, disguises),) = quotes("carve wooden spoons", "cаrve woоden spооns")
    assert (ours, theirs) == ("carve wooden spoons", "cаrve woоden spооns")
    assert "confusable" in disguises
    ((_, theirs, disguises),) = quotes("手冲咖啡豆测评", "手.冲.咖.啡.豆.测.评")
    assert theirs == "手.冲.咖.啡.豆.测.评"
    assert disguises


def test_syllables_at_the_ends_that_only_sound_alike_are_left_out() -> None:
    assert quotes("手冲咖啡豆直销", "手冲咖啡豆之旅") == [("手冲咖啡豆", "手冲咖啡豆", ())]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a night with you", "one night with friends"),  # common words alone
        ("今天直播", "今天直播了"),
        ("关注我 热门", "关注我 热门 喵"),
        ("follow trending foryou", "please follow trending foryou"),
        ("42 2024 666", "42 2024 666 x"),
        ("an ox", "the ox"),  # too short
    ],
)
def test_common_words_and_boilerplate_are_no_phrases(ours: str, theirs: str) -> None:
    assert quotes(ours, theirs) == []


def test_rare_tags_come_first_and_boilerplate_never() -> None:
    vocabulary = Vocabulary(("t=soup", "t=热门", "t=music"), [20, 20, 500], documents=1000)
    both = [tag(i, text) for i, text in enumerate(["热门", "music", "soup", "#关注", "lathe"])]
    assert shared(both, both[::-1], vocabulary) == {"tags": ["lathe", "soup"]}


def test_contacts_are_named_in_the_words_of_both() -> None:
    found = shared([bio("sing with me, 微信: lark_2041")], [bio("wood, wx：lark_2041 now")])
    (contact,) = found["contacts"]
    assert isinstance(contact, SameContent)
    assert "lark_2041" in contact.seed_quote
    assert "lark_2041" in contact.hit_quote


@pytest.mark.parametrize(
    "piece",
    [
        title("videos[0].title", "?! ~"),
        vector("avatar", "avatar", 0, 0),
        vector("avatar", "avatar", 1e-300, -0.0),
        vector("bio", "bio", 1, 2),  # what a model made of a text is no content of its own
        bio("热门"),
        bio("哈哈哈哈"),
    ],
)
def test_what_is_no_evidence(piece: Piece) -> None:
    assert shared([piece], [piece]) == {}


def test_what_everyone_shows_is_no_evidence() -> None:
    placeholder, own = picture("avatar", "avatar"), picture("covers", "videos[0].cover", "data:2")
    known = Vocabulary((), [], documents=9, uninformative=frozenset({placeholder.content_hash}))
    both = [placeholder, own]
    assert places(both, both, known) == {"pictures": [("videos[0].cover", "videos[0].cover")]}


def test_each_content_once_and_a_few_of_a_kind() -> None:
    seed = [picture("covers", f"videos[{i}].cover", f"data:{i // 2}") for i in range(20)]
    hit = [picture("frames", f"lives[0].frames[{i}]", f"data:{9 - i}") for i in range(10)]
    assert places(seed, hit) == {
        "pictures": [(f"videos[{2 * i}].cover", f"lives[0].frames[{9 - i}]") for i in range(3)]
    }
    assert MAX_SAME == 3


def test_long_texts_take_a_bounded_number_of_steps() -> None:
    same = "spoon " * 40_000
    assert quotes(same, same) == quotes(same[: 6 * 9000], same[: 6 * 9000])


def test_titles_of_emoji_alone_short_ones_and_other_numbers_are_not_the_same() -> None:
    ours, theirs = ("🔥🔥", "ten", "noodles, day 12"), ("🌸", "net", "noodles, day 21")
    sides = [
        [title(f"videos[{place}].title", text) for place, text in enumerate(texts)]
        for texts in (ours, theirs)
    ]
    one, other = (Contents(pieces, pictures_of({}), sounds_of({})) for pieces in sides)
    assert not one.titles.keys() & other.titles.keys()
    profile = StreamerContent()
    shows = [Shows(profile, pieces, pictures_of({}), sounds_of({})) for pieces in sides]
    assert _titles(*shows).quotes == []
    (quote,) = _titles(shows[0], replace(shows[1], pieces=sides[0][2:])).quotes
    assert quote.a == quote.b == ours[2]
