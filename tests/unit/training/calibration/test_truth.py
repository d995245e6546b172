"""Who is asked, and what counts as right, by what a data set knows."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from model_export.contract.pieces import pieces_of
from training.calibration import truth as truths
from training.calibration.truth import Truth, duplicate_truth, held_out_truth
from training.config import RecipeConfig
from training.data import Dataset
from training.data.vectors import IdEmbeddings
from training.preparation.stage import Stage, prepare


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    config = RecipeConfig(dim=16, table_dim=32, hidden_dim=16)
    return prepare(world, pieces, world.rows("train"), None, config, seed=0, threads=1)


def of(stage: Stage, **change) -> Stage:
    """The same stage without any truth but what is given."""
    nothing = dict.fromkeys(("interactions", "relations", "id_embeddings", "labels", "duplicates"))
    return replace(stage, dataset=replace(stage.dataset, **{**nothing, **change}))


def known(found: Truth | str) -> Truth:
    assert isinstance(found, Truth), found
    return found


def right(found: Truth) -> np.ndarray:
    return found.is_right(np.arange(len(found.queries)))


def test_audiences_come_first(stage: Stage):
    found = known(held_out_truth(stage))
    assert "at least 2 users in common" in found.source
    split, interactions = stage.dataset.split, stage.dataset.interactions
    assert interactions is not None
    assert set(split[found.queries]) == {"val"}
    assert set(split[found.gallery]) == {"train"}
    assert stage.usable[found.queries].all()
    watched = interactions.matrix.toarray() > 0
    assert (watched[np.concatenate([found.queries, found.gallery])].sum(1) >= 2).all()
    shared = watched[found.queries].astype(int) @ watched[found.gallery].astype(int).T
    np.testing.assert_array_equal(right(found), shared >= 2)


def test_relations_are_an_audience(stage: Stage):
    count = len(stage.dataset.ids)
    everyone = sp.csr_matrix(np.ones((count, count), np.float32) - np.eye(count, dtype=np.float32))
    found = known(held_out_truth(of(stage, relations=everyone)))
    assert "related streamers in common" in found.source
    assert right(found).all()


def test_then_id_embeddings(stage: Stage):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(stage.dataset.ids), 4)).astype(np.float32)
    given = IdEmbeddings(list(stage.dataset.ids), vectors, None, None)
    found = known(held_out_truth(of(stage, id_embeddings=given)))
    assert "ID-embeddings with a cosine of at least" in found.source
    per_query = right(found).sum(1)
    assert 10 < np.median(per_query) < 40  # about the twenty nearest


def test_then_labels(stage: Stage):
    found = known(held_out_truth(of(stage, labels=stage.dataset.labels)))
    assert "right = the same label" in found.source
    labels = np.array(stage.dataset.labels, object)
    np.testing.assert_array_equal(
        right(found), labels[found.queries][:, None] == labels[found.gallery]
    )
    some = [label if row % 2 else None for row, label in enumerate(labels)]
    found = known(held_out_truth(of(stage, labels=some)))
    assert (np.concatenate([found.queries, found.gallery]) % 2 == 1).all()


def test_then_duplicates_which_are_whole_within_a_split(stage: Stage):
    groups = np.arange(len(stage.dataset.ids))
    pair = stage.dataset.rows("val")[stage.usable[stage.dataset.rows("val")]][:2]
    groups[pair] = groups[pair[0]]
    found = known(held_out_truth(of(stage, duplicates=groups)))
    assert "right = known duplicates" in found.source
    assert set(stage.dataset.split[found.gallery]) == {"train", "val"}
    assert right(found)[np.isin(found.queries, pair)].sum() == 4  # the pair, both ways, and oneself


@pytest.mark.parametrize(
    ("split", "message"),
    [("val", "no audiences, ID-embeddings, labels or known dup"), ("", "no validation streamers")],
)
def test_without_any_truth_the_reason_is_told(stage: Stage, split: str, message: str):
    bare = of(stage)
    places = np.where(bare.dataset.split == "val", split or "train", bare.dataset.split)
    found = held_out_truth(replace(bare, dataset=replace(bare.dataset, split=places)))
    assert isinstance(found, str)
    assert found.startswith("none: the training data has ")
    assert message in found


def test_duplicates_are_asked_for_among_all_that_may_be_known(stage: Stage):
    found = known(duplicate_truth(stage))
    assert set(stage.dataset.split[found.queries]) == {"train", "val"}
    groups = stage.dataset.duplicates
    assert groups is not None
    np.testing.assert_array_equal(found.cluster, groups[found.queries])
    assert "no known duplicates" in str(duplicate_truth(of(stage)))


def test_of_many_streamers_all_duplicates_and_some_others_are_taken(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    whole = known(duplicate_truth(stage))
    groups = stage.dataset.duplicates
    assert groups is not None
    copies = np.bincount(groups[whole.queries])[groups[whole.queries]] > 1
    monkeypatch.setattr(truths, "MAX_QUERIES", 2 * int(copies.sum()))
    monkeypatch.setattr(truths, "MAX_GALLERY", 2 * int(copies.sum()))
    part = known(duplicate_truth(stage))
    assert len(part.queries) == 2 * copies.sum()
    assert set(whole.queries[copies]) <= set(part.queries)
    assert part.query_weight.sum() == pytest.approx(len(whole.queries))
    assert part.gallery_weight.sum() == pytest.approx(len(whole.gallery))
    assert (part.query_weight[np.isin(part.queries, whole.queries[copies])] == 1).all()
