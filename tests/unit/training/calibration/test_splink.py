"""Match weights and chances against Splink, another implementation of Fellegi and Sunter."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import splink.comparison_level_library as levels_of
import splink.comparison_library as comparisons_of
from numpy.typing import NDArray
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from model_export.contract.evidence import (
    ABSENT,
    CHANNELS,
    DIRECT,
    IDENTITY,
    ChannelParameters,
    Levels,
    Matcher,
    packaged,
)
from model_export.contract.evidence.matching import MOST_COMMON
from training.calibration.evidence.counting import chances

PAIR = "pair"


def linker(levels: Levels, channels: Mapping[str, ChannelParameters], prior: float) -> Linker:
    """Splink's model of pairs with these levels (P, channels): two records make a pair.

    The second record of a pair has the levels, absent ones as null.
    """
    count = 2 * len(levels)
    records: dict[str, Any] = {"unique_id": np.arange(count), PAIR: np.arange(count) // 2}
    comparisons: list[Any] = []
    for column, (name, known) in enumerate(channels.items()):
        shown = levels[:, column].repeat(2)
        records[name] = pa.array(shown, mask=shown == ABSENT)
        told: list[Any] = []
        told += [levels_of.CustomLevel(f"{name}_r = {i}") for i in range(len(known.m) - 1)]
        told.append(levels_of.ElseLevel())
        for level, m, u in zip(told, known.m, known.u, strict=True):
            level.configure(m_probability=m, u_probability=u)
        comparison = [levels_of.NullLevel(name), *told]
        comparisons.append(comparisons_of.CustomComparison(comparison, output_column_name=name))
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=[block_on(PAIR)],
        probability_two_random_records_match=prior,
        retain_intermediate_calculation_columns=True,
    )
    return Linker(DuckDBAPI().register(pa.table(records)), settings, log_level="ERROR")


def drawn(rng: np.random.Generator, pairs: int) -> Levels:
    """Levels of pairs, each at random."""
    columns = [rng.integers(ABSENT, len(channel.levels), pairs) for channel in CHANNELS]
    return np.stack(columns, 1).astype(np.int8)


def test_weights_and_probabilities_are_splinks() -> None:
    parameters = packaged()
    levels = drawn(np.random.default_rng(14), 400)
    found = Matcher(parameters).match(levels)
    # What differs is not held against a pair for which a channel of identity speaks.
    bits = Matcher(parameters).bits[np.arange(len(CHANNELS)), levels]
    identity = [channel.name in IDENTITY for channel in CHANNELS]
    told = (bits[:, identity] > 0).any(1, keepdims=True)
    asked = np.where(told & (bits < 0), np.int8(ABSENT), levels)
    channels = {channel.name: parameters.channels[channel.name] for channel in CHANNELS}
    answer = linker(asked, channels, parameters.prior).inference.predict().as_pyarrow_table()
    rows = sorted(answer.to_pylist(), key=lambda row: row["unique_id_l"])
    assert len(rows) == len(levels)
    weights = np.array([[row[f"mw_{channel.name}"] for channel in CHANNELS] for row in rows])
    # What many share counts at most half of what content says.
    is_direct = np.array([channel.name in DIRECT for channel in CHANNELS])
    positive = np.maximum(weights, 0)
    common, most = positive[:, ~is_direct].sum(1), MOST_COMMON * positive[:, is_direct].sum(1)
    share = np.minimum(1, most / np.maximum(common, 1e-12))
    weights = np.where(~is_direct & (weights > 0), weights * share[:, None], weights)
    assert found.contributions.ravel().tolist() == pytest.approx(weights.ravel().tolist(), abs=1e-6)
    whole = np.flatnonzero(common <= most)
    assert 100 < len(whole) < len(rows)
    odds = np.log2(parameters.prior / (1 - parameters.prior))
    expected = [rows[place]["match_weight"] for place in whole]
    assert (found.weights[whole] + odds).tolist() == pytest.approx(expected, abs=1e-6)
    assert parameters.slope == 1  # Splink has none
    expected = [rows[place]["match_probability"] for place in whole]
    assert found.probabilities[whole].tolist() == pytest.approx(expected, abs=1e-9)


def test_chances_are_splinks_where_there_are_many_pairs() -> None:
    rng = np.random.default_rng(15)
    pairs = 4000
    name = "category_language"
    default = packaged().channels[name]
    # As it must be: what differs takes half a bit at most, stronger agreement never weighs less.
    of_same, of_others = (0.5, 0.3, 0.2), (0.4, 0.34, 0.26)
    levels = np.concatenate([rng.choice(3, pairs, p=p) for p in (of_same, of_others)])
    levels[rng.random(2 * pairs) < 0.1] = ABSENT
    same = np.arange(2 * pairs) < pairs
    found = chances(levels.astype(np.int8), same, np.ones(2 * pairs), default)

    def counted(some: NDArray[np.int64]) -> list[float]:
        """Splink's shares of the levels, of pairs that it is told are the same."""
        model = linker(some[:, None].astype(np.int8), {name: default}, 0.01)
        model.training.estimate_m_from_label_column(PAIR)
        (comparison,) = model.misc.save_model_to_json()["comparisons"]
        return [each["m_probability"] for each in comparison["comparison_levels"][1:]]

    # Half a pair is added to each level.
    assert found.u == pytest.approx(counted(levels[~same]), abs=2e-3)
    assert found.m == pytest.approx(counted(levels[same]), abs=2e-3)
