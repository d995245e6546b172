"""Contacts are found behind their disguises, and numbers of other things are none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.contract.folding import Disguise, find_contacts, look_of
from model_export.contract.folding.contacts.announcements import announcements
from model_export.contract.folding.contacts.platforms import PLATFORMS
from tests.unit.contract.folding.contacts.contact_cases import NEGATIVE, POSITIVE


@pytest.mark.parametrize(("text", "kind", "value"), POSITIVE)
def test_a_contact_is_found(text: str, kind: str, value: str) -> None:
    assert [(each.kind, each.value) for each in find_contacts(text)] == [(kind, value)]


@pytest.mark.parametrize("text", NEGATIVE)
def test_what_is_no_contact_is_not_found(text: str) -> None:
    assert find_contacts(text) == []


def test_the_quote_and_the_disguises_are_named() -> None:
    text = "你好！ＶＸ：ｌａｎｌａｎ５２０ 电话一三八零零一三八零零零"
    wechat, phone = find_contacts(text)
    assert wechat.quote == text[wechat.start : wechat.end] == "ＶＸ：ｌａｎｌａｎ５２０"
    assert wechat.disguises == (Disguise.FULL_WIDTH,)
    assert phone.quote == "电话一三八零零一三八零零零"
    assert phone.disguises == (Disguise.HOMOPHONE,)
    (spelled,) = find_contacts("威信 l.a.n.l.a.n")
    assert set(spelled.disguises) == {Disguise.HOMOPHONE, Disguise.PUNCTUATION_BETWEEN}


def test_each_contact_counts_once_in_the_order_of_the_text() -> None:
    text = "qq 123456789, vx lanlan520; again QQ:123456789 and a@b.com"
    found = [(each.kind, each.value) for each in find_contacts(text)]
    assert found == [("qq", "123456789"), ("wechat", "lanlan520"), ("email", "a@b.com")]


_UPSIDE_DOWN = str.maketrans("abcdefghijklmnopqrstuvwy", "ɐqɔpǝɟƃɥᴉɾʞןɯuodbɹsʇnʌʍʎ")


@pytest.mark.parametrize("disguise", [Disguise.BIDI, Disguise.CONFUSABLE])
def test_of_what_is_turned_round_all_contacts_are_found_and_all_is_quoted(
    disguise: Disguise,
) -> None:
    line = "tg: noodlebar, ig: moonlight"[::-1]
    shown = line if disguise == Disguise.BIDI else line.translate(_UPSIDE_DOWN)
    before, after = ("\u202e", "\u202c") if disguise == Disguise.BIDI else ("", "")
    found = find_contacts(f"vx: lanlan520\n{before}{shown}{after}\nqq: 123456789")
    assert [(each.value, each.quote, each.disguises) for each in found] == [
        ("lanlan520", "vx: lanlan520", ()),
        ("noodlebar", shown, (disguise,)),
        ("moonlight", shown, (disguise,)),
        ("123456789", "qq: 123456789", ()),
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        st.sampled_from("微信vxq加:： 一二13800abc.@_-😀/c\u200b\u202e\u202cɐǝɯ\n\ud800om１"),
        max_size=60,
    )
)
def test_any_text_is_read(text: str) -> None:
    for each in find_contacts(text):
        assert each.quote == text[each.start : each.end]
        assert each.value


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("ԁᴍ ме οп τ℮ƚеցгạᵯ ԛաɏƒᵴ_ᒿ4бƼգ", "dm me on telegram qwyfs_24659"),
        ("+ᴠ：ƼᒿОᒿбȢбОƼᲖ", "+v：5202686058"),
        ("VX fyyv9Ƽ130", "VX fyyv95130"),
        ("微信：7355691243", "微信：73SS69l243"),
    ],
)
def test_letters_and_digits_of_one_look_make_one_contact(disguised: str, plain: str) -> None:
    (found,), (expected,) = find_contacts(disguised), find_contacts(plain)
    assert look_of(found.value) == look_of(expected.value)
    assert found.kind == expected.kind


WORDS = [
    each
    for platform in PLATFORMS
    for each in announcements(platform, "")
    if each.begins is not None
]
