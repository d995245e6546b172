"""Texts whose words are hidden share the keys of what they say."""

import numpy as np
import pytest

from model_export.contract.evidence import side_of
from model_export.contract.evidence.readings import read, without_others
from model_export.contract.folding import fold
from model_export.contract.streamer import StreamerContent
from training.world import generate

SAID = "每周三晚上八点在厨房直播手工面条，教大家和面擀面切面，欢迎一起来做"
PINYIN = (
    "mei zhou san wan shang ba dian zai chu fang zhi bo shou gong mian tiao, jiao da jia he mian "
    "gan mian qie mian, huan ying yi qi lai zuo"
)
TONES = (
    "měi zhōu sān wǎn shàng bā diǎn zài chú fáng zhí bō shǒu gōng miàn tiáo, jiāo dà jiā hé miàn "
    "gǎn miàn qiē miàn, huān yíng yì qǐ lái zuò"
)
NUMBERS = (
    "mei3 zhou1 san1 wan3 shang4 ba1 dian3 zai4 chu2 fang2 zhi2 bo1 shou3 gong1 mian4 tiao2 jiao1 "
    "da4 jia1 he2 mian4 gan3 mian4 qie1 mian4 huan1 ying2 yi4 qi3 lai2 zuo4"
)
ZHUYIN = (
    "ㄇㄟˇㄓㄡㄙㄢㄨㄢˇㄕㄤˋㄅㄚㄉㄧㄢˇㄗㄞˋㄔㄨˊㄈㄤˊㄓˊㄅㄛㄕㄡˇㄍㄨㄥㄇㄧㄢˋㄊㄧㄠˊ，ㄐㄧㄠㄉㄚˋㄐㄧㄚㄏㄜˊㄇㄧㄢˋ"
    "ㄍㄢˇㄇㄧㄢˋㄑㄧㄝㄇㄧㄢˋ，ㄏㄨㄢㄧㄥˊㄧˋㄑㄧˇㄌㄞˊㄗㄨㄛˋ"
)


def shared(text: str, said: str = SAID) -> float:
    """Share of the keys of what is said that a text shows."""
    ours, theirs = (side_of(StreamerContent(bio=each)).of("text") for each in (said, text))
    return len(np.intersect1d(ours, theirs)) / len(ours)


@pytest.mark.parametrize(
    "text",
    [
        PINYIN,
        PINYIN.replace(" ", ""),
        TONES,
        NUMBERS,
        ZHUYIN,
        "mei周san晚上ba点zai厨fang直bo手gong面条，jiao大jia和mian擀面qie面，huan迎yi起lai做",
        "每(měi)周(zhōu)三(sān)晚(wǎn)上(shàng)八(bā)点(diǎn)在(zài)厨(chú)房(fáng)直(zhí)播(bō)手(shǒu)工(gōng)面(miàn)条(tiáo)，"
        "教(jiāo)大(dà)家(jiā)和(hé)面(miàn)擀(gǎn)面(miàn)切(qiē)面(miàn)，欢(huān)迎(yíng)一(yì)起(qǐ)来(lái)做(zuò)",
        "每周x三晚q上八k点在v厨房z直播a手工s面条，教d大家f和面g擀面h切面，欢j迎一l起来w做",
        "每周1三晚2上八3点在4厨房5直播6手工7面条，教8大家9和面0擀面1切面，欢2迎一3起来4做",
        "每周丶三晚丨上八灬点在彡厨房丶直播丨手工灬面条，教彡大家丶和面丨擀面灬切面，欢彡迎一丶起来丨做",
        "每週三晚上八點の廚房直播手工麵條，教大家ツ和麵擀麵切麵，歡迎一起來做",
    ],
)
def test_what_is_said_is_found_behind_its_sound_and_between_other_things(text: str) -> None:
    assert shared(text) > 0.6


LATIN = "fresh noodle recipes from my kitchen every friday night, with guests from all over town"


@pytest.mark.parametrize(
    "letters",
    [
        "₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱QⱤ₴₮ɄV₩ӾɎⱫ",
        "ᗩᗷᑕᗪEᖴGᕼIᒍKᒪᗰᑎOᑭᑫᖇᔕTᑌᐯᗯ᙭YZ",
        "ДБCDЄFGHЇJКLМЙОРQЯSTЦVЩЖЧZ",
        "αвc∂єƒgнιנкℓмησρqяѕтυνωχуz",
        "ꋬꃳꉔ꒯ꏂꊰꍌꁝ꒐꒻ꀘ꒒ꂵꋊꄲꉣꆰꋪꇙ꓄꒤꒦ꅐꉧꌦꁴ",
    ],
)
def test_fancy_lettering_is_read_as_the_letters_that_it_looks_like(letters: str) -> None:
    table = str.maketrans("abcdefghijklmnopqrstuvwxyz", letters)
    assert shared(LATIN.translate(table), LATIN) > 0.5


def test_doubled_and_stretched_letters_are_read_once() -> None:
    assert shared("".join(c * 2 if c.isalpha() else c for c in LATIN), LATIN) > 0.6
    assert shared("".join(c * 3 if c in "aeio" else c for c in LATIN), LATIN) > 0.6


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        "i play games every evening and sing along with a band, come in and have fun with us",
        "you can hang on a long line, he can sing, she can dance with us",
        "哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈",
        "b站up主，爱玩lol和dota2，k歌达人",
        "今天3个人去吃火锅，花了200元",
        "哈哈哈哈哈，太好笑了",
        "aaaah so cooool, come and watch it tonight",
        "ministerio publico de la ciudad de panama, casa de mi abuela",
        "kementerian kewangan malaysia, maju bersama kami",
        "romaji de uta o utau, kana no hanashi o suru",
        "bilibili十周年纪念影片",
        "how to make an american quilt, manchurian candidate",
        "jj",
        "方浪浪",
        "Nguyễn Văn An hát dân ca",
        "каждый вечер стрим по играм Dota 2, заходите на YouTube",
        "κάθε βράδυ μετάδοση στο Twitch",
        "สตรีมทุกคืน Live กับเรา",
        "בכל ערב שידור חי ב-YouTube",
        "在ＢＢＣ看₩5000的节目",
        "毎晩八時から配信します、東京の渡辺です",
        "",
    ],
)
def test_other_texts_read_as_they_stand(text: str) -> None:
    folded = fold(text).text
    assert read(folded) == folded
    assert without_others(folded) is None


def test_few_honest_texts_read_otherwise() -> None:
    texts = [
        fold(text).text
        for profile in generate(300, 5).profiles
        for text in (profile.get("bio"), *(v.get("title") for v in profile.get("videos", [])))
        if text
    ]
    assert sum(
        read(text) != text or without_others(text) is not None for text in texts
    ) <= 0.01 * len(texts)
