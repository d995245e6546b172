"""Swagger UI at /docs, as a newcomer uses it: authorise, press "Execute", see what is promised."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import KEY
from tests.console.profiles import DOCUMENT
from tests.service.process import Service

PATHS: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))["paths"]
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
"""Operations whose ids are drawn: the page fills in one that is there."""


@pytest.fixture
def docs(page: Page, service: Service) -> Page:
    """The page, authorised."""
    page.goto(f"{service.url}/docs")
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".modal-ux")
    dialog.get_by_role("textbox").fill(KEY)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close", exact=True).click()
    return page


def begin(docs: Page, name: str) -> Locator:
    """Open an operation, ready to be executed."""
    tag = OPERATIONS[name]["tags"][0].replace(" ", "_")
    operation = docs.locator(f"[id='operations-{tag}-{name}']")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def execute(operation: Locator) -> int:
    """Press "Execute"; the status that the page shows."""
    operation.get_by_role("button", name="Execute").click()
    shown = operation.locator(".live-responses-table .response-col_status").last
    expect(shown).to_have_text(re.compile(r"^\s*\d{3}"))
    return int(shown.inner_text().split()[0])


def test_examples_are_answered_as_they_stand(docs: Page) -> None:
    answered = {name: execute(begin(docs, name)) for name, _ in AS_THEY_STAND}
    assert answered == dict(AS_THEY_STAND)


@pytest.mark.parametrize("name", OF_LINES)
def test_examples_of_lines_are_sent_as_lines(docs: Page, name: str) -> None:
    body = OPERATIONS[name]["requestBody"]["content"]["application/x-ndjson"]
    (example,) = body["examples"].values()
    opened = begin(docs, name)
    with docs.expect_request(lambda request: request.method in ("POST", "PUT")) as sent:
        assert execute(opened) in (200, 201, 202)
    assert sent.value.post_data == example["value"]


def test_ids_are_filled_in_from_what_is_there(docs: Page) -> None:
    for create, operation, name in BY_LINK:
        assert execute(begin(docs, create)) in (201, 202)
        opened = begin(docs, operation)
        field = opened.locator(f"[data-param-name='{name}'] input")
        expect(field).not_to_have_value("")
        assert execute(opened) == 200
        assert field.input_value() in opened.locator(".live-responses-table").inner_text()


def test_a_case_is_changed_at_its_revision(docs: Page) -> None:
    assert execute(begin(docs, "create_case")) == 201
    opened = begin(docs, "expand_case")
    expect(opened.locator("[data-param-name='if-match'] input")).to_have_value(re.compile(r'"\d+"'))
    assert execute(opened) == 200


def test_where_nothing_is_listed_the_field_stays_empty(docs: Page, service: Service) -> None:
    assert service.client.get("/v1/outreach").json()["outreach"] == []
    with docs.expect_response(lambda answer: "/v1/outreach?limit=1" in answer.url):
        opened = begin(docs, "delete_outreach")
    opened.get_by_role("button", name="Execute").click()
    expect(opened.locator("[data-param-name='outreach_id'] input.invalid")).to_be_visible()
    expect(opened.locator(".live-responses-table")).to_have_count(0)
