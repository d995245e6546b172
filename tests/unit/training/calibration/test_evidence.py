"""Parameters of evidence: counted on copies, and kept from the fit to the bundle."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.evidence import (
    CHANNELS,
    IDENTITY,
    Comparison,
    EvidenceParameters,
    Matcher,
    packaged,
    side_of,
)
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.small import SMALL, stage_of
from training.calibration.evidence import estimate, evidence_of_stage
from training.calibration.evidence.counting import (
    MOST_AGAINST,
    chances,
    shares,
    slope_of,
    threshold_of,
)
from training.calibration.evidence.estimate import frequencies_of
from training.calibration.evidence.look_alikes import simulated_look_alikes
from training.calibration.evidence.pairs import Pairs, known_pairs, simulated_copies, strangers
from training.config import TransferPlusConfig
from training.data import Dataset, load_dataset
from training.disguises import Kind, copy_of, fits
from training.inference.load import load_checkpoint
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

QUICK = TransferPlusConfig(**SMALL, teacher_dim=8, steps=4, evaluate_every=2)
DISGUISES: tuple[Kind, ...] = (
    "traditional",
    "spaced",
    "emoji_between",
    "full_width",
    "homophones",
    "zero_width",
)


@pytest.fixture(scope="module", autouse=True)
def few_copies() -> None:
    """As many as there are, other than in the tests of other parts."""


@pytest.fixture(scope="module")
def estimated(world: Dataset) -> EvidenceParameters:
    return evidence_of_stage(stage_of(world, QUICK))


def test_stronger_agreement_never_weighs_less(estimated: EvidenceParameters) -> None:
    for channel in CHANNELS:
        chance = estimated.channels[channel.name]
        weights = np.log2(chance.m) - np.log2(chance.u)
        assert (np.diff(weights) <= 1e-9).all(), channel.name
        assert weights[-1] >= -1.28, channel.name
    assert 0.2 <= estimated.slope <= 1
    matcher = Matcher(estimated)
    assert matcher.probability(np.array([estimated.threshold]))[0] >= 0.5
    for row, channel in enumerate(CHANNELS):  # a contact or several media are enough
        strongest = matcher.bits[row, 0]
        if channel.name in IDENTITY and matcher.probability(strongest) >= 0.5:
            assert estimated.threshold < strongest, channel.name
    assert matcher.weight_of(0.9) > matcher.weight_of(0.5)
    assert "simulated copies" in estimated.source
    assert "on the half that it was chosen on, the threshold has recall" in estimated.source
    assert "as is assumed, 0.5% of all pairs are the same and 0." in estimated.source
    assert estimated.frequencies.documents > 100


def test_disguised_copies_of_others_are_found(
    world: Dataset, estimated: EvidenceParameters
) -> None:
    rng, test = random.Random(7), [world.profiles[row] for row in world.rows("test")]
    originals: list[StreamerProfile] = []
    copies: list[StreamerProfile] = []
    for profile in test:
        kinds: list[Kind] = [kind for kind in DISGUISES if fits(profile.dump(), kind)]
        if kinds:
            made = copy_of(profile.dump(), [rng.choice(kinds)], rng)
            originals.append(profile)
            copies.append(StreamerProfile.model_validate(made))
    assert len(copies) > 20
    uninformative = stage_of(world, QUICK).vocabulary.uninformative
    sides = [side_of(each, uninformative) for each in (*originals, *copies)]
    comparison = Comparison(sides, estimated.frequencies.table())
    count = len(copies)
    one, other = np.divmod(np.arange(count * count), count)
    comparing = comparison.levels(one, count + other)
    while True:
        try:
            next(comparing)
        except StopIteration as done:
            joined = Matcher(estimated).match(done.value).joined
            break
    rows = world.rows("test")
    groups = {world.ids[row]: int(world.groups[row]) for row in rows}
    kind = np.array([groups[each.streamer_id] for each in originals])
    same = kind[one] == kind[other]
    assert joined[one == other].mean() >= 0.85
    assert joined[~same].mean() <= 0.002


def test_a_fit_keeps_them_for_the_bundle(
    tiny_world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "MOST_COPIED", 20)
    world = load_dataset(tiny_world_folder)
    checkpoint = fit(Request("transfer-plus", QUICK, 1, 1, tmp_path), world)
    source = load_checkpoint(tmp_path)
    assert source.evidence == EvidenceParameters.model_validate(checkpoint.config["evidence"])
    assert "evidence" not in source.config
    old = {name: value for name, value in checkpoint.config.items() if name != "evidence"}
    replace(checkpoint, config=old).save(tmp_path)
    assert load_checkpoint(tmp_path).evidence is None


def test_a_known_ring_is_counted_once() -> None:
    bios = ["手工面条每周五一个新食谱"] * 5 + [f"deep sea fishing, part {i}" for i in range(20)]
    profiles = [StreamerProfile(streamer_id=f"s{i}", bio=bio) for i, bio in enumerate(bios)]
    groups = np.array([0] * 5 + list(range(1, 21)))
    found = frequencies_of(profiles, groups)
    worth = found.table()
    assert found.documents == 21
    assert (worth(side_of(profiles[0]).of("text")) == np.float32(worth.unknown_bits)).all()
    assert worth(side_of(profiles[5]).of("text")).min() < 1


def test_pairs_are_what_they_say(world: Dataset) -> None:
    groups = world.groups
    known = known_pairs(groups, 50, seed=0)
    assert (groups[known.one] == groups[known.other]).all()
    assert (known.one != known.other).all()
    vectors = np.random.default_rng(0).normal(size=(len(groups), 8)).astype(np.float32)
    for pairs in strangers(groups, vectors, seed=0):
        assert (groups[pairs.one] != groups[pairs.other]).all()
        assert not pairs.same.any()
    profiles = world.profiles[:50]
    copies = simulated_copies(profiles, seed=1)
    assert all(a.streamer_id != b.streamer_id for a, b in copies)
    assert simulated_copies(profiles, seed=1) == copies
    known = set(map(id, profiles))  # an original that is kept as it is, is read only once
    assert sum(id(original) in known for original, _ in copies) > 0.8 * len(copies)


def test_both_orders_of_a_pair_are_of_one_half() -> None:
    one, other = np.random.default_rng(0).integers(0, 40, (2, 5000))
    half = Pairs.of(one, other, same=False).halves(seed=3)
    assert half.mean() == pytest.approx(0.5, abs=0.1)
    ends = zip(np.minimum(one, other).tolist(), np.maximum(one, other).tolist(), strict=True)
    halves: dict[tuple[int, int], set[bool]] = {}
    for pair, is_first in zip(ends, half.tolist(), strict=True):
        halves.setdefault(pair, set()).add(is_first)
    assert {len(found) for found in halves.values()} == {1}


def test_simulated_look_alikes_show_a_little_of_another(world: Dataset) -> None:
    found = simulated_look_alikes(world.profiles, seed=1)
    assert found == simulated_look_alikes(world.profiles, seed=1)
    assert 0 < len(found) <= len(world.profiles)
    for one, other in found:
        assert one.streamer_id != other.streamer_id
        titles = {video.title for video in one.videos if video.title}
        shown = [video for video in other.videos if video.video_id.startswith("reposted-")]
        assert len(shown) <= 2
        assert {video.title for video in shown} <= titles
        assert shown or other.bio
    # Half a template of another language would look like a translation.
    told = [(a.language, b.language) for a, b in found if a.language and b.language]
    assert sum(a == b for a, b in told) >= 0.9 * len(told) > 0


def test_chances_are_counts_and_packaged_where_too_few() -> None:
    default = packaged().channels["vectors"]
    levels = np.array([0] * 60 + [2] * 40 + [2] * 99 + [1], np.int8)
    same = np.arange(200) < 100
    mass = np.ones(200)
    found = chances(levels, same, mass, default)
    u = np.array([0.5, 1.5, 99.5]) / 101.5
    assert found.u == pytest.approx(u)
    assert np.log2(found.m[0] / found.u[0]) > 5
    assert np.log2(found.m[2] / found.u[2]) >= -1.28
    few = chances(levels[:10], same[:10], mass[:10], default)
    assert few.u == pytest.approx(np.array(default.u) / sum(default.u))
    halved = chances(levels, same, np.where(levels == 1, 0.5, mass), default)
    assert halved.u == pytest.approx(np.array([0.5, 1.0, 99.5]) / 101)


def test_a_difference_takes_away_a_bit_or_so() -> None:
    """Where all copies agree and no others do, 1.27 bits: the chances of all levels sum to 1."""
    levels = np.array([0] * 1000 + [2] * 100_000, np.int8)
    same = np.arange(len(levels)) < 1000
    found = chances(levels, same, np.ones(len(levels)), packaged().channels["vectors"])
    against = np.log2(found.m[2] / found.u[2])
    assert -np.log2(1 + 2**MOST_AGAINST) == pytest.approx(-1.27, abs=0.01)
    assert -1.28 < against < -1.2
    assert sum(found.m) == pytest.approx(1)


def test_threshold_and_slope_of_weights_that_are_known() -> None:
    weights = np.concatenate([np.linspace(5, 15, 100), np.linspace(-10, 4, 1000)])
    same = np.arange(1100) < 100
    mass = shares(same, np.ones(1100), prior=0.1)
    assert mass[same].sum() == pytest.approx(110)
    value, precision, recall = threshold_of(weights, same, mass)
    assert 3.9 < value <= 5
    assert threshold_of(weights, same, mass, least=10)[0] >= 10
    assert 5.9 < threshold_of(weights, same, mass, least=10, most=6)[0] < 6
    assert threshold_of(weights, same, mass, least=10, most=-9)[0] >= 10  # most of it is wrong
    assert precision >= 0.99
    assert recall == 1
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 4, 20_000)  # bits
    truth = rng.random(20_000) < 1 / (1 + 2.0**-odds)
    slope = slope_of(odds * 2, truth, np.ones(20_000), 0.5)
    assert slope == pytest.approx(0.5, abs=0.05)  # the weights say twice too much


def test_the_slope_is_that_of_odds_that_begin_at_the_prior() -> None:
    """By it the log-loss of what is told is the least, also where all weights are too high."""
    rng = np.random.default_rng(0)
    odds = np.concatenate([rng.normal(-9, 2, 40_000), rng.normal(2, 4, 2000)])  # bits
    same = rng.random(len(odds)) < 1 / (1 + 2.0**-odds)
    prior = float(same.mean())
    begin = np.log2(prior / (1 - prior))
    weights = odds - begin + 2

    def log_loss(slope: float) -> float:
        told = 1 / (1 + 2.0 ** -(begin + slope * weights))
        return float(-np.log2(np.where(same, told, 1 - told)).mean())

    slope = slope_of(weights, same, np.ones(len(odds)), prior)
    slopes = np.linspace(0.2, 1, 161)
    assert slope == pytest.approx(slopes[np.argmin([log_loss(each) for each in slopes])], abs=0.01)
    assert slope < 0.9  # by an intercept of its own it would be 1
