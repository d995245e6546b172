"""Evidence of duplicates: weights that are counted on simulated copies."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.contract.evidence import (
    CHANNELS,
    IDENTITY,
    Comparison,
    EvidenceParameters,
    Levels,
    Matcher,
    packaged,
    side_of,
)
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.helpers import SMALL, stage_of
from training.calibration.evidence import evidence_of_stage
from training.calibration.evidence.counting import (
    chances,
    shares,
    slope_of,
    threshold_of,
)
from training.config import TransferPlusConfig
from training.data import Dataset
from training.disguises import Kind, copy_of, fits

CONFIG = TransferPlusConfig(**SMALL, teacher_dim=8, steps=4, evaluate_every=2)
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
    return evidence_of_stage(stage_of(world, CONFIG))


def levels_of(comparison: Comparison, one: NDArray[np.int64], other: NDArray[np.int64]) -> Levels:
    """Compared at once, without the pauses for other work."""
    comparing = comparison.levels(one, other)
    while True:
        try:
            next(comparing)
        except StopIteration as done:
            return done.value


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
    uninformative = stage_of(world, CONFIG).vocabulary.uninformative
    sides = [side_of(each, uninformative) for each in (*originals, *copies)]
    comparison = Comparison(sides, estimated.frequencies.table())
    count = len(copies)
    one, other = np.divmod(np.arange(count * count), count)
    joined = Matcher(estimated).match(levels_of(comparison, one, count + other)).joined
    rows = world.rows("test")
    groups = {world.ids[row]: int(world.groups[row]) for row in rows}
    kind = np.array([groups[each.streamer_id] for each in originals])
    same = kind[one] == kind[other]
    assert joined[one == other].mean() >= 0.85
    assert joined[~same].mean() <= 0.002


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
