"""`POST /v1/lists:preview`: who is on a list, in which order, and what is told of them."""

import time
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.index.base import SearchResult
from service.index.faiss.index import FaissIndex
from service.index.query import Query
from tests.service.conftest import put
from tests.service.features.lists.conftest import ask, ids_of
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import problem

SIMILAR = {"k": 200, "exact": True}


def nearest(client: TestClient, seed: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/streamers/{seed}/similar", params=SIMILAR).json()["hits"]


def test_a_plain_list_is_the_nearest_with_their_fields(
    client: TestClient, cooks: list[str]
) -> None:
    answer = ask(client, "cook-00", k=5)
    hits = nearest(client, "cook-00")[:5]
    assert ids_of(answer) == [hit["streamer_id"] for hit in hits]
    for row, hit in zip(answer["rows"], hits, strict=True):
        assert row["score"] == pytest.approx(hit["score"])
        assert row["precision"] == pytest.approx(hit["precision"])
        number = int(row["streamer_id"][-2:])
        expected = {"name": f"cook {number}", "followers": 100 * number or None}
        assert row["fields"]["name"] == expected["name"]
        assert row["fields"]["followers"] == 100 * number
        assert row["fields"]["category"] == ("cooking" if number % 3 else "travel")
    assert [row["rank"] for row in answer["rows"]] == [1, 2, 3, 4, 5]
    assert answer["complete"]
    assert answer["provenance"]["key_id"] == "keyless"
    assert abs(answer["provenance"]["asked_at"] - time.time()) < 600


def test_who_is_excluded_is_not_on_it_and_a_misspelled_id_is_named(
    client: TestClient, cooks: list[str]
) -> None:
    everybody = ids_of(ask(client, "cook-00"))
    answer = ask(client, "cook-00", exclude={"ids": [everybody[0], "cook-99"]})
    assert ids_of(answer) == everybody[1:]
    assert answer["left_out"]["excluded"] == 2
    assert answer["warnings"] == ["exclude.ids: 'cook-99' is not stored"]


def test_a_list_of_an_index_that_tells_few_says_that_more_were_not_looked_at(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, asked = FaissIndex.search, list[int]()

    async def watched(self: FaissIndex, query: Query) -> SearchResult:
        asked.append(query.k)
        return await search(self, query)

    monkeypatch.setattr(FaissIndex, "deepest", lambda *_: 5)
    monkeypatch.setattr(FaissIndex, "search", watched)
    bound = {"by": "category", "max_per_value": 100}
    answer = ask(client, "cook-00", k=10, diversify=bound)
    assert asked == [5]
    assert len(answer["rows"]) <= 5
    because = f"5 candidates were looked at, and {len(answer['rows'])} of k fit"
    assert (answer["complete"], answer["incomplete_because"]) == (False, because)


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ({"min_score": -1.0}, "min_score"),
        ({"min_precision": 0.5}, "min_precision"),
        ({"stop": {"at_precision": 0.5}}, "stop"),
        ({"min_score": -1.0, "stop": {"at_precision": 0.5, "mark_only": True}}, "min_score"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"diversify": {"method": "mmr", "lambda": 0.5}}])
def test_a_list_that_is_cut_at_k_says_how_many_reach_the_score(
    client: TestClient, cooks: list[str], limit: dict[str, Any], name: str, more: dict[str, Any]
) -> None:
    whole = ask(client, "cook-00", k=11, **limit)
    reached = len(whole["rows"])
    assert reached > 1
    assert (whole["complete"], whole["reached"]) == (True, reached)
    cut = ask(client, "cook-00", k=1, **limit, **more)
    assert (cut["complete"], cut["reached"]) == (False, reached)
    assert cut["incomplete_because"] == f"{reached} streamers reach {name}, k is 1"
    assert ask(client, "cook-00", k=2)["reached"] is None
    assert ask(client, "cook-00", k=2)["complete"]


def test_a_list_whose_others_were_passed_over_is_complete(
    client: TestClient, cooks: list[str]
) -> None:
    bound = {"by": "category", "max_per_value": 1}
    answer = ask(client, "cook-00", k=11, min_score=-1.0, diversify=bound)
    assert (len(answer["rows"]), answer["reached"], answer["complete"]) == (2, 11, True)


def test_who_was_written_to_is_left_out_from_that_time_on(
    client: TestClient, cooks: list[str]
) -> None:
    everybody = ids_of(ask(client, "cook-00"))
    for ids, at in ((everybody[:1], 1000.0), (everybody[1:2], 2000.0)):
        made = client.post("/v1/outreach", json={"ids": ids, "at": at})
        assert made.status_code == 201, made.text

    def since(at: float) -> list[str]:
        return ids_of(ask(client, "cook-00", exclude={"outreach_since": at}))

    assert since(0) == everybody[2:]
    assert since(1000.5) == [everybody[0], *everybody[2:]]
    assert since(2000.5) == everybody
    for record in client.get("/v1/outreach").json()["outreach"]:
        client.delete(f"/v1/outreach/{record['outreach_id']}").raise_for_status()
    assert since(0) == everybody


def test_no_value_has_more_rows_than_it_may(client: TestClient, cooks: list[str]) -> None:
    bound = {"by": "category", "max_per_value": 2}
    answer = ask(client, "cook-00", diversify=bound, group_by="category")
    assert sorted(g["rows"] for g in answer["groups"]) == [2, 2]
    groups = [row["group"] for row in answer["rows"]]
    assert groups == sorted(groups, key=groups.index)
    assert min(row["rank"] for row in answer["rows"] if row["group"] == groups[0]) == 1
    assert answer["left_out"]["over_max_per_value"] == 7


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_variety_has_one_polarity(client: TestClient, cooks: list[str], method: str) -> None:
    plain = ids_of(ask(client, "cook-00", k=6))

    def with_lambda(share: float) -> list[str]:
        wanted = {"method": method, "lambda": share}
        return ids_of(ask(client, "cook-00", k=6, diversify=wanted))

    assert with_lambda(1) == plain
    various = with_lambda(0)
    assert various[0] == plain[0]
    assert various != plain


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize(
    ("asked", "sign"),
    [
        ({"strategy": "average", "negative": [{"streamer_id": "cook-01"}]}, -1),
        ({"strategy": "sum", "negative": [{"streamer_id": "cook-01"}]}, -1),
        ({"strategy": "sum", "positive": [{"streamer_id": f"cook-0{i}"} for i in range(2)]}, 1),
    ],
)
def test_lambda_means_the_same_with_seeds_that_are_added_or_taken_away(
    client: TestClient, cooks: list[str], method: str, asked: dict[str, Any], sign: int
) -> None:
    """Of scores that are no cosines and less, so that variety weighed more."""
    wanted, other = (
        np.array(client.get(f"/v1/streamers/{name}/embedding").json()["embedding"])
        for name in cooks[:2]
    )
    direction = (wanted + sign * other) / np.linalg.norm(wanted + sign * other)
    for share in (0.5, 0.8, 0.95):
        more = {"k": 8, "diversify": {"method": method, "lambda": share}}
        found = ask(client, "cook-00", **more, **asked)
        seeds = [{"vector": direction.tolist()}]
        expected = ask(client, **more, positive=seeds, exclude={"ids": cooks[:2]})
        assert ids_of(found) == ids_of(expected)


def test_it_says_where_it_stops_being_similar(client: TestClient, cooks: list[str]) -> None:
    put(client, "singer", tags=["music", "guitar"], bio="guitar vocal concert")
    marked = ask(client, "cook-00", stop={"at_precision": 0.5, "mark_only": True})
    least = marked["stop"]["min_score"]
    assert least == 0.5
    assert [row["beyond_stop"] for row in marked["rows"]] == [
        row["score"] < least for row in marked["rows"]
    ]
    within = [row["streamer_id"] for row in marked["rows"] if not row["beyond_stop"]]
    assert marked["stop"]["rows_within"] == len(within) < len(marked["rows"])
    ended_ = ask(client, "cook-00", stop={"at_precision": 0.5})
    assert ids_of(ended_) == within
    refused = {"positive": [{"streamer_id": "cook-00"}], "stop": {"at_precision": 0.99}}
    body = problem(client.post("/v1/lists:preview", json=refused), 422, "precision_not_promised")
    assert body["errors"][0]["pointer"] == "/stop/at_precision"


def test_a_score_that_is_told_can_be_asked_for(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = FaissIndex.search

    async def rounded(self: FaissIndex, query: Query) -> SearchResult:
        found = await search(self, query)
        for hit in found.hits:
            hit.score = 1.0000001  # as of equal vectors
        return found

    monkeypatch.setattr(FaissIndex, "search", rounded)
    (best,) = ask(client, "cook-00", k=1)["rows"]
    assert best["score"] == 1
    ask(client, "cook-00", min_score=best["score"])


def test_reasons_are_in_words_of_what_both_show(client: TestClient, cooks: list[str]) -> None:
    for language, shared in (("en", "Shared tags: cooking"), ("zh", "共同标签：cooking")):
        answer = ask(client, "cook-00", explain="short", language=language)
        assert len(answer["rows"]) == 11
        assert all(shared in row["why"] for row in answer["rows"])
        assert all(row["reasons"] is None for row in answer["rows"])
    full = ask(client, "cook-00", k=3, explain="full")
    for row in full["rows"]:
        assert row["reasons"]["nearest_seed"] == "cook-00"
        shares = [c["contribution"] or 0 for c in row["reasons"]["contributions"].values()]
        assert sum(shares) == pytest.approx(row["score"], abs=1e-4)
        assert row["why"]


def test_seeds_are_profiles_as_well_and_several(client: TestClient, cooks: list[str]) -> None:
    body = {
        "positive": [{"profile": {"bio": "kitchen soup", "tags": ["cooking"]}}],
        "negative": [{"streamer_id": "cook-01"}],
        "explain": "short",
    }
    answer = client.post("/v1/lists:preview", json=body)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["rows"]
    assert "cook-01" not in [row["streamer_id"] for row in rows]
    assert len(rows) == 11
    assert all("cooking" in row["why"] for row in rows)
    several = ask(client, "cook-00", "cook-01", strategy="best_score")
    assert len(several["rows"]) == 10


def test_a_seed_that_is_not_stored_is_named(client: TestClient, cooks: list[str]) -> None:
    body = {"positive": [{"streamer_id": i} for i in ("cook-00", "nobody", "noone")]}
    found = problem(client.post("/v1/lists:preview", json=body), 404, "streamer_not_found")
    assert [e["pointer"] for e in found["errors"]] == [
        "/positive/1/streamer_id",
        "/positive/2/streamer_id",
    ]


def test_a_field_that_nobody_has_is_named(client: TestClient, cooks: list[str]) -> None:
    answer = ask(client, "cook-00", k=2, fields=["folowers"], group_by="naem")
    assert answer["warnings"] == [
        "fields: no streamer of the list has 'folowers'",
        "group_by: no streamer of the list has 'naem'",
    ]
    assert [row["fields"] for row in answer["rows"]] == [{"folowers": None}] * 2


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"k": 10_001}, "/k"),
        ({"diversify": {"by": "category"}}, "/diversify"),
        ({"diversify": {"method": "mmr", "lambda": 1.5}}, "/diversify/lambda"),
        ({"diversify": {"method": "dpp", "lambda": -0.5}}, "/diversify/lambda"),
        ({"diversify": {"method": "dpp"}}, "/diversify"),
        ({"diversify": {"by": "category", "lambda": 0.5}}, "/diversify"),
        ({"explain": "long"}, "/explain"),
        ({"exclude": {"list": "../etc"}}, "/exclude/list"),
        ({"exclude": {"outreach_since": 1862438400000}}, "/exclude/outreach_since"),
        ({"stop": {"at_precision": 0.5}, "min_precision": 0.5}, ""),
        ({"kk": 3}, "/kk"),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, more: dict[str, Any], pointer: str) -> None:
    body = {"positive": [{"streamer_id": "s"}], **more}
    found = problem(client.post("/v1/lists:preview", json=body), 422, "invalid_request")
    assert any(e["pointer"].startswith(pointer) for e in found["errors"])


def test_nobody_is_a_wanted_and_an_unwanted_seed(client: TestClient, cooks: list[str]) -> None:
    seeds = [{"streamer_id": cooks[0]}]
    body = {"positive": seeds, "negative": [{"streamer_id": cooks[1]}, *seeds]}
    found = problem(client.post("/v1/lists:preview", json=body), 422, "invalid_request")
    assert [e["pointer"] for e in found["errors"]] == ["/negative/1/streamer_id"]


def test_a_long_list_is_made_by_a_job(client: TestClient, cooks: list[str]) -> None:
    body = {"positive": [{"streamer_id": "cook-00"}], "k": 1001, "explain": "short"}
    for form, begins in (("csv", b"\xef\xbb\xbfrank,"), ("xlsx", b"PK"), ("json", b'{"rows"')):
        queued = client.post("/v1/lists:preview", json=body, params={"format": form})
        job = ended(client, submitted(queued))
        assert (job["state"], job["kind"]) == ("succeeded", "list"), job
        file = client.get(f"/v1/jobs/{job['job_id']}/result")
        assert file.content.startswith(begins)
        assert f".{form}" in file.headers["content-disposition"]
    assert [row["streamer_id"] for row in file.json()["rows"]] == ids_of(ask(client, "cook-00"))
    wrong = {**body, "positive": [{"streamer_id": "nobody"}]}
    problem(client.post("/v1/lists:preview", json=wrong), 404, "streamer_not_found")


def test_a_question_that_is_too_large_for_a_job_says_what_to_do(
    client: TestClient, cooks: list[str]
) -> None:
    many = [f"{i:0100d}" for i in range(5000)]
    body = {"positive": [{"streamer_id": "cook-00"}], "k": 1001, "exclude": {"ids": many}}
    found = problem(client.post("/v1/lists:preview", json=body), 422, "invalid_request")
    assert found["errors"][0]["pointer"] == "/exclude/ids"
    assert "/v1/outreach" in found["detail"]
