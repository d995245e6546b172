"""What a translation leaves: numbers, and that the letters are of another script."""

import numpy as np
import pytest

from model_export.contract.evidence.keys import are_words, number_keys, shingles, shingles_of
from model_export.contract.evidence.languages import (
    NO_LETTERS,
    are_two_scripts,
    foreign_tenths,
    numbers_in,
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("live at 9 pm since 2021, day 12", {9, 12, 2021}),
        ("晚上九点开播，2021年第12期", {9, 12, 2021}),
        ("8pm", {8}),
        ("二十三天，十二次，三十集", {23, 12, 30}),
        ("一二〇", {120}),
        ("2v2 4k v2.5 mp3 abc_12", set()),
        ("8638011579", set()),
        ("一百二十三次，两百天，五百零六", {123, 200, 506}),
        ("十十十 三三两两 七七八八 一五一十 三千", set()),
        ("电话一三八零零一三八零零零", set()),
    ],
)
def test_numbers_are_those_of_any_language(text: str, numbers: set[int]) -> None:
    assert numbers_in([text]) == numbers


def test_scripts_are_two_where_shares_are_far_apart() -> None:
    texts = ["noodles by hand"], ["做lovirane的面条"], ["做noodles的面条吃面条上面条"], ["做面条"]
    latin, named, mixed, chinese = (foreign_tenths(text, text) for text in texts)
    shares = np.array([latin, named, mixed, chinese, NO_LETTERS], np.int8)
    assert are_two_scripts(shares[[0, 0, 0, 1]], shares[1:]).tolist() == [True, True, True, False]
    assert are_two_scripts(shares[[1, 2, 3]], shares[[3, 3, 4]]).tolist() == [True, False, False]
    assert not are_two_scripts(shares, shares).any()


def test_numbers_and_shingles_of_wide_letters_are_words() -> None:
    assert are_words(shingles("卡洛斯")).all()
    assert not are_words(shingles("kaluosi")).any()
    latin = shingles_of(["with 每天晚上直播 and 卡洛斯 daily", "卡洛斯"], is_latin=True)
    assert are_words(latin).sum() == 3  # one for each of them
    assert set(shingles("卡洛斯").tolist()) < set(latin.tolist())
    numbers = number_keys([2021, 12])
    assert are_words(numbers).all()
    assert (numbers > max(shingles("卡洛斯 kaluosi"))).all()


def test_mixed_texts_of_one_language_are_of_one_script() -> None:
    shares = np.array([4, 7, 2, 4], np.int8)
    assert not are_two_scripts(shares[[0, 2]], shares[[1, 3]]).any()
