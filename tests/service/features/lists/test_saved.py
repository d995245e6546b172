"""Saved lists: revisions, runs and what they held, and what is new since the last one."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.errors import InvalidRequest
from service.features.lists.saved import MOST_BYTES, as_json, kept_form
from service.features.lists.schemas import KEPT_RUNS, ListQuestionIn
from tests.service.conftest import put
from tests.service.features.lists.conftest import ask, ids_of
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import pointers, problem

QUESTION = {"positive": [{"streamer_id": "cook-00"}], "k": 100, "explain": "short"}


@pytest.fixture(autouse=True)
def no_lists(client: TestClient) -> Iterator[None]:
    yield
    for saved in client.get("/v1/lists", params={"limit": 20}).json()["lists"]:
        client.delete(f"/v1/lists/{saved['name']}").raise_for_status()


def save(client: TestClient, name: str = "spring", **more: Any) -> Any:
    body = {"title": "春", "question": {**QUESTION, **more}}
    answer = client.put(f"/v1/lists/{name}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer


def run(client: TestClient, name: str = "spring", **how: Any) -> Any:
    answer = client.post(f"/v1/lists/{name}:run", json=how)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_list_is_saved_read_changed_and_deleted(client: TestClient, cooks: list[str]) -> None:
    made = save(client)
    assert made.status_code == 201
    found = client.get("/v1/lists/spring")
    assert found.headers["etag"] == made.headers["etag"]
    saved = found.json()
    assert (saved["title"], saved["runs"], saved["key_name"]) == (
        "春",
        [],
        "anyone on this machine",
    )
    assert saved["question"]["k"] == 100
    again = save(client, k=3)
    assert again.status_code == 200
    assert again.json()["created_at"] == saved["created_at"]
    assert again.json()["revision"] > saved["revision"]
    assert client.delete("/v1/lists/spring").json() == {"name": "spring"}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", ":run"), ("GET", "/runs/1")):
        problem(client.request(method, f"/v1/lists/spring{path}"), 404, "list_not_found")


def test_two_who_change_a_list_do_not_overwrite_each_other(
    client: TestClient, cooks: list[str]
) -> None:
    body = {"question": QUESTION}
    first = save(client).headers["etag"]
    taken = client.put("/v1/lists/spring", json=body, headers={"If-None-Match": "*"})
    problem(taken, 412, "list_conflict")
    run(client)  # which changes nothing of the question
    mine = client.put("/v1/lists/spring", json=body, headers={"If-Match": first})
    assert mine.status_code == 200
    theirs = client.put("/v1/lists/spring", json=body, headers={"If-Match": first})
    problem(theirs, 412, "list_conflict")
    deleted = client.delete("/v1/lists/spring", headers={"If-Match": first})
    problem(deleted, 412, "list_conflict")


def test_lengths_are_told_in_what_they_count(client: TestClient) -> None:
    body = {"title": "春" * 201, "question": {"positive": []}}
    wrong = problem(client.put("/v1/lists/spring", json=body), 422, "invalid_request")
    assert {each["pointer"]: each["detail"] for each in wrong["errors"]} == {
        "/title": "must have at most 200 characters",
        "/question/positive": "must have at least 1 item, not 0",
    }


def test_a_list_of_too_many_seeds_is_not_saved(client: TestClient) -> None:
    """It could never be run."""
    seeds = [{"streamer_id": f"cook-{i:02d}"} for i in range(101)]
    for sign in ("positive", "negative"):
        body = {"question": {**QUESTION, sign: seeds}}
        wrong = problem(client.put("/v1/lists/spring", json=body), 422, "invalid_request")
        assert wrong["errors"] == [
            {
                "pointer": f"/question/{sign}",
                "detail": "may have at most 100 seeds; it has 101",
            }
        ]
    assert client.get("/v1/lists/spring").status_code == 404


@pytest.mark.parametrize("sign", ["x", "界", "\x01", "𠮷"])
def test_a_question_is_kept_up_to_the_last_byte_that_fits(sign: str) -> None:
    profile = {"bio": "noodles", "avatar": {"url": "https://e.test/a"}, "attributes": {"a": 1.5}}
    asked: dict[str, Any] = {
        "positive": [{"profile": profile, "weight": 2}, {"vector": [0.1, 1e-9, 3]}],
        "exclude": {"ids": ["w1"], "list": "autumn", "outreach_since": 1862438400.5},
        "filter": {"must": [{"field": "f", "any": [True, 1, 2.5, '"', sign]}]},
        "diversify": {"method": "mmr", "lambda": 0.25},
        "fields": [],
    }

    def kept() -> int:
        return len(as_json(kept_form(ListQuestionIn.model_validate(asked))))

    each = {"field": "g", "any": [sign * (240 // (len(as_json({"": sign})) - 8))] * 100}
    while MOST_BYTES - kept() > 30_000:
        asked["filter"].setdefault("must_not", []).append(each)
    left = MOST_BYTES - kept()
    asked["exclude"]["ids"] += ["a" * 46] * (left // 50 - 1)  # each takes four bytes more
    asked["exclude"]["ids"].append("a" * (MOST_BYTES - kept() - 4))
    assert kept() == MOST_BYTES
    asked["exclude"]["ids"][0] += "a"
    with pytest.raises(InvalidRequest, match=f"more than {MOST_BYTES} bytes"):
        kept()


def test_lists_come_in_pages(client: TestClient, cooks: list[str]) -> None:
    names = [f"list-{i}" for i in range(5)]
    for name in names:
        save(client, name)
    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/lists", params=params).json()
        found += [saved["name"] for saved in page["lists"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == names


def test_a_run_holds_everybody_and_tells_who_is_new(client: TestClient, cooks: list[str]) -> None:
    save(client)
    first = run(client)
    assert ids_of(first) == ids_of(ask(client, "cook-00"))
    assert all(row["is_new"] for row in first["rows"])
    assert (first["provenance"]["run"], first["provenance"]["previous_run"]) == (1, None)
    sequence = put(client, "late", tags=["cooking", "soup"], bio="soup kitchen")
    ask(client, "cook-00", after_sequence=sequence)
    second = run(client, new_only=True, language="zh")
    assert ids_of(second) == ["late"]
    assert "共同标签" in second["rows"][0]["why"]
    assert second["provenance"]["previous_run"] == 1
    assert ids_of(run(client, new_only=True)) == []
    assert ids_of(run(client, new_only=True, new_since=1)) == ["late"]
    assert "late" in client.get("/v1/lists/spring/runs/2").json()["ids"]
    runs = client.get("/v1/lists/spring").json()["runs"]
    assert [(one["run"], one["new"], one["rows"]) for one in runs] == [
        (4, 1, 12),
        (3, 0, 12),
        (2, 1, 12),
        (1, 11, 11),
    ]


def test_a_run_waits_for_a_write(client: TestClient, cooks: list[str]) -> None:
    save(client)
    sequence = client.put("/v1/streamers/late", json={"tags": ["cooking"]}).json()["sequence"]
    run(client, after_sequence=sequence)
    after = {"after_sequence": sequence + 1_000_000}
    problem(client.post("/v1/lists/spring:run", json=after), 503, "not_yet_visible")
    client.delete("/v1/streamers/late")


def test_a_request_that_is_sent_again_is_the_same_run(client: TestClient, cooks: list[str]) -> None:
    save(client)
    answers = [
        client.post("/v1/lists/spring:run", json={"new_only": True}, headers={"X-Request-Id": "r"})
        for _ in range(2)
    ]
    first, again = (ids_of(answer.json()) for answer in answers)
    assert first == again != []
    assert len(client.get("/v1/lists/spring").json()["runs"]) == 1


def test_old_runs_make_room(client: TestClient, cooks: list[str]) -> None:
    save(client, k=1)
    for _ in range(KEPT_RUNS + 2):
        run(client)
    kept = [one["run"] for one in client.get("/v1/lists/spring").json()["runs"]]
    assert kept == list(range(KEPT_RUNS + 2, 2, -1))
    problem(client.get("/v1/lists/spring/runs/2"), 404, "list_not_found")
    refused = client.post("/v1/lists/spring:run", json={"new_since": 2})
    assert "kept are: 12" in problem(refused, 404, "list_not_found")["detail"]


def test_whoever_another_list_holds_can_be_left_out(client: TestClient, cooks: list[str]) -> None:
    save(client, "first", k=4)
    save(client, "second", exclude={"list": "first"})
    without = run(client, "second")
    never = "exclude.list: 'first' has no run yet, so it excludes nobody"
    assert without["warnings"] == [never]
    everybody = ids_of(without)
    held = ids_of(run(client, "first"))
    with_it = run(client, "second")
    assert (ids_of(with_it), with_it["warnings"]) == (everybody[4:], [])
    assert held == everybody[:4]
    body = {**QUESTION, "exclude": {"list": "nobodys"}}
    unknown = problem(client.post("/v1/lists:preview", json=body), 404, "list_not_found")
    assert pointers(unknown) == ["/exclude/list"]


def test_a_list_does_not_leave_out_whom_it_held_itself(client: TestClient) -> None:
    body = {"title": "t", "question": {**QUESTION, "exclude": {"list": "spring"}}}
    refused = problem(client.put("/v1/lists/spring", json=body), 422, "invalid_request")
    assert pointers(refused) == ["/question/exclude/list"]
    assert "run it with new_only" in refused["errors"][0]["detail"]
    client.put("/v1/lists/summer", json=body).raise_for_status()


def test_a_deleted_list_leaves_no_runs_to_the_next_of_its_name(
    client: TestClient, cooks: list[str]
) -> None:
    save(client)
    run(client)
    client.delete("/v1/lists/spring").raise_for_status()
    save(client)
    assert client.get("/v1/lists/spring").json()["runs"] == []
    assert run(client)["provenance"]["run"] == 1


def test_a_long_run_is_a_job_and_kept_once(client: TestClient, cooks: list[str]) -> None:
    save(client, k=2000)
    queued = client.post("/v1/lists/spring:run", params={"format": "ndjson"}, json={})
    job = ended(client, submitted(queued))
    assert job["state"] == "succeeded", job
    lines = client.get(f"/v1/jobs/{job['job_id']}/result").text.splitlines()
    assert len(lines) == 12  # and the summary
    (kept,) = client.get("/v1/lists/spring").json()["runs"]
    assert kept["rows"] == 11
    assert client.get("/v1/lists/spring/runs/1").json()["ids"] == ids_of(ask(client, "cook-00"))


@pytest.mark.parametrize("name", ["-x", "a b", "名单", "a" * 65])
def test_a_wrong_name_is_refused(client: TestClient, name: str) -> None:
    answer = client.put(f"/v1/lists/{name}", json={"question": QUESTION})
    assert problem(answer, 422, "invalid_request")["errors"][0]["parameter"] == "list_name"


def test_an_action_is_no_name(client: TestClient) -> None:
    assert client.delete("/v1/lists/spring:run").status_code == 405


def test_an_erased_streamer_is_in_no_saved_question_and_no_run(
    client: TestClient, cooks: list[str]
) -> None:
    gone = "cook-05"
    is_gone = {"field": "streamer_id", "any": [gone]}
    save(
        client,
        "many",
        positive=[{"streamer_id": "cook-00"}, {"streamer_id": gone}],
        strategy="best_score",
        negative=[],
        exclude={"ids": [gone, "cook-01"]},
        filter={"must_not": [is_gone, {"field": "category", "any": ["none"]}]},
    )
    save(client, "only", positive=[{"streamer_id": gone}])
    save(client, "other")
    held = client.get("/v1/lists/other/runs/" + str(run(client, "other")["provenance"]["run"]))
    assert gone in held.json()["ids"]
    answer = client.delete(f"/v1/streamers/{gone}", params={"erase": True})
    assert answer.status_code == 200, answer.text
    assert "saved list" not in " ".join(left["where"] for left in answer.json()["persists"])
    for name in ("many", "only", "other"):
        assert gone not in client.get(f"/v1/lists/{name}").text
    assert client.get("/v1/lists/other/runs/1").json()["ids"] == [
        one for one in held.json()["ids"] if one != gone
    ]
    many = client.get("/v1/lists/many").json()["question"]
    assert many["positive"][0]["streamer_id"] == "cook-00"
    assert len(many["positive"]) == 1
    assert many["exclude"]["ids"] == ["cook-01"]
    assert run(client, "many")["rows"]
    detail = problem(client.post("/v1/lists/only:run", json={}), 404, "streamer_not_found")
    assert "'erased-" in detail["detail"]
