"""Tuning a tower: what is learned, of whom, and that it can be repeated."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_export.contract.streamer import StreamerProfile, Video
from model_export.contract.towers import Payload, inputs_of
from tests.unit.training.tuning.conftest import TOPICS
from training.data import Dataset
from training.errors import DivergedError, LeakError, UsageError
from training.preparation.stage import sample
from training.towers import Tower, find_tower
from training.towers.base import encode
from training.tuning import Options, Tuned, tune, validation

OPTIONS = Options(
    steps=40, batch=32, learning_rate=3e-3, temperature=0.1, evaluate_every=10, patience=4
)


@pytest.fixture(scope="module")
def tower(encoder_folder: Path) -> Tower:
    return find_tower("text", f"hf:{encoder_folder}", encoder_folder.parent)


@pytest.fixture(scope="module")
def tuned(tower: Tower, topics: Dataset) -> Tuned:
    return tune(tower, topics, OPTIONS, stream=io.StringIO())


def vectors(tower: Tower, *texts: str) -> np.ndarray:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    return encode(tower, inputs.batch([inputs.prepare(Payload("bio", text=t)) for t in texts]))


def gap(tower: Tower) -> float:
    """How much nearer two words of one topic are than of two."""
    cooking, noodles, gaming, boss = vectors(tower, *TOPICS[0], *TOPICS[1])
    within = cooking @ noodles + gaming @ boss
    return float(
        within - (cooking @ gaming + noodles @ boss + cooking @ boss + noodles @ gaming) / 2
    )


def weights(tuned: Tuned) -> dict[str, torch.Tensor]:
    return dict(tuned.module.state_dict())


def equal(one: Tuned, other: Tuned) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def with_profiles(
    data: Dataset, split: str, change: Callable[[StreamerProfile], StreamerProfile]
) -> Dataset:
    rows = set(data.rows(split).tolist())
    profiles = [change(p) if i in rows else p for i, p in enumerate(data.profiles)]
    return replace(data, profiles=profiles)


def says_other_things(profile: StreamerProfile) -> StreamerProfile:
    videos = [Video(video_id="x", title="boss noodles"), Video(video_id="y", title="cooking")]
    return profile.model_copy(update={"videos": videos})


@pytest.mark.slow
def test_the_loss_falls_and_topics_are_told_apart(tuned: Tuned, tower: Tower) -> None:
    assert np.mean(tuned.losses[-5:]) < np.mean(tuned.losses[:5]) - 0.2
    assert tuned.step > 0
    assert gap(replace(tower, module=tuned.module)) > gap(tower) + 0.5


@pytest.mark.slow
def test_the_best_step_is_the_one_that_is_kept(tuned: Tuned) -> None:
    steps, values = zip(*tuned.history, strict=True)
    assert steps[:2] == (0, 10)
    assert tuned.metric == "NDCG@20"
    assert tuned.step == steps[int(np.argmax(values))]
    assert max(values) > values[0]


def test_the_tower_that_was_given_stays_as_it_was(tuned: Tuned, tower: Tower) -> None:
    again = find_tower("text", tower.reference, Path())
    assert tuned.tower is tower
    assert np.array_equal(vectors(again, "boss"), vectors(tower, "boss"))
    assert not any(
        p.requires_grad for p in [*tower.module.parameters(), *tuned.module.parameters()]
    )


def test_a_seed_repeats_and_another_does_not(tower: Tower, topics: Dataset) -> None:
    short = replace(OPTIONS, steps=5)
    one, same, other = (
        tune(tower, topics, replace(short, seed=seed), stream=io.StringIO()) for seed in (1, 1, 2)
    )
    assert one.losses == same.losses != other.losses
    assert equal(one, same)


@pytest.mark.slow
def test_nobody_of_the_test_split_is_read(tuned: Tuned, tower: Tower, topics: Dataset) -> None:
    other = with_profiles(topics, "test", says_other_things)
    again = tune(tower, other, OPTIONS, stream=io.StringIO())
    assert equal(tuned, again)
    assert tuned.history == again.history


@pytest.mark.slow
def test_val_chooses_and_teaches_nothing(tuned: Tuned, tower: Tower, topics: Dataset) -> None:
    other = with_profiles(topics, "val", says_other_things)
    again = tune(tower, other, OPTIONS, stream=io.StringIO())
    assert again.losses == tuned.losses[: len(again.losses)]
    assert again.history != tuned.history
    assert set(tuned.learned_from) == {topics.ids[row] for row in topics.rows("train")}


@dataclass(frozen=True, eq=False)
class Doctored(Dataset):
    """Hands out one streamer of the test split with the training streamers."""

    def rows(self, *splits: str) -> np.ndarray:
        planted = [] if "test" in splits else [np.flatnonzero(self.split == "test")[0]]
        return np.sort(np.append(super().rows(*splits), planted).astype(np.int64))


def test_a_planted_streamer_fails_it(tower: Tower, topics: Dataset) -> None:
    with pytest.raises(LeakError, match=r"held-out 's8' \(test\) would be learned from; only tra"):
        tune(tower, Doctored(**vars(topics)), OPTIONS, stream=io.StringIO())


def test_without_behaviour_halves_of_a_streamer_find_each_other(
    tower: Tower, topics: Dataset
) -> None:
    alone = replace(topics, interactions=None)
    found = tune(tower, alone, replace(OPTIONS, steps=10), stream=io.StringIO())
    assert found.metric == "MRR"
    assert found.counts["with_behaviour"] == 0
    assert found.counts["validation_queries"] == len(topics.rows("val"))


def related_to_two(data: Dataset, hubs: np.ndarray) -> Dataset:
    """Everybody is related to two streamers, and to nobody else."""
    related = np.zeros((len(data.ids), len(data.ids)), np.float32)
    related[:, hubs] = related[hubs] = 1
    np.fill_diagonal(related, 0)
    return replace(data, interactions=None, relations=sp.csr_matrix(related))


def test_an_audience_of_relations_is_whole_where_few_are_searched(
    tower: Tower, topics: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "_MOST_SEARCHED", 4)
    known = topics.rows("train")
    data = related_to_two(topics, np.setdiff1d(known, sample(known, 4, seed=0))[:2])
    made = validation.Validation(data, known, tower, frozenset(), 0, io.StringIO())
    assert (made.metric, made.queries) == ("NDCG@20", len(topics.rows("val")))


def test_nobody_to_choose_by(tower: Tower, topics: Dataset) -> None:
    silent = with_profiles(topics, "val", lambda p: p.model_copy(update={"videos": []}))
    for data in (silent, replace(silent, interactions=None)):
        with pytest.raises(UsageError, match="nobody in split val shows a text that the tower rea"):
            tune(tower, data, OPTIONS, stream=io.StringIO())


def test_nobody_writes(encoder_folder: Path, topics: Dataset) -> None:
    tower = find_tower("text", f"hf:{encoder_folder}?modalities=bio", Path())
    with pytest.raises(UsageError, match=r"0 training streamers of .* show a text .* \(bio\); na"):
        tune(tower, topics, OPTIONS, stream=io.StringIO())


def test_a_loss_that_is_no_number(tower: Tower, topics: Dataset) -> None:
    with pytest.raises(DivergedError, match="at step 2; lower --lr"):
        tune(tower, topics, replace(OPTIONS, learning_rate=1e38), stream=io.StringIO())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"batch": 2}, "--batch must be 4 or more"),
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"evaluate_every": 0}, "--evaluate-every must be 1 or more"),
        ({"learning_rate": float("nan")}, "--lr must be a number above 0"),
        ({"temperature": 0.0}, "--temperature must be a number above 0"),
    ],
)
def test_numbers_that_can_t_be_used(change: dict[str, float], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        replace(OPTIONS, **change)
