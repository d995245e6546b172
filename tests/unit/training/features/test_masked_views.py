from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.profiles import cover, pieces, vocabulary
from training.features.bags import inverse_document_frequency
from training.features.masked_views import (
    MIN_SIDE,
    VECTOR_WEIGHT,
    Atom,
    ViewMaker,
    split_text,
)
from training.tasks.atom_views import Parts

WORDS = vocabulary()


def maker(rho: float = 0.1, group: float = 0.3) -> ViewMaker:
    return ViewMaker(WORDS, rho, group)


def profile(**content) -> list[Piece]:
    return pieces_of(StreamerProfile.model_validate({"streamer_id": "x", **content}))


IDF = inverse_document_frequency(WORDS).astype(np.float64)


def atom(tokens: set[int], vectors: int = 0, modality: str = "tags") -> Atom:
    weight = IDF[list(tokens)].sum() + vectors * VECTOR_WEIGHT
    return Atom(modality, (), tuple(sorted(tokens)), vectors * VECTOR_WEIGHT, weight)


atoms = st.lists(
    st.builds(
        atom,
        st.sets(st.integers(1, len(WORDS.tokens)), min_size=1, max_size=12),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.sampled_from(["tags", "bio", "videos", "covers"]),
    ),
    max_size=40,
)


def shown(cut: Sequence[Atom], places: Sequence[int], hidden: np.ndarray) -> set[int]:
    return {t for i in places for t in cut[i].tokens} - set(hidden.tolist())


@pytest.mark.slow
@given(atoms, st.floats(0, 0.9), st.floats(0, 1), st.integers(0, 2**32))
def test_the_overlap_is_bounded_for_every_streamer_and_draw(
    cut: list[Atom], rho: float, group: float, seed: int
):
    views = maker(rho, group).draw(cut, np.random.default_rng(seed))
    if views is None:
        return
    first, second = views.places
    assert len(set(first)) == len(first)
    assert len(set(second)) == len(second)
    assert set(first) | set(second) == set(range(len(cut)))
    tokens = [shown(cut, *view) for view in zip(views.places, views.hidden, strict=True)]
    assert tokens[0] | tokens[1] == {t for a in cut for t in a.tokens}
    vectors = [sum(cut[i].vectors for i in view) for view in views.places]
    sides = [IDF[list(t)].sum() + v for t, v in zip(tokens, vectors, strict=True)]
    shared = IDF[list(tokens[0] & tokens[1])].sum()
    shared += sum(cut[i].vectors for i in set(first) & set(second))
    assert shared <= rho * min(sides) * (1 + 1e-9)
    assert views.overlap == pytest.approx(shared / min(sides))
    assert min(sides) >= MIN_SIDE * (sum(sides) - shared) * (1 - 1e-9)


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
                    "title": st.lists(
                        st.sampled_from(["noodles", "and", "soup!", "boss", "raid", "唱歌 弹唱"]),
                        max_size=4,
                    ).map(" ".join),
                    "cover": st.sampled_from([cover(1, 0, 0, 0), cover(0, 1, 0, 0)]),
                }
            ),
            max_size=6,
        ),
    }
)


@pytest.mark.slow
@given(contents, st.floats(0, 0.9), st.integers(0, 1000))
def test_the_bound_holds_for_what_the_encoder_reads(content: dict, rho: float, seed: int):
    made = maker(rho)
    cut = made.atoms(profile(**content))
    assert all(a.weight > 0 and a.modality != "name" for a in cut)
    views = made.draw(cut, np.random.default_rng(seed))
    if views is None:
        return
    parts = Parts([[a.pieces for a in cut]], WORDS)
    tokens, vectors = [], []
    for places, hidden in zip(views.places, views.hidden, strict=True):
        read = parts.together([0], [places]).without([hidden])
        tokens.append({i for i in read.ids.tolist() if WORDS.is_known(i)})
        kept = (p for i in places for p in cut[i].pieces if p.kind == "vector")
        vectors.append({p.content_hash for p in kept})
        assert tokens[-1] or any(p.any() for p in read.pooled)
    sides = [
        IDF[list(t)].sum() + VECTOR_WEIGHT * len(v) for t, v in zip(tokens, vectors, strict=True)
    ]
    shared = IDF[list(tokens[0] & tokens[1])].sum()
    shared += VECTOR_WEIGHT * len(vectors[0] & vectors[1])
    assert shared <= rho * min(sides) * (1 + 1e-9)
    assert views.overlap == pytest.approx(shared / min(sides))


def test_a_word_of_every_title_is_read_in_one_view_only():
    """At rho = 0; it is in some view, and the rest of each title stays."""
    cut = maker().atoms(
        profile(
            videos=[
                {"video_id": w, "title": f"and {w}"} for w in ("noodles", "soup", "raid", "boss")
            ]
        )
    )
    assert len(cut) == 4
    common = set.intersection(*(set(a.tokens) for a in cut))
    assert common
    views = maker(0.0, 0).draw(cut, np.random.default_rng(0))
    assert views is not None
    one, other = (set(hidden.tolist()) for hidden in views.hidden)
    assert common <= one | other
    assert not common & one & other


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
    cut = [atom({1 + i}) for i in range(40)]
    views = maker(0.1, 0).draw(cut, np.random.default_rng(0))
    assert views is not None
    assert len(set(views.places[0]) & set(views.places[1])) in (1, 2)
    assert 0.05 < views.overlap <= 0.1


def test_no_overlap_when_none_is_allowed():
    cut = [atom({1 + i, 20}) for i in range(10)]
    views = maker(0.0, 0).draw(cut, np.random.default_rng(0))
    assert views is not None
    assert not set(views.places[0]) & set(views.places[1])
    assert np.concatenate(views.hidden).tolist() == [20]


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
