"""Two accounts compared: the verdict, and what each channel adds to it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.api import Api
from tests.support.bundles import SPACE, SPACE_WIDTH, write_bundle_with_evidence

BIO = "手工面条每周五一个新食谱，想学的朋友加微信 chef_kz8866"
DISGUISED = "手 工 麵 條 每 週 五 一 個 新 食 譜，想學的朋友加薇 chef_kz8866"
STRANGER = "acoustic guitar and old songs until two in the morning"
CHANNELS = (
    "text",
    "names",
    "contacts",
    "titles",
    "tags",
    "category_language",
    "pictures",
    "sounds",
    "vectors",
    "embedding",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With packaged evidence: what its small vocabulary does not know is rare."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle_with_evidence(folder)
    return folder


def side(one: str | dict[str, Any]) -> dict[str, Any]:
    return {"streamer_id": one} if isinstance(one, str) else {"profile": one}


def compare(
    api: Api, a: str | dict[str, Any], b: str | dict[str, Any], **options: Any
) -> dict[str, Any]:
    """The answer, whose channels add up to its weight."""
    answer = api.ok("POST", "/v1/compare", {"a": side(a), "b": side(b), **options})
    assert [channel["channel"] for channel in answer["channels"]] == list(CHANNELS)
    total = sum(channel["weight"] for channel in answer["channels"])
    assert answer["weight"] == pytest.approx(total, abs=1e-6)
    assert (answer["model_version"], answer["warnings"]) == ("test-0", [])
    return answer


def channels_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {channel["channel"]: channel for channel in answer["channels"]}


def cover(seed: int) -> dict[str, Any]:
    vector = np.random.default_rng(seed).normal(size=SPACE_WIDTH).tolist()
    return {"vector": vector, "space": SPACE}


def videos(*covers: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}", "cover": one} for i, one in enumerate(covers)]


def titled(*titles: str) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}", "title": title} for i, title in enumerate(titles)]


def test_a_disguised_copy_is_the_same_and_the_answer_says_why(api: Api) -> None:
    api.put_streamer("original", bio=BIO, tags=["cooking", "noodles"], name="面条师傅")
    api.put_streamer("disguised", bio=DISGUISED, tags=["cooking"], name="guitarist")
    found = compare(api, "original", "disguised")
    assert found["verdict"] in ("near_duplicate", "same_contact")
    assert found["weight"] > found["threshold"]
    assert 0.9 < found["probability"] <= 1
    channels = channels_of(found)
    text = channels["text"]
    assert (text["state"], text["level"]) == ("agrees", "whole")
    quote = text["quotes"][0]
    assert (quote["a_source"], quote["b_source"]) == ("bio", "bio")
    assert "手工面条" in quote["a"]
    assert "手 工 麵" in quote["b"]
    assert quote["a_undone"] is None
    assert "手工面条" in quote["b_undone"]
    assert {"spaced", "traditional"} <= set(text["disguises"])
    assert channels["contacts"]["state"] == "agrees"
    assert "chef_kz8866" in channels["contacts"]["quotes"][0]["a"]
    assert channels["names"]["state"] == "differs"
    assert channels["tags"]["state"] == "agrees"
    (tag,) = channels["tags"]["quotes"]
    assert (tag["a"], tag["b"]) == ("cooking", "cooking")
    for absent in ("titles", "pictures", "sounds", "vectors"):
        assert channels[absent] == {
            "channel": absent,
            "weight": 0,
            "state": "absent",
            "level": None,
            "quotes": [],
            "disguises": [],
        }


def test_strangers_are_unrelated_whichever_comes_first(api: Api) -> None:
    api.put_streamer("noodles", bio=BIO)
    found = compare(api, "noodles", {"bio": STRANGER})
    assert found["verdict"] == "unrelated"
    assert found["probability"] < 0.5
    assert found["weight"] < found["threshold"]
    text = channels_of(found)["text"]
    assert (text["state"], text["quotes"]) == ("differs", [])
    for a, b in (({"bio": STRANGER}, "noodles"), ({"bio": BIO}, {"bio": STRANGER})):
        same = compare(api, a, b)
        assert same["weight"] == pytest.approx(found["weight"], abs=1e-6)
        assert same["verdict"] == "unrelated"


def test_a_comparison_reads_what_was_written_just_now(api: Api) -> None:
    api.ok("PUT", "/v1/streamers/fresh", {"bio": STRANGER}, 201)
    assert compare(api, "fresh", {"bio": BIO})["verdict"] == "unrelated"
    api.ok("PUT", "/v1/streamers/fresh", {"bio": BIO})
    assert compare(api, "fresh", {"bio": BIO})["verdict"] in ("near_duplicate", "same_contact")


VERDICTS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "covers given as vectors": (
        {"bio": STRANGER, "videos": videos(cover(1), cover(2), cover(3))},
        {"bio": BIO, "videos": videos(cover(9), cover(3), cover(2))},
        "same_media",
        "vectors",
    ),
    "a contact alone": (
        {"bio": "guitar every night, 微信: lark_2041", "tags": ["music"]},
        {"bio": "hiking in the mountains. vx：lark_2041", "tags": ["travel"]},
        "same_contact",
        "contacts",
    ),
    "titles in another order": (
        {"videos": titled("今天教大家三步做出葱油拌面", "外婆留下来的老面馒头配方")},
        {"videos": titled("外婆留下来的老面馒头配方", "今天教大家三步做出葱油拌面!")},
        "near_duplicate",
        "titles",
    ),
    "the picture and the name of a game": (
        {"name": "Game Center", "avatar": {"url": "https://g.example/a.png"}, "tags": ["raid"]},
        {"name": "Game Center", "avatar": {"url": "https://g.example/a.png"}, "tags": ["raid"]},
        "same_style",
        "names",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(api: Api, case: str) -> None:
    a, b, verdict, channel = VERDICTS[case]
    found = compare(api, a, b)
    assert found["verdict"] == verdict
    told = channels_of(found)[channel]
    assert told["state"] == "agrees"
    assert told["weight"] > 0
    assert (found["weight"] >= found["threshold"]) == (verdict != "same_style")


def test_quotes_name_their_places(api: Api) -> None:
    a, b, _, _ = VERDICTS["covers given as vectors"]
    quotes = channels_of(compare(api, a, b))["vectors"]["quotes"]
    assert [(q["a_source"], q["b_source"]) for q in quotes] == [
        ("videos[1].cover", "videos[2].cover"),
        ("videos[2].cover", "videos[1].cover"),
    ]
    assert {q["a"] for q in quotes} == {""}
    chinese = "主要做手工面条。常去金福来饭店、白云山庄、刘家港，认识王小明，2017年开播。"
    english = (
        "Noodles by hand, often at Jinfulaifandian, Baiyunshanzhuang and Liujiagang, "
        "with Wangxiaoming. Live since 2017."
    )
    text = channels_of(compare(api, {"bio": chinese}, {"bio": english}))["text"]
    assert (text["state"], text["level"]) == ("agrees", "many_names")
    assert ("白云山庄", "Baiyunshanzhuang") in [(q["a"], q["b"]) for q in text["quotes"]]


def test_a_channel_left_out_takes_its_weight_with_it(api: Api) -> None:
    a = {"bio": BIO, "tags": ["cooking"], "name": "面条师傅", "language": "zh"}
    b = {"bio": DISGUISED, "tags": ["cooking"], "name": "guitarist", "language": "zh"}
    whole = compare(api, a, b)
    assert sum(channel["weight"] != 0 for channel in whole["channels"]) >= 4
    for channel in whole["channels"]:
        name = channel["channel"]
        less = compare(api, a, b, without=[name])
        assert channels_of(less)[name]["weight"] == 0
        assert whole["weight"] - less["weight"] == pytest.approx(channel["weight"], abs=1e-6)
    assert compare(api, a, b, without=list(CHANNELS))["weight"] == 0


def test_who_shows_nothing_is_unrelated(api: Api) -> None:
    found = compare(api, {}, {"bio": BIO})
    assert (found["verdict"], found["weight"]) == ("unrelated", 0)
    assert {channel["state"] for channel in found["channels"]} == {"absent"}


def test_a_crowd_of_contacts_is_quoted_by_a_few(api: Api) -> None:
    bio = " ".join(f"微信 handle{i:04d}x" for i in range(200))
    found = compare(api, {"bio": bio}, {"bio": bio})
    assert found["verdict"] in ("near_duplicate", "same_contact")
    assert all(len(channel["quotes"]) <= 3 for channel in found["channels"])


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        ({"a": side("x")}, 422, "invalid_request", {"/b"}),
        ({"a": side("x"), "b": {}}, 422, "invalid_request", {"/b"}),
        ({"a": side("x") | side({}), "b": side({})}, 422, "invalid_request", {"/a"}),
        ({"a": side("x"), "b": side("x")}, 422, "invalid_request", {"/b/streamer_id"}),
        ({"a": side({"nmae": "x"}), "b": side({})}, 422, "invalid_request", {"/a/profile/nmae"}),
        (
            {"a": side({}), "b": side({}), "without": ["words"]},
            422,
            "invalid_request",
            {"/without/0"},
        ),
        (
            {"a": side({}), "b": side({"avatar": {"vector": [1], "space": SPACE}})},
            422,
            "invalid_request",
            {"/b/profile/avatar/vector"},
        ),
        (
            {"a": side("x"), "b": side("y")},
            404,
            "streamer_not_found",
            {"/a/streamer_id", "/b/streamer_id"},
        ),
        ({"a": side({}), "b": side("y")}, 404, "streamer_not_found", {"/b/streamer_id"}),
    ],
)
def test_comparisons_that_are_refused(
    api: Api, body: dict[str, Any], status: int, code: str, pointers: set[str]
) -> None:
    problem = api.refused("POST", "/v1/compare", body, status=status, code=code)
    assert {error["pointer"] for error in problem["errors"]} == pointers


def test_a_comparison_needs_the_scope_explain(api: Api) -> None:
    body = {"a": side({"bio": BIO}), "b": side({"bio": STRANGER})}
    assert api.with_key("explain").ok("POST", "/v1/compare", body)["verdict"] == "unrelated"
    other = api.with_key("search", "duplicates", "streamers:read")
    other.refused("POST", "/v1/compare", body, status=403, code="missing_scope")
