"""The OpenAPI document: as committed, with names for every route, and with examples that work."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from service.app import create_app
from service.http.ndjson import NDJSON
from service.http.openapi import TAGS
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.transfers.waiting import ended
from tests.service.process import wait_until

ROOT = Path(__file__).parents[3]
APP: FastAPI = create_app(Settings(bundle=Path("none")))
DOCUMENT: dict[str, Any] = APP.openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
NEEDS_A_CURSOR = "get_similar_page"
"""The one question that no example can ask: answers are kept for minutes."""
NEEDS_A_KEY = ("change_key", "rotate_key", "revoke_key")
"""The ids of keys are drawn."""
NEEDS_A_JOB = ("get_job", "watch_job", "get_job_result", "cancel_job", "retry_job")
"""So are those of jobs, and what can be done with one depends on its state."""
NEEDS_A_WEBHOOK = (
    "get_webhook",
    "change_webhook",
    "rotate_webhook_secret",
    "test_webhook",
    "list_deliveries",
    "replay_dead_letters",
    "delete_webhook",
)
"""The ids of webhooks are drawn, and those of their dead letters need some."""
NEEDS_A_GROUP = ("get_duplicates", "take_judgement_back", "take_rating_back")
"""Ids of groups are hashes, and only what was judged or rated can be taken back."""
NEEDS_A_WATCHLIST = ("get_watchlist", "change_watchlist", "delete_watchlist")
NEEDS_AN_ALERT = ("get_alert", "decide_alert")
"""Ids of watchlists are drawn, and those of alerts are hashes."""
NEEDS_A_LIST = ("get_list", "delete_list", "run_list", "get_list_run", "delete_outreach")
"""Lists have to be saved, and records of outreach made, before anything is done with them."""
NEEDS_A_LAYOUT = ("get_layout_points", "select_on_layout")
"""A job has to fit one first; see tests/service/features/layouts."""
NEEDS_A_CASE = (
    "get_case", "expand_case", "decide_case_member", "rerun_case", "list_case_verdicts",
    "list_case_events", "export_case", "undo_case", "delete_case",
)  # fmt: skip
"""Ids of cases are drawn, and each change names the revision that it is of."""
NEEDS_A_SPACE = (
    "get_space",
    "hand_over_generation",
    "get_own_vector",
    "promote_generation",
    "roll_back_space",
    "erase_user",
    "delete_generation",
)
"""What was handed over is there until it is deleted, and archives are no text."""
NEEDS_A_MODEL = (
    "register_model",
    "get_model_version",
    "backfill_model",
    "pause_backfill",
    "promote_model",
    "roll_back_model",
    "retire_model",
)
"""Versions of models are hashes, and bundles lie in a folder that is not set by default."""
NEEDS_A_FILE = "import_streamers", "application/json"
"""By default no import may name a file."""
operations = pytest.mark.parametrize("name", OPERATIONS)


def test_the_committed_document_is_that_of_the_routes() -> None:
    spec = importlib.util.spec_from_file_location("openapi", ROOT / "docs" / "generate_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    committed = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert committed == generate.document(), "run python docs/generate_openapi.py"


def test_every_route_has_a_name_that_stays() -> None:
    """A name that the framework makes up changes with the function and the path."""
    routes = (context.original_route for context in iter_route_contexts(APP.routes))
    given = [r for r in routes if isinstance(r, APIRoute) and r.include_in_schema]
    assert {route.operation_id for route in given} == set(OPERATIONS)
    for name in OPERATIONS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)


@operations
def test_every_route_is_of_a_team(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["tags"]
    assert set(operation["tags"]) <= {tag["name"] for tag in TAGS}


def examples_of(schema: dict[str, Any]) -> list[Any]:
    """The examples of a schema, or of each that it chooses between."""
    if "$ref" in schema:
        return examples_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        each = [examples_of(part) for part in schema["anyOf"]]
        return [example for found in each for example in found] if all(each) else []
    return schema.get("examples", [])


def fit(schema: dict[str, Any], media_type: str, content: Any) -> None:
    """Raise where content is not as the schema says; of NDJSON, each line."""
    if media_type.startswith("text/"):
        return
    validator = jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})
    lines = [json.loads(line) for line in content.splitlines()] if media_type == NDJSON else None
    for value in [content] if lines is None else lines:
        validator.validate(value)


def answers() -> Iterator[Any]:
    for name, (_, _, operation) in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                yield pytest.param(media_type, content, id=f"{name}-{status}-{media_type}")


@pytest.mark.parametrize(("media_type", "content"), [*answers()])
def test_every_answer_has_an_example(media_type: str, content: dict[str, Any]) -> None:
    found = [example["value"] for example in content.get("examples", {}).values()]
    found += [content["example"]] if "example" in content else examples_of(content["schema"])
    assert found
    for example in found:
        fit(content["schema"], media_type, example)


@operations
def test_every_answer_has_a_request_id(name: str) -> None:
    for answer in OPERATIONS[name][2]["responses"].values():
        assert answer["headers"]["X-Request-Id"] == {"$ref": "#/components/headers/X-Request-Id"}


def prefilled(parameter: dict[str, Any]) -> Any:
    """What the page at `/docs` writes into the field of a parameter."""
    for example in parameter.get("examples", {}).values():
        return example["value"]
    schema = parameter["schema"]
    return parameter.get("example", schema.get("example", schema.get("default")))


def execute(client: TestClient, name: str, media_type: str = "", body: Any = None) -> Any:
    """Press "Execute" at `/docs`, with a body, or none."""
    method, path, operation = OPERATIONS[name]
    places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", []):
        value = prefilled(parameter)
        if value is not None:
            places[parameter["in"]][parameter["name"]] = value
        else:
            assert not parameter.get("required"), f"{name}: {parameter['name']} has no example"
    headers = places["header"] | ({"Content-Type": media_type} if media_type else {})
    content = body if body is None or isinstance(body, str) else json.dumps(body)
    return client.request(
        method,
        path.format(**places["path"]),
        params=places["query"],
        headers=headers,
        content=content,
    )


def check(name: str, answer: Any) -> None:
    """The answer is a good one, and as documented."""
    documented = OPERATIONS[name][2]["responses"]
    assert answer.status_code in (200, 201, 202), (name, answer.text)
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = documented[str(answer.status_code)]["content"][media_type]["schema"]
    is_json = media_type == "application/json"
    fit(schema, media_type, answer.json() if is_json else answer.text)
    assert '"outcome":"error"' not in answer.text


def requests() -> Iterator[Any]:
    for name, (_, _, operation) in OPERATIONS.items():
        if name == NEEDS_A_CURSOR or name in (
            *NEEDS_A_KEY,
            "create_key",
            *NEEDS_A_JOB,
            *NEEDS_A_GROUP,
            *NEEDS_A_WEBHOOK,
            *NEEDS_A_LIST,
            *NEEDS_A_LAYOUT,
            *NEEDS_AN_ALERT,
            *NEEDS_A_WATCHLIST,
            *NEEDS_A_CASE,
            *NEEDS_A_SPACE,
            *NEEDS_A_MODEL,
        ):
            continue
        bodies = operation.get("requestBody", {}).get("content", {})
        if not bodies:
            yield pytest.param(name, "", None, id=name)
        for media_type, content in bodies.items():
            if (name, media_type) == NEEDS_A_FILE:
                continue
            found = [example["value"] for example in content.get("examples", {}).values()]
            found += examples_of(content["schema"])
            assert found, f"{name} has no example"
            for number, example in enumerate(found):
                yield pytest.param(name, media_type, example, id=f"{name}-{number}")


@pytest.fixture
def demo(client: TestClient) -> TestClient:
    """A service that knows those of the demo's streamers, w0000 to w4999, that examples name."""
    for streamer_id in sorted(set(re.findall(r'"(w[0-4]\d{3})"', json.dumps(DOCUMENT)))):
        put(client, streamer_id, tags=["cooking"], bio="home cooking")
    return client


@pytest.mark.parametrize(("name", "media_type", "body"), [*requests()])
def test_every_example_works_as_it_stands(
    demo: TestClient, name: str, media_type: str, body: Any
) -> None:
    check(name, execute(demo, name, media_type, body))


def test_examples_of_keys_work_with_the_id_of_a_key(bundle: Path, tmp_path: Path) -> None:
    known = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "a-secret"}
    app, headers = create_app(Settings.model_validate(known)), {"Authorization": "Bearer a-secret"}
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        made = [
            execute(client, "create_key", "application/json", example)
            for example in SCHEMAS["KeyIn"]["examples"]
        ]
        for answer in made:
            check("create_key", answer)
        for name in NEEDS_A_KEY:
            method, path, operation = OPERATIONS[name]
            known = operation.get("requestBody", {"content": {}})
            bodies = [b for c in known["content"].values() for b in examples_of(c["schema"])]
            if not known.get("required"):
                bodies.append(None)
            for body in bodies:
                check(name, client.request(method, path.format(**made[0].json()), json=body))


def test_examples_of_webhooks_work_with_the_id_of_a_webhook(running: TestClient) -> None:
    (example,) = SCHEMAS["WebhookIn"]["examples"]
    made = execute(running, "create_webhook", "application/json", example)
    check("create_webhook", made)
    for name in NEEDS_A_WEBHOOK:
        method, path, operation = OPERATIONS[name]
        known = operation.get("requestBody", {"content": {}})
        bodies = [b for c in known["content"].values() for b in examples_of(c["schema"])]
        if not known.get("required"):
            bodies.append(None)
        for body in bodies:
            answer = running.request(method, path.format(**made.json()), json=body)
            if body and "delivery_ids" in body:
                assert answer.json()["errors"][0]["pointer"] == "/delivery_ids/0"
                continue
            check(name, answer)


def test_examples_of_watchlists_work_with_the_id_of_one(demo: TestClient) -> None:
    (wanted,) = SCHEMAS["WatchlistIn"]["examples"]
    made = execute(demo, "create_watchlist", "application/json", wanted).json()
    put(demo, "copy", bio=wanted["positive"][1]["profile"]["bio"])

    def is_raised() -> bool:
        return bool(demo.get("/v1/alerts").json()["alerts"])

    wait_until(is_raised, "the copy matches")
    (alert,) = demo.get("/v1/alerts", params={"limit": 1}).json()["alerts"]
    for name in (*NEEDS_AN_ALERT, *NEEDS_A_WATCHLIST):
        method, path, operation = OPERATIONS[name]
        known = operation.get("requestBody", {"content": {}})
        bodies = [b for c in known["content"].values() for b in examples_of(c["schema"])]
        for body in bodies or [None]:
            check(name, demo.request(method, path.format(**{**alert, **made}), json=body))


def test_examples_of_spaces_work_on_one_that_was_handed_over(demo: TestClient) -> None:
    (lines,) = OPERATIONS["hand_over_generation"][2]["requestBody"]["content"][NDJSON][
        "examples"
    ].values()
    check("hand_over_generation", execute(demo, "hand_over_generation", NDJSON, lines["value"]))
    other = "/v1/spaces/als-64/generations/other"
    demo.put(
        other, content=lines["value"], headers={"Content-Type": NDJSON}, params={"promote": "true"}
    ).raise_for_status()
    for name in ("promote_generation", "get_space", "get_own_vector", "erase_user"):
        check(name, execute(demo, name))
    check("roll_back_space", execute(demo, "roll_back_space"))
    assert execute(demo, "delete_generation").status_code == 204
    assert demo.delete(other).status_code == 204


def test_examples_of_jobs_work_with_the_id_of_a_job(bundle: Path, tmp_path: Path) -> None:
    known = {"bundle": bundle, "data_dir": tmp_path / "data"}
    (wanted,) = SCHEMAS["StreamerExportIn"]["examples"]

    def do(client: TestClient, name: str, job: dict[str, Any]) -> Any:
        method, path, _ = OPERATIONS[name]
        answer = client.request(method, path.format(**job))
        check(name, answer)
        return answer

    queueing = Settings.model_validate({**known, "jobs": {"at_once": 0}})
    with TestClient(create_app(queueing), base_url="http://localhost") as client:
        job = execute(client, "export_streamers", "application/json", wanted).json()
        for name, state in (("cancel_job", "cancelled"), ("retry_job", "queued")):
            assert do(client, name, job).json()["state"] == state
    running = create_app(Settings.model_validate(known))
    with TestClient(running, base_url="http://localhost") as client:
        ended(client, f"/v1/jobs/{job['job_id']}")
        assert do(client, "get_job", job).json()["state"] == "succeeded"
        assert do(client, "watch_job", job).text.count("event: job") == 1
        do(client, "get_job_result", job)


def test_examples_of_cases_work_with_the_id_of_a_case(demo: TestClient) -> None:
    (wanted,) = SCHEMAS["CaseIn"]["examples"]
    case = execute(demo, "create_case", "application/json", wanted).json()
    for name in NEEDS_A_CASE:
        method, path, operation = OPERATIONS[name]
        bodies = operation.get("requestBody", {"content": {}})["content"].values()
        for body in [b for content in bodies for b in examples_of(content["schema"])] or [None]:
            where = path.format(case_id=case["case_id"], streamer_id="w0087")
            headers = {"If-Match": f'"{case["revision"]}"'} if method != "GET" else {}
            answer = demo.request(method, where, json=body, headers=headers)
            if name == "delete_case":
                assert answer.status_code == 204
                continue
            check(name, answer)
            if method != "GET":
                case["revision"] = answer.json()["revision"]


def test_the_example_of_a_file_works_where_it_is(bundle: Path, tmp_path: Path) -> None:
    name, media_type = NEEDS_A_FILE
    (example,) = examples_of(OPERATIONS[name][2]["requestBody"]["content"][media_type]["schema"])
    file = tmp_path / "files" / example["path"]
    file.parent.mkdir(parents=True)
    file.write_text('{"streamer_id":"s-1"}\n', encoding="utf-8")
    known = {"bundle": bundle, "data_dir": tmp_path / "data"}
    settings = Settings.model_validate({**known, "jobs": {"import_dir": tmp_path / "files"}})
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        answer = execute(client, name, media_type, example)
        check(name, answer)
        assert ended(client, answer.headers["Location"])["result"]["created"] == 1


def test_a_page_needs_a_cursor_of_an_answer(demo: TestClient) -> None:
    put(demo, "another", tags=["cooking"])
    body = {"positive": [{"streamer_id": "w0087"}], "min_score": -1, "k": 1, "pages": True}
    cursor = demo.post("/v1/similar", json=body).json()["next_cursor"]
    check(NEEDS_A_CURSOR, demo.get("/v1/similar", params={"cursor": cursor}))
    _, _, operation = OPERATIONS[NEEDS_A_CURSOR]
    assert [p["name"] for p in operation["parameters"] if p.get("required")] == ["cursor"]


def test_the_page_needs_no_internet(running: TestClient) -> None:
    page = running.get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page) + re.findall(r"url: '([^']+)'", page)
    assert "/openapi.json" in parts
    for part in parts:
        assert part.startswith("/")
        assert running.get(part).is_success, part
