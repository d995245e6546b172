"""Match weights against the formula written out, and what each channel sees."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_export.contract.evidence import (
    ABSENT,
    CHANNELS,
    DIRECT,
    IDENTITY,
    NAMES_OF_CHANNELS,
    NO_LETTERS,
    VERDICTS,
    Comparison,
    Frequencies,
    Levels,
    Matcher,
    Worth,
    packaged,
    side_of,
)
from model_export.contract.evidence.channels import text_levels
from model_export.contract.evidence.matching import MOST_COMMON
from model_export.contract.streamer import StreamerProfile

BIO = "手工面条每周五一个新食谱 handmade noodles, one recipe every friday night"
OTHER = "深夜陪聊唱民谣，点歌请刷小心心 acoustic guitar and old songs until two"


def profile(**shown: Any) -> StreamerProfile:
    return StreamerProfile(streamer_id="s", **shown)


def levels_of(a: dict[str, Any], b: dict[str, Any]) -> dict[str, str | None]:
    """The level of each channel, None where it is absent."""
    embeddings = [each.pop("embedding", None) for each in (a, b)]
    sides = [
        side_of(profile(**each), frozenset(), embedding)
        for each, embedding in zip((a, b), embeddings, strict=True)
    ]
    comparison = Comparison(sides, packaged().frequencies.table())
    (row,) = run(comparison, [0], [1])
    return {
        channel.name: None if level == ABSENT else channel.levels[level]
        for channel, level in zip(CHANNELS, row.tolist(), strict=True)
    }


def run(comparison: Comparison, one: list[int], other: list[int]) -> Levels:
    comparing = comparison.levels(np.array(one), np.array(other))
    while True:
        try:
            next(comparing)
        except StopIteration as done:
            return done.value


def vector(seed: int, width: int = 16) -> list[float]:
    return np.random.default_rng(seed).normal(size=width).tolist()


def unit(*numbers: float) -> NDArray[np.float32]:
    found = np.array(numbers, np.float32)
    return (found / np.linalg.norm(found)).astype(np.float32)


def test_what_a_side_does_not_show_is_absent_and_no_difference() -> None:
    assert set(levels_of({"bio": BIO}, {"name": "x"}).values()) == {None}
    found = levels_of({"bio": BIO, "tags": ["a"]}, {"bio": OTHER, "tags": ["b"]})
    assert (found["text"], found["tags"], found["contacts"]) == ("none", "none", None)


def test_texts() -> None:
    assert levels_of({"bio": BIO}, {"bio": BIO.upper()})["text"] == "whole"
    longer = OTHER + " " + OTHER[::-1]
    assert levels_of({"bio": BIO}, {"bio": longer + BIO})["text"] == "whole"  # it holds all of it
    half = {"bio": BIO[: len(BIO) // 2 + 4] + " " + OTHER}
    assert levels_of({"bio": BIO}, half)["text"] in ("most", "part", "passage")
    video = {"videos": [{"video_id": "v", "title": BIO}]}
    assert levels_of({"bio": BIO}, video)["text"] == "whole"


@pytest.mark.parametrize(
    "disguised",
    [
        "手 工 面 条 每 周 五 一 个 新 食 谱",
        "手.工.面.条.每.周.五.一.个.新.食.谱",
        "手😀工😀面😀条😀每😀周😀五😀一😀个😀新😀食😀谱",
        "手工麵條每週五一個新食譜",
        "守工面条没周五一个心食谱",
    ],
)
def test_disguised_texts(disguised: str) -> None:
    assert levels_of({"bio": "手工面条每周五一个新食谱"}, {"bio": disguised})["text"] == "whole"


CHINESE = "主要做手工面条和卡洛斯。在海边公寓里拍摄，周五晚上更新。"
NAMES = {
    "维拉尼": "Weilani",
    "沙奥泽": "Shaaoze",
    "金福来饭店": "Jinfulaifandian",
    "王小明": "Wangxiaoming",
    "白云山庄": "Baiyunshanzhuang",
    "刘家港": "Liujiagang",
}
ENGLISH = (
    "Noodles by hand and Kaluosi, mostly. I film in a seaside flat, new recipes friday nights."
)


def test_names_are_left_of_a_translation() -> None:
    """Romanised, or as they stand; one name in common tells nobody."""
    chinese = f"{CHINESE}常去{'、'.join(NAMES)}。"
    romanised = f"{ENGLISH} Often at {', '.join(NAMES.values())}."
    assert levels_of({"bio": chinese}, {"bio": romanised})["text"] == "many_names"
    several = f"{ENGLISH} Often at Weilani, and Shaaoze."
    assert levels_of({"bio": chinese}, {"bio": several})["text"] == "names"
    assert levels_of({"bio": chinese}, {"bio": ENGLISH})["text"] in ("little", "none")
    latin = (
        "主要做手工面条和lovirane，在海边公寓里拍摄，周五晚上更新。目标是dronoxulf，还有kaibalnox。"
    )
    left = "Noodles by hand and Lovirane, seaside flat, fridays. Goal: Dronoxulf, and Kaibalnox."
    assert levels_of({"bio": latin}, {"bio": left})["text"] == "many_names"
    other = "Dancing on the rooftop, Lovirane fan club, every second sunday morning at noon."
    assert levels_of({"bio": other}, {"bio": left})["text"] in ("little", "none")  # one script


@pytest.mark.parametrize("shown", ["800 1280 960 240", "817 1283 967 243 1531"])
def test_numbers_alone_are_no_translation(shown: str) -> None:
    bios = f"{CHINESE}{shown}", f"{ENGLISH.replace('Kaluosi', 'rice')} {shown}"
    assert levels_of(*({"bio": bio} for bio in bios))["text"] in ("part", "little", "none")


@pytest.mark.parametrize("phrase", ["每天晚上直播", "どうぞよろしく"])
def test_a_phrase_is_no_list_of_names(phrase: str) -> None:
    stranger = {"bio": f"Dancing on a rooftop, every second sunday. {phrase}"}
    for bio in (CHINESE, "とっても楽しいダンス動画をつくっています。"):
        assert levels_of({"bio": f"{bio}{phrase}"}, stranger)["text"] in ("part", "little", "none")


@pytest.mark.parametrize("tail", ["😀🔥🎉💯✨🌸🍓⭐" * 12, " 做饭", "한국 방송 매일 밤 아홉 시에"])
def test_a_tail_of_signs_or_a_few_letters_is_no_other_script(tail: str) -> None:
    """Two bios that share one long word."""
    one = {"bio": "Noodles by hand from Kaibalnoxdronox, and a seaside flat, fridays at nine."}
    other = "Dancing on a rooftop since Kaibalnoxdronox, every second sunday morning at noon"
    assert levels_of(one, {"bio": other + tail})["text"] in ("little", "none", "part")


@pytest.mark.parametrize(
    ("bio", "script"),
    [
        ("手工面条", 10),
        ("ラーメンをつくります", 10),
        ("매일 밤 방송", 10),
        ("أطبخ كل يوم", 10),
        ("ทำอาหารทุกวัน", 10),
        ("готовлю лапшу каждую пятницу", 10),
        ("μαγειρεύω κάθε μέρα", 10),
        ("noodles 🍜🍜🍜🍜🍜🍜🍜🍜🍜", 0),
        ("nấu ăn mỗi ngày, crème brûlée", 0),
        ("nооdles", 0),
        ("noodles 面条 day", 2),
        ("🍜 2024", NO_LETTERS),
    ],
)
def test_scripts_are_told_by_letters(bio: str, script: int) -> None:
    assert side_of(profile(bio=bio)).script == script


@pytest.mark.parametrize(("documents", "ring"), [(400, 3), (5_000, 16)])
def test_the_text_of_a_ring_that_was_counted_is_copied_and_a_phrase_of_many_is_not(
    documents: int, ring: int
) -> None:
    own, phrase = side_of(profile(bio=BIO)), side_of(profile(bio="follow me for more of these"))
    counts = dict.fromkeys(own.of("text").tolist(), ring)
    counts[0] = 2  # the rarest that is listed
    counts |= dict.fromkeys(phrase.of("text").tolist(), documents // 50)
    worth = Frequencies.of(counts, documents).table()
    found = run(Comparison([own, own, phrase, phrase], worth), [0, 2], [1, 3])[:, 0]
    whole, less = (CHANNELS[0].levels[level] for level in found.tolist())
    assert whole == "whole"
    assert less not in ("whole", "many_names", "most", "names")


def test_a_few_rare_tags_are_all_that_two_profiles_show() -> None:
    tags = ["soufflé", "k9 agility", "zz-top", "bonsai", "kombucha"]
    worth = Worth(np.zeros(0, np.uint32), np.zeros(0, np.float32), 12.0)
    sides = [side_of(profile(tags=some)) for some in (tags, tags, [*tags[:3], "vlog", "热门"])]
    found = run(Comparison(sides, worth), [0, 0], [1, 2])[:, 0]
    assert [CHANNELS[0].levels[level] for level in found.tolist()] == ["whole", "little"]


def test_half_of_a_text_may_be_a_template_where_no_title_is_in_common() -> None:
    containment = np.array([0.55, 0.55, 0.65], np.float32)
    bits, rare, words = (np.full(3, each, np.float32) for each in (100, 30, 0))
    found = text_levels(
        containment,
        bits,
        rare,
        np.full(3, 60),
        words,
        scripts=np.zeros(3, np.bool_),
        other_titles=np.array([False, True, True]),
    )
    assert [CHANNELS[0].levels[level] for level in found] == ["most", "passage", "most"]


def test_titles_in_another_order_of_their_words() -> None:
    def shown(*titles: str) -> dict[str, Any]:
        return {"videos": [{"video_id": f"v{i}", "title": t} for i, t in enumerate(titles)]}

    ours = shown("late seeds for beginners: gardena", "羽霞洵：破旧自习歌单，吵闹高潮段落")
    theirs = shown("gardena beginners for seeds late:", "吵闹高潮段落，羽霞洵：破旧自习歌单")
    assert levels_of(ours, theirs)["titles"] == "most"
    assert levels_of(ours, shown("early seeds for beginners: gardena", OTHER))["titles"] == "none"
    ours = shown("noodles of day 12", "recipes of 12.10.2024")
    assert levels_of(ours, shown("day 12 of noodles", "of 12.10.2024 recipes"))["titles"] == "most"
    assert levels_of(ours, shown("noodles of day 21", "recipes of 21.10.2024"))["titles"] == "none"


def test_names_titles_tags_and_labels() -> None:
    a = {
        "name": "Nightkitchen",
        "tags": ["dumplings", "flour", "热门"],
        "category": "food",
        "videos": [{"video_id": "v1", "title": BIO}, {"video_id": "v2", "title": OTHER}],
    }
    b = {
        "name": "night_kitchen",
        "tags": ["Flour", "dumplings"],
        "category": "FOOD",
        "videos": [{"video_id": "v1", "title": OTHER}, {"video_id": "v2", "title": BIO}],
    }
    found = levels_of(a, b)
    assert found["names"] in ("same_rare", "similar")
    assert (found["titles"], found["tags"]) == ("most", "rare")
    assert found["category_language"] == "rare"


def test_contacts_are_found_behind_disguises() -> None:
    one = {"bio": "直播卖货 加微信 chef_kz8866"}
    found = levels_of(one, {"bio": "VX: chef_kz8866 acoustic guitar"})
    assert found["contacts"] == "same"
    assert levels_of(one, {"bio": "微信 guitar_2020"})["contacts"] == "other"
    assert levels_of(one, {"bio": BIO})["contacts"] is None


@pytest.mark.parametrize(
    ("bio", "title"),
    [
        ("唱歌跳舞 商务合作", "iPhone15 开箱"),
        ("我爱微信", "twitch2 affiliate"),
        ("合作请发邮件至lan@mail.cn。", "tv tonight"),
        ("可爱 qq", "13800138 plays"),
    ],
)
def test_no_contact_goes_on_in_the_next_text(bio: str, title: str) -> None:
    videos = [{"video_id": "v", "title": title}]
    contacts = [
        side_of(profile(**shown), frozenset()).of("contacts").tolist()
        for shown in ({"bio": bio}, {"videos": videos}, {"bio": bio, "videos": videos})
    ]
    assert contacts[2] == sorted(contacts[0] + contacts[1])


def test_vectors_that_are_nearly_equal_count_as_copies() -> None:
    def covers(*vectors: list[float]) -> dict[str, Any]:
        return {
            "videos": [
                {"video_id": f"v{i}", "cover": {"vector": each, "space": "clip"}}
                for i, each in enumerate(vectors)
            ]
        }

    noisy = (np.array(vector(1)) * 1.01 + 0.001).tolist()
    assert levels_of(covers(vector(1), vector(2)), covers(vector(2), noisy))["vectors"] == "several"
    assert levels_of(covers(vector(1)), covers(noisy, vector(3)))["vectors"] == "one"
    assert levels_of(covers(vector(1)), covers(vector(3)))["vectors"] == "none"
    elsewhere = {"avatar": {"vector": vector(1), "space": "other"}}
    assert levels_of(covers(vector(1)), elsewhere)["vectors"] is None
    assert levels_of(covers(vector(1)), {"bio": BIO})["vectors"] is None


def test_equal_files_are_copies_without_a_tower() -> None:
    same = {"avatar": {"url": "https://a.example/1.jpg"}}
    other = {"avatar": {"url": "https://a.example/2.jpg"}}
    assert levels_of(same, dict(same))["pictures"] == "one"
    assert levels_of(same, other)["pictures"] is None  # they may look alike


def test_embeddings() -> None:
    a, near, far = unit(1, 0, 0), unit(1, 0.1, 0), unit(0, 1, 0)
    assert levels_of({"embedding": a}, {"embedding": near})["embedding"] == "0.95"
    assert levels_of({"embedding": a}, {"embedding": far})["embedding"] == "lower"
    assert levels_of({"embedding": a}, {})["embedding"] is None


def test_pairs_of_a_list_are_compared_as_each_pair_alone() -> None:
    rng = np.random.default_rng(0)
    words = [f"{a}{b}" for a in "手工面条每周五新食谱" for b in "唱民谣点歌小心刷陪聊"]
    sides = [
        side_of(profile(
            bio="".join(rng.choice(words, 12)), tags=rng.choice(words, 3).tolist(),
            name="".join(rng.choice(words[:9], 2)),
        ))
        for _ in range(24)
    ]  # fmt: skip
    worth = packaged().frequencies.table()
    one, other = np.triu_indices(len(sides), 1)
    together = run(Comparison(sides, worth), one.tolist(), other.tolist())
    for row, (i, j) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
        alone = run(Comparison([sides[i], sides[j]], worth), [0], [1])[0]
        assert together[row].tolist() == alone.tolist()
        assert run(Comparison([sides[j], sides[i]], worth), [0], [1])[0].tolist() == alone.tolist()


def test_long_texts_are_sampled() -> None:
    rng = np.random.default_rng(1)
    letters = [chr(c) for c in range(0x4E00, 0x5E00)]
    text = "".join(rng.choice(letters, 5000))
    titles = [{"video_id": f"v{i}", "title": "".join(rng.choice(letters, 400))} for i in range(20)]
    whole = side_of(profile(bio=text, videos=titles))
    assert len(whole.of("text")) == 2048
    comparison = Comparison([whole, side_of(profile(bio=text))], packaged().frequencies.table())
    assert CHANNELS[0].levels[run(comparison, [0], [1])[0, 0]] == "whole"
    # A few shared shingles of the sample stand for many.
    parts = [side_of(profile(bio=text[start : start + 25])) for start in range(0, 4000, 25)]
    kept = whole.of("text")
    short = next(p for p in parts if len(np.intersect1d(p.of("text"), kept)) in (3, 4, 5))
    comparison = Comparison([whole, short], packaged().frequencies.table())
    assert CHANNELS[0].levels[run(comparison, [0], [1])[0, 0]] == "whole"


some_levels = st.tuples(*(st.integers(-1, len(channel.levels) - 1) for channel in CHANNELS))


def bounded(bits: dict[str, float]) -> dict[str, float]:
    """What many share counts half of what content says at most."""
    most = MOST_COMMON * sum(max(0.0, bits.get(name, 0.0)) for name in DIRECT)
    common = sum(max(0.0, b) for name, b in bits.items() if name not in DIRECT)
    share = min(1.0, most / common) if common else 1.0
    return {n: b * share if n not in DIRECT and b > 0 else b for n, b in bits.items()}


@given(st.lists(some_levels, min_size=1, max_size=5), st.sampled_from(NAMES_OF_CHANNELS))
def test_weights_are_the_formula_and_masking_takes_its_part(
    rows: list[tuple[int, ...]], masked: str
) -> None:
    parameters = packaged()
    levels = np.array(rows, np.int8)
    found = Matcher(parameters).match(levels)
    for row, weight, probability in zip(rows, found.weights, found.probabilities, strict=True):
        bits: dict[str, float] = {}
        for channel, level in zip(CHANNELS, row, strict=True):
            if level != ABSENT:
                chances = parameters.channels[channel.name]
                bits[channel.name] = math.log(chances.m[level] / chances.u[level], 2)
        if any(bits.get(name, 0) > 0 for name in IDENTITY):  # others against the pair do not count
            bits = {name: max(0.0, each) for name, each in bits.items()}
        expected = sum(bounded(bits).values())
        assert weight == pytest.approx(expected, abs=1e-9)
        odds = parameters.prior / (1 - parameters.prior) * 2 ** (parameters.slope * expected)
        assert probability == pytest.approx(odds / (1 + odds), abs=1e-9)
    assert np.abs(found.contributions.sum(1) - found.weights).max() < 1e-6
    without = Matcher(parameters).match(levels, [masked])
    column = NAMES_OF_CHANNELS.index(masked)
    gone = found.weights - without.weights - found.contributions[:, column]
    assert np.abs(gone).max() < 1e-9


def verdict(**given: str) -> str:
    row = [ABSENT] * len(CHANNELS)
    for name, level in given.items():
        place = NAMES_OF_CHANNELS.index(name)
        row[place] = CHANNELS[place].levels.index(level)
    found = Matcher(packaged()).match(np.array([row], np.int8))
    return VERDICTS[found.verdicts[0]]


def test_verdicts_are_typed() -> None:
    assert verdict() == "unrelated"
    assert verdict(text="whole", tags="rare", embedding="0.95") == "near_duplicate"
    assert verdict(contacts="same", text="none", tags="none", titles="none") == "same_contact"
    assert verdict(vectors="several", text="none") == "same_media"
    differs = {"text": "none", "titles": "none", "tags": "none", "category_language": "none"}
    assert verdict(contacts="same", **differs, embedding="lower") == "same_contact"
    assert verdict(vectors="several", **differs, embedding="lower") == "same_media"
    style = {"tags": "many_rare", "category_language": "rare", "embedding": "0.95"}
    assert verdict(**style) == "same_style"  # however much, it is no copy
    # A game's cover and name, as all its players show them.
    assert verdict(pictures="one", names="same_common", **style) == "same_style"
    assert verdict(pictures="several", titles="one", names="same_rare") == "same_media"
    assert verdict(text="none", tags="none", embedding="lower") == "unrelated"
