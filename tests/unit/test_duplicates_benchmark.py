"""Figures of duplicates on a corpus small enough to count by hand, and what corpora promise."""

import math
import os
from pathlib import Path

import pytest

from model_export.contract.streamer import StreamerProfile
from tests.benchmarks.duplicates.corpora import (
    Corpus,
    Pair,
    disguise_by_disguise,
    pairs_within,
    real_profiles,
    world_with_rings,
)
from tests.benchmarks.duplicates.scores import at_precision, best_f1, interval, score
from training.disguises import KINDS

DATA = Path(os.environ.get("STREAMER_DATA") or Path(__file__).parents[3] / "shared" / "data")

TRUE: set[Pair] = {("a", "b"), ("a", "c"), ("b", "c"), ("d", "e")}
CORPUS = Corpus("small", [], TRUE, {"bidi": {("d", "e")}}, {("f", "g"), ("f", "h")})


class Known:
    """Pairs by their threshold; one of a sample stands for three."""

    thresholds = (0.1, 0.5, 0.9)

    def joined(self, threshold: float) -> set[Pair]:
        if threshold == 0.9:
            return {("a", "b")}
        return TRUE if threshold == 0.5 else TRUE | {("e", "f"), ("f", "g")}

    def weight(self, pair: Pair) -> float:
        return 3.0 if pair == ("e", "f") else 1.0


def test_figures_are_those_counted_by_hand() -> None:
    loose = score(CORPUS, Known(), 0.1)
    assert loose.whole.precision == pytest.approx(4 / 8)
    assert loose.whole.recall == 1
    assert loose.whole.f1 == pytest.approx(2 / 3)
    assert loose.look_alikes == 0.5
    assert loose.by_disguise["bidi"].recall == 1
    assert loose.by_disguise["bidi"].precision == pytest.approx(1 / 4)
    strict = score(CORPUS, Known(), 0.9)
    assert (strict.whole.precision, strict.whole.recall) == (1, 0.25)
    assert strict.by_disguise["bidi"].recall == 0
    assert math.isnan(strict.by_disguise["bidi"].precision)


def test_thresholds_are_the_best_and_the_lowest_that_is_precise() -> None:
    assert best_f1(CORPUS, Known()) == 0.5
    assert at_precision(CORPUS, Known(), 0.98) == 0.5
    assert at_precision(CORPUS, Known(), 0.4) == 0.1
    assert at_precision(CORPUS, Known(), 1.1) == best_f1(CORPUS, Known())  # none is


def test_intervals_are_students() -> None:
    assert interval([]) == interval([math.nan]) == "none"
    assert interval([0.5, math.nan]) == "0.500"
    assert interval([0.4, 0.6]) == "0.500 ± 1.271"  # t 12.71, standard error 0.1


def check(corpus: Corpus) -> None:
    ids = {StreamerProfile.model_validate(profile).streamer_id for profile in corpus.profiles}
    assert len(ids) == len(corpus.profiles)
    assert corpus.true
    assert {i for pair in corpus.true | corpus.look_alikes for i in pair} <= ids
    assert corpus.true.isdisjoint(corpus.look_alikes)


def test_corpora_have_each_disguise_and_honest_look_alikes() -> None:
    check(rings := world_with_rings(200, 1, 0.1))
    assert rings.look_alikes
    check(corpus := disguise_by_disguise(400, 1, 2))
    assert {kind: len(pairs) for kind, pairs in corpus.by_disguise.items()} == dict.fromkeys(
        KINDS, 2
    )
    assert len({i for pair in corpus.true for i in pair}) == 4 * len(KINDS)  # no one is taken twice


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["data/lastfm", "data-labels/bilibili"])
def test_real_profiles_are_disguised(name: str) -> None:
    folder = DATA.parent / name
    if not folder.is_dir():
        pytest.skip(f"there is no data set {folder}")
    check(corpus := real_profiles(folder, 1, 500, 60))
    assert len(corpus.by_disguise) > 5


def test_pairs_within_groups() -> None:
    assert pairs_within("abcde", ["x", None, "x", "y", "x"]) == {("a", "c"), ("a", "e"), ("c", "e")}
