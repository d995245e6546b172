"""Cold start: a newcomer that is stored, or pasted."""

import json

from playwright.sync_api import Page, expect

from tests.console.conftest import open_at
from tests.support.service import Service


def test_a_newcomer_is_placed(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/newcomer")
    expect(page.get_by_text("Who is new?")).to_be_visible()
    page.get_by_label("Profile as JSON").fill("{not json")
    page.get_by_role("button", name="Place").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not JSON")
    profile = {"streamer_id": "new", "bio": "kitchen noodles", "tags": ["cooking"]}
    page.get_by_label("Profile as JSON").fill(json.dumps(profile))
    page.get_by_role("button", name="Place").click()
    expect(page.get_by_text("The model knows")).to_be_visible()
    expect(page.get_by_text("bio used")).to_be_visible()
    field = page.get_by_label("A stored streamer")
    field.fill("cooking-01")
    expect(page.get_by_label("Profile as JSON")).to_have_value("")
    page.get_by_role("button", name="Place").click()
    expect(page.get_by_text("tags used")).to_be_visible()
    assert "id=cooking-01" in page.url
    page.get_by_label("Profile as JSON").fill(json.dumps(profile | {"tags": []}))
    expect(field).to_have_value("")
    page.get_by_role("button", name="Place").click()
    expect(page.get_by_text("tags absent")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("tags used")).to_be_visible()
    expect(field).to_have_value("cooking-01")
