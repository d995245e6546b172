"""The OpenAPI document: as committed, with names for every route, and with examples that work."""

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from demo.examples import leave_examples
from service.app import create_app
from service.http.ndjson import NDJSON
from service.http.openapi import TAGS
from service.settings import Settings
from tests.service.conftest import put, put_all
from tests.service.features.transfers.waiting import ended
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

ROOT = Path(__file__).parents[3]
COMMITTED = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
"""Read, since every process that shares the tests comes by here, and making it takes a second."""
DOCUMENT: dict[str, Any] = json.loads(COMMITTED)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
LINKS: dict[str, tuple[str, dict[str, str]]] = {
    name: (path, link["parameters"])
    for path, methods in DOCUMENT["paths"].items()
    for name, link in methods.get("get", {"responses": {}})["responses"]
    .get("200", {})
    .get("links", {})
    .items()
}
"""Operations that take an id which no example can have: where it is listed, and as what."""
NEEDS_A_CURSOR = "get_similar_page"
"""The one question that no example can ask: answers are kept for minutes."""
NEEDS_A_LIST = ("get_list", "run_list", "get_list_run", "delete_list")
"""Lists have to be saved before anything is done with them."""
TAKES_BACK = ("take_judgement_back", "take_rating_back")
"""Only what was judged or rated can be taken back."""
NEEDS_A_LAYOUT = ("get_layout_points", "select_on_layout")
"""A job has to fit one first; see tests/service/features/layouts."""
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
    "compare_models",
    "get_comparison",
    "list_flips",
    "shadow_model",
    "get_shadow",
    "canary_model",
    "pause_backfill",
    "promote_model",
    "roll_back_model",
    "retire_model",
)
"""Versions of models are hashes, and bundles lie in a folder that is not set by default."""
NEEDS_A_FILE = "import_streamers", "application/json"
"""By default no import may name a file."""
ENDED = ("cancel_job", "retry_job")
"""The job of the demo has succeeded: it can be neither cancelled nor retried."""


@pytest.mark.slow
def test_the_committed_document_is_that_of_the_routes() -> None:
    spec = importlib.util.spec_from_file_location("openapi", ROOT / "docs" / "generate_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.document() == COMMITTED, "run python docs/generate_openapi.py"


def test_every_route_has_a_name_that_stays() -> None:
    """A name that the framework makes up changes with the function and the path."""
    app = create_app(Settings(bundle=Path("none")))
    routes = (context.original_route for context in iter_route_contexts(app.routes))
    given = [r for r in routes if isinstance(r, APIRoute) and r.include_in_schema]
    assert {route.operation_id for route in given} == set(OPERATIONS)
    for name in OPERATIONS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)


def test_an_unknown_path_is_documented_where_a_caller_fills_in_a_part() -> None:
    """A line break in it makes an unknown path of any."""
    filled = {name: one[2] for name, one in OPERATIONS.items() if "{" in one[1]}
    assert [name for name, one in filled.items() if "404" not in one["responses"]] == []


def test_every_route_is_of_a_team() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        assert operation["summary"], name
        assert operation["tags"], name
        assert set(operation["tags"]) <= {tag["name"] for tag in TAGS}, name


def examples_of(schema: dict[str, Any]) -> list[Any]:
    """The examples of a schema, or of each that it chooses between."""
    if "$ref" in schema:
        return examples_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        each = [examples_of(part) for part in schema["anyOf"]]
        return [example for found in each for example in found] if all(each) else []
    return schema.get("examples", [])


@cache
def validator_of(schema: str) -> Any:
    """Many answers have one schema, and each validator reads all components."""
    return jsonschema_rs.validator_for({**json.loads(schema), "components": DOCUMENT["components"]})


def fit(schema: dict[str, Any], media_type: str, content: Any) -> None:
    """Raise where content is not as the schema says; of NDJSON, each line."""
    if media_type.startswith("text/"):
        return
    validator = validator_of(json.dumps(schema))
    lines = [json.loads(line) for line in content.splitlines()] if media_type == NDJSON else None
    for value in [content] if lines is None else lines:
        validator.validate(value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_has_an_example_and_a_request_id(name: str) -> None:
    for status, answer in OPERATIONS[name][2]["responses"].items():
        assert answer["headers"]["X-Request-Id"] == {"$ref": "#/components/headers/X-Request-Id"}
        for media_type, content in answer.get("content", {}).items():
            found = [example["value"] for example in content.get("examples", {}).values()]
            is_one = "example" in content
            found += [content["example"]] if is_one else examples_of(content["schema"])
            assert found, (status, media_type)
            for example in found:
                fit(content["schema"], media_type, example)


def prefilled(parameter: dict[str, Any]) -> Any:
    """What the page at `/docs` writes into the field of a parameter."""
    for example in parameter.get("examples", {}).values():
        return example["value"]
    schema = parameter["schema"]
    return parameter.get("example", schema.get("example", schema.get("default")))


def found_by_link(client: TestClient, name: str) -> dict[str, str]:
    """What the page writes into the fields of parameters that a link has."""
    if name not in LINKS:
        return {}
    path, expressions = LINKS[name]
    listed = client.get(path, params={"limit": 1}).json()
    found: dict[str, str] = {}
    for parameter, expression in expressions.items():
        pointer = re.search(r"\$response\.body#((?:/[^/{}]+)+)", expression)
        assert pointer is not None
        value: Any = listed
        for part in pointer[1][1:].split("/"):
            assert value, f"{path} lists nothing"
            value = value[int(part) if part.isdigit() else part]
        found[parameter] = re.sub(r"\{?\$response\.body#[^}]*\}?", str(value), expression)
    return found


def execute(client: TestClient, name: str, media_type: str = "", body: Any = None) -> Any:
    """Press "Execute" at `/docs`, with a body, or none."""
    method, path, operation = OPERATIONS[name]
    places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    linked = found_by_link(client, name)
    for parameter in operation.get("parameters", []):
        value = linked.get(parameter["name"], prefilled(parameter))
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
    assert answer.status_code in (200, 201, 202, 204), (name, answer.text)
    if answer.status_code == 204:
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = documented[str(answer.status_code)]["content"][media_type]["schema"]
    is_json = media_type == "application/json"
    fit(schema, media_type, answer.json() if is_json else answer.text)
    assert '"outcome":"error"' not in answer.text


def requests() -> Iterator[tuple[str, str, Any]]:
    """Operation, media type and body of each example that works without anything else."""
    for name, (_, _, operation) in OPERATIONS.items():
        if name in (
            NEEDS_A_CURSOR,
            "create_key",
            *NEEDS_A_LIST,
            *TAKES_BACK,
            *NEEDS_A_LAYOUT,
            *NEEDS_A_SPACE,
            *NEEDS_A_MODEL,
            *LINKS,
        ):
            continue
        for media_type, example in bodies_of(operation):
            takes_body = "requestBody" in operation
            if (name, media_type) != NEEDS_A_FILE and bool(media_type) == takes_body:
                yield name, media_type, example


def bodies_of(operation: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Media type and body of each example of a request; one without, where it needs none."""
    bodies = operation.get("requestBody", {"content": {}})
    texts = {name: b for name, b in bodies["content"].items() if "format" not in b["schema"]}
    for media_type, text in texts.items():
        named = text.get("examples", {}).values()
        found = [one["value"] for one in named] + examples_of(text["schema"])
        assert found, f"{operation['operationId']} has no example"
        yield from ((media_type, example) for example in found)
    if not bodies.get("required"):
        yield "", None


NAMED = sorted(set(re.findall(r'"(w[0-4]\d{3})"', json.dumps(DOCUMENT))))
"""Those of the demo's streamers, w0000 to w4999, that examples name."""
LIKE_OTHERS = {"tags": ["cooking"], "bio": "home cooking"}


def fill(client: TestClient) -> None:
    put_all(client, ({"streamer_id": name, **LIKE_OTHERS} for name in NAMED))


@pytest.fixture
def demo(client: TestClient) -> TestClient:
    """A service that knows the streamers that examples name."""
    fill(client)
    return client


@pytest.mark.slow
def test_every_example_works_as_it_stands(demo: TestClient) -> None:
    """What is deleted is deleted last: others name it."""
    for name, media_type, body in sorted(requests(), key=lambda r: OPERATIONS[r[0]][0] == "DELETE"):
        check(name, execute(demo, name, media_type, body))


class Asking:
    """Answers the demo in place of a service over HTTP."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def ask(self, method: str, path: str, body: object | None = None) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.is_success, (method, path, answer.text)
        return answer.json()


@pytest.mark.slow
def test_the_demo_leaves_what_examples_need_once(demo: TestClient) -> None:
    known = {streamer["streamer_id"] for streamer in demo.get("/v1/streamers").json()["streamers"]}
    assert not leave_examples(Asking(demo), known - {"w0087"})
    before = len(demo.get("/v1/cases").json()["cases"])
    for _ in range(2):
        assert leave_examples(Asking(demo), known)
    assert len(demo.get("/v1/cases").json()["cases"]) == max(before, 1)


@pytest.mark.slow
def test_examples_work_on_what_the_demo_leaves(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        fill(client)
        assert leave_examples(Asking(client), NAMED)
        for name in ("create_webhook", "judge_pair", "rate_streamer"):
            ((media_type, body), *_) = bodies_of(OPERATIONS[name][2])
            check(name, execute(client, name, media_type, body))
        put(client, "copy", **SCHEMAS["WatchlistIn"]["examples"][0]["positive"][1]["profile"])
        for job in client.get("/v1/jobs").json()["jobs"]:
            ended(client, f"/v1/jobs/{job['job_id']}")
        for path, what in (("/v1/alerts", "alerts"), ("/v1/duplicates", "groups")):
            wait_until(lambda path=path, what=what: client.get(path).json()[what] != [], what)
        of_keys = {name for name, (path, _) in LINKS.items() if path == "/v1/keys"}
        elsewhere = {*of_keys, *NEEDS_A_LAYOUT, *NEEDS_A_MODEL}
        names = [*(LINKS.keys() - elsewhere), *NEEDS_A_LIST, *TAKES_BACK]
        names.sort(key=[*OPERATIONS].index)
        names.sort(key=lambda name: OPERATIONS[name][0] == "DELETE")
        for name in names:
            for media_type, body in bodies_of(OPERATIONS[name][2]):
                answer = execute(client, name, media_type, body)
                if name in ENDED:
                    assert problem(answer, 409, "job_state_conflict")
                elif body and "delivery_ids" in body:
                    said = problem(answer, 422, "invalid_request")
                    assert said["errors"][0]["pointer"] == "/delivery_ids/0"
                else:
                    check(name, answer)
                if answer.status_code == 202:  # what comes next is about what the job changes
                    ended(client, answer.headers["location"])


def test_examples_of_keys_work_with_the_id_of_a_key(bundle: Path, tmp_path: Path) -> None:
    known = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "a-secret"}
    app, headers = create_app(Settings.model_validate(known)), {"Authorization": "Bearer a-secret"}
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        for name in ("create_key", "change_key", "rotate_key", "revoke_key"):
            for media_type, body in bodies_of(OPERATIONS[name][2]):
                check(name, execute(client, name, media_type, body))


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


def test_a_job_that_waits_is_cancelled_and_retried(bundle: Path, tmp_path: Path) -> None:
    known = {"bundle": bundle, "data_dir": tmp_path / "data", "jobs": {"at_once": 0}}
    app = create_app(Settings.model_validate(known))
    with TestClient(app, base_url="http://localhost") as client:
        ((media_type, body),) = bodies_of(OPERATIONS["export_streamers"][2])
        check("export_streamers", execute(client, "export_streamers", media_type, body))
        for name, state in (("cancel_job", "cancelled"), ("retry_job", "queued")):
            answer = execute(client, name)
            check(name, answer)
            assert answer.json()["state"] == state


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
