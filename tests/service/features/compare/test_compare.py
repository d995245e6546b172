"""`POST /v1/compare`: verdict and waterfall of two streamers, or of what a request holds."""

from typing import Any, get_args

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model_export.contract.evidence import NAMES_OF_CHANNELS
from service.features.compare.schemas import ChannelName
from tests.bundles import SPACE, SPACE_WIDTH
from tests.contract.media.files import scene
from tests.service.conftest import put
from tests.service.features.dedup.test_copies import SCENES, disguised, shown, videos

BIO = "手工面条每周五一个新食谱，想学的朋友加微信 chef_kz8866"
DISGUISED = "手 工 麵 條 每 週 五 一 個 新 食 譜，想學的朋友加薇 chef_kz8866"
STRANGER = "acoustic guitar and old songs until two in the morning"


def compare(client: TestClient, a: Any, b: Any, **options: Any) -> dict[str, Any]:
    sides = [{"streamer_id": s} if isinstance(s, str) else {"profile": s} for s in (a, b)]
    answer = client.post("/v1/compare", json={"a": sides[0], "b": sides[1], **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def channels_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {channel["channel"]: channel for channel in answer["channels"]}


def cover(seed: int) -> dict[str, Any]:
    vector = np.random.default_rng(seed).normal(size=SPACE_WIDTH).tolist()
    return {"vector": vector, "space": SPACE}


def test_a_disguised_copy_says_why(client: TestClient) -> None:
    put(client, "a", bio=BIO, tags=["cooking", "noodles"], name="面条师傅")
    put(client, "b", bio=DISGUISED, tags=["cooking"], name="guitarist")
    found = compare(client, "a", "b")
    assert found["verdict"] in ("near_duplicate", "same_contact")
    assert found["weight"] > found["threshold"]
    assert found["probability"] > 0.9
    weights = [channel["weight"] for channel in found["channels"]]
    assert sum(weights) == pytest.approx(found["weight"], abs=1e-6)
    channels = channels_of(found)
    text = channels["text"]
    assert text["state"] == "agrees"
    assert text["quotes"][0]["a_source"] == text["quotes"][0]["b_source"] == "bio"
    assert "手工面条" in text["quotes"][0]["a"]
    assert "手 工 麵" in text["quotes"][0]["b"]
    assert text["quotes"][0]["a_undone"] is None
    assert "手工面条" in text["quotes"][0]["b_undone"]
    assert {"spaced", "traditional"} <= set(text["disguises"])
    assert channels["contacts"]["state"] == "agrees"
    assert "chef_kz8866" in channels["contacts"]["quotes"][0]["a"]
    assert channels["names"]["state"] == "differs"
    assert channels["sounds"] == {
        "channel": "sounds", "weight": 0, "state": "absent", "level": None,
        "quotes": [], "disguises": [],
    }  # fmt: skip


def test_names_that_a_translation_leaves_are_quoted(client: TestClient) -> None:
    chinese = "主要做手工面条。常去金福来饭店、白云山庄、刘家港，认识王小明，2017年开播。"
    english = (
        "Noodles by hand, often at Jinfulaifandian, Baiyunshanzhuang and Liujiagang, "
        "with Wangxiaoming. Live since 2017."
    )
    text = channels_of(compare(client, {"bio": chinese}, {"bio": english}))["text"]
    assert (text["state"], text["level"]) == ("agrees", "many_names")
    assert ("白云山庄", "Baiyunshanzhuang") in [(q["a"], q["b"]) for q in text["quotes"]]


def test_profiles_are_compared_without_being_stored(client: TestClient) -> None:
    put(client, "a", bio=BIO)
    by_id = compare(client, "a", {"bio": STRANGER})
    assert by_id["verdict"] == "unrelated"
    assert channels_of(by_id)["text"]["state"] == "differs"
    assert channels_of(by_id)["text"]["quotes"] == []
    assert compare(client, {"bio": BIO}, {"bio": STRANGER})["weight"] == pytest.approx(
        by_id["weight"], abs=1e-6
    )
    assert compare(client, {"bio": STRANGER}, "a")["weight"] == pytest.approx(
        by_id["weight"], abs=1e-6
    )


def test_a_channel_left_out_takes_its_weight_with_it(client: TestClient) -> None:
    a, b = {"bio": BIO, "tags": ["cooking"]}, {"bio": DISGUISED, "tags": ["cooking"]}
    whole = compare(client, a, b)
    for channel in whole["channels"]:
        less = compare(client, a, b, without=[channel["channel"]])
        assert whole["weight"] - less["weight"] == pytest.approx(channel["weight"], abs=1e-6)


def test_equal_covers_given_as_vectors_are_copies(client: TestClient) -> None:
    put(client, "a", bio=STRANGER, videos=videos(cover(1), cover(2), cover(3)))
    put(client, "b", bio=BIO, videos=videos(cover(9), cover(3), cover(2)))
    found = compare(client, "a", "b")
    assert found["verdict"] == "same_media"
    places = [(q["a_source"], q["b_source"]) for q in channels_of(found)["vectors"]["quotes"]]
    assert places == [
        ("videos[1].cover", "videos[2].cover"),
        ("videos[2].cover", "videos[1].cover"),
    ]


def test_the_picture_and_the_name_of_a_game_join_nobody(client: TestClient) -> None:
    logo = {"url": "https://game.example/logo.png"}
    shown = {"name": "Game Center", "avatar": logo, "tags": ["gaming", "raid", "boss"]}
    found = compare(client, shown, shown)
    assert found["verdict"] == "same_style"
    agree = {name for name, each in channels_of(found).items() if each["state"] == "agrees"}
    assert {"pictures", "names", "tags", "embedding"} <= agree
    copied = shown | {"videos": videos(cover(1), cover(2))}
    assert compare(client, copied, copied)["verdict"] == "same_media"


@pytest.mark.slow
def test_copied_pictures_are_recognised(media_client: TestClient) -> None:
    first, second, third = SCENES[:3]
    put(media_client, "a", bio=STRANGER, videos=videos(shown(first), shown(second)))
    copied = {"bio": BIO, "videos": videos(disguised(second), shown(third), disguised(first))}
    found = compare(media_client, "a", copied)
    assert found["verdict"] == "same_media"
    pictures = channels_of(found)["pictures"]
    assert (pictures["state"], pictures["level"]) == ("agrees", "several")
    assert {(q["a_source"], q["b_source"]) for q in pictures["quotes"]} == {
        ("videos[0].cover", "videos[2].cover"),
        ("videos[1].cover", "videos[0].cover"),
    }
    other = {"videos": videos(*(shown(scene(70 + i)) for i in range(2)))}
    differs = channels_of(compare(media_client, "a", other))["pictures"]
    assert (differs["state"], differs["quotes"]) == ("differs", [])


def test_a_bundle_without_parameters_says_so(client: TestClient) -> None:
    (warning,) = compare(client, {"bio": BIO}, {"bio": BIO})["warnings"]
    assert "the bundle has no evidence.json" in warning


def test_what_shows_nothing_is_comparable_and_unrelated(client: TestClient) -> None:
    found = compare(client, {}, {"bio": BIO})
    assert (found["verdict"], found["weight"]) == ("unrelated", 0)
    assert {channel["state"] for channel in found["channels"]} == {"absent"}


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ({"a": {"streamer_id": "x"}}, 422, {"/b"}),
        ({"a": {"streamer_id": "x"}, "b": {}}, 422, {"/b"}),
        ({"a": {"streamer_id": "x", "profile": {}}, "b": {"profile": {}}}, 422, {"/a"}),
        ({"a": {"streamer_id": "x"}, "b": {"streamer_id": "x"}}, 422, {"/b/streamer_id"}),
        ({"a": {"profile": {"nmae": "x"}}, "b": {"profile": {}}}, 422, {"/a/profile/nmae"}),
        (
            {"a": {"profile": {}}, "b": {"profile": {}}, "without": ["words"]},
            422,
            {"/without/0"},
        ),
        (
            {"a": {"streamer_id": "x"}, "b": {"streamer_id": "y"}},
            404,
            {"/a/streamer_id", "/b/streamer_id"},
        ),
        (
            {"a": {"profile": {}}, "b": {"profile": {"avatar": {"vector": [1], "space": SPACE}}}},
            422,
            {"/b/profile/avatar/vector"},
        ),
    ],
)
def test_errors_name_the_field(
    client: TestClient, body: dict[str, Any], status: int, pointers: set[str]
) -> None:
    answer = client.post("/v1/compare", json=body)
    assert answer.status_code == status, answer.text
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers


def test_the_schema_names_all_channels() -> None:
    assert get_args(ChannelName) == NAMES_OF_CHANNELS


def test_two_hundred_handles_and_five_thousand_confusables(client: TestClient) -> None:
    handles = " ".join(f"微信 handle{i:04d}x" for i in range(200))
    confusables = "а" * 2500 + "ο" * 2500
    for bio in (handles, confusables):
        found = compare(client, {"bio": bio}, {"bio": bio})
        assert found["verdict"] in ("near_duplicate", "same_contact", "unrelated")
        assert all(len(channel["quotes"]) <= 3 for channel in found["channels"])
