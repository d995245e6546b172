"""Swagger UI at /docs, offline."""

import json
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.profiles import DOCUMENT
from tests.support.service import Service

PATHS: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))["paths"]


def test_all_operations_are_shown(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/docs")
    operations = [operation for path in PATHS.values() for operation in path.values()]
    expect(page.locator(".opblock")).to_have_count(sum(len(one["tags"]) for one in operations))
