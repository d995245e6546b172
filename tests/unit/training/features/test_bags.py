from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer

from model_export.contract.features import Featurizer
from tests.unit.training.profiles import pieces, vocabulary
from training.features.bags import Bags, corpus_bags, mean_direction, tf_idf


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


def test_take_repeats_and_reorders(bags: Bags):
    taken = bags.take(np.array([3, 0, 3]))
    for row, source in enumerate((3, 0, 3)):
        assert entries(taken, row) == entries(bags, source)
        np.testing.assert_array_equal(taken.pooled[0][row], bags.pooled[0][source])
    assert len(bags.take(np.zeros(0, np.int64))) == 0


def test_keep_leaves_rows_in_place(bags: Bags):
    kept = bags.keep(bags.modality == 3)
    for row in range(len(bags)):
        expected = {key: count for key, count in entries(bags, row).items() if key[0] == 3}
        assert entries(kept, row) == expected


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


def test_vectors_of_unseen_spaces_are_left_out():
    vocabulary_without = vocabulary()
    object.__setattr__(vocabulary_without, "spaces", ())
    bags, usable = corpus_bags(pieces(), vocabulary_without)
    assert bags.pooled == ()
    assert usable.all()


def test_nothing_but_a_language_is_not_usable():
    language_only = [[one for one in profile if one.kind == "language"] for profile in pieces()]
    assert not corpus_bags(language_only, vocabulary())[1].any()


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
