"""A case as its callers see it: expanded, decided, run again, taken back."""

import io
import random
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.engine.expansion.evidence_edges import EvidenceEdges, Looking
from service.features.cases.keeping import KeptCases
from service.http.headers.cursors import cursor_of
from service.store.once import Made, Once, Requests
from tests.service.conftest import put, put_all
from tests.service.features.duplicates.test_duplicates import evaluated

WORDS = {
    "ana": "guitar vocal cover concert on the old roof every monday",
    "bo": "kitchen recipe noodles soup with my grandmother in winter",
    "cyd": "mountain beach hostel train tickets for the slow traveller",
    "dee": "ranked match raid boss evenings without any headset",
}
TITLES = {
    "bo": ["seven soups for a rainy week", "how my aunt folds dumplings", "a market at five a.m."],
    "dee": ["the boss that took a month", "ranked without a mouse", "why I main the healer"],
}


def bio(name: str, *handles: str) -> str:
    return " ".join([WORDS[name], *(f"telegram: {handle}" for handle in handles)])


def videos(name: str) -> list[dict[str, str]]:
    return [{"video_id": f"{name}-{i}", "title": t} for i, t in enumerate(TITLES.get(name, []))]


def chain(client: TestClient) -> int:
    """ana - bo by a handle, bo - cyd by titles, cyd - dee by another handle; and strangers."""
    shown: dict[str, dict[str, Any]] = {
        "ana": {"name": "Ana", "bio": bio("ana", "lunaris4471")},
        "bo": {"name": "Bo", "bio": bio("bo", "lunaris4471"), "videos": videos("bo")},
        "cyd": {"name": "Cyd", "bio": bio("cyd", "harbour_9023"), "videos": videos("bo")},
        "dee": {"name": "Dee", "bio": bio("dee", "harbour_9023"), "videos": videos("dee")},
    }
    rng, words = random.Random(7), " ".join(WORDS.values()).split()
    for i in range(12):
        told = [*rng.sample(words, 6), f"telegram: solo{i}x{i}77"]
        shown[f"stranger-{i}"] = {"name": f"S{i}", "bio": " ".join(told)}
    evaluated(client, last := put_all(client, ({"streamer_id": k} | v for k, v in shown.items())))
    return last


def begin(client: TestClient, *seeds: str, exclude: tuple[str, ...] = ()) -> dict[str, Any]:
    body = {"title": "gift scam", "seeds": list(seeds), "exclude": list(exclude)}
    answer = client.post("/v1/cases", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["ETag"] == f'"{answer.json()["revision"]}"'
    return answer.json()


def act(client: TestClient, case: dict[str, Any], action: str, **body: Any) -> dict[str, Any]:
    case_id, revision = case["case_id"], case["revision"]
    answer = client.post(
        f"/v1/cases/{case_id}:{action}",
        headers={"If-Match": f'"{revision}"'},
        json=body or None,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def decide(
    client: TestClient, case: dict[str, Any], name: str, verdict: str, note: str = ""
) -> dict[str, Any]:
    answer = client.put(
        f"/v1/cases/{case['case_id']}/members/{name}",
        json={"verdict": verdict, "note": note},
        headers={"If-Match": f'"{case["revision"]}"'},
    )
    assert answer.status_code == 200, answer.text
    return {**case, "revision": answer.json()["revision"]}


def shown(client: TestClient, case: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"/v1/cases/{case['case_id']}").raise_for_status().json()


def members(client: TestClient, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["streamer_id"]: each for each in shown(client, case)["members"]}


def test_a_chain_is_found_with_its_evidence_and_what_each_membership_hangs_on(
    client: TestClient,
) -> None:
    last = chain(client)
    case = begin(client, "ana")
    assert members(client, case) == {}

    ran = act(client, case, "expand", hops=3)

    run = ran["run"]
    assert run["complete"] is True
    assert run["index_sequence"] >= last
    assert run["stopped_because"] in ("exhausted", "hops")
    found = members(client, case)
    assert list(found) == ["ana", "bo", "cyd", "dee"]
    dee = found["dee"]
    assert dee["path"] == ["ana", "bo", "cyd", "dee"]
    assert dee["hop"] == 3
    assert dee["probability"] < found["cyd"]["probability"] < found["bo"]["probability"] < 1
    assert dee["leaves_if"]["edges"] == [["ana", "bo"], ["bo", "cyd"], ["cyd", "dee"]]
    assert dee["leaves_if"]["members"] == ["ana", "bo", "cyd"]
    assert dee["leaves_if"]["verdicts"] == ["ana"]
    edges = {(e["a"], e["b"]): e for e in shown(client, case)["edges"]}
    assert edges["ana", "bo"]["channels"][0]["channel"] == "contacts"
    assert edges["bo", "cyd"]["channels"][0]["channel"] == "titles"
    weakest = min(edges, key=lambda pair: edges[pair]["probability"])
    assert found["dee"]["weakest_link"] == list(weakest)
    assert act(client, ran, "expand", hops=1)["run"]["stopped_because"] == "hops"
    assert list(members(client, case)) == ["ana", "bo"]


def test_edges_of_other_kinds_and_a_budget_and_a_filter_stop_it(client: TestClient) -> None:
    chain(client)
    case = begin(client, "ana")

    case = act(client, case, "expand", kinds=["titles", "text"])
    assert list(members(client, case)) == ["ana"]
    case = act(client, case, "expand", budget=1)
    assert case["run"]["stopped_because"] == "budget"
    assert case["run"]["visited"] == 1
    only = {"must": [{"field": "streamer_id", "any": ["ana", "bo", "dee"]}]}
    case = act(client, case, "expand", filter=only)
    assert list(members(client, case)) == ["ana", "bo"]


def test_verdicts_are_respected_by_the_next_run_which_tells_why(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    case = decide(client, case, "bo", "cleared", "an old friend")
    assert members(client, case)["bo"]["verdict"]["note"] == "an old friend"

    ran = act(client, case, "rerun")

    assert list(members(client, ran)) == ["ana"]
    assert {(each["streamer_id"], each["cause"]) for each in ran["differences"]["left"]} == {
        ("bo", "verdict"),
        ("cyd", "verdict"),
        ("dee", "verdict"),
    }
    case = decide(client, ran, "dee", "confirmed") if "dee" in members(client, ran) else ran
    case = act(client, case, "undo")
    assert case["undone"]["kind"] == "rerun"
    case = act(client, case, "undo")
    assert case["undone"]["streamer_id"] == "bo"
    assert members(client, case)["bo"]["verdict"] is None
    case = decide(client, case, "dee", "confirmed")
    case = act(client, case, "expand", hops=1)
    assert list(members(client, case)) == ["ana", "dee", "bo", "cyd"]
    events = client.get(f"/v1/cases/{case['case_id']}/events").json()["events"]
    assert [each["kind"] for each in events] == [
        "created", "expanded", "verdict", "rerun", "undone", "undone", "verdict", "expanded",
    ]  # fmt: skip
    assert [each["number"] for each in events] == list(range(1, 9))
    assert events[4]["undoes"] == 4
    assert events[5]["undoes"] == 3
    assert events[2]["new"]["verdict"] == "cleared"


def test_a_rerun_of_what_did_not_change_changes_nothing_byte_for_byte(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    export = f"/v1/cases/{case['case_id']}/export"
    before = [client.get(export, params={"format": f}).content for f in ("zip", "csv", "ndjson")]

    ran = act(client, case, "rerun")

    assert ran["revision"] == case["revision"]
    empty = {"joined": [], "left": [], "changed": []}
    assert ran["differences"] == empty | {f"{name}_total": 0 for name in empty}
    after = [client.get(export, params={"format": f}).content for f in ("zip", "csv", "ndjson")]
    assert after == before


def test_a_run_that_looked_farther_is_shown_though_it_found_the_same(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    looking = EvidenceEdges.looking

    def without_corpus(*args: Any) -> Looking:
        found = looking(*args)
        found.is_complete = False
        return found

    monkeypatch.setattr(EvidenceEdges, "looking", without_corpus)
    incomplete = act(client, begin(client, "ana"), "expand")
    assert incomplete["run"]["complete"] is False
    monkeypatch.undo()
    complete = act(client, incomplete, "rerun")
    assert complete["run"]["complete"] is True
    assert complete["differences"]["changed_total"] == 0
    assert shown(client, complete)["run"] == complete["run"]
    assert act(client, complete, "rerun")["revision"] == complete["revision"]
    monkeypatch.setattr(EvidenceEdges, "looking", without_corpus)
    assert act(client, complete, "expand")["revision"] == complete["revision"]  # nor one less far


def test_differences_name_their_causes(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")

    put(client, "eve", name="Eve", bio="tickets to nowhere telegram: lunaris4471")
    evaluated(client, put(client, "cyd", name="Cyd", bio=WORDS["cyd"], videos=videos("dee")))
    case = act(client, case, "rerun")
    causes = {
        (what, each["streamer_id"]): each["cause"]
        for what in ("joined", "left", "changed")
        for each in case["differences"][what]
    }
    assert causes["joined", "eve"] == "joined"
    assert causes["left", "cyd"] == "profile_changed"
    assert causes["left", "dee"] == "profile_changed"

    last = client.delete("/v1/streamers/bo").json()["sequence"]
    evaluated(client, last)
    case = act(client, case, "rerun")
    assert case["differences"]["left"] == [
        {"streamer_id": "bo", "cause": "deleted", "because": ["bo"]}
    ]
    case = act(client, case, "expand", min_probability=0.999)
    assert {each["cause"] for each in case["differences"]["left"]} == {"threshold"}


def test_verdicts_outlast_writes_deletes_and_an_erasure(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    case = decide(client, case, "bo", "confirmed", "same bank account")
    put(client, "bo", name="Bo", bio="something else entirely")
    evaluated(client, client.delete("/v1/streamers/bo").json()["sequence"])

    case = act(client, case, "rerun")

    bo = members(client, case)["bo"]
    assert bo["state"] == "deleted"
    assert bo["verdict"]["note"] == "same bank account"
    case = act(client, case, "undo")
    names = zip_names(client, case)
    assert "profiles/bo.json" in names
    answer = client.delete("/v1/streamers/bo", params={"erase": True})
    assert "cases" in {each["where"] for each in answer.json()["persists"]}
    assert "profiles/bo.json" not in zip_names(client, case)
    listed = client.get(f"/v1/cases/{case['case_id']}/verdicts").json()["verdicts"]
    assert [(each["streamer_id"], each["verdict"]) for each in listed] == [("bo", "confirmed")]


def zip_names(client: TestClient, case: dict[str, Any]) -> list[str]:
    answer = client.get(f"/v1/cases/{case['case_id']}/export").raise_for_status()
    return zipfile.ZipFile(io.BytesIO(answer.content)).namelist()


def test_runs_that_are_not_shown_any_more_are_forgotten(client: TestClient) -> None:
    chain(client)
    documents = client.app_state["services"].cases.kept
    case = begin(client, "ana")
    for hops in (1, 2, 3):
        case = act(client, case, "expand", hops=hops)
    kept = kept_runs(client, documents, case)
    assert len(kept) == 2
    assert case["run"]["run_id"] in kept
    case = act(client, case, "undo")
    assert kept_runs(client, documents, case) == {case["run"]["run_id"]}


def kept_runs(client: TestClient, kept: KeptCases, case: dict[str, Any]) -> set[str]:
    assert client.portal is not None
    names = client.portal.call(kept.runs, case["case_id"])
    return set(names)


def test_what_many_show_makes_no_edge(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.expansion.evidence_edges.HUB_STREAMERS", 6)
    chain(client)
    last = 0
    for i in range(8):
        rng = random.Random(i)
        told = " ".join("".join(rng.choices("bdfgklmnprst", k=6)) for _ in range(6))
        last = put(client, f"hub-{i}", name=f"H{i}", bio=f"{told} wechat agency_5512")
    evaluated(client, last)

    case = act(client, begin(client, "hub-0"), "expand")

    assert list(members(client, case)) == ["hub-0"]


def test_two_people_do_not_overwrite_each_other(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    path = f"/v1/cases/{case['case_id']}/members/bo"
    mine = {"If-Match": f'"{case["revision"]}"'}
    body = {"verdict": "confirmed"}
    assert client.put(path, json=body, headers=mine).status_code == 200
    late = client.put(path, json={"verdict": "cleared"}, headers=mine)
    assert (late.status_code, late.json()["code"]) == (412, "case_changed")
    blind = client.put(path, json={"verdict": "cleared"})
    assert (blind.status_code, blind.json()["code"]) == (428, "if_match_needed")
    for action in ("expand", "rerun", "undo"):
        answer = client.post(f"/v1/cases/{case['case_id']}:{action}", headers=mine)
        assert answer.status_code == 412
    assert members(client, case)["bo"]["verdict"]["verdict"] == "confirmed"


def test_bad_cases_are_refused_by_field(client: TestClient) -> None:
    chain(client)
    client.delete("/v1/streamers/stranger-3").raise_for_status()

    def refused(body: dict[str, Any]) -> tuple[int, list[str]]:
        answer = client.post("/v1/cases", json={"title": "t", **body})
        return answer.status_code, [each["pointer"] for each in answer.json()["errors"]]

    assert refused({"seeds": ["ana"], "exclude": ["ana"]}) == (422, ["/seeds/0"])
    assert refused({"seeds": ["bo", "ana", "bo"]}) == (422, ["/seeds/2"])
    assert refused({"seeds": ["ana", "nobody", "stranger-3"]}) == (404, ["/seeds/1", "/seeds/2"])
    assert refused({"seeds": []}) == (422, ["/seeds"])
    case = begin(client, "ana")
    path = f"/v1/cases/{case['case_id']}"
    current = {"If-Match": f'"{case["revision"]}"'}
    early = client.post(f"{path}:rerun", headers=current)
    assert early.status_code == 422
    answer = client.put(f"{path}/members/dee", json={"verdict": "cleared"}, headers=current)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_in_case")
    answer = client.post(f"{path}:undo", headers=current)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_undo")
    answer = client.post(f"{path}:expand", json={"hops": 6}, headers=current)
    assert answer.json()["errors"][0]["pointer"] == "/hops"
    assert client.get("/v1/cases/case-0000000000000000").json()["code"] == "case_not_found"
    assert client.delete(path, headers=current).status_code == 204
    assert client.get(path).status_code == 404


def test_a_case_is_begun_once_by_its_key(client: TestClient) -> None:
    chain(client)
    headers, body = {"Idempotency-Key": '"case-1"'}, {"title": "once", "seeds": ["ana"]}
    first, again = (client.post("/v1/cases", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert again.headers["ETag"] == first.headers["ETag"]
    act(client, first.json(), "expand")
    after = client.post("/v1/cases", json=body, headers=headers).json()
    assert (after["case_id"], after["run"]["members"]) == (first.json()["case_id"], 4)
    other = client.post("/v1/cases", json={**body, "seeds": ["bo"]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert client.post("/v1/cases", json=body).json()["case_id"] != after["case_id"]
    path = f"/v1/cases/{after['case_id']}"
    client.delete(path, headers={"If-Match": f'"{after["revision"]}"'}).raise_for_status()
    later = client.post("/v1/cases", json=body, headers=headers).json()
    assert later["case_id"] != after["case_id"]
    assert [event["kind"] for event in events(client, later)] == ["created"]


def test_a_case_that_is_begun_twice_at_once_is_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    headers, body = {"Idempotency-Key": '"case-2"'}, {"title": "once", "seeds": ["ana"]}
    first = client.post("/v1/cases", json=body, headers=headers).json()
    made, missed = Requests.made, ["once"]

    async def late(self: Requests, once: Once | None) -> Made:
        """The other request wrote it after this one had looked."""
        return Made() if missed and missed.pop() else await made(self, once)

    monkeypatch.setattr(Requests, "made", late)
    assert client.post("/v1/cases", json=body, headers=headers).json() == first
    assert not missed


def events(client: TestClient, case: dict[str, Any]) -> list[dict[str, Any]]:
    return client.get(f"/v1/cases/{case['case_id']}/events").raise_for_status().json()["events"]


@pytest.mark.slow
def test_members_come_in_pages_that_end_when_the_case_is_expanded_anew(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    path = f"/v1/cases/{case['case_id']}"
    first = client.get(path, params={"limit": 3}).json()
    assert (first["returned"], first["total_known"]) == (3, 4)
    rest = client.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [m["streamer_id"] for m in rest["members"]] == ["dee"]
    assert rest["next_cursor"] is None
    act(client, case, "expand", hops=1)
    for place in ("x/y", "x/" + "9" * 16, "x/-1"):
        cursor = cursor_of(place, path.rpartition("/")[2])
        wrong = client.get(path, params={"cursor": cursor})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
    gone = client.get(path, params={"cursor": first["next_cursor"]})
    assert (gone.status_code, gone.json()["code"]) == (410, "cursor_expired")
    listed = client.get("/v1/cases", params={"limit": 200}).json()
    assert case["case_id"] in {each["case_id"] for each in listed["cases"]}
