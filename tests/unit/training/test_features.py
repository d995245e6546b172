"""Bags of tokens, vocabularies, dropout and masked views."""

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer

from model_export.contract.features import Featurizer
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.helpers import cover, pieces, vocabulary
from training.config import RecipeConfig
from training.errors import DataError
from training.features.bags import (
    Bags,
    corpus_bags,
    inverse_document_frequency,
    mean_direction,
    tf_idf,
)
from training.features.dropout import drop_tokens
from training.features.lossy_counting import FrequencyCounter
from training.features.masked_views import (
    VECTOR_WEIGHT,
    ViewMaker,
)
from training.features.vocabulary import build_vocabulary
from training.tasks.atom_views import Parts


def entries(bags: Bags, row: int) -> Counter:
    part = slice(bags.indptr[row], bags.indptr[row + 1])
    keys = zip(bags.modality[part].tolist(), bags.ids[part].tolist(), strict=True)
    return Counter(dict(zip(keys, bags.counts[part].tolist(), strict=True)))


@pytest.fixture(scope="module")
def bags() -> Bags:
    return corpus_bags(pieces(), vocabulary())[0]


def test_rows_are_the_features_of_the_profiles(bags: Bags):
    featurizer = Featurizer(vocabulary())
    for row, each in enumerate(pieces()):
        features = featurizer.from_pieces(each)
        keys = zip(features.token_modality.tolist(), features.token_ids.tolist(), strict=True)
        expected = Counter(dict(zip(keys, features.token_counts.tolist(), strict=True)))
        assert entries(bags, row) == expected
        np.testing.assert_array_equal(bags.pooled[0][row], mean_direction(features.vectors[0]))


def test_tokens_are_dropped_from_their_row_in_all_modalities(bags: Bags):
    dropped = [bags.ids[bags.indptr[row] :][: row % 3] for row in range(len(bags))]
    left = bags.without([ids.astype(np.int64) for ids in dropped])
    for row, ids in enumerate(dropped):
        expected = {k: n for k, n in entries(bags, row).items() if k[1] not in ids}
        assert entries(left, row) == expected
    assert len(bags.take(np.zeros(0, np.int64)).without([])) == 0


def test_merged_pieces_are_the_features_of_all_of_them():
    each = [one for profile in pieces() for one in profile]
    group = np.repeat(np.arange(len(pieces())), [len(profile) for profile in pieces()])
    single, _ = corpus_bags([[one] for one in each], vocabulary())
    merged = single.merge(group, len(pieces()) + 1)
    whole, _ = corpus_bags(pieces(), vocabulary())
    for row in range(len(whole)):
        assert entries(merged, row) == entries(whole, row)
        np.testing.assert_allclose(merged.pooled[0][row], whole.pooled[0][row], atol=1e-6)
    assert merged.lengths[-1] == 0


def test_tf_idf_agrees_with_an_independent_library(bags: Bags):
    words, count = vocabulary(), np.zeros((len(bags), 1 + len(vocabulary().tokens)))
    one_modality = bags.keep((bags.modality == 2) & (bags.ids <= len(words.tokens)))
    for row in range(len(bags)):
        for (_, token), times in entries(one_modality, row).items():
            count[row, token] = times
    transformer = TfidfTransformer(sublinear_tf=True, smooth_idf=True)
    transformer.fit(np.ones((1, count.shape[1])))
    df = np.array([0, *words.document_frequency])
    transformer.idf_ = np.log((1 + words.documents) / (1 + df)) + 1
    expected = transformer.transform(count)
    assert isinstance(expected, sp.csr_matrix)
    found = tf_idf(one_modality, words).toarray()
    np.testing.assert_allclose(found, expected.toarray(), atol=1e-6)


KNOWN, ROWS = 9, 4000
UNKNOWN = 10


def bags_of(tokens: list[int], vector: float | None) -> Bags:
    """Many rows of these tokens, and of a vector in a space, or none."""
    count = len(tokens) * ROWS
    pooled = () if vector is None else (np.full((ROWS, 2), vector, np.float32),)
    return Bags(
        indptr=np.arange(ROWS + 1) * len(tokens),
        ids=np.tile(np.array(tokens, np.int32), ROWS),
        counts=np.ones(count, np.uint16),
        modality=np.ones(count, np.uint8),
        pooled=pooled,
    )


def known_left(bags: Bags) -> np.ndarray:
    row = np.repeat(np.arange(len(bags)), bags.lengths)
    return np.bincount(row[bags.ids <= KNOWN], minlength=len(bags))


@pytest.mark.parametrize("vector", [None, 0.0, 1.0])
@pytest.mark.parametrize("tokens", [[3], [3, UNKNOWN], [2, 3, UNKNOWN], [1, 2, 3, 4]])
def test_a_row_keeps_something_that_the_encoder_reads(tokens: list[int], vector: float | None):
    config = RecipeConfig(token_dropout=0.7, modality_dropout=0.4)
    found = drop_tokens(bags_of(tokens, vector), KNOWN, config, np.random.default_rng(0))
    shows_vector = np.zeros(ROWS, bool) if vector is None else found.pooled[0].any(1)
    assert (shows_vector | (known_left(found) > 0)).all()
    if vector == 1:  # hidden where a token is left
        share = 0.4 * (1 - 0.7 ** sum(token <= KNOWN for token in tokens))
        assert (~shows_vector).mean() == pytest.approx(share, abs=0.03)


def things(seed: int) -> list[list[str]]:
    """What 2,000 profiles show: few frequent things, and many that are seen once."""
    rng = np.random.default_rng(seed)
    return [
        [*{f"t{k}" for k in rng.zipf(1.5, 10)}, *(f"own{i}-{j}" for j in range(5))]
        for i in range(2000)
    ]


def test_beyond_it_the_frequent_ones_are_known_and_fall_short_by_little():
    counter, expected, most = FrequencyCounter(1000), Counter[str](), 0
    for each in things(1):
        counter.update(each)
        expected.update(each)
        most = max(most, len(counter.counts))
    assert most <= 1000
    assert 0 < counter.missed < 100
    for thing, count in expected.items():
        assert count - counter.missed <= counter.counts[thing] <= count


WORDS = vocabulary()


def maker(rho: float = 0.1, group: float = 0.3) -> ViewMaker:
    return ViewMaker(WORDS, rho, group)


def profile(**content) -> list[Piece]:
    return pieces_of(StreamerProfile.model_validate({"streamer_id": "x", **content}))


IDF = inverse_document_frequency(WORDS).astype(np.float64)


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


def test_names_and_ids_never_come_into_a_view():
    for each in pieces():
        for a in maker().atoms(each):
            assert a.modality != "name"
            assert all(p.source != "name" for p in a.pieces)


def test_one_tag_gives_no_views():
    cut = maker().atoms(profile(tags=["cooking"], name="cooking person"))
    assert len(cut) == 1
    assert maker().draw(cut, np.random.default_rng(0)) is None


def profiles(*contents: dict) -> list:
    return [
        pieces_of(StreamerProfile.model_validate({"streamer_id": f"s{i}", **content}))
        for i, content in enumerate(contents)
    ]


def test_counts_each_streamer_once_whatever_the_modality():
    found = build_vocabulary(
        profiles({"bio": "soup soup", "name": "soup"}, {"bio": "Soup!"}, {"bio": "bread"})
    )
    assert (list(found.tokens), list(found.document_frequency)) == (["w=soup"], [2])
    assert found.documents == 3


def test_the_most_frequent_tokens_are_kept():
    contents = [{"tags": ["a", "b", "c"]}, {"tags": ["a", "b", "c"]}, {"tags": ["b", "c"]}]
    assert list(build_vocabulary(profiles(*contents), max_tokens=2).tokens) == ["t=b", "t=c"]
    assert list(build_vocabulary(profiles(*contents), max_tokens=2).document_frequency) == [3, 3]


def test_texts_and_vectors_that_many_share_are_uninformative():
    placeholder = {"vector": [1.0, 2.0], "space": "covers"}
    contents = [
        {"bio": "欢迎关注!!", "avatar": placeholder, "tags": ["fun", f"own{i % 3}"]}
        for i in range(6)
    ]
    found = build_vocabulary(profiles(*contents))
    features = Featurizer(found).from_pieces(profiles(contents[0])[0])
    assert features.status["bio"] == "uninformative"
    assert features.status["avatar"] == "uninformative"
    assert features.status["tags"] == "used"
    assert "t=fun" in found.tokens
    assert not [token for token in found.tokens if "欢" in token]


def test_texts_that_differ_in_numbers_and_signs_alone_are_counted_together():
    titles = ["video 1", "Video #2!", "VIDEO 3 🎮", "video４", "video 5", "video  66"]
    contents = [
        {"bio": f"own {word}", "videos": [{"video_id": "v", "title": title}]}
        for word, title in zip("abcdef", titles, strict=True)
    ]
    found = build_vocabulary(profiles(*contents))
    assert len(found.uninformative) == 1
    assert not [token for token in found.tokens if "video" in token]
    unseen = {"videos": [{"video_id": "v", "title": "video 777"}]}
    featurizer = Featurizer(found)
    assert featurizer.from_pieces(profiles(unseen)[0]).status["videos"] == "uninformative"
    # The same streamer six times is one streamer.
    assert not build_vocabulary(
        profiles(
            {"videos": [{"video_id": f"v{i}", "title": title} for i, title in enumerate(titles)]}
        )
    ).uninformative


def test_spaces_are_those_of_the_profiles():
    contents = [
        {"avatar": {"vector": [1.0, 2.0], "space": "faces"}},
        {"avatar": {"vector": [1.0], "space": "a"}},
    ]
    spaces = build_vocabulary(profiles(*contents)).spaces
    assert [(s.name, s.width) for s in spaces] == [("a", 1), ("faces", 2)]


def test_one_space_has_one_width():
    contents = [{"avatar": {"vector": [1.0] * n, "space": "faces"}} for n in (2, 3)]
    with pytest.raises(DataError, match=r"'faces' has 2 numbers in one .* and 3 in another"):
        build_vocabulary(profiles(*contents))
