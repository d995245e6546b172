"""Swagger UI at /docs, offline: every operation is shown, and one is authorised and executed."""

import json
import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import KEY
from tests.console.profiles import DOCUMENT
from tests.support.service import Service

PATHS: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))["paths"]


def test_operations_are_shown_and_executed(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/docs")
    operations = [operation for path in PATHS.values() for operation in path.values()]
    expect(page.locator(".opblock")).to_have_count(sum(len(one["tags"]) for one in operations))
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".modal-ux")
    dialog.get_by_role("textbox").fill(KEY)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close", exact=True).click()
    operation = page.locator("[id='operations-operations-find_similar']").first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    shown = operation.locator(".live-responses-table .response-col_status").last
    expect(shown).to_have_text(re.compile(r"^\s*200"))
