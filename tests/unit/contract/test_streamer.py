"""What a profile may be, and that each wrong one is refused with the field named."""

import base64
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from model_export.contract.streamer import (
    Media,
    StreamerContent,
    StreamerProfile,
)
from tests.unit.contract.profiles import profiles

PIXEL = base64.b64encode(b"\x89PNG").decode()

Problem = tuple[tuple[str | int, ...], str]


def problems(**fields: Any) -> list[Problem]:
    """(where, what) for each wrong field of a profile; the same for Python values and for JSON."""
    content = {"streamer_id": "s", **fields}
    with pytest.raises(ValidationError) as caught:
        StreamerProfile.model_validate(content)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


def cover_problems(**media: Any) -> list[Problem]:
    found = problems(videos=[{"video_id": "v", "cover": media}])
    assert all(where[:3] == ("videos", 0, "cover") for where, _ in found)
    return [(where[3:], what) for where, what in found]


FULL: dict[str, Any] = {
    "streamer_id": "a.b_c:d-9",
    "name": "小鹿 🎮",
    "bio": "x" * 5000,
    "tags": ["t"] * 512,
    "category": "music",
    "language": "zh-Hans",
    "attributes": {"verified": True, "followers": 12, "score": 0.5, "city": "上海"},
    "avatar": {"data": PIXEL, "content_type": "image/png"},
    "videos": [
        {
            "video_id": "v1",
            "title": "one",
            "tags": ["a"] * 64,
            "category": "c",
            "published_at": "2024-01-01T20:00:00+08:00",
            "duration_s": 12,
            "cover": {"vector": [0.5, -1], "space": "clip/v1"},
            "audio": {"url": "https://example.org/a.mp3"},
        }
    ],
    "lives": [
        {
            "live_id": "l1",
            "started_at": "2024-01-01T12:00:00.25Z",
            "frames": [{"vector": [1.0], "space": "f"}] * 64,
        }
    ],
}


def test_a_full_profile_is_taken_as_it_is() -> None:
    profile = StreamerProfile.model_validate(FULL)
    assert profile == StreamerProfile.model_validate_json(json.dumps(FULL))
    assert profile.bio == FULL["bio"]
    assert profile.videos[0].published_at == datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert profile.videos[0].cover == Media(vector=[0.5, -1.0], space="clip/v1")
    assert profile.attributes == FULL["attributes"]
    assert [type(v) for v in profile.attributes.values()] == [bool, int, float, str]


def test_an_id_is_all_that_is_needed() -> None:
    profile = StreamerProfile(streamer_id="s")
    assert profile.dump() == {"streamer_id": "s"}
    said_to_be_empty = StreamerProfile(streamer_id="s", tags=[], attributes={}, name=None, lives=[])
    assert said_to_be_empty.dump() == {"streamer_id": "s"}
    assert StreamerContent() == StreamerContent.model_validate({"videos": [], "name": None})


def test_text_is_kept_as_written() -> None:
    written = "  Ｆｕｌｌ\t\u200bwidth\n "
    assert StreamerProfile(streamer_id="s", bio=written).bio == written


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"boi": "misspelt"}, ("boi",)),
        ({"videos": [{"video_id": "v", "titel": "t"}]}, ("videos", 0, "titel")),
        ({"lives": [{"live_id": "l", "video_id": "v"}]}, ("lives", 0, "video_id")),
        ({"avatar": {"url": "https://a.b", "width": 3}}, ("avatar", "width")),
    ],
)
def test_an_unknown_field_is_refused_by_name(
    fields: dict[str, Any], where: tuple[str | int, ...]
) -> None:
    assert problems(**fields) == [(where, "Extra inputs are not permitted")]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": 3}, ("name",)),
        ({"bio": ["a"]}, ("bio",)),
        ({"bio": b"bytes"}, ("bio",)),
        ({"tags": "a,b"}, ("tags",)),
        ({"tags": ["a", 3]}, ("tags", 1)),
        ({"tags": None}, ("tags",)),
        ({"videos": {"video_id": "v"}}, ("videos",)),
        ({"videos": [{"title": "no id"}]}, ("videos", 0, "video_id")),
        ({"videos": [{"video_id": 7}]}, ("videos", 0, "video_id")),
        ({"videos": [{"video_id": "v", "duration_s": "12"}]}, ("videos", 0, "duration_s")),
        ({"videos": [{"video_id": "v", "duration_s": True}]}, ("videos", 0, "duration_s")),
        ({"videos": [{"video_id": "v", "duration_s": -1}]}, ("videos", 0, "duration_s")),
        ({"videos": [{"video_id": "v", "published_at": "soon"}]}, ("videos", 0, "published_at")),
        ({"lives": [{"live_id": "l", "duration_s": math.inf}]}, ("lives", 0, "duration_s")),
        ({"attributes": ["a"]}, ("attributes",)),
        ({"avatar": "https://a.b"}, ("avatar",)),
        ({"streamer_id": 5}, ("streamer_id",)),
        ({"streamer_id": None}, ("streamer_id",)),
    ],
)
def test_a_wrong_type_is_refused_where_it_stands(
    fields: dict[str, Any], where: tuple[str | int, ...]
) -> None:
    assert [found for found, _ in problems(**fields)] == [where]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": "n" * 201}, ("name",)),
        ({"bio": "字" * 6000}, ("bio",)),
        ({"tags": ["t"] * 513}, ("tags",)),
        ({"tags": ["t" * 201]}, ("tags", 0)),
        ({"tags": [""]}, ("tags", 0)),
        ({"category": "c" * 101}, ("category",)),
        ({"language": "l" * 36}, ("language",)),
        ({"videos": [{"video_id": "v", "title": "t" * 501}]}, ("videos", 0, "title")),
        ({"videos": [{"video_id": "v", "tags": ["t"] * 65}]}, ("videos", 0, "tags")),
        ({"videos": [{"video_id": "v"}] * 1001}, ("videos",)),
        (
            {"lives": [{"live_id": "l", "frames": [{"url": "https://a.b"}] * 65}]},
            ("lives", 0, "frames"),
        ),
        ({"attributes": {f"k{i}": i for i in range(65)}}, ("attributes",)),
        ({"attributes": {"k" * 65: 1}}, ("attributes", "k" * 65, "[key]")),
        ({"attributes": {"": 1}}, ("attributes", "", "[key]")),
    ],
)
def test_too_much_is_refused_where_it_stands(
    fields: dict[str, Any], where: tuple[str | int, ...]
) -> None:
    [(found, what)] = problems(**fields)
    assert found == where
    assert "should have at" in what or "Dictionary should have" in what


@pytest.mark.parametrize(
    "streamer_id",
    [
        "a/b",
        ".",
        "..",
        "...",
        "",
        " ",
        "a b",
        "a\n",
        "\na",
        "a\x00",
        "小鹿",
        "é",
        "a" * 129,
        "a?b",
        "%2e",
    ],
)
def test_an_id_that_would_not_survive_an_address_is_refused(streamer_id: str) -> None:
    assert {where for where, _ in problems(streamer_id=streamer_id)} == {("streamer_id",)}


@pytest.mark.parametrize(
    "streamer_id", ["a", "..a", "a.", "-", "_", ":", "0", "A-b_c:d.e", "a" * 128]
)
def test_an_id_that_an_address_can_carry_is_taken(streamer_id: str) -> None:
    assert StreamerProfile(streamer_id=streamer_id).streamer_id == streamer_id


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e39, "1", True, None])
def test_a_vector_has_nothing_but_finite_numbers(number: Any) -> None:
    [(where, _)] = cover_problems(vector=[0.0, number], space="s")
    assert where == ("vector", 1)


def test_json_with_nan_is_refused_as_well() -> None:
    line = '{"streamer_id": "s", "avatar": {"vector": [NaN, Infinity, 1], "space": "s"}}'
    with pytest.raises(ValidationError) as caught:
        StreamerProfile.model_validate_json(line)
    assert [error["loc"] for error in caught.value.errors()] == [("avatar", "vector", 0)]


@pytest.mark.parametrize(
    "media",
    [
        {},
        {"data": PIXEL},
        {"content_type": "image/png"},
        {"vector": [1.0]},
        {"space": "s"},
        {"url": "https://a.b", "data": PIXEL, "content_type": "image/png"},
        {"url": "https://a.b", "space": "s"},
        {"vector": [1.0], "space": "s", "content_type": "image/png"},
        {"data": PIXEL, "content_type": "image/png", "vector": [1.0], "space": "s"},
    ],
    ids=lambda media: "+".join(media) or "nothing",
)
def test_media_come_in_exactly_one_form(media: dict[str, Any]) -> None:
    [(where, what)] = cover_problems(**media)
    assert where == ()
    assert (
        what
        == "Value error, needs exactly one of: data + content_type, vector + space, url, sha256"
    )


@pytest.mark.parametrize(
    ("media", "field"),
    [
        ({"data": "not base64!", "content_type": "image/png"}, "data"),
        ({"data": "YQ", "content_type": "image/png"}, "data"),  # without its padding
        ({"data": "é===", "content_type": "image/png"}, "data"),
        ({"data": "YWJj\n", "content_type": "image/png"}, "data"),
        ({"data": "", "content_type": "image/png"}, "data"),
        ({"data": PIXEL, "content_type": "text/html"}, "content_type"),
        ({"data": PIXEL, "content_type": "image/png\n"}, "content_type"),
        ({"vector": [1.0], "space": ""}, "space"),
        ({"vector": [1.0], "space": "a b"}, "space"),
        ({"url": "http://a.b/c"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https:///path"}, "url"),
        ({"url": "https://a.b/c d"}, "url"),
        ({"url": "https://a.b/" + "c" * 2048}, "url"),
    ],
)
def test_each_form_of_media_is_checked(media: dict[str, Any], field: str) -> None:
    [(where, what)] = cover_problems(**media)
    assert where == (field,)
    if field == "data" and media["data"]:
        assert what.startswith("Value error, is not valid base64 (")


@pytest.mark.parametrize("moment", ["2024-01-01T20:00:00", "2024-01-01", datetime(2024, 1, 1)])
def test_a_time_without_a_zone_is_refused(moment: object) -> None:
    assert problems(videos=[{"video_id": "v", "published_at": moment}]) == [
        (("videos", 0, "published_at"), "Input should have timezone info")
    ]
    assert problems(lives=[{"live_id": "l", "started_at": moment}])[0][0][-1] == "started_at"


@pytest.mark.parametrize(
    "value",
    [None, [], ["a"], {}, {"a": 1}, math.nan, -math.inf, "x" * 501, 2**63, -(2**63) - 1, "\ud800"],
)
def test_a_wrong_attribute_is_one_error_that_says_what_is_right(value: object) -> None:
    [(where, what)] = problems(attributes={"fine": 1, "k": value})
    assert where == ("attributes", "k")
    assert what == (
        "Value error, must be a string of at most 500 characters, a finite number (64 bits), "
        "true or false"
    )


@pytest.mark.parametrize(
    "value",
    [True, False, 0, 1, -(2**63), 2**63 - 1, 0.0, 1.0, -1.5, 1e300, "", "1", "true", "x" * 500],
)
def test_an_attribute_keeps_its_type(value: object) -> None:
    profile = StreamerProfile.model_validate({"streamer_id": "s", "attributes": {"k": value}})
    through_json = StreamerProfile.model_validate_json(json.dumps(profile.dump()))
    for found in (profile.attributes["k"], through_json.attributes["k"]):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": "\ud800"}, ("name",)),
        ({"bio": "ok \udfff"}, ("bio",)),
        ({"tags": ["\ud83d"]}, ("tags", 0)),
        ({"videos": [{"video_id": "v", "title": "\ude00"}]}, ("videos", 0, "title")),
    ],
)
def test_half_a_character_is_refused(fields: dict[str, Any], where: tuple[str | int, ...]) -> None:
    """A lone surrogate can't be written as UTF-8, so it must not get in."""
    [(found, what)] = problems(**fields)
    assert found == where
    assert "unicode" in what
    with pytest.raises(ValidationError):
        StreamerProfile.model_validate_json(json.dumps({"streamer_id": "s", **fields}))
    with pytest.raises(ValidationError):
        StreamerProfile.model_validate({"streamer_id": "s", "attributes": {"\ud800": 1}})


@given(profiles)
def test_what_is_dumped_reads_as_the_same_profile(profile: StreamerProfile) -> None:
    dumped = profile.dump()
    assert StreamerProfile(**dumped) == profile
    line = json.dumps(dumped, ensure_ascii=False).encode()  # as the store and the bundle write it
    again = StreamerProfile.model_validate_json(line)
    assert again == profile
    assert again.dump() == dumped
    assert None not in dumped.values()
