"""Webhooks: made with a secret that verifies, sent to, turned off, and deleted."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import KEY
from tests.console.desks import at
from tests.console.profiles import HARM
from tests.console.test_looks import violations
from tests.support.bundles import write_bundle
from tests.support.receiver import receiving
from tests.support.service import Service


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Sends webhooks to this machine."""
    folder = tmp_path_factory.mktemp("hooks")
    write_bundle(folder / "bundle")
    variables: dict[str, Any] = {
        "STREAMER_API_KEY": KEY,
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
    }
    with Service(folder / "bundle", folder / "data", **variables) as running:
        yield running.wait_until_ready()


def test_a_webhook_from_its_secret_to_its_end(page: Page, sending: Service) -> None:
    with receiving() as receiver:
        at(page, sending, "#/running?tab=webhooks")
        expect(page.get_by_text("No webhooks")).to_be_visible()
        page.get_by_label("URL").fill(receiver.url())
        page.get_by_label("Kinds of events").fill("streamer.*")
        page.get_by_label("Description").fill(HARM.format(field="hook"))
        page.get_by_role("button", name="New webhook").click()
        secret = page.locator(".secret").inner_text()
        assert violations(page) == []
        page.get_by_role("button", name="Close").click()
        sending.api.put_streamer("noodle-bar", bio="kitchen noodles", tags=["cooking"])
        event = receiver.wait_for(1)[-1].verified(secret)
        assert "noodle-bar" in str(event)
        page.get_by_role("link", name=receiver.url()).click()
        expect(page.get_by_text(HARM.format(field="hook"))).to_be_visible()
        page.get_by_role("button", name="Send a ping").click()
        expect(page.get_by_text("The ping arrived: 204")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="Turn off").click()
        expect(page.get_by_text("Nothing is sent: it was turned off")).to_be_visible()
        page.get_by_role("button", name="Turn on").click()
        expect(page.get_by_role("button", name="Turn off")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("No webhooks")).to_be_visible()
        assert sending.api.ok("GET", "/v1/webhooks")["webhooks"] == []
        assert page.evaluate("window.harmed") is None
