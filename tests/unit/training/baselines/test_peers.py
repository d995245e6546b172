"""Published cold-start recommenders among the baselines."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from training.baselines import BASELINES, Corpus, corpus_of
from training.baselines.peers import clcrec, heater, lightfm
from training.baselines.peers.learning import Pairs, fit, latent_factors, seeded
from training.config import BaselineConfig
from training.data import Dataset
from training.data.tables import Interactions
from training.errors import UsageError
from training.evaluation.setting import setting_of
from training.evaluation.subject import Matrix, Representation
from training.evaluation.tasks import ColdStartTask

pytestmark = pytest.mark.slow

PEERS = ["dropoutnet", "clcrec", "heater", "two-tower", "lightfm"]
OWN_GALLERY = PEERS[:3]


@pytest.fixture(scope="module")
def corpus(world: Dataset) -> Corpus:
    return corpus_of(world, "test", 0, BaselineConfig(text_tower=""))


def made(name: str, corpus: Corpus, epochs: int | None = None) -> Representation:
    """The peer with its default settings, or with other epochs."""
    baseline = BASELINES[name]
    settings = [axis[0] for axis in baseline.axes]
    if epochs is not None:
        settings[-1] = epochs
    return baseline.make(corpus, *settings)


@pytest.fixture(scope="module")
def of(corpus: Corpus) -> Callable[[str], Representation]:
    """With defaults, but for the one that is trained longest."""
    found = {name: made(name, corpus, 20 if name == "dropoutnet" else None) for name in PEERS}
    return found.__getitem__


def dense(rows: Matrix) -> np.ndarray:
    assert isinstance(rows, np.ndarray)
    return rows


def seen(world: Dataset) -> ColdStartTask:
    task = setting_of(world, "test").seen
    assert task is not None
    return task


@pytest.mark.parametrize("name", PEERS)
def test_cold_streamers_are_told_apart_far_better_than_by_chance(
    world: Dataset, corpus: Corpus, of: Callable[[str], Representation], name: str
):
    setting = setting_of(world, "test")
    assert setting.seen is not None
    assert setting.unseen is not None
    chance = made("random", corpus)
    # The unseen gallery is small, so chance finds much in it.
    for task, times in ((setting.seen, 2.0), (setting.unseen, 1.1)):
        found = task.ndcg(of(name).query, of(name).gallery).mean()
        assert found > times * task.ndcg(chance.query).mean()


@pytest.mark.parametrize("name", PEERS)
def test_one_seed_gives_one_result_and_another_a_different_one(corpus: Corpus, name: str):
    state = torch.get_rng_state()
    first = made(name, corpus, epochs=2)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws are changed
    again = made(name, corpus, epochs=2)
    np.testing.assert_array_equal(dense(again.query), dense(first.query))
    other = made(name, replace(corpus, seed=1), epochs=2)
    assert not np.allclose(dense(other.query), dense(again.query), atol=1e-2)


@pytest.mark.parametrize("name", PEERS)
def test_content_represents_both_sides_but_at_a_cold_start(
    world: Dataset, of: Callable[[str], Representation], name: str
):
    found = of(name)
    assert found.is_symmetric
    assert not found.reads_behaviour
    if name not in OWN_GALLERY:
        assert found.cold_start is None
        return
    own = found.cold_start
    assert own is not None
    assert own.reads_behaviour
    cold, warm = world.rows("test"), world.rows("train", "val")
    np.testing.assert_array_equal(dense(own.query), dense(found.query))
    np.testing.assert_array_equal(dense(own.gallery)[cold], dense(found.gallery)[cold])
    assert not np.allclose(dense(own.gallery)[warm], dense(found.gallery)[warm], atol=1e-2)
    task = seen(world)
    chance = np.random.default_rng(0).standard_normal((len(world.ids), 32)).astype(np.float32)
    assert task.ndcg(own.query, own.gallery).mean() > 1.5 * task.ndcg(chance).mean()


@pytest.mark.parametrize("name", PEERS)
def test_without_pairs_it_is_told_what_is_missing(world: Dataset, name: str):
    private = corpus_of(world, "test", 0, BaselineConfig(text_tower="", clicks="private"))
    with pytest.raises(
        UsageError, match=r"no interactions .*clicks=private hides them; use a baseline"
    ) as caught:
        BASELINES[name].make(private, *(axis[0] for axis in BASELINES[name].axes))
    assert "\n" not in str(caught.value)


def test_factors_give_back_normalised_audiences(corpus: Corpus):
    pairs = Pairs.of(corpus)
    users, streamers = latent_factors(corpus, pairs)
    assert corpus.watched is not None
    rebuilt = (streamers @ users.T).numpy()
    wanted = corpus.watched[pairs.rows].toarray()
    wanted = wanted[:, wanted.any(0)]
    assert np.corrcoef(rebuilt.ravel(), wanted.ravel())[0, 1] > 0.8
    assert pairs.watched.toarray()[pairs.users, pairs.streamers].all()
    assert len(pairs.users) == pairs.watched.nnz


def test_the_loop_sees_every_item_once_an_epoch_and_ends_at_rate_zero():
    net = torch.nn.Linear(1, 1)
    batches: list[torch.Tensor] = []
    weights: list[float] = []

    def loss(places: torch.Tensor) -> torch.Tensor:
        batches.append(places)
        weights.append(net.weight.item())
        assert net.training
        return (net(places[:, None].float()) - 1).square().mean()

    with seeded(0):
        fit(net, loss, 10, epochs=50, batch=4, rate=0.1)
    assert [len(each) for each in batches[:3]] == [4, 3, 3]
    assert sorted(torch.cat(batches[:3]).tolist()) == list(range(10))
    assert not net.training
    assert abs(net.weight.item() - weights[-1]) < abs(weights[1] - weights[0])


@pytest.fixture(scope="module")
def watching_all(world: Dataset) -> Corpus:
    """A corpus whose users watch all streamers."""
    users = np.ones((len(world.ids), 4), np.float32)
    watched = Interactions(sp.csr_matrix(users), [f"u{i}" for i in range(4)])
    return corpus_of(replace(world, interactions=watched), "test", 0, BaselineConfig(text_tower=""))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """The nets of the peers that are made."""
    nets: list[torch.nn.Module] = []

    def kept(net: torch.nn.Module, *given: Any, **options: Any) -> None:
        fit(net, *given, **options)
        nets.append(net)

    for peer in ("clcrec", "heater"):
        monkeypatch.setattr(import_module(f"training.baselines.peers.{peer}"), "fit", kept)
    return nets


def test_who_is_watched_is_known_of_each_pair(corpus: Corpus):
    pairs = Pairs.of(corpus)
    places, streamers = torch.tensor([3, 0, 3]), torch.tensor([5, 5, 0, 7])
    wanted = pairs.watched.toarray()[pairs.users[places]][:, streamers] > 0
    np.testing.assert_array_equal(pairs.watches(places, streamers).numpy(), wanted)


def test_who_watches_all_teaches_lightfm_nothing(watching_all: Corpus):
    before, after = (lightfm(watching_all, 8, 1e-2, epochs) for epochs in (0, 1))
    np.testing.assert_array_equal(dense(after.query), dense(before.query))


def test_who_watches_all_teaches_the_users_of_clcrec_nothing(
    watching_all: Corpus, trained: list[torch.nn.Module]
):
    for epochs in (0, 1):
        clcrec(watching_all, 0.2, 1e-2, epochs)
    before, after = (dict(net.named_parameters())["users.weight"] for net in trained)
    assert torch.equal(before, after)


def test_a_streamer_is_no_negative_of_its_own_content(
    world: Dataset, trained: list[torch.nn.Module]
):
    """Of a single streamer, nothing is learned."""
    assert world.interactions is not None
    matrix = world.interactions.matrix.tolil()
    (one, *others) = world.rows("train", "val")
    matrix[others] = 0
    matrix[one, 0] = 1
    watched = replace(world.interactions, matrix=sp.csr_matrix(matrix))
    alone = corpus_of(
        replace(world, interactions=watched), "test", 0, BaselineConfig(text_tower="")
    )
    for epochs in (0, 3):
        clcrec(alone, 0.2, 1e-2, epochs)
    for before, after in zip(*(net.parameters() for net in trained), strict=True):
        assert torch.equal(before, after)


def test_who_is_watched_is_not_pushed_towards_zero_by_heater(
    watching_all: Corpus, trained: list[torch.nn.Module]
):
    heater(watching_all, 0.0, 1e-2, 200)
    users, streamers = latent_factors(watching_all, Pairs.of(watching_all))
    (net,) = trained
    assert isinstance(net.user, torch.nn.Module)
    assert isinstance(net.streamer, torch.nn.Module)
    products = net.user(users) @ net.streamer(streamers).T
    assert products.mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", PEERS)
def test_a_handful_of_streamers_without_vectors_is_enough(world: Dataset, name: str):
    profiles = [p.model_copy(update={"videos": [], "lives": []}) for p in world.profiles]
    split = np.array(["train"] * 5 + ["test"] * (len(world.ids) - 5))
    few = replace(world, profiles=profiles, split=split)
    corpus = corpus_of(few, "test", 0, BaselineConfig(text_tower=""))
    assert corpus.content.shape == corpus.reduced.shape
    found = made(name, corpus, epochs=2)
    assert np.isfinite(dense(found.query)).all()
