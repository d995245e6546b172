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
PLACEHOLDERS = ("get_job", "change_key", "get_duplicates")
"""Their ids are drawn, or hashes: what the page writes is nobody's, which the answer says."""


@pytest.fixture
def docs(page: Page, service: Service) -> Page:
    """The page, authorised."""
    page.provoked.append("the server responded with a status of 404")  # pyright: ignore[reportAttributeAccessIssue]
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


def test_ids_that_are_placeholders_are_answered_404(docs: Page) -> None:
    answered = {name: execute(begin(docs, name)) for name in PLACEHOLDERS}
    assert answered == dict.fromkeys(PLACEHOLDERS, 404)


def test_a_job_is_created_and_then_read(docs: Page) -> None:
    created = begin(docs, "export_streamers")
    assert execute(created) == 202
    body = created.locator(".live-responses-table .microlight").first.inner_text()
    job_id = json.loads(body)["job_id"]
    read = begin(docs, "get_job")
    read.locator("[data-param-name='job_id'] input").fill(job_id)
    assert execute(read) == 200
    assert job_id in read.locator(".live-responses-table").inner_text()
