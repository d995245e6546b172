"""Names in pinyin are read as characters of their sounds, and words of other languages are not."""

import pytest

from model_export.contract.evidence import sounds_like
from model_export.contract.folding import phonetic
from model_export.contract.folding.romanised import readings
from model_export.contract.folding.tables import tables


@pytest.mark.parametrize(
    ("latin", "chinese"),
    [
        ("Wangxiaoming", "王小明"),
        ("KALUOSI", "卡洛斯"),
        ("Lüyuanqi".replace("ü", "v"), "吕元奇"),
        ("xianglianzhu", "香莲珠"),
        ("by Ouyangxiaoshan, live", "欧阳小山"),
    ],
)
def test_a_romanised_name_reads_as_its_characters(latin: str, chinese: str) -> None:
    found = readings(sounds_like(latin))
    spelt = phonetic(chinese)
    assert {spelt[i : i + 3] for i in range(len(spelt) - 2)} <= set(found)
    assert len(found) <= 12


def test_most_words_of_other_languages_are_no_names() -> None:
    text = (
        "Handmade noodles every friday night, questions about streaming are welcome. Behind the "
        "scenes: mistakes, highlights and walkthroughs; gracias por todo el apoyo, hasta luego. "
        "Willkommen auf meinem Kanal, jeden Dienstag neue Videos über Wandern und Kochen."
    )
    assert readings(sounds_like(text)) == []


@pytest.mark.parametrize("latin", ["aiyaoai", "aoaoaoai", "hmnanan", "banana", "manmnan"])
def test_no_name_has_syllables_without_a_vowel_or_several_of_vowels_alone(latin: str) -> None:
    vowels = {phonetic(each) for each in "啊爱奥额欸哦欧"}
    for read in readings(sounds_like(latin)):
        assert sum(character in vowels for character in read) <= 1
        assert not set(read) & {tables().syllables[each] for each in ("m", "n", "hm")}
