from model_export.contract.evidence import sounds_like
from service.engine.evidence.passages import common_passages, romanised_names


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


def test_names_that_one_side_writes_in_latin_letters() -> None:
    chinese, latin = "常去金福来饭店，认识王小明。", "Often at Jinfulaifandian, with Wangxiaoming."
    ours, theirs = sounds_like(chinese), sounds_like(latin)
    found = romanised_names([ours], [theirs], 3)
    assert [
        (chinese[p.one_start : p.one_end], latin[p.other_start : p.other_end]) for p in found
    ] == [("金福来饭店", "Jinfulaifandian"), ("王小明", "Wangxiaoming")]
    assert [p.one_start for p in found] == [
        p.other_start for p in romanised_names([theirs], [ours], 3)
    ]
    assert romanised_names([theirs], [theirs], 3) == romanised_names([], [theirs], 3) == []


def test_a_quote_of_a_name_leaves_out_what_stands_elsewhere() -> None:
    ours = sounds_like("金福来了，我们吃面条，后来常去金福来饭店。")
    theirs = sounds_like("Often at Jinfulaifandian.")
    (found,) = romanised_names([ours], [theirs], 3)
    assert found.one_end - found.one_start <= 5
    assert romanised_names([ours], [theirs], 0) == romanised_names([ours], [theirs], -1) == []
