"""What happens to a case, and to those in it, while a run is written."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from service.errors import CaseChanged, NotReplicated
from service.features.cases.keeping import CASES, KeptCases, of_case, of_run
from service.features.cases.records import Copy, Run
from tests.service.conftest import put
from tests.service.features.cases.test_cases import (
    act,
    begin,
    bio,
    chain,
    decide,
    evaluated,
    shown,
)
from tests.service.http.test_bad_input import problem
from tests.service.unanswered import lose_answers_of_deletions


@pytest.mark.slow
def test_a_run_that_another_process_shows_meanwhile_is_not_forgotten(client: TestClient) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = act(client, begin(client, "ana"), "expand", hops=1)
    assert client.portal is not None
    known = client.portal.call(kept.runs, case["case_id"])
    before = client.portal.call(kept.get, case["case_id"]).case
    case = act(client, case, "expand", hops=3)
    added = set(client.portal.call(kept.runs, case["case_id"])) - set(known)
    assert added == {case["run"]["run_id"]}

    listed = kept.runs

    async def of_then(case_id: str) -> dict[str, int]:
        """As a slow process listed them: before the run was shown, at its first revision."""
        return {name: revision - 1 for name, revision in (await listed(case_id)).items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "runs", of_then)
        client.portal.call(kept.tidy, before)
    assert {m["streamer_id"] for m in shown(client, case)["members"]} == {"ana", "bo", "cyd", "dee"}


@pytest.mark.slow
def test_a_run_that_was_taken_for_forgotten_is_not_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = act(client, begin(client, "ana"), "expand", hops=1)
    assert client.portal is not None
    stale = client.portal.call(kept.get, case["case_id"]).case
    write = kept.write_run

    async def and_tidy(*args: Any) -> Any:
        claim = await write(*args)
        await kept.tidy(stale)
        return claim

    monkeypatch.setattr(kept, "write_run", and_tidy)
    path = f"/v1/cases/{case['case_id']}:expand"
    answer = client.post(path, json={"hops": 3}, headers={"If-Match": f'"{case["revision"]}"'})
    assert answer.status_code == 412, answer.text
    assert [m["streamer_id"] for m in shown(client, case)["members"]] == ["ana", "bo"]


def test_what_a_run_goes_on_writing_after_it_was_forgotten_does_not_stay(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = begin(client, "ana")
    assert client.portal is not None
    stale = client.portal.call(kept.get, case["case_id"]).case
    begun: list[str] = []
    write = kept.write_run

    async def of_a_process_that_dies(
        case_id: str, run: Run, members: Any, copies: Any, seen: Any
    ) -> Any:
        begun.append(run.run_id)

        async def and_tidy() -> AsyncGenerator[dict[str, Copy], None]:
            await kept.tidy(stale)
            async for part in copies:
                yield part

        return await write(case_id, run, members, and_tidy(), seen)

    monkeypatch.setattr(kept, "write_run", of_a_process_that_dies)
    headers = {"If-Match": f'"{case["revision"]}"'}
    answer = client.post(f"/v1/cases/{case['case_id']}:expand", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (412, "case_changed")
    (run_id,) = begun
    assert client.portal.call(kept._documents.count, of_run(case["case_id"], run_id)) == 0
    assert client.portal.call(kept.runs, case["case_id"]) == {}


@pytest.mark.slow
def test_a_run_stays_whole_where_the_answer_is_lost_after_the_case_shows_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = act(client, begin(client, "ana"), "expand", hops=1)
    change = kept.change

    async def without_an_answer(*args: Any, **options: Any) -> Any:
        await change(*args, **options)
        raise NotReplicated(NotReplicated.example)

    monkeypatch.setattr(kept, "change", without_an_answer)
    path = f"/v1/cases/{case['case_id']}:expand"
    answer = client.post(path, json={"hops": 3}, headers={"If-Match": f'"{case["revision"]}"'})
    assert answer.status_code == 503, answer.text
    assert {m["streamer_id"] for m in shown(client, case)["members"]} == {"ana", "bo", "cyd", "dee"}


@pytest.mark.slow
def test_a_deleted_case_gets_no_job_and_no_run(client: TestClient) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = act(client, begin(client, "ana"), "expand")
    case_id, headers = case["case_id"], {"If-Match": f'"{case["revision"]}"'}
    assert client.portal is not None
    run = client.portal.call(kept.get, case_id).case.run
    assert run is not None
    client.delete(f"/v1/cases/{case_id}", headers=headers).raise_for_status()

    async def nobody() -> AsyncGenerator[dict[str, Copy], None]:
        yield {}

    client.portal.call(kept.name_job, case_id, "job-1")
    assert client.portal.call(kept.last_job, case_id) is None
    with pytest.raises(CaseChanged, match="deleted"):
        client.portal.call(kept.write_run, case_id, run, [], nobody(), {"ana": "0"})
    assert client.portal.call(kept.runs, case_id) == {}


def test_a_case_whose_deletion_is_not_answered_leaves_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    case = act(client, begin(client, "ana"), "expand", hops=1)
    path, headers = f"/v1/cases/{case['case_id']}", {"If-Match": f'"{case["revision"]}"'}
    documents, of_it = kept._documents, of_case(case["case_id"])
    assert client.portal is not None
    assert len(client.portal.call(documents.collections, of_it)) == 2
    with monkeypatch.context() as patch:
        lose_answers_of_deletions(patch, CASES)
        assert client.delete(path, headers=headers).status_code == 503
    assert client.delete(path, headers=headers).status_code == 404
    assert client.portal.call(documents.collections, of_it) == []
    assert client.portal.call(kept.runs, case["case_id"]) == {}


def test_a_case_whose_log_lacks_its_last_event_goes_on(client: TestClient) -> None:
    """So a backup has it that was made while the case was changed."""
    chain(client)
    case = decide(client, act(client, begin(client, "ana"), "expand"), "bo", "cleared")
    path, of_it = f"/v1/cases/{case['case_id']}", of_case(case["case_id"])
    documents = client.app_state["services"].cases.kept._documents
    log = documents._keys.of(of_it).log
    assert client.portal is not None
    kept = client.portal.call(documents.entries, of_it, 0, 2)
    torn: list[Any] = [("DEL", log), ("HSET", documents._keys.collections, of_it, 2)]
    torn += [("XADD", log, f"{e.number}-0", "at", 0, "body", e.body) for e in kept]
    client.portal.call(documents._client.ask_together, torn)
    headers = {"If-Match": f'"{case["revision"]}"'}
    problem(client.post(f"{path}:undo", headers=headers), 409, "nothing_to_undo")
    case = decide(client, case, "cyd", "confirmed")
    assert shown(client, case)["events"] == 3
    case = act(client, case, "undo")
    assert case["undone"]["streamer_id"] == "cyd"
    headers = {"If-Match": f'"{case["revision"]}"'}
    problem(client.post(f"{path}:undo", headers=headers), 409, "nothing_to_undo")
    case = act(client, case, "expand", hops=1)
    assert act(client, case, "undo")["undone"]["kind"] == "expanded"
    events = client.get(f"{path}/events").json()["events"]
    assert [each["number"] for each in events] == list(range(1, 7))


@pytest.mark.slow
def test_the_copy_of_whoever_is_erased_while_it_is_written_does_not_stay(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    services = client.app_state["services"]
    kept: KeptCases = services.cases.kept
    write = cast(Any, kept)._write
    erased: list[str] = []

    async def and_erase_before(puts: Sequence[Any], claim: Any) -> None:
        copied = [each for each in puts if each.document_id == "p:bo" and b"profile" in each.body]
        if copied and not erased:
            erased.append("bo")
            await services.erasure.erase("bo", None)  # sees no copy yet
        await write(puts, claim)

    monkeypatch.setattr(kept, "_write", and_erase_before)
    case = act(client, begin(client, "ana"), "expand", hops=1)
    assert erased == ["bo"]
    archive = client.get(f"/v1/cases/{case['case_id']}/export").raise_for_status().content
    assert b"profiles/ana.json" in archive
    assert b"profiles/bo.json" not in archive


def test_words_alone_are_held_against_what_differs_and_a_contact_is_not(
    client: TestClient,
) -> None:
    words = bio("ana")
    put(client, "shop-1", bio=f"{words} telegram: branch_one_11", tags=["xylo", "quartz"])
    put(client, "shop-2", bio=f"{words} telegram: branch_two_22", tags=["vivid", "ember"])
    put(client, "ring-1", bio=f"{bio('bo')} telegram: lunaris4471", tags=["fable", "onyx"])
    last = put(client, "ring-2", bio=f"{bio('dee')} telegram: lunaris4471", tags=["jumbo", "wisp"])
    evaluated(client, last)

    def both(a: str, b: str) -> tuple[float, list[float]]:
        case = act(client, begin(client, a), "expand", hops=1, min_probability=0.001)
        edges = {(e["a"], e["b"]): e["weight"] for e in shown(client, case)["edges"]}
        sides = {"a": {"streamer_id": a}, "b": {"streamer_id": b}}
        compared = client.post("/v1/compare", json=sides).raise_for_status().json()
        return edges[a, b], [each["weight"] for each in compared["channels"]]

    of_shops, channels = both("shop-1", "shop-2")
    assert of_shops == pytest.approx(sum(channels), abs=0.01)
    assert min(channels) < 0
    of_ring, channels = both("ring-1", "ring-2")
    assert of_ring == pytest.approx(sum(channels), abs=0.01)
    assert min(channels) == 0


def test_titles_of_cases_say_something(client: TestClient) -> None:
    put(client, "ana", bio=bio("ana"))
    assert client.post("/v1/cases", json={"title": " \t", "seeds": ["ana"]}).status_code == 422
