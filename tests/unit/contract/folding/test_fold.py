"""What folding undoes, and what it leaves as it is."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.contract.folding import Disguise, cut, fold, phonetic, quote
from model_export.contract.folding.classes import LIMIT, Class
from model_export.contract.folding.tables import tables

ENGLISH = "welcome to my stream every friday night"
CHINESE = "欢迎来到我的直播间每天晚上八点开播"


def disguises(text: str) -> set[Disguise]:
    return {each.disguise for each in fold(text).undone}


def bold(text: str) -> str:
    return "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text)


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def flags(text: str, between: str) -> str:
    """Words in regional indicators, which would be flags without something between them."""
    return between.join(chr(0x1F1E6 + ord(c) - 97) if c.isalpha() else c for c in text)


DISGUISED = [
    (Disguise.CONFUSABLE, "ʇɥƃᴉu ʎɐpᴉɹɟ ʎɹǝʌǝ ɯɐǝɹʇs ʎɯ oʇ ǝɯoɔlǝʍ", ENGLISH),
    (Disguise.CONFUSABLE, "plain line\nɯɐǝɹʇs ʎɯ oʇ ǝɯoɔlǝʍ", "plain line\nwelcome to my stream"),
    (Disguise.MATHEMATICAL, flags(ENGLISH, "\u200b"), ENGLISH),
    (Disguise.MATHEMATICAL, flags("streamer", " "), "streamer"),
    (Disguise.PUNCTUATION_BETWEEN, "ᐧ".join(CHINESE), CHINESE),
    (Disguise.PUNCTUATION_BETWEEN, "ꓸ".join("welcome"), "welcome"),
    (Disguise.EMOJI_BETWEEN, "\ue001".join(CHINESE), CHINESE),
    (Disguise.EMOJI_BETWEEN, "\U000f0001".join(CHINESE), CHINESE),
    (Disguise.CONFUSABLE, "wеlсоmе to my strеаm еvеrу friday night", ENGLISH),
    (Disguise.CONFUSABLE, "wеlcome tο my streаm evеry fridаy nіght", ENGLISH),
    (Disguise.CONFUSABLE, "ԝеӏсоmе to mу ѕtrеаm еvеrу frіԁау nіght", ENGLISH),
    (Disguise.CONFUSABLE, "каждый вeчeр cтpим пo игpaм", "каждый вечер стрим по играм"),
    (Disguise.CONFUSABLE, "κaλημέρα σε όλα", "καλημέρα σε όλα"),
    (Disguise.CONFUSABLE, "по-pусски генеральное в Aктау", "по-русски генеральное в актау"),
    (Disguise.CONFUSABLE, "欢迎来到我的直播间每天晚上ハ点开播", CHINESE),
    (Disguise.CONFUSABLE, "Νеw Ηеаdquаrters", "new headquarters"),
    (Disguise.LEETSPEAK, "C0n5ul473 G3n3r4l 0f Mumb41", "consulate general of mumbai"),
    (Disguise.LEETSPEAK, "J34n-Cl4ud3 5v5 4k", "jean-claude 5v5 4k"),
    (Disguise.COMBINING, "Ù.S̈. C̈ọńs̀ùḷát̂è", "u.s. consulate"),
    (Disguise.COMBINING, "".join(c + "\u0336" if c != " " else c for c in ENGLISH), ENGLISH),
    (Disguise.COMBINING, "".join(c + "\u0301" if c != " " else c for c in ENGLISH), ENGLISH),
    (Disguise.COMBINING, "".join(c + "\u0324\u0308\u0330" for c in "streamer"), "streamer"),
    (Disguise.COMBINING, "".join(c + "\u0335" for c in CHINESE), CHINESE),
    (Disguise.COMBINING, "ẅëḷčöṁë to my ṡţṙëäṁ", "welcome to my stream"),
    (Disguise.COMBINING, "欢\u0e31迎\u0e31来\u0e31到", "欢迎来到"),
    (Disguise.FULL_WIDTH, wide(ENGLISH), ENGLISH),
    (Disguise.FULL_WIDTH, "ＡＢＣ１２３", "abc123"),
    (Disguise.MATHEMATICAL, bold(ENGLISH), ENGLISH),
    (Disguise.MATHEMATICAL, "𝓌𝑒𝓁𝒸𝑜𝓂𝑒 ⓣⓞ ⓜⓨ 🅂🅃🅁🄴🄰🄼", "welcome to my stream"),
    (Disguise.MATHEMATICAL, "ᴡᴇʟᴄᴏᴍᴇ 🅃🄾", "welcome to"),
    (Disguise.ZERO_WIDTH, "\u200b".join(ENGLISH), ENGLISH),
    (Disguise.ZERO_WIDTH, "\u200d".join(CHINESE), CHINESE),
    (Disguise.ZERO_WIDTH, "\u2060".join(CHINESE) + "\ufeff", CHINESE),
    (Disguise.BIDI, "wel\u202acome\u202c to\u200e my stream", "welcome to my stream"),
    (Disguise.BIDI, "\u202emaerts ym ot emoclew\u202c now", "welcome to my stream now"),
    (Disguise.BIDI, "\u202emaerts\nmy stream", "stream\nmy stream"),
    (Disguise.EMOJI_BETWEEN, "😀".join(CHINESE), CHINESE),
    (Disguise.EMOJI_BETWEEN, "😀".join(CHINESE[i : i + 2] for i in range(0, 17, 2)), CHINESE),
    (Disguise.EMOJI_BETWEEN, "st🔥re🔥am🔥er", "streamer"),
    (Disguise.EMOJI_BETWEEN, "❤️".join("streamer"), "streamer"),
    (Disguise.PUNCTUATION_BETWEEN, ".".join(CHINESE), CHINESE),
    (Disguise.PUNCTUATION_BETWEEN, "·".join(CHINESE), CHINESE),
    (
        Disguise.PUNCTUATION_BETWEEN,
        "-".join("welcome") + " " + "-".join("everybody"),
        "welcome everybody",
    ),
    (Disguise.PUNCTUATION_BETWEEN, "_".join(CHINESE[i : i + 2] for i in range(0, 17, 2)), CHINESE),
    (Disguise.SPACED, " ".join(CHINESE), CHINESE),
    (Disguise.SPACED, "\u3000".join(CHINESE), CHINESE),
    (Disguise.SPACED, "h e l l o", "hello"),
    (Disguise.SPACED, "h e l l o   i   a m   y o u", "hello   i   am   you"),
    (Disguise.SPACED, "п р и в е т", "привет"),
    (Disguise.LEETSPEAK, "w3lc0m3 t0 my str34m", "welcome to my stream"),
    (Disguise.LEETSPEAK, "str34m3r", "streamer"),
    (Disguise.LEETSPEAK, "$tr3@m3r", "streamer"),
    (Disguise.TRADITIONAL, "歡迎來到我的直播間每天晚上八點開播", CHINESE),
]


@pytest.mark.parametrize(("disguise", "text", "meant"), DISGUISED)
def test_a_disguise_is_undone_and_named(disguise: Disguise, text: str, meant: str) -> None:
    assert fold(text).text == meant
    assert disguise in disguises(text)


HONEST = [
    ENGLISH,
    CHINESE,
    "café crème brûlée à la française, où l'été naît",
    "Größe, Straße, übermäßig schön".lower().replace("ß", "ss"),
    "příliš žluťoučký kůň úpěl ďábelské ódy",
    "tiếng việt rất đẹp và khó đọc ở đó",
    "każdego dnia o ósmej wieczorem i w nocy",
    "her akşam saat sekizde ılık yayın",
    "каждый вечер стрим по играм, заходите",
    "аре сор хор",
    "щоденні стріми їжаків",
    "κάθε βράδυ μετάδοση",
    "毎晩八時から配信します、東京の渡辺です",
    "東京大学駅前",
    "広島県浜松市気象台",
    "매일 밤 여덟 시에 방송합니다",
    "나 안 가 더",
    "بث مباشر كل ليلة",
    "مَرْحَبًا بِكُمْ",
    "שידור חי כל ערב",
    "สตรีมทุกคืนเวลาสองทุ่ม",
    "हर रात लाइव स्ट्रीम",
    "ọmọ́ yorùbá ẹ̀kọ́ dára",
    "за́мок на горе",
    "5v5 1v1 b站 mp3 24h ps5 gta5 4k 60fps 3d r6 csgo2 covid19 h1z1 b2b p2p mp3player",
    "2024-05-01 20:00 v1.2.3.4 192.168.0.1",
    "u.s. e.g. a.k.a. t-shirt rock'n'roll",
    "唱歌、跳舞、聊天、打游戏",
    "唱歌 跳舞 聊天 游戏",
    "游戏主播🎮每天八点🔥记得关注❤",
    "i love you ❤ so much 😀",
    "看《哪吒2》之前，牛转乾坤，王濛教滑冰",
    "bekim ҫollaku",
    "骗钱+骗色=诈骗+强奸",
    "【毕导】和（谁）一（起）",
    "①签到 ②抽奖 ③关注",
    "love❤you",
    "mail me@home or name@mail.com",
    "gamer4life",
    "a b c",
    "x² + y² = z²",
    "🇨🇳🇺🇸 travel 🇫🇷 🇩🇪 🇮🇹",
    "/ɹɛd/ rhymes with /sɛt ʌp ðɐ bɛd/",
    "medaase, ɛyɛ me dɛ sɛ mehyiaa wo, ɔkɔɔ fie",
    "a ∩ b ⊥ c ∀ d",
    "ไทย tทt แลนด์",
]


@pytest.mark.parametrize("text", HONEST)
def test_plain_text_is_left_as_it_is(text: str) -> None:
    found = fold(text)
    assert found.undone == ()
    # What remains is Unicode's own normalisation.
    assert found.text == unicodedata.normalize("NFKC", text).casefold() or found.text == text


def test_capitals_widths_and_compatibility_forms_are_no_disguise() -> None:
    assert fold("Welcome To My STREAM").text == "welcome to my stream"
    assert fold("你好，世界！").text == "你好,世界!"
    assert fold("ﾊﾞﾅﾅ ストリーム").text == "バナナ ストリーム"
    assert fold("İSTANBUL").text == "istanbul"
    assert fold("café").text == fold("cafe\u0301").text == "café"
    assert fold("한글").text == fold(unicodedata.normalize("NFD", "한글")).text == "한글"
    vietnamese = "tiếng việt rất đẹp"
    assert fold(unicodedata.normalize("NFD", vietnamese)).text == vietnamese
    for text in ("Welcome", "你好，世界！", "ﾊﾞﾅﾅ", "İSTANBUL", "cafe\u0301"):
        assert fold(text).undone == ()


def test_digits_of_all_scripts_are_digits_and_stretches_of_arabic_none() -> None:
    assert fold("٢٠٢٤ ۹۹ १२३ ๔๕ 〡〢〣〇").text == "2024 99 123 45 123〇"
    assert fold("مـــرحبـــا").text == fold("مرحبا").text
    for text in ("٢٠٢٤ ۹۹ १२३ ๔๕", "مـــرحبـــا"):
        assert fold(text).undone == ()


def test_joiners_of_scripts_and_emoji_are_no_disguise() -> None:
    for text in ("می\u200cخواهم", "क्\u200dष", "👨\u200d👩\u200d👧 family", "\u200fשלום\u200e abc"):
        assert fold(text).undone == ()


def test_several_disguises_at_once() -> None:
    spaced = " ".join("wеlсоmе")  # some of them Cyrillic
    found = fold(spaced)
    assert found.text == "welcome"
    assert {Disguise.SPACED, Disguise.CONFUSABLE} <= {u.disguise for u in found.undone}
    assert fold("ｗ\u200bｅ\u200bｌ\u200bｃ\u200bｏ\u200bｍ\u200bｅ").text == "welcome"
    assert fold(" ".join("歡迎來到我的直播間")).text == "欢迎来到我的直播间"


def test_spans_are_those_of_the_original() -> None:
    text = "hello everyone, ｗｅｌｃｏｍｅ to 臺灣"
    found = fold(text)
    spans = {u.disguise: text[u.start : u.end] for u in found.undone}
    assert spans == {Disguise.FULL_WIDTH: "ｗｅｌｃｏｍｅ", Disguise.TRADITIONAL: "臺灣"}


def test_a_quote_is_the_originals() -> None:
    text = "Hi! w\u200bе\u200bl\u200bс\u200bоmе to my stream"
    found = fold(text)
    start = found.text.index("welcome")
    assert quote(text, found, start, start + 7) == text[4 : text.index(" to")]
    assert quote(text, found, 0, len(found.text), most=10).endswith("…")
    assert len(quote(text, found, 0, len(found.text), most=10)) <= 10
    assert quote(text, found, 3, 3) == ""
    assert quote(text, found, 0, 10**6, most=10**6) == text


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("soup 👨\u200d👩\u200d👧 soup", 8, "soup…"),  # no other family
        ("call 1\ufe0f\u20e38\ufe0f\u20e3 now", 10, "call 1\ufe0f\u20e3…"),
        ("cafe\u0301 noir", 5, "caf…"),
        ("ok 👍🏽 fine", 5, "ok…"),
        ("short", 5, "short"),
        ("a" + "\u0301" * 99, 50, "a" + "\u0301" * 48 + "…"),  # such marks have no end
    ],
)
def test_a_cut_leaves_no_half_of_what_is_shown_as_one(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown


def test_a_quote_has_its_last_character_whole() -> None:
    text = "vx 1\ufe0f\u20e38\ufe0f\u20e3"
    folded = fold(text)
    assert quote(text, folded, 0, len(folded.text)) == text


def test_of_what_is_turned_round_all_is_quoted() -> None:
    text = "hello \u202eyadirf yreve gnikooc ew\u202c, see you"
    found = fold(text)
    start = found.text.index("cooking")
    assert found.text[start - 3 :] == "we cooking every friday, see you"
    assert quote(text, found, start, start + 7) == "yadirf yreve gnikooc ew"
    assert quote(text, found, start, len(found.text)) == text[7:]
    assert quote(text, found, 0, 5) == "hello"


def test_homophones_have_one_phonetic_form() -> None:
    assert phonetic("威信") == phonetic("薇心") == phonetic("微信") != phonetic("支付")
    assert len(phonetic(CHINESE)) == len(CHINESE)
    assert phonetic("hello 123") == "hello 123"
    # A few kana keep a text from being made simplified, and it sounds as it does.
    assert phonetic(fold("歡迎來到我の直播間，気溫").text) == phonetic("欢迎来到我的直播间,气温")


def test_every_character_is_plain_after_one_pass() -> None:
    known = tables()
    codes = np.arange(LIMIT, dtype=np.uint32)
    for results in (known.plain[known.plain != codes], known.expansions):
        assert (known.plain[results] == results).all()
        assert (known.lengths[results] == 1).all()
        assert (known.classes[results] < Class.ZERO_WIDTH).all()


ANY = st.text(st.characters(), max_size=60)
NASTY = st.text(
    st.sampled_from(
        "aеоhl1043@$!5 v.·-,😀❤️你好們裡ロのカİｗ𝐚ɐǝɯʌq🇦🇧ᐧ\ue001ـ٣ﬁﾊﾞ각한é①ΝВ"
        "\u0301\u0323\u200b\u202e\u202c\ud800\u3099\u1100\u1161\n\t"
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY, NASTY))
def test_folding_twice_is_folding_once(text: str) -> None:
    once = fold(text)
    assert fold(once.text).text == once.text


@settings(max_examples=400, deadline=None)
@given(st.one_of(ANY, NASTY))
def test_places_are_those_of_the_original(text: str) -> None:
    found = fold(text)
    origins = list(found.origins)
    assert len(origins) == len(found.text)
    assert origins == sorted(origins)
    assert all(0 <= place < len(text) for place in origins)
    assert all(0 <= u.start < u.end <= len(text) for u in found.undone)


@given(ANY)
def test_the_phonetic_form_keeps_places(text: str) -> None:
    folded = fold(text).text
    assert len(phonetic(folded)) == len(folded)
