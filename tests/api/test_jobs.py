"""Jobs: what they tell, who may see and change which, their results by parts, and their events."""

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_keys import SCOPES, bearer, create
from tests.conftest import ADMIN_KEY, Serve
from tests.support.api import NDJSON, Api
from tests.support.service import Service, wait_until

UNKNOWN = "0" * 28
LATER = {"Prefer": "respond-async"}
EXPORT = "/v1/similar/export"
QUESTION: dict[str, Any] = {"positive": [{"profile": {"tags": ["cooking"]}}], "min_score": -1}
MOST_OF_A_KEY = 25
"""Streams of events that a key may have at once."""


@pytest.fixture(scope="module")
def waiting(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that queues jobs and runs none."""
    variables: dict[str, Any] = {"STREAMER_API_KEY": ADMIN_KEY, "STREAMER_JOBS__AT_ONCE": "0"}
    with Service(bundle, tmp_path_factory.mktemp("waiting") / "data", **variables) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def cooks(api: Api) -> int:
    """Some streamers; their number."""
    api.write({"streamer_id": f"cook-{i:02}", "tags": ["cooking"]} for i in range(20))
    return 20


def lines(prefix: str, count: int) -> bytes:
    profiles = ({"streamer_id": f"{prefix}-{i}", "tags": ["music"]} for i in range(count))
    return b"".join(json.dumps(each).encode() + b"\n" for each in profiles)


def submitted(answer: Any) -> str:
    """The path of a job that was accepted."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['job_id']}"
    return answer.headers["location"]


def upload(api: Api, content: bytes, **headers: str) -> str:
    return submitted(api.post("/v1/jobs/imports", content=content, headers=NDJSON | headers))


def ended(api: Api, path: str, state: str = "succeeded") -> dict[str, Any]:
    return api.finished(api.ok("GET", path), state)


def events_of(api: Api, path: str, last: str | None = None) -> list[tuple[int, dict[str, Any]]]:
    """All events up to the job's end: (id, job)."""
    headers = {} if last is None else {"Last-Event-ID": last}
    found: dict[str, list[str]] = {"event": [], "data": [], "id": []}
    with api.stream("GET", f"{path}/events", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name in found:
                found[name].append(value)
    assert set(found["event"]) == {"job"}
    return list(zip(map(int, found["id"]), map(json.loads, found["data"]), strict=True))


# What they tell


@pytest.mark.usefixtures("cooks")
def test_a_question_that_is_answered_later_has_the_answer_of_now(api: Api, cooks: int) -> None:
    at_once = api.post(EXPORT, json=QUESTION)
    answer = api.post(EXPORT, json=QUESTION, headers=LATER)
    assert answer.headers["preference-applied"] == "respond-async"
    path = submitted(answer)
    job = ended(api, path)
    assert (job["kind"], job["error"], job["cancelling"]) == ("similar_export", None, False)
    assert (job["key_id"], job["attempts"]) == ("STREAMER_API_KEY", 1)
    assert job["created_at"] <= job["updated_at"]
    assert job["result"]["streamers"] >= cooks
    assert job["progress"]["done"] == job["result"]["lines"]
    result = api.get(f"{path}/result")
    assert [json.loads(line) for line in result.content.splitlines()] == [
        json.loads(line) for line in at_once.content.splitlines()
    ]
    assert result.headers["cache-control"] == "no-store"
    assert job["job_id"] in result.headers["content-disposition"]


@pytest.mark.parametrize(
    ("prefer", "is_applied"),
    [
        *((p, True) for p in ("Respond-Async", "wait=10, respond-async", ", respond-async")),
        *((p, True) for p in ("respond-async; foo=bar", 'x="a, b", respond-async')),
        *((p, False) for p in ("", "return=minimal", "wait=5", 'x="respond-async"')),
        *((p, False) for p in ("respond-async=1", "respond-asynchron", "a" * 60_000 + '"')),
        *((p, False) for p in ('"' * 60_001, '"\\"' * 20_000)),
    ],
    ids=lambda value: str(value)[:25],
)
def test_forms_of_the_preference(api: Api, prefer: str, is_applied: bool) -> None:
    answer = api.post(EXPORT, json={**QUESTION, "min_score": 0.99}, headers={"Prefer": prefer})
    assert answer.status_code == (202 if is_applied else 200)
    applied = answer.headers.get("preference-applied")
    assert applied == ("respond-async" if is_applied else None)
    at_once = api.post("/v1/similar", json={**QUESTION, "k": 1}, headers={"Prefer": prefer})
    assert at_once.status_code == 200  # of a route that never takes long
    assert "preference-applied" not in at_once.headers


def test_the_same_request_is_one_job(api: Api) -> None:
    headers = LATER | {"Idempotency-Key": '"one-job"'}
    paths = {submitted(api.post(EXPORT, json=QUESTION, headers=headers)) for _ in range(3)}
    assert len(paths) == 1
    refused = {"status": 422, "code": "idempotency_key_reused"}
    other = {**QUESTION, "min_score": 0.5}
    api.refused("POST", EXPORT, other, headers=headers, **refused)
    api.refused("POST", "/v1/jobs/exports", {}, headers=headers, **refused)
    name = {"Idempotency-Key": '"one-upload"'}
    assert len({upload(api, lines("once", 3), **name) for _ in range(3)}) == 1
    api.refused("POST", "/v1/jobs/imports", content=b"{}", headers=NDJSON | name, **refused)


def test_a_job_that_fails_says_why(api: Api) -> None:
    question = {**QUESTION, "positive": [{"streamer_id": "nobody"}]}
    path = submitted(api.post(EXPORT, json=question, headers=LATER))
    job = ended(api, path, "failed")
    assert (job["error"]["code"], job["result"]) == ("streamer_not_found", None)
    assert job["error"]["errors"][0]["pointer"] == "/positive/0/streamer_id"
    for way in ("GET", f"{path}/result"), ("POST", f"{path}:cancel"):
        api.refused(*way, status=409, code="job_state_conflict")
    api.put_streamer("nobody", tags=["cooking"])
    assert api.ok("POST", f"{path}:retry")["state"] == "queued"
    assert ended(api, path)["result"]["streamers"] > 0
    api.ok("DELETE", "/v1/streamers/nobody")
    api.refused("POST", f"{path}:retry", status=409, code="job_state_conflict")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/v1/jobs/{UNKNOWN}", 404, "job_not_found"),
        ("GET", f"/v1/jobs/{UNKNOWN}/events", 404, "job_not_found"),
        ("GET", f"/v1/jobs/{UNKNOWN}/result", 404, "job_not_found"),
        ("POST", f"/v1/jobs/{UNKNOWN}:cancel", 404, "job_not_found"),
        ("POST", f"/v1/jobs/{UNKNOWN}:retry", 404, "job_not_found"),
        ("GET", "/v1/jobs/x", 404, "no_such_path"),
        ("GET", f"/v1/jobs/{UNKNOWN}0", 404, "no_such_path"),
        ("GET", f"/v1/jobs/{UNKNOWN[:-1]}A", 404, "no_such_path"),
        ("GET", "/v1/jobs/..%2f..%2fplace/result", 404, "no_such_path"),
        ("POST", "/v1/jobs/x:cancel", 404, "no_such_path"),
        ("GET", "/v1/jobs/exports", 405, "method_not_allowed"),
        ("GET", f"/v1/jobs/{UNKNOWN}:cancel", 405, "method_not_allowed"),
        ("GET", "/v1/jobs?cursor=x", 422, "invalid_request"),
        ("GET", f"/v1/jobs?cursor={UNKNOWN}0", 422, "invalid_request"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid_request"),
    ],
)
def test_what_is_no_job(api: Api, method: str, path: str, status: int, code: str) -> None:
    said = api.refused(method, path, status=status, code=code)
    if status == 422:
        (error,) = said["errors"]
        assert f"?{error['parameter']}=" in path


def test_the_newest_jobs_are_listed_first_page_by_page(waiting: Service) -> None:
    api = waiting.api
    paths = [upload(api, lines(f"list-{i}", 1)) for i in range(5)]
    pages = list(api.pages("/v1/jobs", "jobs", limit=2))
    assert {len(page) for page in pages[:-1]} == {2}
    found = [f"/v1/jobs/{job['job_id']}" for page in pages for job in page]
    assert found[:5] == paths[::-1]
    assert len(set(found)) == len(found)
    shown = {job["job_id"]: job for page in pages for job in page}
    for path in paths:
        assert shown[path.rpartition("/")[2]] == api.ok("GET", path)
        api.ok("POST", f"{path}:cancel")


def test_a_queued_job_is_cancelled_and_retried(waiting: Service) -> None:
    api = waiting.api
    path = upload(api, lines("queued", 1))
    job = api.ok("GET", path)
    assert (job["state"], job["attempts"], job["result"]) == ("queued", 0, None)
    api.refused("GET", f"{path}/result", status=409, code="job_state_conflict")
    api.refused("POST", f"{path}:retry", status=409, code="job_state_conflict")
    for _ in range(2):  # a second time is fine
        assert api.ok("POST", f"{path}:cancel")["state"] == "cancelled"
    assert api.ok("POST", f"{path}:retry")["state"] == "queued"
    assert api.ok("POST", f"{path}:cancel")["state"] == "cancelled"


def test_a_running_import_is_cancelled_and_goes_on_where_it_was(api: Api) -> None:
    count, path, job = 2000, "", dict[str, Any]()
    for attempt in range(10):
        path = upload(api, lines(f"run-{attempt}", count))

        def is_running(path: str = path) -> bool:
            return api.ok("GET", path)["progress"]["done"] > 0

        wait_until(is_running, "it is running")
        api.post(f"{path}:cancel")

        def has_ended(path: str = path) -> bool:
            return api.ok("GET", path)["state"] != "running"

        wait_until(has_ended, "it has ended")
        job = api.ok("GET", path)
        if job["state"] == "cancelled":  # it may have ended before it saw that
            break
    done = job["progress"]["done"]
    assert 0 < done < count
    assert job["cancelling"] is False
    retried = api.ok("POST", f"{path}:retry")
    assert (retried["state"], retried["progress"]["done"]) == ("queued", done)
    result = ended(api, path)["result"]
    assert (result["lines"], result["created"], result["updated"]) == (count, count, 0)


# Results by parts


@pytest.mark.usefixtures("cooks")
def test_a_result_comes_by_parts(api: Api) -> None:
    wanted = {"filter": {"must": [{"field": "tags", "any": ["cooking"]}]}}
    path = submitted(api.post("/v1/jobs/exports", json=wanted))
    result = ended(api, path)["result"]
    whole = api.get(f"{path}/result")
    content, length = whole.content, len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    assert result["bytes"] == length
    assert result["sha256"] == hashlib.sha256(content).hexdigest()
    for part, expected in (
        ("0-9", content[:10]),
        ("5-5", content[5:6]),
        ("10-", content[10:]),
        ("-5", content[-5:]),
        (f"0-{length + 100}", content),
        (f"{length - 1}-", content[-1:]),
    ):
        answer = api.get(f"{path}/result", headers={"Range": f"bytes={part}"})
        assert (answer.status_code, answer.content) == (206, expected), part
        first = content.index(expected) if len(expected) > 1 else None
        told = answer.headers["content-range"]
        assert told.endswith(f"/{length}")
        assert first is None or told.startswith(f"bytes {length - len(expected)}-") or first == 0
    for part in (f"{length}-", "-0"):
        headers = {"Range": f"bytes={part}"}
        answer = api.get(f"{path}/result", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{length}"
    for ranges in ("bytes", "bytes=9-3", "bytes=" + "9" * 5000 + "-"):
        headers = {"Range": ranges}
        api.refused("GET", f"{path}/result", headers=headers, status=400, code="malformed_request")
    other = api.get(f"{path}/result", headers={"Range": "lines=0-1"})
    assert (other.status_code, other.content) == (200, content)
    head = api.head(f"{path}/result", headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(length)


# Events


def test_events_lead_from_the_beginning_to_the_end(api: Api) -> None:
    path = upload(api, lines("event", 300))
    found = events_of(api, path)
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    done = [job["progress"]["done"] for _, job in found]
    assert done == sorted(done)
    number, last = found[-1]
    assert last == api.ok("GET", path)
    assert last["state"] == "succeeded"
    assert all(job["state"] in ("queued", "running") for _, job in found[:-1])
    # Who comes again gets what was missed, and who has missed nothing is told to stay away.
    assert events_of(api, path, str(number - 1)) == [(number, last)]
    seen = {"Last-Event-ID": str(number)}
    assert api.get(f"{path}/events", headers=seen).status_code == 204
    assert [job for _, job in events_of(api, path, "999999999999999")] == [last]  # of another job
    for wrong in ("x", "-1", "1" * 16, "1.0"):
        said = api.refused(
            "GET",
            f"{path}/events",
            headers={"Last-Event-ID": wrong},
            status=422,
            code="invalid_request",
        )
        assert [error["parameter"] for error in said["errors"]] == ["last-event-id"]


def test_events_end_with_the_job_or_the_key(waiting: Service) -> None:
    api = waiting.api
    path = upload(api, lines("watch", 1))
    key = create(api, scopes=["streamers:read"])
    with (
        Api(waiting.url, key["key"]) as watcher,
        watcher.stream("GET", f"{path}/events") as of_the_key,
        api.stream("GET", f"{path}/events") as of_the_job,
    ):
        lines_of = [of_the_key.iter_lines(), of_the_job.iter_lines()]
        assert [next(each) for each in lines_of] == ["event: job"] * 2
        api.ok("DELETE", f"/v1/keys/{key['key_id']}")
        assert not [line for line in list(lines_of[0])[2:] if line.startswith("data")]
        assert api.ok("GET", path)["state"] == "queued"
        api.ok("POST", f"{path}:cancel")
        *_, last = [line for line in lines_of[1] if line.startswith("data: ")]
    assert json.loads(last.removeprefix("data: "))["state"] == "cancelled"


def test_no_key_takes_all_places_of_those_who_watch(waiting: Service) -> None:
    api = waiting.api
    path = upload(api, lines("places", 1))
    one, other = [create(api, role="admin")["key"] for _ in range(2)]
    with ExitStack() as streams:
        watcher = streams.enter_context(Api(waiting.url, one))

        opened = 0

        def status() -> int:
            nonlocal opened
            answer = streams.enter_context(watcher.stream("GET", f"{path}/events"))
            opened += answer.status_code == 200
            if answer.status_code == 503:  # on a busy machine for another reason, too
                assert json.loads(answer.read())["code"] == "overloaded"
            return answer.status_code

        wait_until(lambda: status() == 200 and opened == MOST_OF_A_KEY, "all are taken")
        wait_until(lambda: status() == 503, "one more is refused")
        assert opened == MOST_OF_A_KEY

        def is_let_in() -> bool:
            with api.stream("GET", f"{path}/events", **bearer(other)) as answer:
                return next(answer.iter_lines()) == "event: job"

        wait_until(is_let_in, "another key has a place")
    api.ok("POST", f"{path}:cancel")


def test_watching_keeps_the_service_from_nothing_and_jobs_go_on_after_a_restart(
    serve: Serve,
) -> None:
    service = serve(STREAMER_JOBS__AT_ONCE="0")
    path = upload(service.api, lines("later", 10))
    with service.api.stream("GET", f"{path}/events") as answer:
        found = answer.iter_lines()
        assert next(found) == "event: job"
        service.send(signal.SIGTERM)
        assert list(found)[-1] == ""  # it ends in order: httpx tells of one that is cut off
    assert service.stop() == 0
    assert "Traceback" not in service.output
    api = serve().api
    job = ended(api, path)
    assert (job["result"]["created"], job["key_name"]) == (10, "anyone on this machine")


# Who may see and change which

Begin = Callable[[Api], Any]
BEGINNINGS: dict[str, tuple[Begin, set[str]]] = {
    "index_rebuild": (lambda api: api.post("/v1/index:rebuild"), {"admin"}),
    "duplicates": (lambda api: api.post("/v1/duplicates:rebuild"), {"duplicates"}),
    "export": (lambda api: api.post("/v1/jobs/exports", json={}), {"streamers:read"}),
    "similar_export": (lambda api: api.post(EXPORT, json=QUESTION, headers=LATER), {"search"}),
    "import": (
        lambda api: api.post("/v1/jobs/imports", content=b"{}\n", headers=NDJSON),
        {"streamers:write"},
    ),
}
"""How a job of a kind begins, and the scope for that."""


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_job_is_seen_and_changed_by_who_may_begin_one(waiting: Service, kind: str) -> None:
    begin, scopes = BEGINNINGS[kind]
    api = waiting.api
    path = submitted(begin(api))
    assert api.ok("GET", path)["kind"] == kind
    for scope in SCOPES:
        asked = bearer(create(api, scopes=[scope])["key"])
        may_see = scope in {"streamers:read", *scopes}
        answer = api.get(path, **asked)
        assert answer.status_code == (200 if may_see else 403), scope
        assert may_see or answer.json()["code"] == "missing_scope"
        if not may_see:
            assert api.get(f"{path}/events", **asked).status_code == 403
        for action in ("cancel", "retry"):
            answer = api.post(f"{path}:{action}", **asked)
            if scope not in scopes:
                assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
                assert all(repr(each) in answer.json()["detail"] for each in scopes)
            else:
                state = {"cancel": "cancelled", "retry": "queued"}[action]
                assert (answer.status_code, answer.json()["state"]) == (200, state), answer.text
    api.ok("POST", f"{path}:cancel")


def test_a_key_that_can_not_look_at_jobs_starts_none(api: Api) -> None:
    for scope, path, body in (
        ("search", EXPORT, QUESTION),
        ("duplicates", "/v1/duplicates:rebuild", None),
    ):
        asked = bearer(create(api, scopes=[scope])["key"])
        headers = {**asked["headers"], **LATER}
        answer = api.post(path, json=body, headers=headers)
        if path == EXPORT:
            assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
            assert "'streamers:read'" in answer.json()["detail"]
            assert api.post(path, json=body, **asked).status_code == 200
        else:
            assert api.get(submitted(answer), **asked).status_code == 200


@pytest.mark.usefixtures("cooks")
def test_a_result_needs_the_scopes_of_its_question(api: Api) -> None:
    keys = [
        bearer(create(api, scopes=["streamers:read", *more])["key"])
        for more in ([], ["search"], ["search", "explain", "streamers:write"])
    ]
    seeds = {"positive": [{"streamer_id": "cook-00"}]}
    explained = {**seeds, "k": 3, "explain": "short"}
    api.ok("PUT", "/v1/lists/jobs", {"title": "x", "question": explained}, status=201)
    for path, body, allowed in (
        (EXPORT, {**seeds, "min_score": -1}, (403, 200, 200)),
        ("/v1/lists:preview", {**seeds, "k": 3}, (403, 200, 200)),
        ("/v1/lists:preview", explained, (403, 403, 200)),
        ("/v1/lists/jobs:run", {}, (403, 403, 200)),
        ("/v1/jobs/exports", {}, (200, 200, 200)),
    ):
        job = submitted(api.post(path, json=body, headers=LATER))
        ended(api, job)
        answers = [api.get(f"{job}/result", **key) for key in keys]
        assert tuple(answer.status_code for answer in answers) == allowed, path


def test_a_job_is_retried_with_the_scopes_of_its_question(waiting: Service) -> None:
    api = waiting.api
    api.put_streamer("retried", tags=["cooking"])
    searches = bearer(create(api, scopes=["streamers:read", "search"])["key"])
    explained = {"positive": [{"streamer_id": "retried"}], "k": 3, "explain": "short"}
    path = submitted(api.post("/v1/lists:preview", json=explained, headers=LATER))
    assert api.ok("POST", f"{path}:cancel", **searches)["state"] == "cancelled"
    said = api.refused("POST", f"{path}:retry", status=403, code="missing_scope", **searches)
    assert "'explain'" in said["detail"]
    assert api.ok("POST", f"{path}:retry")["state"] == "queued"
    api.ok("POST", f"{path}:cancel")


def test_a_job_names_the_key_that_started_or_last_retried_it(waiting: Service) -> None:
    api = waiting.api
    key = create(api, name="nightly", role="operations")
    path = submitted(api.post("/v1/jobs/exports", json={}, **bearer(key["key"])))
    api.ok("DELETE", f"/v1/keys/{key['key_id']}")
    job = api.ok("GET", path)
    assert (job["key_id"], job["key_name"]) == (key["key_id"], "nightly")
    assert api.ok("POST", f"{path}:cancel")["key_id"] == key["key_id"]
    assert api.ok("POST", f"{path}:retry")["key_id"] == "STREAMER_API_KEY"
    api.ok("POST", f"{path}:cancel")


def test_a_rebuilt_index_answers_as_the_old_one(api: Api, cooks: int) -> None:
    listed = api.get("/v1/index")
    assert listed.headers["content-type"].startswith("application/x-ndjson")
    before = {row["streamer_id"]: row for row in map(json.loads, listed.content.splitlines())}
    assert sum(name.startswith("cook-") for name in before) == cooks
    question = {"k": 100, "exact": True}
    hits = api.ok("GET", "/v1/streamers/cook-00/similar", params=question)["hits"]
    headers = LATER | {"Idempotency-Key": '"rebuild"'}
    answers = [api.post("/v1/index:rebuild", headers=headers) for _ in range(2)]
    assert answers[0].headers["preference-applied"] == "respond-async"
    assert submitted(answers[0]) == submitted(answers[1])
    job = ended(api, submitted(answers[0]))
    assert (job["kind"], job["result"]["replica"]) == ("index_rebuild", job["place"])
    assert job["result"]["segment"] == "exact"
    assert api.ok("GET", "/v1/streamers/cook-00/similar", params=question)["hits"] == hits
    after = map(json.loads, api.get("/v1/index").content.splitlines())
    found = {row["streamer_id"]: row for row in after}
    cook = {name: row for name, row in found.items() if name.startswith("cook-")}
    assert cook == {name: before[name] for name in cook}
    assert len(cook) == cooks
    assert set(before["cook-00"]) == {"streamer_id", "version", "digest"}
