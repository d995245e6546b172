"""Writing and reading streamers."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.streamers import records
from service.settings import Limits, Settings
from tests.bundles import DIM, SPACE
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON
from tests.service.http.test_bad_input import problem

PROFILE = {
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
            "cover": {"vector": [1.0, 2.0, 3.0, 4.0], "space": SPACE},
        }
    ],
    "lives": [{"live_id": "l1", "title": "soup", "started_at": "2026-05-02T12:00:00+08:00"}],
}


def test_what_was_written_is_read_back(client: TestClient) -> None:
    written = client.put("/v1/streamers/s:1", json=PROFILE)
    assert written.status_code == 201
    body = written.json()
    assert body["status"] == "indexed"
    assert body["modalities"]["bio"] == "used"
    assert body["modalities"]["covers"] == "used"
    assert body["modalities"]["avatar"] == "absent"
    read = client.get("/v1/streamers/s:1")
    assert read.headers["etag"] == written.headers["etag"] == f'"{body["version"]}"'
    stored = read.json()["profile"]
    assert stored.pop("streamer_id") == "s:1"
    assert stored.pop("lives")[0]["started_at"].startswith("2026-05-02T12:00:00")
    expected = {k: v for k, v in PROFILE.items() if k != "lives"}
    assert stored == expected


def test_a_patch_changes_parts_and_null_removes(client: TestClient) -> None:
    put(client, "s", **PROFILE)
    answer = client.patch(
        "/v1/streamers/s", json={"bio": None, "attributes": {"views": 13, "city": None}}
    )
    assert answer.status_code == 200
    assert answer.json()["modalities"]["bio"] == "absent"
    profile = client.get("/v1/streamers/s").json()["profile"]
    assert "bio" not in profile
    assert profile["attributes"] == {"views": 13, "partner": False, "ratio": 0.5}
    assert profile["tags"] == PROFILE["tags"]


def test_a_patch_must_leave_a_valid_profile(client: TestClient) -> None:
    put(client, "s", tags=["cooking"])
    answer = client.patch("/v1/streamers/s", json={"bio": 5, "nmae": "x"})
    assert answer.status_code == 422
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/bio", "/nmae"}
    assert client.get("/v1/streamers/s").json()["profile"] == {
        "streamer_id": "s",
        "tags": ["cooking"],
    }


def test_versions_only_grow_even_over_a_delete(client: TestClient) -> None:
    versions = [put(client, "s", tags=["cooking"]), put(client, "s", tags=["cooking"])]
    versions.append(client.delete("/v1/streamers/s").json()["sequence"])
    versions.append(put(client, "s", tags=["cooking"]))
    assert versions == list(range(versions[0], versions[0] + 4))


def test_a_conditional_create(client: TestClient) -> None:
    headers = {"If-None-Match": "*"}
    assert client.put("/v1/streamers/s", json={}, headers=headers).status_code == 201
    assert client.put("/v1/streamers/s", json={}, headers=headers).status_code == 412


def test_a_profile_without_content_is_stored_and_never_a_neighbour(client: TestClient) -> None:
    for i, profile in enumerate(
        [{}, {"language": "zh"}, {"bio": "欢迎关注~"}, {"name": "unknownword"}, {"bio": "   "}]
    ):
        answer = client.put(f"/v1/streamers/empty-{i}", json=profile)
        assert answer.json()["status"] == "insufficient_content", profile
    assert client.get("/v1/streamers/empty-2").json()["modalities"]["bio"] == "uninformative"
    sequence = put(client, "s", tags=["cooking"])
    answer = client.post(
        "/v1/similar",
        json={"positive": [{"vector": [0.1] * DIM}], "k": 100, "after_sequence": sequence},
    )
    assert [h["streamer_id"] for h in answer.json()["hits"]] == ["s"]
    answer = client.get("/v1/streamers/empty-0/embedding")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_vector")


def test_content_that_goes_takes_the_vector_with_it(client: TestClient) -> None:
    put(client, "a", tags=["cooking"])
    put(client, "b", tags=["cooking"])
    sequence = put(client, "b")
    answer = client.get("/v1/streamers/a/similar", params={"after_sequence": sequence})
    assert answer.json()["hits"] == []


@pytest.mark.slow
def test_what_was_acknowledged_is_in_the_next_answer(client: TestClient) -> None:
    put(client, "seed", tags=["cooking"])

    def found() -> list[str]:
        answer = client.get("/v1/streamers/seed/similar")  # without after_sequence
        return [hit["streamer_id"] for hit in answer.json()["hits"]]

    for i in range(15):
        put(client, f"s{i}", tags=["cooking"])
        assert found() == [f"s{i}"]
        assert client.patch(f"/v1/streamers/s{i}", json={"tags": None}).status_code == 200
        assert found() == []
        put(client, f"s{i}", tags=["cooking"])
        client.delete(f"/v1/streamers/s{i}")
        assert found() == []


def test_pages_show_everyone_once_in_order(client: TestClient) -> None:
    ids = sorted(f"s-{i}" for i in range(25))
    body = b"\n".join(json.dumps({"streamer_id": i}).encode() for i in reversed(ids))
    client.post("/v1/streamers:bulk", content=body, headers=NDJSON)
    seen, cursor, pages = [], None, 0
    while True:
        params = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/streamers", params=params).json()
        seen += [s["streamer_id"] for s in page["streamers"]]
        pages += 1
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids
    assert pages == 3


def test_a_page_of_long_profiles_is_short(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", limits=Limits(page_bytes=20_000))
    lengths = [9_000, 9_000, 9_000, 25_000, 25_000, 100, 100, 100]
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        for i, length in enumerate(lengths):
            put(
                client,
                f"s{i}",
                videos=[{"video_id": f"v{j}", "title": 500 * "x"} for j in range(length // 500)],
            )
        pages: list[list[str]] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.get("/v1/streamers", params={"limit": 5, **cursor}).json()
            pages.append([s["streamer_id"] for s in page["streamers"]])
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert pages == [["s0", "s1"], ["s2"], ["s3"], ["s4"], ["s5", "s6", "s7"]]
        client.delete("/v1/streamers/s7").raise_for_status()
        page = client.get("/v1/streamers", params={"limit": 2, **cursor}).json()
        assert [s["streamer_id"] for s in page["streamers"]] == ["s5", "s6"]
        assert client.get("/v1/streamers", params={"cursor": page["next_cursor"]}).json() == {
            "streamers": [],
            "next_cursor": None,
        }


def test_the_embedding_is_the_one_that_is_searched(client: TestClient) -> None:
    sequence = put(client, "a", **PROFILE)
    vector = client.get("/v1/streamers/a/embedding").json()["embedding"]
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
    hits = client.post(
        "/v1/similar", json={"positive": [{"vector": vector}], "after_sequence": sequence}
    ).json()["hits"]
    assert hits[0]["streamer_id"] == "a"
    assert abs(hits[0]["score"] - 1) < 1e-5


def test_bulk_skips_what_is_stored_like_this_already(client: TestClient) -> None:
    lines = [json.dumps({"streamer_id": f"s-{i}", "tags": ["cooking"]}) for i in range(3)]
    lines.append(json.dumps({"streamer_id": "s-0", "tags": ["music"]}))
    lines.append(json.dumps({"streamer_id": "s-0", "tags": ["cooking"]}))

    def outcomes() -> list[str]:
        answer = client.post(
            "/v1/streamers:bulk",
            params={"skip_unchanged": True},
            content="\n".join(lines),
            headers=NDJSON,
        )
        return [json.loads(line)["outcome"] for line in answer.text.splitlines()]

    assert outcomes() == ["created", "created", "created", "updated", "updated"]
    assert outcomes() == ["unchanged", "unchanged", "unchanged", "updated", "updated"]
    assert client.get("/v1/streamers/s-0").json()["profile"]["tags"] == ["cooking"]


@pytest.mark.parametrize("is_of_before", [False, True])
def test_attributes_in_another_order_are_no_change(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, is_of_before: bool
) -> None:
    attributes = {"level": 7, "country": "CN", "is_vip": True}

    def outcome(order: Sequence[str], **changes: object) -> str:
        shown = {name: {**attributes, **changes}[name] for name in order}
        line = {"streamer_id": "ordered", "tags": ["music"], "attributes": shown}
        answer = client.post(
            "/v1/streamers:bulk?skip_unchanged=true", content=json.dumps(line), headers=NDJSON
        )
        return json.loads(answer.text)["outcome"]

    with monkeypatch.context() as patched:
        if is_of_before:  # an earlier release stored them in the order in which they came
            patched.setattr(records, "_by_name", dict)
        assert outcome(["level", "country", "is_vip"]) == "created"
    assert outcome(["level", "country", "is_vip"]) == "unchanged"
    other = "updated" if is_of_before else "unchanged"  # once
    assert [outcome(["is_vip", "level", "country"]) for _ in range(2)] == [other, "unchanged"]
    assert outcome(["level", "country", "is_vip"]) == "unchanged"
    assert outcome(["level", "country", "is_vip"], level=8) == "updated"
    stored = client.get("/v1/streamers/ordered").json()["profile"]["attributes"]
    assert stored == {**attributes, "level": 8}
    assert list(stored) == sorted(stored)


@pytest.mark.slow
def test_bulk_answers_hundreds_of_lines_in_order(client: TestClient) -> None:
    lines = [json.dumps({"streamer_id": f"s-{i}", "tags": ["cooking"]}) for i in range(200)]
    answer = client.post("/v1/streamers:bulk", content="\n".join(lines) + "\n", headers=NDJSON)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [r["line"] for r in results] == list(range(1, 201))
    assert len({r["sequence"] for r in results}) == 200
    wait_until_visible(client, results[-1]["sequence"])
    assert client.get("/readyz").json()["index_rows"] == 200


def test_a_write_names_its_near_duplicates(client: TestClient) -> None:
    sequence = put(client, "first", **PROFILE)
    wait_until_visible(client, sequence)
    copy = {**PROFILE, "name": "another name", "attributes": {}}
    near = client.put("/v1/streamers/second", json=copy).json()["near_duplicates"]
    assert [n["streamer_id"] for n in near] == ["first"]
    assert near[0]["kind"] == "near_duplicate"
    assert near[0]["score"] > 0.8
    other = client.put("/v1/streamers/third", json={"tags": ["music"], "bio": "guitar"})
    assert other.json()["near_duplicates"] == []


def test_no_cosine_of_copies_is_above_one(client: TestClient) -> None:
    """The content is kept in 16 bits, so rounded: its length may be a little more than 1."""
    for words in ("cooking", "music guitar", "guitar", "kitchen cooking"):
        for name in ("first", "second"):
            sequence = put(client, f"{name}-{words[:5].strip()}", bio=words, tags=words.split())
        wait_until_visible(client, sequence)
        near = client.put("/v1/streamers/copy", json={"bio": words, "tags": words.split()}).json()
        assert near["near_duplicates"]
        assert max(n["score"] for n in near["near_duplicates"]) <= 1
        question = {"k": 10, "explain": "true"}
        hits = client.get(
            f"/v1/streamers/first-{words[:5].strip()}/similar", params=question
        ).json()["hits"]
        assert max(hit["reasons"]["content_similarity"] for hit in hits) <= 1


def test_a_cursor_of_another_listing_is_refused(client: TestClient) -> None:
    for streamer_id in ("a", "b"):
        put(client, streamer_id, tags=["cooking"])
        case = {"title": streamer_id, "seeds": [streamer_id]}
        client.post("/v1/cases", json=case).raise_for_status()
        client.post("/v1/jobs/exports", json={}).raise_for_status()
    listings = ("/v1/streamers", "/v1/cases", "/v1/jobs")
    cursors = {
        path: client.get(path, params={"limit": 1}).json()["next_cursor"] for path in listings
    }
    for path in listings:
        for origin, cursor in cursors.items():
            answer = client.get(path, params={"cursor": cursor})
            if origin == path:
                assert answer.status_code == 200
            else:
                said = problem(answer, 422, "invalid_request")["errors"][0]
                assert said["parameter"] == "cursor"
                assert "another listing" in said["detail"]
