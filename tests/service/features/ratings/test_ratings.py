"""Ratings are kept by key and question, go with erased streamers, and are in backups."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import StreamerNotFound
from service.features.ratings import service as features
from service.features.ratings.schemas import QuestionIn
from service.features.ratings.service import Ratings
from service.settings import Settings
from service.store.documents import Put
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from tests.service.conftest import Serve, put
from tests.service.http.test_bad_input import problem
from tests.service.process import run
from tests.service.store.records import remove, upsert

ADMIN = "an admin's key of these tests"


def rate(client: TestClient, streamer_id: str, rating: Any, **question: Any) -> Any:
    body = {"question": question, "streamer_id": streamer_id, "rating": rating}
    return client.put("/v1/ratings", json=body)


@pytest.fixture
def world(client: TestClient) -> TestClient:
    for name in ("seed", "other", "hit", "miss"):
        put(client, name, tags=["music"])
    for rating in client.get("/v1/ratings", params={"limit": 1000}).json()["ratings"]:
        which = {name: rating[name] for name in ("question_id", "streamer_id")}
        client.delete("/v1/ratings", params=which).raise_for_status()
    return client


@pytest.mark.parametrize("bound", [100, 100.0])
def test_a_question_has_one_name_in_every_release(bound: float) -> None:
    wanted = {"must": [{"field": "attributes.followers", "gte": bound}]}
    question = QuestionIn.model_validate({"positive": ["seed"], "filter": wanted})
    assert question.domain().question_id == "36e64a2393a969c5"


def test_a_rating_is_given_replaced_listed_and_taken_back(world: TestClient) -> None:
    first = rate(world, "hit", 2, positive=["seed", "other"])
    first.raise_for_status()
    given = first.json()
    assert (given["rating"], given["before"], given["key_id"]) == (2, None, "keyless")
    again = rate(world, "hit", 3, positive=["other", "seed"]).json()  # the same question
    assert (again["question_id"], again["before"]) == (given["question_id"], 2)
    rate(world, "miss", 0, positive=["seed"], negative=["other"]).raise_for_status()
    listed = world.get("/v1/ratings").json()["ratings"]
    assert {(one["streamer_id"], one["rating"], one["stored"]) for one in listed} == {
        ("hit", 3, True),
        ("miss", 0, True),
    }
    of_one = world.get("/v1/ratings", params={"question_id": given["question_id"]}).json()
    assert [one["streamer_id"] for one in of_one["ratings"]] == ["hit"]
    which = {"question_id": given["question_id"], "streamer_id": "hit"}
    assert world.delete("/v1/ratings", params=which).json()["rating"] == 3
    gone = world.delete("/v1/ratings", params=which)
    assert (gone.status_code, gone.json()["code"]) == (404, "rating_not_found")


def test_a_note_stays_until_there_is_another(world: TestClient) -> None:
    def given(**more: str) -> str:
        body = {"question": {"positive": ["seed"]}, "streamer_id": "hit", "rating": 1, **more}
        return world.put("/v1/ratings", json=body).raise_for_status().json()["note"]

    notes = [given(), given(note="too loud"), given(), given(note="")]
    assert notes == ["", "too loud", "too loud", ""]


def test_pages_of_ratings(world: TestClient) -> None:
    wanted = {"must": [{"field": "tags", "any": ["music"]}]}
    for name in ("hit", "miss", "other"):
        rate(world, name, 1, positive=["seed"], filter=wanted).raise_for_status()
        rate(world, name, 2, positive=["seed"]).raise_for_status()
    question_id = rate(world, "hit", 2, positive=["seed"]).json()["question_id"]
    for options in ({}, {"question_id": question_id}):
        seen, cursor = list[dict[str, Any]](), {}
        while True:
            page = world.get("/v1/ratings", params={"limit": 2, **options, **cursor}).json()
            seen += page["ratings"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert len(seen) == (3 if options else 6)
        assert len({(one["question_id"], one["streamer_id"]) for one in seen}) == len(seen)
        filters = [one["question"]["filter"] for one in seen]
        assert filters.count({}) == 3
        if not options:
            assert filters.count(wanted) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("streamer_id", "rating", "question", "pointer"),
    [
        ("hit", 4, {"positive": ["seed"]}, "/rating"),
        ("hit", 1.5, {"positive": ["seed"]}, "/rating"),
        ("hit", True, {"positive": ["seed"]}, "/rating"),
        ("hit", 1, {"positive": []}, "/question/positive"),
        ("nobody", 1, {"positive": ["seed"]}, "/streamer_id"),
        ("hit", 1, {"positive": ["seed", "nobody"]}, "/question/positive/1"),
        ("hit", 1, {"positive": ["seed"], "negative": ["nobody"]}, "/question/negative/0"),
        ("hit", 1, {"positive": ["seed"], "k": 3}, "/question/k"),
    ],
)
def test_what_is_wrong_is_named(
    world: TestClient, streamer_id: str, rating: Any, question: dict[str, Any], pointer: str
) -> None:
    answer = rate(world, streamer_id, rating, **question)
    assert answer.status_code in (404, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert world.get("/v1/ratings").json()["ratings"] == []


def test_each_key_has_a_rating_of_its_own(bundle: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate({"bundle": bundle, "data_dir": tmp_path, "api_key": ADMIN})
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        client.headers["Authorization"] = f"Bearer {ADMIN}"
        for name in ("seed", "hit"):
            put(client, name, tags=["music"])
        made = client.post("/v1/keys", json={"name": "tester", "role": "operations"}).json()
        rate(client, "hit", 0, positive=["seed"]).raise_for_status()
        client.headers["Authorization"] = f"Bearer {made['key']}"
        given = rate(client, "hit", 3, positive=["seed"]).json()
        assert (given["before"], given["key_name"]) == (None, "tester")
        which = {name: given[name] for name in ("question_id", "streamer_id")}
        asked = {"question": {"positive": ["seed"]}, "streamer_ids": ["hit", "seed", "nobody"]}
        mine = client.post("/v1/ratings:mine", json=asked).json()
        assert mine["question_id"] == given["question_id"]
        assert [(one["streamer_id"], one["rating"]) for one in mine["ratings"]] == [("hit", 3)]
        assert client.delete("/v1/ratings", params=which).json()["rating"] == 3
        assert client.post("/v1/ratings:mine", json=asked).json()["ratings"] == []
        (left,) = client.get("/v1/ratings").json()["ratings"]
        assert left["rating"] == 0
        assert client.delete("/v1/ratings", params=which).status_code == 404


def test_whose_ratings_are_asked_for_is_bounded(world: TestClient) -> None:
    for ids in ([], ["hit"] * 501, ["a b"]):
        body = {"question": {"positive": ["seed"]}, "streamer_ids": ids}
        answer = world.post("/v1/ratings:mine", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith("/streamer_ids")
    many = {"question": {"positive": ["seed"]}, "streamer_ids": ["hit"] * 500}
    assert world.post("/v1/ratings:mine", json=many).json()["ratings"] == []


def test_a_deleted_streamer_keeps_its_ratings_and_an_erased_one_does_not(
    world: TestClient,
) -> None:
    rate(world, "hit", 3, positive=["seed"]).raise_for_status()
    rate(world, "miss", 1, positive=["hit"]).raise_for_status()
    rate(world, "miss", 0, positive=["seed"]).raise_for_status()
    world.delete("/v1/streamers/hit").raise_for_status()
    listed = world.get("/v1/ratings").json()["ratings"]
    assert {one["streamer_id"]: one["stored"] for one in listed}["hit"] is False
    assert len(listed) == 3
    world.delete("/v1/streamers/hit", params={"erase": True}).raise_for_status()
    (left,) = world.get("/v1/ratings").json()["ratings"]
    assert (left["streamer_id"], left["question"]["positive"]) == ("miss", ["seed"])
    kept_out = {"must_not": [{"field": "streamer_id", "any": ["other", "gone"]}]}
    rate(world, "miss", 2, positive=["seed"], filter=kept_out).raise_for_status()
    world.delete("/v1/streamers/other", params={"erase": True}).raise_for_status()
    assert world.get("/v1/ratings").json()["ratings"] == [left]


def test_ratings_are_bounded_in_size_and_number_and_read_in_parts(
    world: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(count: int) -> dict[str, Any]:
        return {"must_not": [{"field": "streamer_id", "any": [f"{i:0100}" for i in range(count)]}]}

    asked = {"question": {"positive": ["seed"], "filter": without(200)}}
    answers = [
        world.put("/v1/ratings", json={**asked, "streamer_id": "hit", "rating": 1}),
        world.post("/v1/ratings:mine", json={**asked, "streamer_ids": ["hit"]}),
    ]
    for answer in answers:
        errors = problem(answer, 422, "invalid_request")["errors"]
        assert [error["pointer"] for error in errors] == ["/question/filter"]
    large = {"positive": ["seed"], "filter": without(150)}
    rate(world, "hit", 1, **large).raise_for_status()
    rate(world, "miss", 1, **large).raise_for_status()
    monkeypatch.setattr(features, "_PAGE_BYTES", 20_000)
    monkeypatch.setattr(features, "_AT_ONCE", 1)
    rate(world, "other", 1, **large).raise_for_status()
    page = world.get("/v1/ratings").json()
    assert [one["streamer_id"] for one in page["ratings"]] == ["hit", "miss"]
    more = {"cursor": page["next_cursor"]}
    last = world.get("/v1/ratings", params=more).json()
    assert ([one["streamer_id"] for one in last["ratings"]], last["next_cursor"]) == (
        ["other"],
        None,
    )
    monkeypatch.setattr(features, "MOST_RATINGS", 3)
    rate(world, "hit", 2, **large).raise_for_status()  # in place of one that is kept
    problem(rate(world, "hit", 2, positive=["seed"]), 409, "too_many_records")


def test_ratings_are_in_backups(serve: Serve, tmp_path: Path) -> None:
    service = serve(data_dir=tmp_path / "data")
    for name in ("seed", "hit"):
        service.put(name, tags=["music"])
    body = {"question": {"positive": ["seed"]}, "streamer_id": "hit", "rating": 2}
    service.client.put("/v1/ratings", json=body).raise_for_status()
    before = service.client.get("/v1/ratings").json()
    service.stop()
    backed = run("backup", "--data-dir", tmp_path / "data", "--out", tmp_path / "backup")
    assert backed.returncode == 0, backed.stderr
    restored = run("restore", tmp_path / "backup", "--data-dir", tmp_path / "new")
    assert restored.returncode == 0, restored.stderr
    assert serve(data_dir=tmp_path / "new").client.get("/v1/ratings").json() == before


def test_who_is_erased_while_it_is_rated_stays_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = QuestionIn.model_validate({"positive": ["seed"]}).domain()

    async def play() -> None:
        async with EmbeddedStore(tmp_path) as embedded:
            store = await ArchivedStore(embedded.url).open()
            ratings, change = Ratings(store.documents, store), store.documents.change

            async def give(rating: int, *, forgotten: int | None) -> object:
                """Rate while the seed is deleted, and erased too if ratings are forgotten."""

                async def late(puts: Sequence[Put]) -> Sequence[int]:
                    monkeypatch.setattr(store.documents, "change", change)
                    await remove(store, "seed")
                    if forgotten is not None:
                        assert await ratings.forget("seed") == forgotten
                    return await change(puts)

                await store.write([upsert("seed"), upsert("hit")])
                monkeypatch.setattr(store.documents, "change", late)
                return await ratings.give(question, "hit", rating, None, "k", "key")

            with pytest.raises(StreamerNotFound):
                await give(3, forgotten=0)
            assert await ratings.page(None, "", 10) == ([], None)
            await store.write([upsert("seed")])
            await ratings.give(question, "hit", 1, None, "k", "key")
            await give(2, forgotten=None)  # a rating of who is deleted stays
            (kept,), _ = await ratings.page(None, "", 10)
            assert kept.rating == 2
            with pytest.raises(StreamerNotFound):
                await give(3, forgotten=1)
            assert await ratings.page(None, "", 10) == ([], None)
            await store.close()

    asyncio.run(play())
