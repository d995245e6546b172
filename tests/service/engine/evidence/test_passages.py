from service.engine.evidence.passages import common_passages


def test_the_longest_first_whatever_stands_between() -> None:
    ours = ["guitar at night", "one two, three four five"]
    theirs = ["three  four!! five and guitar"]
    first, second = common_passages(ours, theirs, 5)
    assert ours[first.one][first.one_start : first.one_end] == "three four five"
    assert theirs[0][first.other_start : first.other_end] == "three  four!! five"
    assert (first.letters, second.letters) == (13, 6)
    assert common_passages(ours, theirs, 1) == [first]


def test_nothing_in_common_and_nothing_at_all() -> None:
    assert common_passages(["abc"], ["abd"], 3) == []
    assert common_passages([], ["abcdef"], 3) == common_passages(["", "  "], [""], 3) == []


def test_repetition_is_linear() -> None:
    (passage,) = common_passages(["ab" * 10_000], ["ab" * 10_000], 1)
    assert passage.letters == 20_000
