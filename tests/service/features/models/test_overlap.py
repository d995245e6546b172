"""What two answers have in common, in the reports of comparisons and of shadows alike."""

import random

import pytest

from service.features.models.comparing.neighbours import _Asked, _told
from service.features.models.live.counting import ShadowCounts
from service.features.models.live.shown import shadow_out
from service.features.models.overlap import overlap_of


def test_an_overlap_is_of_the_longer_answer() -> None:
    assert overlap_of("abcd", "bax") == (0.5, False, [1, 1])
    assert overlap_of("ab", "ab") == (1, True, [0, 0])
    assert overlap_of("ab", "") == (0, False, [])
    assert overlap_of("", "") is None


def test_both_reports_leave_out_what_neither_model_answers() -> None:
    drawn = random.Random(0)
    names = [f"s{i}" for i in range(12)]
    pairs = [(drawn.sample(names, 8), drawn.sample(names, 8)) for _ in range(30)]
    pairs += [(["a"], ["a"])] * 5 + [([], ["a"])] * 5 + [([], [])] * 60
    counts = ShadowCounts("b", "a", "r", 0.0)
    for before, after in pairs:
        counts.compare(before, after, ())
    asked = [
        _Asked([list(each[side]) for each in pairs], [1.0] * 100, [1.0] * 100) for side in (0, 1)
    ]
    near = _told([f"s{i:02}" for i in range(100)], (asked[0], asked[1]), (100, 100))
    assert near is not None
    assert near.sample == 40
    shown = shadow_out(counts)
    assert shown.overlap is not None
    assert shown.overlap.mean == pytest.approx(near.overlap, abs=1e-6)
    assert shown.same_first == near.same_first
    assert shown.rank_change == near.rank_change
    same = sum(before[:1] == after[:1] for before, after in pairs[:40])
    assert near.same_first == pytest.approx(same / 40, abs=1e-6)
    assert all(each.streamer_id < "s40" for each in near.changed)


def test_streamers_without_any_neighbour_have_no_report() -> None:
    asked = _Asked([[], []], [1.0] * 2, [1.0] * 2)
    assert _told(["a", "b"], (asked, asked), (2, 2)) is None
    counts = ShadowCounts("b", "a", "r", 0.0)
    counts.compare([], [], ())
    assert (counts.compared, shadow_out(counts).same_first) == (1, None)
