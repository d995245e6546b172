"""Swagger UI at /docs, as a newcomer uses it: authorise, press "Execute", see what is promised."""

import json
import re
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import KEY, serving
from tests.console.profiles import DOCUMENT
from tests.support.service import Service, wait_until

OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
PATHS: dict[str, Any] = OPENAPI["paths"]
OPERATIONS = {o["operationId"]: o for path in PATHS.values() for o in path.values()}
AS_THEY_STAND = (
    ("find_similar_to_streamer", 200),
    ("find_similar", 200),
    ("compare_streamers", 200),
    ("find_near_duplicates", 200),
    ("write_streamer", 201),
    ("judge_pair", 200),
    ("create_key", 201),
)
"""Operations that answer this with what the page writes into their fields."""
OF_LINES = ("write_streamers", "import_streamers", "place_newcomers", "hand_over_generation")
"""Operations whose example is lines of JSON, each a line."""
BY_LINK = (
    ("create_case", "get_case", "case_id"),
    ("export_streamers", "get_job", "job_id"),
    ("create_watchlist", "change_watchlist", "watchlist_id"),
    ("create_webhook", "get_webhook", "webhook_id"),
    ("create_key", "change_key", "key_id"),
)
"""What makes a record whose id is drawn, and an operation whose id the page fills in."""
FILLED_IN = {name for _, name, _ in BY_LINK} | {"expand_case", "delete_outreach"}
SCHEMA = re.compile(r"#/components/schemas/(\w+)")


def part_of_document(names: Set[str]) -> dict[str, Any]:
    """These operations, those that list their ids, and their schemas."""
    paths = {
        path: {method: o for method, o in at.items() if {o["operationId"], *linked(o)} & names}
        for path, at in PATHS.items()
    }
    schemas: dict[str, Any] = OPENAPI["components"]["schemas"]
    wanted, found = dict[str, Any](), {*SCHEMA.findall(json.dumps(paths))}
    while found:
        wanted |= {name: schemas[name] for name in found}
        found = {*SCHEMA.findall(json.dumps(wanted))} - wanted.keys()
    return {
        **OPENAPI,
        "paths": {path: at for path, at in paths.items() if at},
        "components": {**OPENAPI["components"], "schemas": wanted},
    }


def linked(operation: dict[str, Any]) -> set[str]:
    """Operations that take an id of what this one answers."""
    return {*operation["responses"].get("200", {}).get("links", {})}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has one of its own, since what the examples write stays."""
    yield from serving(tmp_path_factory.mktemp("swagger"))


def part_of_docs(page: Page, service: Service, names: Set[str]) -> Page:
    """The page of these operations, authorised.

    A click renders the page anew, which takes a second of a processor with all operations.
    """
    page.route("**/openapi.json", lambda route: route.fulfill(json=part_of_document(names)))
    return authorised(page, service)


def authorised(page: Page, service: Service) -> Page:
    page.goto(f"{service.url}/docs")
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".modal-ux")
    dialog.get_by_role("textbox").fill(KEY)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close", exact=True).click()
    return page


def control(docs: Page, name: str) -> Locator:
    tag = OPERATIONS[name]["tags"][0].replace(" ", "_")
    return docs.locator(f"[id='operations-{tag}-{name}']")


@contextmanager
def begun(docs: Page, name: str) -> Iterator[Locator]:
    """An operation that is open, ready to be executed, and closed again: pages stay quick."""
    operation = control(docs, name)
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    yield operation
    operation.locator(".opblock-summary-control").click()


def execute(operation: Locator) -> int:
    """Press "Execute"; the status that the page shows."""
    operation.get_by_role("button", name="Execute").click()
    shown = operation.locator(".live-responses-table .response-col_status").last
    expect(shown).to_have_text(re.compile(r"^\s*\d{3}"))
    return int(shown.inner_text().split()[0])


def make(service: Service, name: str) -> None:
    """Make a record of the example of the operation's body."""
    (path,) = (path for path, at in PATHS.items() if at.get("post", {}).get("operationId") == name)
    body = OPERATIONS[name]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    example = OPENAPI["components"]["schemas"][body.rpartition("/")[2]]["examples"][0]
    service.client.post(path, json=example).raise_for_status()


def test_all_operations_are_shown(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/docs")
    expect(page.locator(".opblock")).to_have_count(sum(len(o["tags"]) for o in OPERATIONS.values()))


def test_examples_are_answered_as_they_stand(page: Page, service: Service) -> None:
    docs = part_of_docs(page, service, {name for name, _ in AS_THEY_STAND} | {*OF_LINES})
    for name, status in AS_THEY_STAND:
        with begun(docs, name) as operation:
            assert execute(operation) == status, name
    for name in OF_LINES:
        body = OPERATIONS[name]["requestBody"]["content"]["application/x-ndjson"]
        (example,) = body["examples"].values()
        with (
            begun(docs, name) as operation,
            docs.expect_request(lambda request: request.method in ("POST", "PUT")) as sent,
        ):
            assert execute(operation) in (200, 201, 202), name
        assert sent.value.post_data == example["value"], name


def test_ids_are_filled_in_from_what_is_there(page: Page, service: Service) -> None:
    docs = part_of_docs(page, service, FILLED_IN)
    for create, name, parameter in BY_LINK:
        make(service, create)
        with begun(docs, name) as operation:
            field = operation.locator(f"[data-param-name='{parameter}'] input")
            expect(field).not_to_have_value("")
            assert execute(operation) == 200, name
            assert field.input_value() in operation.locator(".live-responses-table").inner_text()
    with begun(docs, "expand_case") as operation:
        revision = operation.locator("[data-param-name='if-match'] input")
        expect(revision).to_have_value(re.compile(r'"\d+"'))
        assert execute(operation) in (200, 202)  # what takes a second goes on as a job
        case_id = operation.locator("[data-param-name='case_id'] input").input_value()
    path = f"/v1/cases/{case_id}"
    wait_until(lambda: service.client.get(path).json()["run"] is not None, "it is expanded")
    # Where nothing is listed the field stays empty.
    assert service.client.get("/v1/outreach").json()["outreach"] == []
    with ExitStack() as opened:
        with docs.expect_response(lambda answer: "/v1/outreach?limit=1" in answer.url):
            operation = opened.enter_context(begun(docs, "delete_outreach"))
        operation.get_by_role("button", name="Execute").click()
        invalid = operation.locator("[data-param-name='outreach_id'] input.invalid")
        expect(invalid).to_be_visible()
        expect(operation.locator(".live-responses-table")).to_have_count(0)
