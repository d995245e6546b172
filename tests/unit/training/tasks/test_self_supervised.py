"""`mlm`, `ptum` and `simcse`: what they hide, find and refuse. That they learn: `test_tasks`."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import Media, StreamerProfile
from tests.unit.training.small import SMALL, make_steps, stage_of
from training.config import (
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    RecipeConfig,
    SimcseConfig,
    override,
    with_choices,
)
from training.data import Dataset
from training.errors import DataError, UsageError
from training.features.bags import Bags
from training.preparation.stage import Stage, prepare
from training.tasks.masked_views import MaskedViews
from training.tasks.mlm import Masked, MaskedTokens
from training.tasks.ptum import Ptum, others, time_order
from training.tasks.simcse import Simcse

RNG = np.random.default_rng


def shown_ids(bags: Bags, row: int) -> set[int]:
    return set(bags.ids[bags.indptr[row] : bags.indptr[row + 1]].tolist())


Fresh = Callable[[RecipeConfig], Stage]


@pytest.fixture(scope="module")
def fresh(world: Dataset) -> Fresh:
    """Stages of the world for settings of a task, each encoder still at the start."""
    prepared = cache(lambda kind: stage_of(world, kind(**SMALL)))

    def of(config: RecipeConfig) -> Stage:
        stage = prepared(type(config))
        return replace(stage, encoder=deepcopy(stage.encoder), config=config)

    return of


def strip(world: Dataset, **parts: Any) -> Dataset:
    profiles = [profile.model_copy(update=parts) for profile in world.profiles]
    return replace(world, profiles=profiles)


# how much vectors weigh


def with_covers(world: Dataset, vectors: NDArray[np.float32]) -> Dataset:
    """Everyone shows words of one of nine topics, and these covers (N, 2, W)."""
    profiles = [
        StreamerProfile.model_validate(
            {
                "streamer_id": name,
                "tags": [f"topic{i % 9}word{k}" for k in range(2)],
                "videos": [
                    {"video_id": str(j), "title": f"topic{i % 9}word{2 + j}", "cover": cover}
                    for j, cover in enumerate(
                        {"vector": vector, "space": "covers"} for vector in shown.tolist()
                    )
                ],
            }
        )
        for i, (name, shown) in enumerate(zip(world.ids, vectors, strict=True))
    ]
    return replace(world, profiles=profiles)


@pytest.mark.parametrize(("is_told", "doublings"), [(True, 2), (False, 0)])
def test_vectors_weigh_more_where_they_tell_streamers_apart(
    world: Dataset, is_told: bool, doublings: int
):
    rng, config = RNG(0), MaskedViewsConfig(**SMALL)
    own = rng.normal(size=(len(world.ids), 1, 24))
    vectors = rng.normal(size=(len(world.ids), 2, 24)) * (0.1 if is_told else 1)
    shown = with_covers(world, (vectors + own * is_told).astype(np.float32))
    stage = stage_of(shown, config)
    before = stage.encoder.spaces[0].detach().clone()
    task = MaskedViews(stage, config, shown.rows("val"))
    assert task.choices == {"vector_doublings": doublings}
    torch.testing.assert_close(stage.encoder.spaces[0].detach(), before * 2**doublings)
    again = stage_of(shown, config)
    MaskedViews(again, with_choices(config, task.choices), None)  # as a refit does
    state = stage.encoder.state_dict()
    for name, weights in again.encoder.state_dict().items():
        torch.testing.assert_close(weights, state[name])


# mlm


@pytest.mark.slow
def test_every_masked_token_is_hidden_and_nowhere_shown(fresh: Fresh):
    config = MlmConfig(**SMALL, targets=3)
    task = MaskedTokens(fresh(config), config, None)
    shown, hidden = task.mask(np.arange(20), RNG(0))
    assert (shown.lengths > 0).any()
    assert len(shown) == len(hidden) == 20
    masked = Masked.of(shown, hidden, task.encoder.known, config.targets, RNG(0))
    assert np.bincount(masked.rows).max() == 3
    for row, token in zip(masked.rows.tolist(), masked.ids.tolist(), strict=True):
        assert token in shown_ids(hidden, row) - shown_ids(shown, row)
        assert 0 < token <= task.encoder.known
    for row in range(20):
        both = {i for i in shown_ids(shown, row) | shown_ids(hidden, row) if i}
        known = {i for i in both if i <= task.encoder.known}
        assert set(masked.members[[row]].indices.tolist()) == known


@pytest.mark.slow
def test_the_share_of_hidden_atoms_is_as_configured(fresh: Fresh):
    share = {}
    for mask in (0.1, 0.7):
        config = MlmConfig(**SMALL, mask=mask)
        task = MaskedTokens(fresh(config), config, None)
        shown, hidden = task.mask(np.arange(100), RNG(0))
        assert ((shown.lengths > 0) | np.any([p.any(1) for p in shown.pooled], axis=0)).all()
        share[mask] = hidden.lengths.sum() / (hidden.lengths.sum() + shown.lengths.sum())
    assert share[0.1] < 0.35 < 0.55 < share[0.7]


@pytest.mark.slow
def test_the_head_of_mlm_learns(fresh: Fresh):
    config = MlmConfig(**SMALL)
    task = MaskedTokens(fresh(config), config, None)
    before = {name: p.detach().clone() for name, p in task.module.named_parameters()}
    make_steps(task, 1, learning_rate=1e-2)
    changed = {n for n, p in task.module.named_parameters() if not torch.equal(p, before[n])}
    assert {"head.weight", "encoder.table"} <= changed


def test_mlm_without_two_pieces_says_so(world: Dataset):
    parts = {
        "name": "solo",
        "bio": None,
        "tags": [],
        "category": None,
        "language": None,
        "avatar": None,
    }
    bare = strip(world, **parts, videos=[], lives=[])
    with pytest.raises(DataError, match="has no streamer with two pieces"):
        MaskedTokens(stage_of(bare, MlmConfig(**SMALL)), MlmConfig(**SMALL), None)


# ptum

VIDEOS: list[dict[str, Any]] = [
    {"video_id": "a", "title": "second", "published_at": "2024-01-02T00:00:00Z"},
    {"video_id": "b", "title": "undated"},
    {"video_id": "c", "title": "first", "tags": ["x"], "published_at": "2024-01-01T00:00:00Z"},
    {"video_id": "d", "title": "FIRST!", "tags": ["x"], "published_at": "2024-01-05T00:00:00Z"},
]


def test_behaviours_are_in_time_order_without_names_and_repetitions():
    profile = StreamerProfile.model_validate(
        {
            "streamer_id": "s",
            "name": "me",
            "bio": "hello",
            "videos": VIDEOS,
            "lives": [{"live_id": "l", "title": "third", "started_at": "2024-01-03T00:00:00Z"}],
        }
    )
    rest, *behaviours = time_order(pieces_of(profile))
    assert [piece.text for piece in rest] == ["hello"]
    texts = [[piece.text for piece in each] for each in behaviours]
    assert texts == [["undated"], ["first", "x"], ["second"], ["third"]]


def dated(words: str, days: list[int | None]) -> list[Piece]:
    """A bio, and a title per day."""
    titles = [
        Piece("videos", "text", f"videos[{i}].title", text=f"{words} {'abcdefgh'[i]}", time_s=day)
        for i, day in enumerate(days)
    ]
    return [Piece("bio", "text", "bio", text=f"{words} bio"), *titles]


def test_the_next_are_predicted_from_what_came_before_and_nothing_else(world: Dataset):
    """Neither from what has no date, nor from what came at the same time."""
    days: list[list[int | None]] = [[5, 1, None, 3, 3, 2], [None, None, None], [1, 1, 1], [None, 1]]
    words = [f"{'abcdefghij'[row // 30]}{'abcdefghij'[row % 10]} word" for row in range(300)]
    pieces = [dated(words[row], days[row % 4]) for row in range(300)]
    known = world.rows("train")
    config = PtumConfig(**SMALL, min_document_frequency=1)
    task = Ptum(prepare(world, pieces, known, None, config, seed=0, threads=1), config, None)
    assert {int(known[place]) % 4 for place in task._dated} == {0}
    assert {int(known[place]) % 4 for place in task._streamers} == {0, 1, 2}
    for place in task._dated.tolist():
        # By time: title 2 (undated), 1, 5, 3, 4, 0: places 1 to 6.
        assert task._earlier[place].tolist() == [2, 3]  # 4 has the time of 5
        assert task._behaviours[place][-2:].tolist() == [5, 6]


def test_without_dates_nothing_is_called_next(world: Dataset):
    pieces = [behaviours(5, row) for row in range(300)]
    config = PtumConfig(**SMALL)
    stage = prepare(world, pieces, world.rows("train"), None, config, seed=0, threads=1)
    assert set(Ptum(stage, config, None).losses(0)) == {"masked_loss"}


@pytest.mark.slow
def test_behaviours_of_known_near_duplicates_are_no_negatives(world: Dataset):
    twins = replace(world, duplicates=np.arange(300) // 2)
    config = PtumConfig(**SMALL)
    task = Ptum(stage_of(twins, config), config, None)
    drawn = task._draw(task._streamers, RNG(0))
    groups = task._groups[drawn]
    assert len(drawn) > 20
    assert len(set(groups.tolist())) == len(groups)


def test_negatives_are_distinct_and_of_others():
    drawn = others(6, 4, (2, 6), RNG(0))
    assert drawn.shape == (2, 6, 4)
    for first in drawn:
        for own, each in enumerate(first):
            assert len(set(each)) == 4
            assert own not in each
    assert others(3, 4, (1, 3), RNG(0)).shape == (1, 3, 2)
    assert {tuple(others(6, 1, (1, 6), RNG(i))[0, 0]) for i in range(50)} == {
        (i,) for i in range(1, 6)
    }


def behaviours(count: int, row: int) -> list[Piece]:
    """Titles in letters: those that differ in numbers alone say nothing."""
    spelt = "".join("abcdefghij"[int(digit)] for digit in str(row))
    return [
        Piece("videos", "text", f"videos[{i}].title", text=f"word{'abcde'[i]} {spelt}")
        for i in range(count)
    ]


@pytest.mark.parametrize("few", [0, 2])
def test_streamers_with_too_few_behaviours_contribute_nothing(world: Dataset, few: int):
    config = PtumConfig(**SMALL)
    pieces = [behaviours(5 if row % 2 else few, row) for row in range(300)]
    known = world.rows("train")
    stage = prepare(world, pieces, known, None, config, seed=0, threads=1)
    task = Ptum(stage, config, None)
    assert {int(known[place]) % 2 for place in task._streamers} == {1}


def test_ptum_without_behaviours_says_what_to_do(world: Dataset):
    bare = strip(world, videos=[], lives=[])
    with pytest.raises(DataError, match=r"0 training streamers with 3 or more videos and lives"):
        Ptum(stage_of(bare, PtumConfig(**SMALL)), PtumConfig(**SMALL), None)


@pytest.mark.slow
def test_both_losses_of_ptum_are_that_of_chance_at_random_embeddings(fresh: Fresh):
    config = PtumConfig(**SMALL, temperature=1e6)
    losses = Ptum(fresh(config), config, None).losses(0)
    assert set(losses) == {"masked_loss", "next_loss"}
    for value in losses.values():
        assert float(value.detach()) == pytest.approx(np.log(5), abs=1e-4)


# simcse


def twins(
    world: Dataset, fresh: Fresh, **settings: Any
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances of twins (30,), while training and with all hidden units."""
    config = SimcseConfig(**SMALL, **settings)
    task = Simcse(fresh(config), config, None)
    rows = world.rows("train")[:30]
    found = []
    for training in (True, False):
        task.encoder.train(training)
        first, second = (task._embed(rows, RNG(0)), task._embed(rows, RNG(1)))
        found.append((first - second).norm(dim=1).detach().numpy())
    return found[0], found[1]


def test_twins_differ_by_dropout_of_hidden_units_only(world: Dataset, fresh: Fresh):
    training, all_units = twins(world, fresh)
    assert training.min() > 1e-3
    np.testing.assert_allclose(all_units, 0, atol=1e-5)


def test_twins_may_also_differ_by_dropout_of_tokens(world: Dataset, fresh: Fresh):
    _, all_units = twins(world, fresh, token_dropout=0.3)
    assert 0.05 < all_units.mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("positives", ["duplicates", "labels", "behaviour"])
def test_supervised_simcse_learns(world: Dataset, fresh: Fresh, positives: str):
    config = override(SimcseConfig(**SMALL), [f"positives={positives}"])
    assert isinstance(config, SimcseConfig)
    task = Simcse(fresh(config), config, world.rows("val"))
    losses = [each["contrast_loss"] for each in make_steps(task, 40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert 0 <= task.validate() <= 1


@pytest.mark.slow
def test_held_out_views_are_searched_whatever_the_dropout_of_training(world: Dataset, fresh: Fresh):
    found: list[float] = []
    for share in (0.0, 0.5):
        config = SimcseConfig(**SMALL, token_dropout=share)
        task = Simcse(fresh(config), config, world.rows("val"))
        found += [task.validate(), task.validate()]
    assert 0.05 < found[0] < 0.95
    assert len({*found}) == 1


@pytest.mark.slow
def test_a_vector_that_nobody_else_shows_finds_no_held_out_view(world: Dataset):
    own = RNG(0).standard_normal((300, 8))
    avatars = [Media(vector=vector.tolist(), space="looks") for vector in own]
    profiles = [
        profile.model_copy(update={"avatar": avatar})
        for profile, avatar in zip(world.profiles, avatars, strict=True)
    ]
    config = SimcseConfig(**SMALL)
    stage = stage_of(replace(world, profiles=profiles), config)
    assert 0 < Simcse(stage, config, world.rows("val")).validate() < 0.7


def test_hard_negatives_are_near_by_content_and_not_alike(world: Dataset, fresh: Fresh):
    config = SimcseConfig(**SMALL, positives="labels", hard_negatives=3)
    stage = fresh(config)
    task = Simcse(stage, config, None)
    rows = world.rows("train")
    hard = task._hard_of(rows, RNG(0))
    labels = np.array(world.labels, object)
    assert (labels[rows] != labels[hard]).mean() > 0.95  # some have no label to differ by
    assert set(hard) <= set(rows)
    with torch.no_grad():
        content = stage.encoder.eval().fused(stage.bags).numpy()
    near = (content[rows] * content[hard]).sum(1).mean()
    assert near > (content[rows] * content[RNG(1).permutation(rows)]).sum(1).mean() + 0.1


@pytest.mark.slow
def test_known_near_duplicates_are_no_hard_negatives(world: Dataset, fresh: Fresh):
    config = SimcseConfig(**SMALL, positives="labels", hard_negatives=3)
    stage = fresh(config)
    unknown = replace(stage, dataset=replace(world, duplicates=None))
    near = Simcse(unknown, config, None)._hard
    assert near is not None
    rows = np.flatnonzero(near[:, 0] >= 0)
    groups = np.arange(300)
    groups[near[rows[0], 0]] = groups[rows[0]]
    twins = replace(stage, dataset=replace(world, duplicates=groups))
    found = Simcse(twins, config, None)._hard
    assert found is not None
    assert near[rows[0], 0] not in found[rows[0]]
    assert found[rows[0], 0] == near[rows[0], 1]


def test_no_known_pair_says_what_to_do(world: Dataset):
    config = SimcseConfig(**SMALL, positives="duplicates")
    alone = replace(world, duplicates=np.arange(300))
    with pytest.raises(DataError, match=r"alike to another by duplicates; use positives=dropout"):
        Simcse(stage_of(alone, config), config, None)


@pytest.mark.parametrize(
    ("config", "assignments", "problem"),
    [
        (SimcseConfig(), ["dropout=0"], "both encodings would be the same"),
        (SimcseConfig(), ["hard_negatives=-1"], "must be 0 or more"),
        (SimcseConfig(), ["positives=friends"], "needs one of dropout, duplicates"),
        (MlmConfig(), ["mask=1"], r"mask=1: must be in \(0, 1\)"),
        (MlmConfig(), ["sample=0"], "must be 1 or more"),
        (PtumConfig(), ["next=0"], "must be 1 or more"),
        (PtumConfig(), ["negatives=0"], "must be 1 or more"),
        (PtumConfig(), ["chunk_size=-1"], "must be 0 or more"),
    ],
)
def test_a_wrong_setting_is_named(config: RecipeConfig, assignments: list[str], problem: str):
    with pytest.raises(UsageError, match=problem):
        override(config, assignments)
