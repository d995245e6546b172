"""Ratings: how well streamers fit the questions that found them, by key and question."""

import json
import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.service import Service, run

PATH = "/v1/ratings"
MINE = "/v1/ratings:mine"


@pytest.fixture(scope="module", autouse=True)
def streamers(api: Api) -> None:
    api.write({"streamer_id": name, "tags": ["music"]} for name in ("seed", "other", "hit", "miss"))


def rate(api: Api, streamer_id: str, rating: int, question: dict[str, Any], **more: str) -> Any:
    body = {"question": question, "streamer_id": streamer_id, "rating": rating, **more}
    return api.ok("PUT", PATH, body)


def which(rating: Any) -> dict[str, str]:
    return {name: rating[name] for name in ("question_id", "streamer_id")}


def unlike(name: str) -> dict[str, Any]:
    """A question of one test: nobody has this value."""
    return {"positive": ["seed"], "filter": {"must_not": [{"field": "test", "any": [name]}]}}


def without(count: int) -> dict[str, Any]:
    """A question whose filter has some hundred bytes for each of so many ids."""
    ids = [f"{i:0100}" for i in range(count)]
    return {"positive": ["seed"], "filter": {"must_not": [{"field": "streamer_id", "any": ids}]}}


def test_a_rating_is_given_replaced_listed_and_taken_back(api: Api) -> None:
    question = {**unlike("given"), "positive": ["seed", "other"]}
    given = rate(api, "hit", 2, question)
    assert (given["rating"], given["before"], given["note"]) == (2, None, "")
    assert given["question"]["filter"]["must_not"][0]["any"] == ["given"]
    reordered = {**question, "positive": ["other", "seed", "other"]}
    again = rate(api, "hit", 3, reordered)
    assert (again["question_id"], again["before"]) == (given["question_id"], 2)
    opposite = rate(api, "hit", 0, {**unlike("given"), "negative": ["other"]})
    assert opposite["question_id"] != given["question_id"]
    assert opposite["before"] is None
    rate(api, "miss", 0, question)
    of_one = api.all(PATH, "ratings", question_id=given["question_id"])
    told = [(one["streamer_id"], one["rating"], one["stored"]) for one in of_one]
    assert told == [("hit", 3, True), ("miss", 0, True)]
    taken = api.ok("DELETE", PATH, params=which(given))
    assert (taken["rating"], taken["question"]) == (3, again["question"])
    api.refused("DELETE", PATH, params=which(given), status=404, code="rating_not_found")
    left = api.all(PATH, "ratings", question_id=given["question_id"])
    assert [one["streamer_id"] for one in left] == ["miss"]


def test_a_note_stays_until_there_is_another(api: Api) -> None:
    question = unlike("notes")
    notes = [{}, {"note": "too loud"}, {}, {"note": ""}]
    told = [rate(api, "hit", 1, question, **note)["note"] for note in notes]
    assert told == ["", "too loud", "too loud", ""]


def test_ratings_come_in_pages_each_once_those_of_a_question_together(api: Api) -> None:
    ids = [
        rate(api, name, 1, unlike(f"pages-{i}"))["question_id"]
        for i in range(2)
        for name in ("hit", "miss", "other")
    ]
    for options, expected in (({}, [*ids]), ({"question_id": ids[0]}, ids[:3])):
        pages = [*api.pages(PATH, "ratings", limit=2, **options)]
        assert all(len(page) <= 2 for page in pages)
        seen = [(one["question_id"], one["streamer_id"]) for page in pages for one in page]
        assert len(set(seen)) == len(seen)
        questions = [question for question, _ in seen]
        assert sorted(q for q in questions if q in ids) == sorted(expected)
        assert len([*dict.fromkeys(questions)]) == 1 + sum(a != b for a, b in pairwise(questions))
    cursor = api.ok("GET", f"{PATH}?limit=1")["next_cursor"]
    params = {"cursor": cursor, "question_id": ids[0]}  # which continues another listing
    problem = api.refused("GET", PATH, params=params, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["cursor"]


@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"rating": 4}, 422, "/rating"),
        ({"rating": -1}, 422, "/rating"),
        ({"rating": 1.5}, 422, "/rating"),
        ({"rating": True}, 422, "/rating"),
        ({"rating": "3"}, 422, "/rating"),
        ({"note": "n" * 1001}, 422, "/note"),
        ({"key_name": "me"}, 422, "/key_name"),
        ({"streamer_id": "a b"}, 422, "/streamer_id"),
        ({"question": {"positive": []}}, 422, "/question/positive"),
        ({"question": {"positive": ["seed"] * 21}}, 422, "/question/positive"),
        ({"question": {"positive": ["seed"], "k": 3}}, 422, "/question/k"),
        ({"question": without(200)}, 422, "/question/filter"),
        ({"streamer_id": "nobody"}, 404, "/streamer_id"),
        ({"question": {"positive": ["seed", "nobody"]}}, 404, "/question/positive/1"),
        ({"question": {"positive": ["seed"], "negative": ["no1"]}}, 404, "/question/negative/0"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(
    api: Api, wrong: dict[str, Any], status: int, field: str
) -> None:
    before = api.all(PATH, "ratings")
    body = {"question": {"positive": ["seed"]}, "streamer_id": "hit", "rating": 1, **wrong}
    code = "invalid_request" if status == 422 else "streamer_not_found"
    assert wrong_fields(api.refused("PUT", PATH, body, status=status, code=code)) == [field]
    assert api.all(PATH, "ratings") == before


def test_each_key_has_ratings_of_its_own(api: Api) -> None:
    question = unlike("keys")
    rate(api, "hit", 0, question)
    with api.with_key("search", name="tester") as tester:
        given = rate(tester, "hit", 3, question, note="just so")
        assert (given["before"], given["key_name"]) == (None, "tester")
        asked = {"question": question, "streamer_ids": ["hit", "seed", "nobody", "hit"]}
        mine = tester.ok("POST", MINE, asked)
        told = {name: given[name] for name in ("streamer_id", "rating", "note", "at")}
        assert mine == {"question_id": given["question_id"], "ratings": [told]}
        ratings = tester.all(PATH, "ratings", question_id=given["question_id"])
        assert sorted(one["rating"] for one in ratings) == [0, 3]
        assert tester.ok("DELETE", PATH, params=which(given))["rating"] == 3
        assert tester.ok("POST", MINE, asked)["ratings"] == []
        tester.refused("DELETE", PATH, params=which(given), status=404, code="rating_not_found")
    (left,) = api.ok("POST", MINE, asked)["ratings"]
    assert left["rating"] == 0
    with api.with_key("streamers:read", "streamers:write") as other:
        for method, path, body in (("GET", PATH, None), ("POST", MINE, asked)):
            other.refused(method, path, body, status=403, code="missing_scope")
        body = {"question": question, "streamer_id": "hit", "rating": 1}
        other.refused("PUT", PATH, body, status=403, code="missing_scope")
        other.refused("DELETE", PATH, params=which(given), status=403, code="missing_scope")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"streamer_ids": []}, "/streamer_ids"),
        ({"streamer_ids": ["hit"] * 501}, "/streamer_ids"),
        ({"streamer_ids": ["a b"]}, "/streamer_ids/0"),
        ({"question": without(200)}, "/question/filter"),
    ],
)
def test_whose_ratings_are_asked_for_is_bounded(
    api: Api, asked: dict[str, Any], field: str
) -> None:
    body = {"question": {"positive": ["seed"]}, "streamer_ids": ["hit"], **asked}
    problem = api.refused("POST", MINE, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]


def test_a_deleted_streamer_keeps_its_ratings_and_an_erased_one_does_not(api: Api) -> None:
    api.write({"streamer_id": f"gone-{i}", "tags": ["music"]} for i in range(3))
    out = {"must_not": [{"field": "streamer_id", "any": ["gone-1", "x"]}]}
    given = {
        "answer": ("gone-0", 3, unlike("gone")),
        "other": ("hit", 1, unlike("gone")),
        "seed": ("hit", 1, {"positive": ["gone-0"]}),
        "unwanted": ("hit", 1, {"positive": ["seed"], "negative": ["gone-0"]}),
        "filtered": ("hit", 1, {"positive": ["seed"], "filter": out}),
    }
    by_id = {name: rate(api, *parts)["question_id"] for name, parts in given.items()}

    def kept(name: str) -> dict[str, bool]:
        found = api.all(PATH, "ratings", question_id=by_id[name])
        return {one["streamer_id"]: one["stored"] for one in found}

    api.ok("DELETE", "/v1/streamers/gone-0")
    assert kept("answer") == {"gone-0": False, "hit": True}
    assert kept("seed") == kept("unwanted") == {"hit": True}
    api.ok("DELETE", "/v1/streamers/gone-0?erase=true")
    assert kept("answer") == {"hit": True}
    assert kept("seed") == kept("unwanted") == {}
    api.ok("DELETE", "/v1/streamers/gone-1?erase=true")
    assert kept("filtered") == {}


def test_answers_are_measured_by_what_was_rated(api: Api, service: Service, tmp_path: Path) -> None:
    words = ["guitar", "vocal", "cover", "concert", "音乐", "唱歌"]
    api.write(
        {"streamer_id": f"m{i}", "tags": ["music", *words[:i]], "attributes": {"test": "ndcg"}}
        for i in range(6)
    )
    wanted = {"must": [{"field": "test", "any": ["ndcg"]}]}
    asked = {"positive": [{"streamer_id": "m5"}], "filter": wanted, "k": 4}
    hits = api.ok("POST", "/v1/similar", asked)["hits"]
    question, values = {"positive": ["m5"], "filter": wanted}, (0, 3, 1, 2)
    rated = [rate(api, h["streamer_id"], v, question) for h, v in zip(hits, values, strict=True)]
    lines = map(json.dumps, api.all(PATH, "ratings", question_id=rated[0]["question_id"]))
    exported = tmp_path / "ratings.ndjson"
    exported.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def dcg(ratings: Iterable[int]) -> float:
        return sum((2**rating - 1) / math.log2(i) for i, rating in enumerate(ratings, 2))

    options = ("--ratings", exported, "-k", 4, "--json", "--url", service.url)
    for fewest, status in ((1, 0), (10, 1)):  # one question is too few for a verdict of ten
        told = run(
            "evaluate-ratings",
            *options,
            "--min-questions",
            fewest,
            STREAMER_API_KEY=str(service.key),
        )
        assert told.returncode == status, told.stderr
        (ndcg,) = [v for n, v in json.loads(told.stdout)["figures"].items() if n[:4] == "ndcg"]
        assert ndcg["mean"] == pytest.approx(dcg(values) / dcg(sorted(values, reverse=True)))
