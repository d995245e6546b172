import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_export.contract.evidence import Frequencies, count_keys, key_of, shingles, sounds_like


def test_shingles_of_a_part_are_among_those_of_the_whole() -> None:
    whole = set(shingles("手工面条每周五一个食谱 one recipe every friday").tolist())
    for part in ("手工面条每周五", "recipe every fri", "食谱 one"):
        assert set(shingles(part).tolist()) <= whole
    assert not set(shingles("酸汤特辣配方公开").tolist()) & whole


def test_blanks_do_not_count_and_short_texts_are_one_shingle() -> None:
    assert shingles("a b c d e f").tolist() == shingles("abcdef").tolist()
    assert len(shingles("面条")) == len(shingles("abc")) == 1
    assert len(shingles(" \n")) == 0


@given(st.text(max_size=60))
def test_any_text_has_no_more_shingles_than_letters(text: str) -> None:
    found = shingles(text)
    assert found.dtype == np.uint32
    assert len(found) <= max(1, 2 * len(text))


def test_rare_keys_are_worth_more() -> None:
    common, rare = key_of("tag", "热门"), key_of("tag", "soufflé")
    shown = [[np.array([common], np.uint32)] for _ in range(900)]
    shown += [[np.array([common, rare], np.uint32)] for _ in range(3)]
    shown += [[np.array([key_of("tag", str(i))], np.uint32)] for i in range(97)]
    counts, documents = count_keys(shown)
    worth = Frequencies.of(counts, documents).table()
    unseen = key_of("tag", "never")
    bits = worth(np.array([common, rare, unseen], np.uint32))
    assert bits[0] == pytest.approx(np.log2(1001 / 903.5), abs=0.07)
    assert bits[1] == pytest.approx(np.log2(1001 / 3.5), abs=0.07)
    assert bits[2] > bits[1]


@pytest.mark.parametrize("wrong", [{"keys": "AAAA"}, {"keys": "!"}, {"bits": "AQ=="}])
def test_damaged_tables_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Frequencies(**{"documents": 1, "unknown_bits": 1.0, **wrong})


def test_look_alikes_of_any_script_sound_like_their_letters() -> None:
    plain = sounds_like("tracks for cats since 2019")
    for shown in ("ᵵɍạȼĸѕ ꬵoɍ ȼ⍺ᵵs ꜱɩոс℮ 2019", "Тгаскѕ ƒог сатѕ ѕіпсе 2019"):
        shared = shingles(plain), shingles(sounds_like(shown))
        assert len(np.intersect1d(*shared)) >= 0.5 * len(shared[0]), shown
