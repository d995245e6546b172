"""What a hit and its seed share, over HTTP: quotes, disguises, audiences, and topics."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model_export.contract.bundle import ESTABLISHED, MANIFEST, Manifest, file_entry
from model_export.contract.established import Established
from service.app import create_app
from service.settings import Settings
from tests.bundles import BOILERPLATE, ESTABLISHED_IDS, SPACE, TOPICS
from tests.service.conftest import put, put_all, wait_until_visible

Shared = dict[str, Any]


def shared(client: TestClient, *, k: int = 20, **query: Any) -> dict[str, Shared]:
    """What each hit shares, by id."""
    answer = client.post("/v1/similar", json={"k": k, "explain": True, **query})
    assert answer.status_code == 200, answer.text
    return {hit["streamer_id"]: hit["reasons"]["shared"] for hit in answer.json()["hits"]}


def between(client: TestClient, seed: dict[str, Any], hit: dict[str, Any]) -> Shared:
    """What two profiles share."""
    put(client, "seed", **seed)
    sequence = put(client, "hit", **hit)
    query = {"positive": [{"streamer_id": "seed"}], "after_sequence": sequence}
    return shared(client, **query)["hit"]


def test_a_topic_is_told_by_the_nearest_pieces_of_both(client: TestClient) -> None:
    found = between(
        client,
        {"bio": "guitar vocal concert", "tags": ["soup"], "language": "en"},
        {
            "language": "en",
            "videos": [
                {"video_id": "a", "title": "beach train hostel"},
                {"video_id": "b", "title": "vocal guitar recipe"},
            ],
        },
    )
    assert set(found) == {"language", "topic"}
    first = found["topic"][0]
    assert (first["seed"], first["seed_quote"]) == ("bio", "guitar vocal concert")
    assert (first["hit"], first["hit_quote"]) == ("videos[1].title", "vocal guitar recipe")
    assert 0.3 < first["similarity"] < 1


def test_pictures_alone_are_a_topic_too(client: TestClient) -> None:
    def picture(*numbers: float) -> dict[str, Any]:
        return {"avatar": {"vector": list(numbers), "space": SPACE}, "language": "en"}

    found = between(client, picture(1, 2, 3, 4), picture(1, 2, 3, 1))
    (topic,) = found["topic"]
    assert (topic["seed"], topic["hit"], topic["seed_quote"]) == ("avatar", "avatar", "")


def test_a_disguised_copy_is_quoted_as_it_is_written(client: TestClient) -> None:
    bio = "guitar evenings with homemade lanterns and marbles"
    copied = bio.replace("e", "\u0435").replace("o", "\u043e")  # Cyrillic letters
    found = between(client, {"bio": bio, "tags": ["music"]}, {"bio": copied, "tags": ["music"]})
    (phrase,) = found["phrases"]
    assert (phrase["seed_quote"], phrase["hit_quote"]) == (bio, copied)
    assert "confusable" in phrase["disguises"]


def test_chinese_phrases_are_found_without_blanks(client: TestClient) -> None:
    found = between(
        client,
        {"bio": "每周五吉他弹唱,自制皮影戏灯笼", "tags": ["美食"]},
        {"tags": ["旅行"], "lives": [{"live_id": "l", "title": "音乐与自制皮影戏灯笼展"}]},
    )
    (phrase,) = found["phrases"]
    assert phrase["hit"] == "lives[0].title"
    assert phrase["seed_quote"] == phrase["hit_quote"] == "自制皮影戏灯笼"


def test_boilerplate_is_never_shared(client: TestClient) -> None:
    stock = {"bio": BOILERPLATE, "language": "zh"}
    found = between(
        client,
        {**stock, "tags": ["关注", "热门", "music"], "name": "关注我"},
        {**stock, "tags": ["热门", "关注", "guitar"], "name": "关注我"},
    )
    assert set(found) == {"language", "topic"}
    said = {found["topic"][0]["seed_quote"], found["topic"][0]["hit_quote"]}
    assert said == {"music", "guitar"}


def test_a_contact_of_both_comes_first(client: TestClient) -> None:
    found = between(
        client,
        {"bio": "guitar, 微信: lark_2041", "tags": ["music"]},
        {"bio": "vocal, vx：lark_2041", "tags": ["music"]},
    )
    assert next(iter(found)) == "contacts"
    (contact,) = found["contacts"]
    assert "lark_2041" in contact["seed_quote"]


def test_a_vector_is_told_by_the_pieces_of_the_hit(client: TestClient) -> None:
    put(client, "near", bio="guitar vocal concert", tags=["travel"])
    sequence = put(client, "seed", bio="guitar vocal cover")
    vector = client.get("/v1/streamers/seed/embedding").json()["embedding"]
    found = shared(client, positive=[{"vector": vector}], after_sequence=sequence)
    (topic,) = found["near"]["topic"]
    assert topic["seed"] == topic["seed_quote"] == ""
    assert (topic["hit"], topic["hit_quote"]) == ("bio", "guitar vocal concert")
    assert topic["similarity"] > 0.3


def near_audiences(bundle: Path, folder: Path, *, known: bool) -> Path:
    """The bundle with two established streamers of one audience, or without any."""
    shutil.copytree(bundle, folder)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    files = dict(manifest.files)
    del files[ESTABLISHED]
    (folder / ESTABLISHED).unlink()
    if known:
        vectors = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
        vectors[1] = vectors[0]
        content = Established(ESTABLISHED_IDS, vectors).dump()
        (folder / ESTABLISHED).write_bytes(content)
        files[ESTABLISHED] = file_entry(content)
    changed = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(changed.model_dump_json())
    return folder


@pytest.fixture(params=[True, False], ids=["established", "without a list"])
def audience(
    bundle: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[TestClient, bool]]:
    folder = near_audiences(bundle, tmp_path / "b", known=request.param)
    settings = Settings(bundle=folder, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client, request.param


def test_an_audience_of_both_is_told_where_the_bundle_knows_it(
    audience: tuple[TestClient, bool],
) -> None:
    client, is_known = audience
    for name in ESTABLISHED_IDS[:3]:
        sequence = put(client, name, bio="guitar vocal", language="en")
    sequence = put(client, "newcomer", bio="guitar vocal", language="en")
    wait_until_visible(client, sequence)
    found = shared(client, positive=[{"streamer_id": ESTABLISHED_IDS[0]}])
    assert "audience" not in found["newcomer"]
    assert ("audience" in found[ESTABLISHED_IDS[1]]) == is_known
    if is_known:
        (told,) = found[ESTABLISHED_IDS[1]]["audience"]
        assert "(cosine 1.00)" in told


@pytest.mark.slow
def test_no_hit_has_a_language_alone(client: TestClient) -> None:
    random, profiles = Random(4), list[dict[str, Any]]()
    words = [word for text in TOPICS.values() for word in text.split()]
    for i in range(36):
        shows: dict[str, Any] = {"streamer_id": f"s{i}", "language": random.choice(["en", "zh"])}
        if random.random() < 0.6:
            shows["bio"] = random.choice([BOILERPLATE, " ".join(random.sample(words, 3))])
        if random.random() < 0.5:
            shows["tags"] = random.sample([*words, "关注", "热门"], 2)
        if random.random() < 0.5:
            titles = [" ".join(random.sample(words, 2)) for _ in range(3)]
            shows["videos"] = [{"video_id": str(n), "title": t} for n, t in enumerate(titles)]
        if random.random() < 0.3:
            vector = [random.gauss(0, 1) for _ in range(4)]
            shows["avatar"] = {"vector": vector, "space": SPACE}
        profiles.append(shows)
    wait_until_visible(client, put_all(client, profiles))
    told, count, kinds = 0, 0, set[str]()
    for i in range(36):
        if client.get(f"/v1/streamers/s{i}").json()["status"] != "indexed":
            continue
        for found in shared(client, k=10, positive=[{"streamer_id": f"s{i}"}]).values():
            count += 1
            told += bool(set(found) - {"language"})
            kinds.update(found)
    assert count >= 200
    assert told == count
    assert {"topic", "tags", "language"} <= kinds
