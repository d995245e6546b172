"""Writing, changing, reading, deleting and erasing streamers."""

import json
from typing import Any

import numpy as np
import pytest

from tests.support.api import Api, wrong_fields
from tests.support.bundles import BOILERPLATE, DIM, SPACE

JSON = {"Content-Type": "application/json"}
PROFILE: dict[str, Any] = {
    "name": "night kitchen 🍜",
    "bio": "家常菜 every night, soup and noodles",
    "tags": ["cooking", "美食"],
    "category": "cooking",
    "language": "zh",
    "attributes": {"views": 12, "partner": False, "ratio": 0.5, "city": "北京"},
    "videos": [
        {
            "video_id": "v1",
            "title": "红烧肉",
            "published_at": "2026-05-01T12:00:00Z",
            "duration_s": 61.5,
            "cover": {"vector": [1.0, 2.0, 3.0, 4.0], "space": SPACE},
        }
    ],
    "lives": [{"live_id": "l1", "title": "soup", "started_at": "2026-05-02T12:00:00+08:00"}],
}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_LIMITS__PAGE_BYTES": "20000", "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "50"}


def profile(api: Api, streamer_id: str) -> dict[str, Any]:
    """What is stored, without the id."""
    stored = api.ok("GET", f"/v1/streamers/{streamer_id}")["profile"]
    assert stored.pop("streamer_id") == streamer_id
    return stored


def similar(api: Api, streamer_id: str, sequence: int, k: int = 100) -> list[str]:
    params = {"k": k, "after_sequence": sequence}
    answer = api.ok("GET", f"/v1/streamers/{streamer_id}/similar", params=params)
    return [hit["streamer_id"] for hit in answer["hits"]]


# Writing and reading


def test_what_was_written_is_read_back(api: Api) -> None:
    written = api.put("/v1/streamers/back:1", json=PROFILE)
    assert written.status_code == 201
    told = written.json()
    assert (told["streamer_id"], told["created"], told["status"]) == ("back:1", True, "indexed")
    assert told["version"] == told["sequence"]
    assert told["model_version"] == "test-0"
    assert told["modalities"] == {
        **dict.fromkeys(("bio", "tags", "category", "language", "videos", "covers"), "used"),
        **dict.fromkeys(("avatar", "frames", "audio"), "absent"),
        **dict.fromkeys(("name", "lives"), "used"),
    }
    assert 0.5 < told["coverage"] < 1
    read = api.get("/v1/streamers/back:1")
    assert read.headers["etag"] == written.headers["etag"] == f'"{told["version"]}"'
    stored = read.json()
    for field in ("streamer_id", "version", "status", "modalities", "model_version"):
        assert stored[field] == told[field]
    found = stored["profile"]
    assert found.pop("streamer_id") == "back:1"
    (live,) = found.pop("lives")
    assert live == PROFILE["lives"][0]
    assert found == {name: value for name, value in PROFILE.items() if name != "lives"}
    again = api.put("/v1/streamers/back:1", json={"streamer_id": "back:1", "tags": ["music"]})
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["version"] > told["version"]
    assert profile(api, "back:1") == {"tags": ["music"]}  # it is replaced as a whole
    assert api.ok("GET", "/v1/streamers/back:1")["updated_at"] >= stored["updated_at"]


def test_coverage_is_the_share_that_the_model_knows(api: Api) -> None:
    known = api.ok("PUT", "/v1/streamers/known", {"tags": ["cooking", "noodles"]}, 201)
    half = api.ok("PUT", "/v1/streamers/half", {"tags": ["cooking", "zzzxq"]}, 201)
    assert 0 < half["coverage"] < known["coverage"] == 1


@pytest.mark.parametrize(
    ("streamer_id", "shown", "modalities"),
    [
        ("empty-nothing", {}, {}),
        ("empty-language", {"language": "zh"}, {"language": "used"}),
        ("empty-boring", {"bio": f"{BOILERPLATE}~"}, {"bio": "uninformative"}),
        ("empty-unknown", {"name": "unknownword"}, {"name": "uninformative"}),
        ("empty-blank", {"bio": "   "}, {}),
        (
            "empty-no-tower",
            {"avatar": {"url": "https://a.example.org/b.png"}},
            {"avatar": "unsupported"},
        ),
    ],
)
def test_a_profile_without_usable_content_is_stored_and_has_no_vector(
    api: Api, streamer_id: str, shown: dict[str, Any], modalities: dict[str, str]
) -> None:
    path = f"/v1/streamers/{streamer_id}"
    told = api.ok("PUT", path, shown, 201)
    assert told["status"] == "insufficient_content"
    assert told["near_duplicates"] == []
    shown_as = {name: how for name, how in told["modalities"].items() if how != "absent"}
    assert shown_as == modalities
    assert profile(api, streamer_id) == shown
    api.refused("GET", f"{path}/embedding", status=409, code="no_vector")
    question = {
        "positive": [{"vector": [0.1] * DIM}],
        "k": 1000,
        "after_sequence": told["sequence"],
    }
    hits = api.ok("POST", "/v1/similar", question)["hits"]
    assert streamer_id not in {hit["streamer_id"] for hit in hits}


def test_a_write_and_a_removal_are_in_the_next_answer(api: Api) -> None:
    words = {"tags": ["gaming", "电竞"], "bio": "ranked raid boss"}
    api.put_streamer("next-seed", **words)
    written = api.put_streamer("next-other", **words)
    assert "next-other" in similar(api, "next-seed", written)
    emptied = api.ok("PATCH", "/v1/streamers/next-other", {"tags": None, "bio": None})
    assert emptied["status"] == "insufficient_content"
    assert "next-other" not in similar(api, "next-seed", emptied["sequence"])
    again = api.put_streamer("next-other", **words)
    assert "next-other" in similar(api, "next-seed", again)
    deleted = api.ok("DELETE", "/v1/streamers/next-other")
    assert "next-other" not in similar(api, "next-seed", deleted["sequence"])


def test_the_embedding_is_the_one_that_is_searched_and_needs_a_scope_of_its_own(api: Api) -> None:
    sequence = api.put_streamer("vector-1", tags=["mountain", "hostel"], bio="train 徒步")
    told = api.ok("GET", "/v1/streamers/vector-1/embedding")
    assert (told["streamer_id"], told["version"]) == ("vector-1", sequence)
    assert told["model_version"] == "test-0"
    assert len(told["embedding"]) == DIM
    assert np.linalg.norm(told["embedding"]) == pytest.approx(1, abs=1e-4)
    question = {"positive": [{"vector": told["embedding"]}], "after_sequence": sequence}
    best = api.ok("POST", "/v1/similar", question)["hits"][0]
    assert best["streamer_id"] == "vector-1"
    assert best["score"] == pytest.approx(1, abs=1e-4)
    with api.with_key("streamers:read", "streamers:write") as others:
        path = "/v1/streamers/vector-1/embedding"
        others.refused("GET", path, status=403, code="missing_scope")
        others.ok("GET", "/v1/streamers/vector-1")
    with api.with_key("embeddings:read") as vectors:
        assert vectors.ok("GET", "/v1/streamers/vector-1/embedding") == told


# Changing parts


def test_a_patch_merges_objects_replaces_lists_and_null_removes(api: Api) -> None:
    api.put_streamer("patched", **PROFILE)
    changes = {
        "bio": None,
        "tags": ["music"],
        "attributes": {"views": 13, "city": None},
        "streamer_id": "patched",
    }
    answer = api.patch("/v1/streamers/patched", json=changes)
    assert answer.status_code == 200
    told = answer.json()
    assert answer.headers["etag"] == f'"{told["version"]}"'
    assert (told["created"], told["modalities"]["bio"]) == (False, "absent")
    expected = {**PROFILE, "tags": ["music"]}
    expected["attributes"] = {"views": 13, "partner": False, "ratio": 0.5}
    del expected["bio"]
    assert profile(api, "patched") == expected
    api.ok("PATCH", "/v1/streamers/patched", {"lives": None, "videos": [{"video_id": "v2"}]})
    expected["videos"] = [{"video_id": "v2"}]
    del expected["lives"]
    assert profile(api, "patched") == expected


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"bio": 5, "nmae": "x"}, ["/bio", "/nmae"]),
        ({"attributes": {"a": [1]}}, ["/attributes/a"]),
        ({"streamer_id": "other"}, ["/streamer_id"]),
        ({f"k{i}": None for i in range(65)}, [""]),
    ],
)
def test_a_patch_must_leave_a_valid_profile(
    api: Api, changes: dict[str, Any], fields: list[str]
) -> None:
    api.put_streamer("valid", tags=["cooking"])
    problem = api.refused(
        "PATCH", "/v1/streamers/valid", changes, status=422, code="invalid_request"
    )
    assert sorted(wrong_fields(problem)) == fields
    assert profile(api, "valid") == {"tags": ["cooking"]}


# Wrong requests


def _attributes(value: Any) -> str:
    return json.dumps({"attributes": {"a": value}})


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('{"nmae":"x"}', ["/nmae"]),
        ('{"bio":7,"tags":"cooking","lives":{}}', ["/bio", "/lives", "/tags"]),
        ('{"videos":[{"video_id":"v","titel":"x"}]}', ["/videos/0/titel"]),
        ('{"videos":[{"title":"x"}]}', ["/videos/0/video_id"]),
        ('{"videos":[{"video_id":"a b"}]}', ["/videos/0/video_id"]),
        (
            '{"videos":[{"video_id":"v","published_at":"2026-01-01T00:00:00"}]}',
            ["/videos/0/published_at"],
        ),
        ('{"lives":[{"live_id":"l","duration_s":-1}]}', ["/lives/0/duration_s"]),
        ('{"streamer_id":"other"}', ["/streamer_id"]),
        ('{"bio":"\\ud800"}', ["/bio"]),
        ('{"tags":["cooking",""]}', ["/tags/1"]),
        (json.dumps({"name": "x" * 201}), ["/name"]),
        (json.dumps({"bio": "x" * 5001}), ["/bio"]),
        (json.dumps({"tags": ["x" * 201]}), ["/tags/0"]),
        (json.dumps({"tags": ["x"] * 513}), ["/tags"]),
        (json.dumps({"category": "x" * 101}), ["/category"]),
        (json.dumps({"language": "x" * 36}), ["/language"]),
        (json.dumps({"videos": [{"video_id": f"v{i}"} for i in range(1001)]}), ["/videos"]),
        (json.dumps({"videos": [{f"k{i}": 0 for i in range(65)}] * 2}), ["/videos/0", "/videos/1"]),
        (_attributes([1]), ["/attributes/a"]),
        (_attributes(None), ["/attributes/a"]),
        (_attributes("x" * 501), ["/attributes/a"]),
        (_attributes(2**63), ["/attributes/a"]),
        ('{"attributes":{"a":NaN}}', ["/attributes/a"]),
        (json.dumps({"attributes": {f"k{i}": 1 for i in range(65)}}), ["/attributes"]),
        ('{"avatar":"x"}', ["/avatar"]),
        ('{"avatar":{"vector":[1]}}', ["/avatar"]),
        ('{"avatar":{"url":"http://a.example.org"}}', ["/avatar/url"]),
        ('{"avatar":{"data":"!!!","content_type":"image/png"}}', ["/avatar/data"]),
        ('{"avatar":{"data":"AAAA","content_type":"text/html"}}', ["/avatar/content_type"]),
        ('{"avatar":{"sha256":"00"}}', ["/avatar/sha256"]),
        ('{"avatar":{"vector":[1],"space":"nowhere"}}', ["/avatar/space"]),
        (f'{{"avatar":{{"vector":[1,2],"space":"{SPACE}"}}}}', ["/avatar/vector"]),
        (f'{{"avatar":{{"vector":[NaN,1,2,3],"space":"{SPACE}"}}}}', ["/avatar/vector/0"]),
        (f'{{"avatar":{{"vector":[1e16,1,2,3],"space":"{SPACE}"}}}}', ["/avatar/vector/0"]),
        (
            f'{{"videos":[{{"video_id":"v","cover":{{"vector":[1],"space":"{SPACE}"}}}}]}}',
            ["/videos/0/cover/vector"],
        ),
        (json.dumps({"bio": "x" * 70_000, "tags": [1]}), ["/bio", "/tags/0"]),
        ("[]", [""]),
        ("", [""]),
    ],
)
def test_a_wrong_profile_is_refused_by_field_and_nothing_is_stored(
    api: Api, body: str, fields: list[str]
) -> None:
    path = "/v1/streamers/wrong"
    problem = api.refused(
        "PUT", path, status=422, code="invalid_request", content=body, headers=JSON
    )
    assert sorted(wrong_fields(problem)) == fields
    api.refused("GET", path, status=404, code="streamer_not_found")


@pytest.mark.parametrize("bad", ["a%20b", "%2e%2e", "x" * 129, "名"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_id_that_is_none_is_refused(api: Api, method: str, bad: str) -> None:
    body = {"tags": ["cooking"]} if method in ("PUT", "PATCH") else None
    path = f"/v1/streamers/{bad}"
    problem = api.refused(method, path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["streamer_id"]


@pytest.mark.parametrize("path", ["a%2Fb", "a/nonsense", "a%0A", "", "a/similar%0A", "a/"])
def test_a_path_below_the_streamers_that_is_none(api: Api, path: str) -> None:
    for method, body in (("GET", None), ("PUT", {"tags": ["x"]}), ("DELETE", None)):
        api.refused(method, f"/v1/streamers/{path}", body, status=404, code="no_such_path")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/streamers/nobody"),
        ("GET", "/v1/streamers/nobody/similar"),
        ("GET", "/v1/streamers/nobody/embedding"),
        ("DELETE", "/v1/streamers/nobody"),
        ("PATCH", "/v1/streamers/nobody"),
    ],
)
def test_a_streamer_that_is_not_stored_is_named(api: Api, method: str, path: str) -> None:
    body = {"bio": "boss"} if method == "PATCH" else None
    problem = api.refused(method, path, body, status=404, code="streamer_not_found")
    assert wrong_fields(problem) == ["streamer_id"]
    assert "nobody" in problem["detail"]


# Lists


def test_pages_show_everyone_once_in_byte_order(api: Api) -> None:
    ids = sorted(f"page-{i}" for i in range(25))
    api.write({"streamer_id": name, "tags": [name]} for name in reversed(ids))
    pages = list(api.pages("/v1/streamers", "streamers", limit=10))
    assert max(len(page) for page in pages) == 10
    seen = [streamer for page in pages for streamer in page]
    names = [streamer["streamer_id"] for streamer in seen]
    assert names == sorted(set(names))
    found = {s["streamer_id"]: s for s in seen if s["streamer_id"].startswith("page-")}
    assert list(found) == ids
    assert found["page-7"] == api.ok("GET", "/v1/streamers/page-7")
    assert found["page-7"]["profile"] == {"streamer_id": "page-7", "tags": ["page-7"]}


def test_a_page_of_long_profiles_is_short(api: Api) -> None:
    lengths = [9_000, 9_000, 9_000, 25_000, 25_000, 100, 100, 100]
    for i, length in enumerate(lengths):  # such ids come before all others
        titles = [{"video_id": f"v{j}", "title": 500 * "x"} for j in range(length // 500)]
        api.put_streamer(f"--{i}", videos=titles)
    seen, params = list[list[str]](), {"limit": 5}
    while not any("--4" in page for page in seen):
        page = api.ok("GET", "/v1/streamers", params=params)
        seen.append([s["streamer_id"] for s in page["streamers"]])
        params = {"limit": 5, "cursor": page["next_cursor"]}
    assert seen == [["--0", "--1"], ["--2"], ["--3"], ["--4"]]
    for i in (4, 6):  # the next page begins behind the one before, whatever is deleted
        api.ok("DELETE", f"/v1/streamers/--{i}")
    page = api.ok("GET", "/v1/streamers", params={**params, "limit": 2})
    assert [s["streamer_id"] for s in page["streamers"]] == ["--5", "--7"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=bm8", "cursor"),
        ("after_sequence=-1", "after_sequence"),
    ],
)
def test_a_wrong_parameter_of_the_list_is_named(api: Api, query: str, field: str) -> None:
    problem = api.refused("GET", f"/v1/streamers?{query}", status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]


def test_a_cursor_of_another_listing_is_refused(api: Api) -> None:
    for name in ("cursor-a", "cursor-b"):
        api.put_streamer(name, tags=["cooking"])
        api.ok("POST", "/v1/cases", {"title": name, "seeds": [name]}, status=201)
    paths = ("/v1/streamers", "/v1/cases")
    cursors = [api.ok("GET", path, params={"limit": 1})["next_cursor"] for path in paths]
    for path, cursor in zip(paths, reversed(cursors), strict=True):
        params = {"cursor": cursor}
        problem = api.refused("GET", path, status=422, code="invalid_request", params=params)
        assert wrong_fields(problem) == ["cursor"]


# Near-duplicates


def test_a_write_names_its_near_duplicates(api: Api) -> None:
    shown = {"bio": "recipe noodles soup 美食 家常菜", "tags": ["recipe", "家常菜", "soup"]}
    api.put_streamer("near-first", **shown, name="someone")
    copy = api.ok("PUT", "/v1/streamers/near-second", {**shown, "name": "another"}, 201)
    near = {each["streamer_id"]: each for each in copy["near_duplicates"]}
    assert copy["near_duplicates_unavailable_because"] is None
    assert "near-second" not in near
    found = near["near-first"]
    assert found["kind"] == "near_duplicate"
    assert found["copies"] == 0
    assert 0.8 < found["score"] <= 1
    patched = api.ok("PATCH", "/v1/streamers/near-second", {"language": "zh"})
    assert "near-first" in {each["streamer_id"] for each in patched["near_duplicates"]}
    other = api.ok("PATCH", "/v1/streamers/near-second", {"bio": "beach", "tags": ["train"]})
    assert "near-first" not in {each["streamer_id"] for each in other["near_duplicates"]}


def test_no_cosine_of_copies_is_above_one(api: Api) -> None:
    """Content is kept in 16 bits, so that its length may be a little more than 1."""
    for i, words in enumerate(("concert", "cover 弹唱", "vocal", "guitar 唱歌")):
        shown, near = {"bio": words, "tags": words.split()}, list[dict[str, Any]]()
        for name in ("a", "b"):
            path = f"/v1/streamers/cosine-{name}{i}"
            near = api.ok("PUT", path, shown, 201)["near_duplicates"]
        assert near
        assert max(each["score"] for each in near) <= 1


# Conditional writes

METHODS = ("PUT", "PATCH", "DELETE")


def conditional(api: Api, method: str, path: str, if_match: str) -> Any:
    body = None if method == "DELETE" else {"tags": ["music"]}
    return api.request(method, path, json=body, headers={"If-Match": if_match})


@pytest.mark.parametrize("method", METHODS)
def test_if_match_lets_a_write_through_or_not(api: Api, method: str) -> None:
    path = f"/v1/streamers/match-{method}"
    good = ("*", '"{v}"', "{v}", '"1", "{v}"', '"{v}","999999"', 'W/"{v}", "{v}"')
    stale = ('"999999"', '"999998", "999999"', 'W/"{v}"', 'W/"{v}", W/"1"')
    wrong = ("", ",", '"1",, "x"', "*, *", '"1', ", ".join(['"1"'] * 21), "latest", '"0"')
    for tags in good:
        version = api.put(path, json={"tags": ["cooking"]}).json()["version"]
        answer = conditional(api, method, path, tags.format(v=version))
        assert answer.status_code == 200, f"{tags}: {answer.text}"
        if method == "DELETE":
            api.refused("GET", path, status=404, code="streamer_not_found")
        else:
            assert api.ok("GET", path)["profile"]["tags"] == ["music"]
    version = api.put(path, json={"tags": ["cooking"]}).json()["version"]
    for tags, status, code in (
        *((tags, 412, "version_conflict") for tags in stale),
        *((tags, 422, "invalid_request") for tags in wrong),
    ):
        answer = conditional(api, method, path, tags.format(v=version))
        told = (answer.status_code, answer.json()["code"])
        assert told == (status, code), f"{tags}: {answer.text}"
        if status == 422:
            assert wrong_fields(answer.json()) == ["if-match"]
        stored = api.ok("GET", path)
        assert (stored["version"], stored["profile"]["tags"]) == (version, ["cooking"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tags", ["*", '"1"', '"1", "2"'])
def test_nothing_matches_where_nothing_is_stored(api: Api, method: str, tags: str) -> None:
    answer = conditional(api, method, "/v1/streamers/match-nobody", tags)
    assert answer.status_code == (412 if method == "PUT" else 404)
    api.refused("GET", "/v1/streamers/match-nobody", status=404, code="streamer_not_found")


def test_if_none_match_creates_and_never_overwrites(api: Api) -> None:
    path, header = "/v1/streamers/none-match", {"If-None-Match": "*"}
    created = api.ok("PUT", path, {"tags": ["music"]}, 201, headers=header)
    for method in ("PUT", "PATCH"):
        problem = api.refused(
            *(method, path, {"tags": ["x"]}), status=412, code="version_conflict", headers=header
        )
        assert str(created["version"]) in problem["detail"]
    for wrong in ({"If-None-Match": '"3"'}, {**header, "If-Match": "*"}):
        problem = api.refused("PUT", path, {}, status=422, code="invalid_request", headers=wrong)
        assert wrong_fields(problem) == ["if-none-match"]
    assert profile(api, "none-match") == {"tags": ["music"]}


def test_versions_only_grow_even_over_a_delete(api: Api) -> None:
    path, body = "/v1/streamers/grows", {"tags": ["cooking"]}
    versions = [api.put(path, json=body).json()["version"] for _ in range(2)]
    versions.append(api.ok("DELETE", path)["sequence"])
    api.refused("GET", path, status=404, code="streamer_not_found")
    again = api.ok("PUT", path, body, 201)
    versions.append(again["version"])
    assert again["created"]
    assert versions == list(range(versions[0], versions[0] + 4))


# Requests that are sent again


def keyed(api: Api, method: str, name: str, body: Any, key: str, **headers: str) -> Any:
    sent = {"Idempotency-Key": f'"{name} {key}"', **headers}
    return api.request(method, f"/v1/streamers/{name}", json=body, headers=sent)


def told_again(first: Any, second: Any) -> dict[str, Any]:
    """The first answer, which the second has to be, but for near-duplicates."""
    assert first.is_success, first.text
    assert second.status_code == first.status_code, second.text
    assert second.headers.get("etag") == first.headers.get("etag")
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    told, repeated = first.json(), second.json()
    if "near_duplicates" in told:
        assert repeated.pop("near_duplicates") is None
        assert repeated.pop("near_duplicates_unavailable_because")
    assert repeated == {name: told[name] for name in repeated}
    assert told.keys() - repeated.keys() <= {
        "near_duplicates",
        "near_duplicates_unavailable_because",
    }
    return told


def test_a_put_that_is_sent_again_writes_nothing(api: Api) -> None:
    body = {"tags": ["cooking"], "language": "zh"}
    first = keyed(api, "PUT", "once-put", body, "1")
    created = told_again(first, keyed(api, "PUT", "once-put", body, "1"))
    assert created["created"]
    second = told_again(*(keyed(api, "PUT", "once-put", body, "2") for _ in range(2)))
    assert second["version"] > created["version"]
    other = api.put_streamer("once-put", tags=["music"])
    told_again(first, keyed(api, "PUT", "once-put", body, "1"))
    assert api.ok("GET", "/v1/streamers/once-put")["version"] == other  # no write is undone
    large = {"videos": [{"video_id": f"{i}", "title": "歌" * 500} for i in range(100)]}
    told_again(*(keyed(api, "PUT", "once-put", large, "3") for _ in range(2)))


def test_a_conditional_put_that_is_sent_again_meets_no_conflict(api: Api) -> None:
    create = {"If-None-Match": "*"}
    body = {"tags": ["music"]}
    told_again(*(keyed(api, "PUT", "once-if", body, "1", **create) for _ in range(2)))
    assert keyed(api, "PUT", "once-if", body, "2", **create).status_code == 412


def test_a_patch_and_a_delete_that_are_sent_again(api: Api) -> None:
    api.put_streamer("once-change", tags=["cooking"], name="old")
    patched = keyed(api, "PATCH", "once-change", {"name": "new"}, "1")
    between = api.put_streamer("once-change", tags=["cooking"], name="newer")
    told_again(patched, keyed(api, "PATCH", "once-change", {"name": "new"}, "1"))
    assert api.ok("GET", "/v1/streamers/once-change")["version"] == between
    deleted = keyed(api, "DELETE", "once-change", None, "2")
    told_again(deleted, keyed(api, "DELETE", "once-change", None, "2"))
    told_again(patched, keyed(api, "PATCH", "once-change", {"name": "new"}, "1"))
    version = api.put_streamer("once-change", tags=["cooking"])
    told_again(deleted, keyed(api, "DELETE", "once-change", None, "2"))
    assert api.ok("GET", "/v1/streamers/once-change")["version"] == version
    assert keyed(api, "DELETE", "once-change", None, "3").json()["sequence"] > version


@pytest.mark.parametrize(
    ("method", "body", "headers"),
    [
        ("PUT", {"tags": ["gaming"]}, {}),
        ("PATCH", {"tags": ["music"]}, {}),
        ("DELETE", None, {}),
        ("PUT", {"tags": ["music"]}, {"If-Match": "*"}),
    ],
)
def test_a_key_of_another_request_is_refused(
    api: Api, method: str, body: Any, headers: dict[str, str]
) -> None:
    first = keyed(api, "PUT", "once-reused", {"tags": ["music"]}, "1")
    answer = keyed(api, method, "once-reused", body, "1", **headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert api.ok("GET", "/v1/streamers/once-reused")["version"] == first.json()["version"]


def test_a_refused_write_may_be_sent_again_with_its_key(api: Api) -> None:
    assert keyed(api, "PATCH", "once-later", {"name": "n"}, "1").status_code == 404
    api.put_streamer("once-later", tags=["music"])
    assert keyed(api, "PATCH", "once-later", {"name": "n"}, "1").status_code == 200


def test_keys_are_the_callers_own_and_quotes_no_part_of_them(api: Api) -> None:
    path, body = "/v1/streamers/once-mine", {"tags": ["music"]}
    first = api.put(path, json=body, headers={"Idempotency-Key": "mine"})
    told_again(first, api.put(path, json=body, headers={"Idempotency-Key": '"mine"'}))
    with api.with_key("streamers:write") as other:
        answer = other.put(path, json={"tags": ["x"]}, headers={"Idempotency-Key": "mine"})
        assert answer.status_code == 200
        assert answer.json()["version"] > first.json()["version"]


@pytest.mark.parametrize(
    "keys",
    [
        *([b""], [b'""'], [b'"'], [b"two words"], [b'"a" "b"'], [b'"\\"'], [b'"\xe9"']),
        *([b'"' + 256 * b"k" + b'"'], [b"a", b"a"]),
    ],
)
def test_a_key_that_is_none_is_refused(api: Api, keys: list[bytes]) -> None:
    headers = [(b"Idempotency-Key", key) for key in keys]
    problem = api.refused(
        *("PUT", "/v1/streamers/once-none", {"tags": ["music"]}),
        status=400,
        code="malformed_request",
        headers=headers,
    )
    if len(keys) == 1:
        assert wrong_fields(problem) == ["idempotency-key"]
    api.refused("GET", "/v1/streamers/once-none", status=404, code="streamer_not_found")


# Erasure


def test_an_erasure_removes_a_streamer_from_all_that_people_keep(api: Api) -> None:
    api.write({"streamer_id": f"kept-{i}", "tags": ["弹唱", "cover"]} for i in range(3))
    for bio in ("吉他 弹唱 concert", "吉他 弹唱 concert vocal"):
        api.put_streamer("gone", bio=bio, name="Gone Forever")
    seeds = [{"streamer_id": "kept-0"}, {"streamer_id": "gone"}]
    api.ok("PUT", "/v1/lists/with-gone", {"question": {"positive": seeds}}, status=201)
    sent = api.ok("POST", "/v1/outreach", {"ids": ["gone", "kept-1"]}, status=201)
    for question in (["kept-0"], ["gone"]):
        rated = "gone" if question == ["kept-0"] else "kept-1"
        rating = {"question": {"positive": question}, "streamer_id": rated, "rating": 2}
        api.ok("PUT", "/v1/ratings", rating)
    kept = {"question": {"positive": ["kept-0"]}, "streamer_id": "kept-2", "rating": 1}
    api.ok("PUT", "/v1/ratings", kept)
    version = api.ok("GET", "/v1/streamers/gone")["version"]

    stale = {"If-Match": f'"{version - 1}"'}
    path = "/v1/streamers/gone?erase=true"
    api.refused("DELETE", path, status=412, code="version_conflict", headers=stale)
    assert len(api.ok("GET", "/v1/outreach?streamer_id=gone")["outreach"]) == 1
    found = api.ok("POST", "/v1/streamers:find", {"q": "Gone Forever", "after_sequence": version})
    assert [hit["streamer_id"] for hit in found["streamers"]] == ["gone"]

    erased = api.ok("DELETE", path)
    assert (erased["streamer_id"], erased["log_entries"], erased["outreach"]) == ("gone", 2, 1)
    assert erased["sequence"] == version + 1
    assert erased["rewriting"] in (True, False)
    places = {"backups", "audit log", "other replicas", "files of jobs", "cases"}
    assert places <= {left["where"] for left in erased["persists"]}
    assert all(left["what"] and left["until"] for left in erased["persists"])

    api.refused("GET", "/v1/streamers/gone", status=404, code="streamer_not_found")
    asked = {"q": "Gone Forever", "after_sequence": erased["sequence"]}
    assert api.ok("POST", "/v1/streamers:find", asked)["streamers"] == []
    assert "gone" not in json.dumps(api.ok("GET", "/v1/lists/with-gone")["question"])
    left = api.ok("GET", "/v1/outreach?streamer_id=kept-1")["outreach"]
    assert [(each["outreach_id"], each["ids"]) for each in left] == [
        (sent["outreach_id"], ["kept-1"])
    ]
    ratings = api.all("/v1/ratings", "ratings")
    assert [rating["streamer_id"] for rating in ratings if "kept-0" in str(rating)] == ["kept-2"]
    assert "gone" not in json.dumps(ratings)
    hits = similar(api, "kept-0", erased["sequence"])
    assert {"kept-1", "kept-2"} <= {*hits}
    assert "gone" not in hits


def test_who_was_deleted_before_is_erased_later_and_again(api: Api) -> None:
    path = "/v1/streamers/later"
    api.put_streamer("later", bio="弹唱")
    api.ok("DELETE", path)
    erased = api.ok("DELETE", f"{path}?erase=true")
    assert (erased["sequence"], erased["log_entries"]) == (None, 1)
    again = api.ok("DELETE", f"{path}?erase=true")
    assert (again["sequence"], again["log_entries"]) == (None, 0)
    entries = api.ok("GET", "/v1/audit?streamer_id=later")["entries"]
    erasures = [entry for entry in entries if entry.get("action") == "erase"]
    assert [entry["results"] for entry in erasures] == [0, 0]
    assert api.ok("PUT", path, {"bio": "弹唱"}, 201)["created"]
