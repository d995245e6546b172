from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.training.profiles import cover, pieces, vocabulary
from training.features.masked_views import MIN_SIDE, Atom, ViewMaker, overlap, split_text

WORDS = vocabulary()


def maker(rho: float = 0.1, group: float = 0.3) -> ViewMaker:
    return ViewMaker(WORDS, rho, group)


def profile(**content) -> list[Piece]:
    return pieces_of(StreamerProfile.model_validate({"streamer_id": "x", **content}))


def atom(weight: float, modality: str = "tags") -> Atom:
    return Atom(modality, (Piece(modality, "tag", "tags[0]", text="t"),), weight)


atoms = st.lists(
    st.builds(
        atom,
        st.floats(1e-3, 1e3),
        st.sampled_from(["tags", "bio", "videos", "covers"]),
    ),
    max_size=40,
)


@given(atoms, st.floats(0, 0.9), st.floats(0, 1), st.integers(0, 2**32))
def test_the_overlap_is_bounded_for_every_streamer_and_draw(
    cut: list[Atom], rho: float, group: float, seed: int
):
    views = maker(rho, group).draw(cut, np.random.default_rng(seed))
    if views is None:
        return
    first, second = views
    assert len(set(first)) == len(first)
    assert len(set(second)) == len(second)
    assert set(first) | set(second) == set(range(len(cut)))
    shared = sum(cut[i].weight for i in set(first) & set(second))
    sides = [sum(cut[i].weight for i in view) for view in views]
    assert shared <= rho * min(sides) * (1 + 1e-9)
    assert overlap(cut, first, second) == pytest.approx(shared / min(sides))
    disjoint = [side - shared for side in sides]
    assert min(sides) >= MIN_SIDE * (sum(disjoint) + shared) * (1 - 1e-9)


texts = st.text("ab红烧肉🍜 .!\n", max_size=30)
contents = st.fixed_dictionaries(
    {
        "name": texts,
        "bio": texts,
        "tags": st.lists(st.sampled_from(["cooking", "soup", "raid", "guitar"]), max_size=6),
        "videos": st.lists(
            st.fixed_dictionaries(
                {
                    "video_id": st.just("v"),
                    "title": st.sampled_from(
                        ["noodles and soup", "soup and noodles!", "boss raid", "唱歌 弹唱", ""]
                    ),
                    "cover": st.sampled_from([cover(1, 0, 0, 0), cover(0, 1, 0, 0)]),
                }
            ),
            max_size=6,
        ),
    }
)


@given(contents, st.integers(0, 1000))
def test_the_bound_holds_for_what_the_encoder_sees(content: dict, seed: int):
    made = maker()
    cut = made.atoms(profile(**content))
    assert all(a.weight > 0 and a.modality != "name" for a in cut)
    views = made.draw(cut, np.random.default_rng(seed))
    if views is None:
        return
    hashes = [{p.content_hash for i in view for p in cut[i].pieces} for view in views]
    copied = {p.content_hash for i in set(views[0]) & set(views[1]) for p in cut[i].pieces}
    assert hashes[0] & hashes[1] == copied
    assert overlap(cut, *views) <= 0.1 + 1e-9


def test_the_same_said_twice_is_one_atom():
    videos = [
        {"video_id": "a", "title": "Noodles and soup", "cover": cover(1, 2, 3, 4)},
        {"video_id": "b", "title": "soup AND noodles!!", "cover": cover(1, 2, 3, 4)},
        {"video_id": "c", "title": "boss raid"},
    ]
    cut = maker().atoms(profile(videos=videos))
    assert sorted(len(a.pieces) for a in cut) == [1, 2, 2]


def test_names_and_ids_never_come_into_a_view():
    for each in pieces():
        for a in maker().atoms(each):
            assert a.modality != "name"
            assert all(p.source != "name" for p in a.pieces)


def test_a_single_text_is_split():
    cut = maker().atoms(profile(bio="noodles every day. guitar every day"))
    assert sorted(a.pieces[0].text for a in cut) == ["guitar every day", "noodles every day."]


def test_what_outweighs_everything_is_split():
    cut = maker().atoms(profile(bio="noodles soup raid boss guitar vocal every day", tags=["soup"]))
    heaviest = max(a.weight for a in cut)
    assert heaviest <= sum(a.weight for a in cut) / 2


def test_one_tag_gives_no_views():
    cut = maker().atoms(profile(tags=["cooking"], name="cooking person"))
    assert len(cut) == 1
    assert maker().draw(cut, np.random.default_rng(0)) is None


def test_boilerplate_is_no_atom():
    boring = vocabulary()
    object.__setattr__(
        boring, "uninformative", frozenset({Piece("bio", "text", "bio", text="soup").content_hash})
    )
    assert ViewMaker(boring, 0.1, 0).atoms(profile(bio="Soup!")) == []


def test_all_of_the_allowed_overlap_can_be_used():
    cut = [atom(1.0) for _ in range(40)]
    first, second = maker(0.1, 0).draw(cut, np.random.default_rng(0)) or ((), ())
    assert len(set(first) & set(second)) == 2


def test_no_overlap_when_none_is_allowed():
    cut = [atom(1.0) for _ in range(10)]
    first, second = maker(0.0, 0).draw(cut, np.random.default_rng(0)) or ((), ())
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("One here. Two there! Three.", ("One here.", "Two there! Three.")),
        ("你好。再见。", ("你好。", "再见。")),
        ("noodles and soup", ("noodles", "and soup")),
        ("红烧肉", ("红", "烧肉")),
        ("a", ()),
        ("", ()),
    ],
)
def test_texts_are_split_by_sentence_word_or_letter(text: str, halves: Sequence[str]):
    assert split_text(text) == tuple(halves)
