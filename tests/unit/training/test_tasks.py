"""Recipes as tasks: what they hide, draw, exclude and predict, and that each learns."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.helpers import SMALL, TAUGHT, make_steps, settings_of, stage_of
from training.config import (
    ContrastConfig,
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    RecipeConfig,
    SimcseConfig,
    TeacherConfig,
    TransferConfig,
    TransferPlusConfig,
    override,
)
from training.data import Dataset
from training.errors import DataError
from training.losses.info_nce import info_nce
from training.preparation.stage import Stage, embeddings
from training.progress import Progress
from training.tasks.base import Task
from training.tasks.contrast import Contrast
from training.tasks.masked_views import MaskedViews
from training.tasks.ptum import Ptum, time_order
from training.tasks.recipes import RECIPES, held_out_task
from training.tasks.simcse import Simcse
from training.tasks.transfer import Transfer
from training.tasks.transfer_plus import TransferPlus
from training.teachers.label_noise import NoiseEstimate
from training.trainer.loop import Settings, train

CONFIG = MaskedViewsConfig(**SMALL, temperature=0.1)
PLUS = TransferPlusConfig(**TAUGHT, steps=4, evaluate_every=2, kernel_landmarks=100)
CHANGES: dict[str, dict[str, Any]] = {
    # From the start that validation chooses, sixty steps of so small an encoder only lose.
    "masked-views": {"vector_doublings": 0},
    "transfer": {"pretrain_steps": 0},
    "transfer-plus": {"kernel_landmarks": 100},
}


def build(world: Dataset, recipe: str) -> tuple[Stage, Task]:
    config = settings_of(recipe, **CHANGES.get(recipe, {}))
    stage = stage_of(world, config)
    return stage, RECIPES[recipe].build(stage, config, world.rows("val"))


def losses_of(task: Task, steps: int) -> list[float]:
    return [
        sum(value for name, value in parts.items() if name.endswith("_loss"))
        for parts in make_steps(task, steps)
    ]


def fresh(stage: Stage, config: RecipeConfig | None = None) -> Stage:
    """The same stage with its encoder at the start, perhaps for other settings."""
    return replace(stage, encoder=deepcopy(stage.encoder), config=config or stage.config)


@pytest.fixture(scope="module")
def untaught(world: Dataset) -> Stage:
    return stage_of(world, CONFIG)


@pytest.fixture
def stage(untaught: Stage) -> Stage:
    return fresh(untaught)


@pytest.fixture(scope="module")
def with_teacher(world: Dataset) -> Stage:
    return stage_of(world, TeacherConfig(**TAUGHT))


@pytest.fixture
def taught(with_teacher: Stage) -> Stage:
    return fresh(with_teacher)


@pytest.fixture(scope="module")
def with_kernel(world: Dataset) -> Stage:
    return stage_of(world, PLUS)


@pytest.fixture
def plus(with_kernel: Stage) -> Stage:
    return fresh(with_kernel)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_task_learns(world: Dataset, recipe: str):
    _, task = build(world, recipe)
    before = task.validate()
    losses = losses_of(task, 40)
    assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:10])
    if recipe not in ("mlm", "simcse"):  # at this rate they soon forget who is who
        assert task.validate() > before - 0.05  # of thirty: a place or two


VARIANTS = get_args(get_type_hints(ContrastConfig)["contrast"])


def views(n: int = 6) -> tuple[torch.Tensor, torch.Tensor, np.ndarray[Any, Any]]:
    a, b = torch.randn(2, n, CONFIG.dim, generator=torch.Generator().manual_seed(n))
    return normalize(a, dim=1), normalize(b, dim=1), np.arange(n)


def both_ways(a: torch.Tensor, b: torch.Tensor, excluded: torch.Tensor) -> float:
    wanted, s = torch.eye(len(a)), a @ b.T
    forth, back = (info_nce(x, wanted, e, 0.1) for x, e in ((s, excluded), (s.T, excluded.T)))
    return float(forth + back) / 2


def test_two_views_look_for_each_other_both_ways(stage: Stage):
    a, b, rows = views()
    loss = Contrast(stage, CONFIG).two_views(a, b, rows)
    assert float(loss) == pytest.approx(both_ways(a, b, torch.zeros(6, 6).bool()))
    swapped = Contrast(stage, CONFIG).two_views(b, a, rows)
    assert float(loss) == pytest.approx(float(swapped))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(stage: Stage, name: str):
    config = override(CONFIG, [f"contrast={name}", "chunk_size=16"])
    assert isinstance(config, MaskedViewsConfig)
    task = MaskedViews(fresh(stage), config, stage.dataset.rows("val"))
    losses = [each["views_loss"] for each in make_steps(task, 30)]
    assert all(map(math.isfinite, losses))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_an_empty_batch_is_zero_with_a_gradient(stage: Stage):
    a = torch.zeros(0, CONFIG.dim, requires_grad=True)
    for name in VARIANTS:
        contrast = Contrast(stage, override_contrast(name))
        loss = contrast.two_views(a, a, np.zeros(0, np.int64))
        loss.backward()
        assert loss.item() == 0


def override_contrast(name: str) -> ContrastConfig:
    config = override(CONFIG, [f"contrast={name}"])
    assert isinstance(config, ContrastConfig)
    return config


def test_the_mask_leaves_out_negatives_of_near_content(stage: Stage):
    config = replace(override_contrast("false-negative-mask"), false_negative_cosine=0.5)
    contrast = Contrast(stage, config)
    with torch.no_grad():
        content = stage.encoder.eval().fused(stage.bags).numpy() * stage.usable[:, None]
    near = content @ content.T > 0.5
    one = next(i for i in range(len(near)) if near[i].sum() > 1)
    other = next(j for j in range(len(near)) if near[one, j] and j != one)
    rows = np.array([one, other, *np.flatnonzero(~near[one] & ~near[other])[:4]])
    a, b, _ = views()
    excluded = torch.from_numpy(near[rows][:, rows]) & ~torch.eye(6, dtype=torch.bool)
    assert excluded[0, 1]
    assert float(contrast.two_views(a, b, rows)) == pytest.approx(both_ways(a, b, excluded))


def test_known_near_duplicates_are_no_negatives(stage: Stage):
    a, b, rows = views()
    groups = np.arange(len(stage.bags))
    groups[3] = groups[1]
    twins = replace(stage, dataset=replace(stage.dataset, duplicates=groups))
    excluded = torch.zeros(6, 6).bool()
    excluded[1, 3] = excluded[3, 1] = True
    loss = float(Contrast(twins, CONFIG).two_views(a, b, rows))
    assert loss == pytest.approx(both_ways(a, b, excluded))
    unknown = replace(stage, dataset=replace(stage.dataset, duplicates=None))
    assert float(Contrast(unknown, CONFIG).two_views(a, b, rows)) > loss


def test_shorter_widths_are_contrasted_beside_the_full_one(stage: Stage):
    a, b, rows = views()
    config = replace(CONFIG, matryoshka="4,8", matryoshka_weight=0.5)
    nothing = torch.zeros(6, 6).bool()
    expected = both_ways(a, b, nothing)
    for width in (4, 8):
        first, second = (normalize(each[:, :width], dim=1) for each in (a, b))
        expected += 0.5 * both_ways(first, second, nothing)
    assert float(Contrast(stage, config).two_views(a, b, rows)) == pytest.approx(expected, rel=1e-4)


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


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MlmConfig(**SMALL), "has no streamer with two pieces"),
        (PtumConfig(**SMALL), "0 training streamers with 3 or more videos and lives"),
        (SimcseConfig(**SMALL, positives="duplicates"), "alike to another by duplicates; use posi"),
    ],
)
def test_profiles_that_teach_nothing_are_told(world: Dataset, config: RecipeConfig, message: str):
    empty: dict[str, Any] = {"name": "solo", "bio": None, "tags": [], "category": None}
    empty |= {"language": None, "avatar": None, "videos": [], "lives": []}
    profiles = [profile.model_copy(update=empty) for profile in world.profiles]
    mute = replace(world, profiles=profiles, duplicates=np.arange(300))
    recipe = RECIPES[type(config).__name__.removesuffix("Config").lower()]
    with pytest.raises(DataError, match=message):
        recipe.build(stage_of(mute, config), config, None)


def test_both_losses_of_ptum_are_that_of_chance_at_random_embeddings(stage: Stage):
    config = PtumConfig(**SMALL, temperature=1e6)
    losses = Ptum(fresh(stage, config), config, None).losses(0)
    assert set(losses) == {"masked_loss", "next_loss"}
    for value in losses.values():
        assert float(value.detach()) == pytest.approx(np.log(5), abs=1e-4)


@pytest.mark.parametrize("positives", ["duplicates", "labels", "behaviour"])
def test_supervised_simcse_learns(world: Dataset, stage: Stage, positives: str):
    config = override(SimcseConfig(**SMALL), [f"positives={positives}"])
    assert isinstance(config, SimcseConfig)
    task = Simcse(fresh(stage, config), config, world.rows("val"))
    losses = [each["contrast_loss"] for each in make_steps(task, 40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert 0 <= task.validate() <= 1


@pytest.mark.parametrize(
    "recipe", [name for name in RECIPES if name.startswith(("kd", "transfer"))]
)
def test_every_recipe_predicts_id_embeddings(taught: Stage, recipe: str):
    task = RECIPES[recipe].build(taught, settings_of(recipe), None)
    assert taught.teacher is not None
    task.finish()
    assert taught.encoder.id_head is not None
    warm = taught.usable[taught.teacher.rows]
    with torch.no_grad():
        z = taught.encoder.eval().embed(taught.bags.take(taught.teacher.rows[warm]))
        predicted = (taught.encoder.id_head(z) * taught.encoder.id_scale).numpy()
    true = taught.teacher.vectors[warm]
    explained = 1 - ((predicted - true) ** 2).mean() / true.var(0).mean()
    assert explained > 0.05  # a head that nobody solved explains nothing


def test_transfer_plus_needs_a_pair_that_content_bears_out(taught: Stage):
    assert taught.teacher is not None
    nobody = np.zeros(len(taught.teacher.rows), np.float32)
    noise = replace(NoiseEstimate.blind(taught.teacher.directions), trust=nobody)
    doubted = replace(taught, teacher=replace(taught.teacher, noise=noise))
    with pytest.raises(DataError, match="trusted by content; try --set denoise=false"):
        TransferPlus(doubted, TransferPlusConfig(**TAUGHT), None)


TRANSFER_CONFIG = TransferConfig(**TAUGHT, pretrain_steps=0)
FILTERS = ("edit-distance", "similarity", "tags")


def build_transfer(taught: Stage, config: TransferConfig = TRANSFER_CONFIG) -> Transfer:
    return Transfer(fresh(taught), config, None)


def kept(task: Transfer) -> np.ndarray:
    """The weights of the neighbours (N, K)."""
    return task.pairs.strength


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_a_part(taught: Stage, name: Any):
    assert 0.02 < kept(build_transfer(taught, replace(TRANSFER_CONFIG, filter=name))).mean() < 0.9


def test_the_random_filter_keeps_as_many_as_the_similar(taught: Stage):
    tasks = [
        build_transfer(taught, replace(TRANSFER_CONFIG, filter=name))
        for name in ("similarity", "random")
    ]
    np.testing.assert_array_equal(tasks[0].pairs.near, tasks[1].pairs.near)
    similar, control = map(kept, tasks)
    # Differences of running float32 sums: equal weights differ in the last bits.
    np.testing.assert_allclose(np.sort(similar, axis=None), np.sort(control, axis=None), atol=1e-5)
    assert not np.allclose(similar, control, atol=1e-3)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_never_sees_a_cold_streamer(taught: Stage, name: Any):
    """Whoever looked at their pieces would fail."""
    config = replace(TRANSFER_CONFIG, filter=name, pretrain_steps=1)
    known = set(taught.known.tolist())
    none = cast("list[Piece]", None)
    pieces = [each if row in known else none for row, each in enumerate(taught.pieces)]
    task = build_transfer(replace(taught, pieces=pieces), config)
    assert set(task.rows.tolist()) <= known
    assert task.pairs.near.max() < len(task.rows)


def test_a_filter_that_drops_all_is_named_with_the_remedy(taught: Stage):
    own = [[Piece("tags", "tag", "tags[0]", name)] for name in taught.dataset.ids]
    with pytest.raises(DataError, match=r"'tags' drops all neighbours .* lower --set filter_quan"):
        build_transfer(replace(taught, pieces=own), replace(TRANSFER_CONFIG, filter="tags"))


def trained(plus: Stage, **changes: Any) -> TransferPlus:
    config = replace(PLUS, **changes)
    task = TransferPlus(
        plus,
        config,
        held_out_task(plus, plus.dataset.rows("val")),
    )
    settings = Settings.of(config, "select", "NDCG@20", 0)
    with Progress("train", 0) as progress:
        train(task, settings, None, progress)
    return task


def test_the_embedding_is_the_one_that_validated_best(plus: Stage):
    task = trained(plus)
    held_out = held_out_task(plus, plus.dataset.rows("val"))
    assert task.choices["kernel_share"] in {0.0, 0.25, 0.5, 0.75, 1.0}
    assert held_out.ndcg(embeddings(plus)) == pytest.approx(task.validate(), abs=1e-6)
