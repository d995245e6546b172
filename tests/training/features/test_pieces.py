"""Flat pieces are those of the features, whatever is taken, kept or put together."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.training.profiles import cover, pieces, vocabulary
from training.config import RecipeConfig
from training.features.bags import Bags, corpus_bags, tf_idf
from training.features.dropout import drop_tokens
from training.features.pieces import directions

WORDS = dataclasses.replace(vocabulary(), piece_table=True)


def dated(profiles: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
    """With the i-th piece of a video shown a hundred days before the one ahead of it."""
    return [
        [
            dataclasses.replace(p, time_s=1e9 - i * 8.64e6 if "videos" in p.source else None)
            for i, p in enumerate(each)
        ]
        for each in profiles
    ]


EVERYONE = [*dated(pieces()), [], *dated(pieces()[:1])]

Entry = tuple[int, ...]


def of_features(features: Features) -> tuple[list[Entry], list[Entry], list[list[float]]]:
    """(piece, modality, id, count, spread) of tokens, (modality, age) of pieces, the vectors."""
    table = features.pieces
    assert table is not None
    columns = (
        table.token_piece - 1,
        features.token_modality,
        features.token_ids,
        features.token_counts,
        table.token_spread,
    )
    tokens = list(zip(*(column.tolist() for column in columns), strict=True))
    shown = list(zip(table.modality.tolist(), table.age.tolist(), strict=True))
    vectors = zip(table.vectors_piece[0] - 1, directions(features.vectors[0]), strict=True)
    return tokens, shown, [[float(place), *v.astype(np.float32).tolist()] for place, v in vectors]


def of_bags(bags: Bags, row: int) -> tuple[list[Entry], list[Entry], list[list[float]]]:
    """The same of a row."""
    found = bags.pieces
    assert found is not None
    part, own = (slice(p[row], p[row + 1]) for p in (bags.indptr, found.indptr))
    columns = (
        found.token_piece[part],
        bags.modality[part],
        bags.ids[part],
        bags.counts[part],
        found.token_spread[part],
    )
    tokens = list(zip(*(column.tolist() for column in columns), strict=True))
    shown = list(zip(found.modality[own].tolist(), found.age[own].tolist(), strict=True))
    space = found.vectors[0]
    part = slice(space.indptr[row], space.indptr[row + 1])
    vectors = zip(space.piece[part], space.values[part], strict=True)
    return tokens, shown, [[float(place), *v.tolist()] for place, v in vectors]


@pytest.fixture(scope="module")
def bags() -> Bags:
    return corpus_bags(EVERYONE, WORDS)[0]


def test_rows_are_the_pieces_of_the_profiles(bags: Bags):
    for row, each in enumerate(EVERYONE):
        assert of_bags(bags, row) == of_features(Featurizer(WORDS).from_pieces(each))


def test_take_repeats_and_reorders(bags: Bags):
    taken = bags.take(np.array([3, 0, 18, 3]))
    for row, source in enumerate((3, 0, 18, 3)):
        assert of_bags(taken, row) == of_bags(bags, source)
    assert len(bags.take(np.zeros(0, np.int64))) == 0


def test_keep_leaves_pieces_in_place(bags: Bags):
    kept = bags.keep(bags.modality == 3)
    for row in range(len(bags)):
        tokens, shown, vectors = of_bags(bags, row)
        assert of_bags(kept, row) == ([t for t in tokens if t[1] == 3], shown, vectors)


def test_hidden_pieces_show_no_vectors(bags: Bags):
    assert bags.pieces is not None
    second = np.arange(len(bags.pieces.modality)) % 2 == 1
    hidden = dataclasses.replace(bags, pieces=bags.pieces.hide(second))
    seen = 0
    for row in range(len(bags)):
        tokens, shown, vectors = of_bags(bags, row)
        first = bags.pieces.indptr[row]
        expected = [v for v in vectors if not second[first + int(v[0])]]
        assert of_bags(hidden, row) == (tokens, shown, expected)
        seen += len(vectors) - len(expected)
    assert seen > 0


def test_parts_that_are_put_together_are_the_whole():
    item = [[p.source.partition(".")[0] for p in each] for each in EVERYONE]
    parts, newest, group = [], [], []
    for row, each in enumerate(EVERYONE):
        times = [p.time_s for p in each if p.time_s is not None]
        for name in dict.fromkeys(item[row]):
            parts.append([p for p, own in zip(each, item[row], strict=True) if own == name])
            newest.append(max(times, default=0.0))
            group.append(row)
    apart, _ = corpus_bags(parts, WORDS, newest)
    merged = apart.merge(np.array(group), len(EVERYONE))
    whole, _ = corpus_bags(EVERYONE, WORDS)
    for row in range(len(EVERYONE)):
        assert of_bags(merged, row) == of_bags(whole, row)
        np.testing.assert_allclose(merged.pooled[0][row], whole.pooled[0][row], atol=1e-6)


def test_tf_idf_counts_a_token_of_many_pieces_as_before(bags: Bags):
    together = dataclasses.replace(WORDS, piece_table=False)
    before = tf_idf(corpus_bags(EVERYONE, together)[0], together)
    np.testing.assert_allclose(tf_idf(bags, WORDS).toarray(), before.toarray(), atol=1e-6)


def test_dropout_hides_a_token_everywhere_or_nowhere_and_modalities_but_never_all():
    title = {"title": "noodles soup boss", "cover": cover(1, 2, 3, 4)}
    videos = [{"video_id": f"v{i}", **title} for i in range(3)]
    profile = StreamerProfile.model_validate(
        {"streamer_id": "x", "bio": "noodles soup boss raid", "tags": ["music"], "videos": videos}
    )
    many = corpus_bags([pieces_of(profile)], WORDS)[0].take(np.zeros(4000, np.int64))
    config = RecipeConfig(token_dropout=0.25, modality_dropout=0.3)
    found = drop_tokens(many, config, np.random.default_rng(0))
    assert found.pieces is not None
    kinds = [1 + MODALITIES.index(name) for name in ("bio", "tags", "videos", "covers")]
    shows = np.zeros((4000, 4), bool)
    for row in range(4000):
        tokens, _, vectors = of_bags(found, row)
        shows[row] = [any(t[1] == kind for t in tokens) for kind in kinds[:3]] + [bool(vectors)]
        titles = [
            {t[2] for t in tokens if t[0] == place and t[1] == kinds[2]} for place in range(9)
        ]
        assert len({frozenset(ids) for ids in titles if ids}) <= 1
        assert len(vectors) in (0, 3)
    hidden = 1 - shows.mean(0)
    # A tag is also hidden as a token; what would hide everything hides nothing.
    expected = np.array([0.3, 0.3 + 0.7 * 0.25, 0.3, 0.3]) - 0.3**4
    np.testing.assert_allclose(hidden, expected, atol=0.03)
    assert len(found.ids) / len(many.ids) == pytest.approx(0.75 * (0.7 + 0.3**4), abs=0.02)
    nothing = RecipeConfig(token_dropout=0.0, modality_dropout=0.5)
    assert (np.diff(drop_tokens(many, nothing, np.random.default_rng(1)).indptr) >= 0).all()
