"""A model on its way: shadow, canary, promotion and back, from the page."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import KEY, lose_the_answer, open_at
from tests.console.profiles import STREAMERS
from tests.console.test_looks import PHONE, violations
from tests.support.bundles import write_bundle
from tests.support.service import Service, wait_until

FIRST, NEXT = "test-0", "test-1"


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose next model is ready."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "first")
    write_bundle(folder / "next", seed=1)
    with Service(
        folder / "first",
        tmp_path_factory.mktemp("data"),
        STREAMER_API_KEY=KEY,
        STREAMER_MODELS__FOLDER=str(folder),
    ) as running:
        running.wait_until_ready()
        client = running.api
        running.api.bulk(STREAMERS)
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
        client.post(f"/v1/models/{NEXT}:backfill").raise_for_status()

        def is_ready() -> bool:
            found: Any = client.get(f"/v1/models/{NEXT}").json()
            return found["state"] == "ready" and found["replicas"][0]["is_indexed"]

        wait_until(is_ready, "it is ready")
        yield running
    shutil.rmtree(folder)


def row(page: Page, model: str) -> Locator:
    return page.get_by_role("table", name="Models").get_by_role("row").filter(has_text=model)


def change(page: Page, model: str, what: str, share: str | None = None) -> None:
    row(page, model).get_by_role("button", name=what, exact=True).click()
    dialog = page.get_by_role("dialog")
    if share is not None:
        dialog.get_by_role("combobox").select_option(share)
        assert violations(page) == []
    dialog.get_by_role("button", name=what, exact=True).click()
    expect(dialog).to_have_count(0)


def test_a_model_is_tried_promoted_and_taken_back(signed_in: Page, two_models: Service) -> None:
    page, service = signed_in, two_models
    open_at(page, service, "#/running?tab=models")
    expect(row(page, FIRST)).to_contain_text("active")
    expect(row(page, NEXT)).to_contain_text("nothing is stored")
    change(page, NEXT, "Shadow", "1")
    expect(row(page, NEXT)).to_contain_text("shadow")
    expect(row(page, NEXT)).to_contain_text("100%")
    service.api.get("/v1/streamers/cooking-01/similar").raise_for_status()
    row(page, NEXT).get_by_role("link", name="Report").click()
    report = page.get_by_role("region", name=f"Shadow of {NEXT}")
    expect(report).to_contain_text("1 of 1")
    expect(report.get_by_role("table", name="Both models")).to_contain_text("p99")
    expect(report.get_by_role("link", name="cooking-01")).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("region", name=f"{NEXT} 的影子报告")).to_contain_text("平均名次变化")
    assert violations(page) == []
    page.get_by_role("button", name="English").click()
    change(page, NEXT, "Canary", "0.1")
    expect(row(page, NEXT)).to_contain_text("canary")
    expect(row(page, NEXT)).to_contain_text("10%")
    change(page, NEXT, "Promote")
    expect(row(page, NEXT)).to_contain_text("active")
    assert service.api.get("/readyz").json()["model_version"] == NEXT
    expect(row(page, FIRST)).to_contain_text("ready")
    row(page, FIRST).get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"From {NEXT} to {FIRST}")
    service.api.post("/v1/models:rollback").raise_for_status()  # somebody else
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog).to_contain_text(f"{FIRST} is active by now")
    dialog.get_by_role("button", name="Close").click()
    expect(row(page, FIRST)).to_contain_text("active")
    assert service.api.get("/readyz").json()["model_version"] == FIRST
    lose_the_answer(page, "**/v1/models:rollback")
    row(page, NEXT).get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog).to_have_count(0)
    expect(row(page, NEXT)).to_contain_text("active")
    assert service.api.get("/readyz").json()["model_version"] == NEXT
