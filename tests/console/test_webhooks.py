"""Webhooks: made with a secret that verifies, dead letters are sent again, turned off, deleted."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.bundles import write_bundle
from tests.console.conftest import KEY, lose_the_answer
from tests.console.desks import at, click_again
from tests.console.profiles import HARM
from tests.console.test_looks import PHONE, violations
from tests.console.test_once import let_go
from tests.service.features.webhooks.receiver import Receiver, receiving
from tests.support.service import ROOT, Service, wait_until

GIVES_UP_SOON = """\
from service.features.webhooks import retries

retries.DELAYS_S = (0, 0.01)
"""


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Sends webhooks to this machine, and tries each message twice at once."""
    folder = tmp_path_factory.mktemp("hooks")
    write_bundle(folder / "bundle")
    (folder / "sitecustomize.py").write_text(GIVES_UP_SOON)
    variables: dict[str, Any] = {
        "STREAMER_API_KEY": KEY,
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
        "PYTHONPATH": f"{ROOT}:{folder}",
    }
    with Service(folder / "bundle", folder / "data", **variables) as running:
        running.wait_until_ready()
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def only(service: Service) -> dict[str, Any]:
    (found,) = service.client.get("/v1/webhooks").json()["webhooks"]
    return found


def test_dead_letters_are_seen_and_sent_again(
    page: Page, sending: Service, receiver: Receiver
) -> None:
    receiver.answer = lambda received, handler: 500
    at(page, sending, "#/running?tab=webhooks")
    expect(page.get_by_text("No webhooks")).to_be_visible()
    page.get_by_label("URL").fill(receiver.url())
    page.get_by_label("Kinds of events").fill("streamer.*")
    page.get_by_label("Description").fill(HARM.format(field="hook"))
    lose_the_answer(page, "**/v1/webhooks")
    page.get_by_role("button", name="New webhook").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("link", name=receiver.url())).to_be_visible()
    page.get_by_role("button", name="New webhook").click()
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("whsec_")
    assert violations(page) == []
    page.get_by_role("button", name="Close").click()
    sending.put("noodle-bar", bio="kitchen noodles", tags=["cooking"])
    wait_until(lambda: only(sending)["dead"] == 1, "the message is given up")
    page.get_by_role("link", name=receiver.url()).click()
    letters = page.get_by_role("table", name="Messages").locator("tbody tr")
    expect(letters).to_have_count(1)
    expect(letters).to_contain_text("streamer.upserted")
    expect(letters).to_contain_text("500")
    expect(page.get_by_text(HARM.format(field="hook"))).to_be_visible()
    assert violations(page) == []
    before = len(receiver.requests)
    receiver.answer = lambda received, handler: 204
    page.get_by_role("button", name="Send all 1 again").click()
    expect(page.get_by_text("1 are due again")).to_be_visible()
    event = receiver.wait_for(before + 1)[-1].verified(secret)
    assert "noodle-bar" in str(event)
    wait_until(lambda: only(sending)["delivered"] == 1, "the letter has arrived")
    page.get_by_role("link", name="Delivered").click()
    page.get_by_role("button", name="Look again").click()
    expect(letters).to_have_count(1)
    waiting: list[Route] = []
    page.route("**/deliveries?*", lambda route: waiting.append(route), times=1)
    page.get_by_role("link", name="Dead letters").click()
    expect(letters).to_have_count(0)  # those before are no dead letters
    let_go(page, waiting)
    expect(page.get_by_text("No dead letters")).to_be_visible()
    page.get_by_role("button", name="Send a ping").click()
    expect(page.get_by_text("The ping arrived: 204")).to_be_visible()
    page.get_by_role("button", name="New secret").click()
    shown = re.compile(r"/v1/webhooks/[^/:]+$")
    page.route(shown, lambda route: route.fulfill(status=504), times=1)
    page.get_by_role("dialog").get_by_role("button", name="New secret").click()
    alert = page.get_by_role("alert")
    expect(alert).to_be_attached()  # under the dialog
    expect(page.locator(".secret")).to_contain_text("whsec_")
    assert page.locator(".secret").inner_text() != secret
    page.get_by_role("button", name="Close").click()
    alert.get_by_role("button", name="Try again").click()
    expect(alert).to_have_count(0)
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Nothing is sent: it was turned off")).to_be_visible()
    click_again(page, page.get_by_role("button", name="Turn on"))
    page.get_by_role("link", name="Delivered").click()
    with page.expect_response("**/deliveries?*"):  # it is sent behind all other questions
        page.get_by_role("button", name="Look again").click()
    assert not only(sending)["enabled"]
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("button", name="Turn off")).to_be_visible()
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No webhooks")).to_be_visible()
    assert page.evaluate("window.harmed") is None


def test_a_target_that_is_refused_names_the_field(page: Page, sending: Service) -> None:
    page.provoked.append("422")  # pyright: ignore[reportAttributeAccessIssue]
    at(page, sending, "#/running?tab=webhooks")
    page.get_by_label("URL").fill("ftp://example.org/hooks")
    page.get_by_label("Kinds of events").fill("streamer.*")
    page.get_by_role("button", name="New webhook").click()
    expect(page.get_by_role("alert")).to_contain_text("has to be https")
    page.get_by_label("URL").fill("https://example.org/hooks")
    page.get_by_label("Kinds of events").fill("nonsense")
    page.get_by_role("button", name="New webhook").click()
    expect(page.get_by_role("alert")).to_contain_text("no kind of event")
