"""What is pressed twice is done once: double clicks, keys held down, clicks while it is done."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Request, Route, expect

from tests.support.bundles import TOPICS
from tests.console.conftest import open_at, serving
from tests.console.desks import click_again
from tests.console.test_alerts import RING
from tests.console.test_cases import case_of
from tests.console.test_duplicates import group_of_copies, judgements
from tests.console.test_find import rows
from tests.service.features.spaces.hand_overs import NPZ, hand_over_of
from tests.support.service import Service, wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has no alerts of other tests."""
    yield from serving(tmp_path_factory.mktemp("once"))


def sent(page: Page, path: str, method: str = "POST") -> list[Request]:
    """Requests that the page makes from now on."""
    found: list[Request] = []

    def note(request: Request) -> None:
        if request.method == method and path in request.url:
            found.append(request)

    page.on("request", note)
    return found


def answered(page: Page, path: str) -> int:
    """How many requests were, as the browser itself counts them: a test that turns interception
    on and off was once told of one of two."""
    found = "performance.getEntriesByType('resource').filter((one) => one.name.includes(path))"
    return page.evaluate(f"(path) => {found}.length", path)


def look_at_jobs(page: Page, service: Service) -> None:
    """Leave for a page whose question is sent behind all others."""
    with page.expect_response("**/v1/jobs?*"):
        open_at(page, service, "#/running?tab=jobs")


def let_go(page: Page, waiting: list[Route]) -> None:
    """Let the question through that is held."""
    wait_until(lambda: bool(page.evaluate("true") and waiting), "the question is on its way")
    waiting[0].continue_()


@pytest.fixture
def held(service: Service) -> Iterator[tuple[str, str]]:
    """A key that somebody uses: its id and its text."""
    made = service.client.post("/v1/keys", json={"name": "in use", "role": "operations"}).json()
    yield made["key_id"], made["key"]
    service.client.delete(f"/v1/keys/{made['key_id']}")


def is_taken(service: Service, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    return service.client.get("/v1/streamers/cooking-01", headers=headers).status_code == 200


def test_a_double_click_rotates_a_key_once(
    signed_in: Page, service: Service, held: tuple[str, str]
) -> None:
    page, (key_id, key) = signed_in, held
    rotations = sent(page, ":rotate")
    open_at(page, service, "#/running?tab=keys")
    row = page.locator("tbody tr", has_text=key_id)
    row.get_by_role("button", name="Rotate").dblclick()
    expect(page.get_by_role("dialog")).to_contain_text("one more day")
    assert len(rotations) == 1
    assert is_taken(service, key)
    assert is_taken(service, page.locator(".secret").inner_text())


def test_nothing_else_is_done_while_a_key_is_rotated(
    signed_in: Page, service: Service, held: tuple[str, str]
) -> None:
    page, (key_id, key) = signed_in, held
    waiting: list[Route] = []
    page.route("**/v1/keys/*:rotate", lambda route: waiting.append(route))
    open_at(page, service, "#/running?tab=keys")
    row = page.locator("tbody tr", has_text=key_id)
    button = row.get_by_role("button", name="Rotate")
    button.click()
    expect(button).to_be_disabled()
    expect(row.get_by_role("button", name="Revoke")).to_be_disabled()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    let_go(page, waiting)
    expect(page.get_by_role("dialog")).to_contain_text("one more day")
    assert len(waiting) == 1
    page.keyboard.press("Escape")
    expect(button).to_be_enabled()
    expect(button).to_be_focused()
    assert is_taken(service, key)
    ends: list[Route] = []
    page.route(f"**/v1/keys/{key_id}", lambda route: ends.append(route))
    row.get_by_role("button", name="Revoke").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Revoke")
    sure.click()
    expect(sure).to_be_disabled()
    expect(sure).to_be_focused()
    page.keyboard.press("Enter")
    let_go(page, ends)
    expect(row).to_have_count(0)
    assert len(ends) == 1


def test_enter_that_is_held_down_rotates_once(
    signed_in: Page, service: Service, held: tuple[str, str]
) -> None:
    page, (key_id, key) = signed_in, held
    rotations = sent(page, ":rotate")
    open_at(page, service, "#/running?tab=keys")
    button = page.locator("tbody tr", has_text=key_id).get_by_role("button", name="Rotate")
    button.focus()
    page.keyboard.down("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(button).to_be_focused()
    page.keyboard.down("Enter")  # it was not let go: that repeats it
    page.keyboard.up("Enter")
    look_at_jobs(page, service)
    assert len(rotations) == 1
    assert is_taken(service, key)


def test_a_double_click_asks_whether_one_is_sure(
    signed_in: Page, service: Service, held: tuple[str, str]
) -> None:
    page, (key_id, key) = signed_in, held
    ends = sent(page, "/v1/keys/", "DELETE")
    open_at(page, service, "#/running?tab=keys")
    page.locator("tbody tr", has_text=key_id).get_by_role("button", name="Revoke").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Revoke")
    click_again(page, sure)  # the dialog may come up where the pointer is
    expect(sure).to_be_visible()
    look_at_jobs(page, service)
    assert not ends
    assert is_taken(service, key)


def test_a_case_is_decided_on_as_it_is_shown(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "as it is shown", "copy-0")
    open_at(page, service, f"#/cases?case={case_id}")
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(3)
    waiting: list[Route] = []
    shown = re.compile(rf"/v1/cases/{case_id}\?")
    page.route(shown, lambda route: waiting.append(route))
    page.keyboard.press("y")
    wait_until(lambda: bool(page.evaluate("true") and waiting), "it is asked for anew")
    expect(page.get_by_role("button", name="Cleared")).to_be_disabled()
    page.keyboard.press("n")  # of a revision that is no more: it would be refused
    let_go(page, waiting)
    expect(members.first).to_contain_text("Confirmed")
    page.unroute(shown)
    page.keyboard.press("n")
    expect(members.nth(1)).to_contain_text("Cleared")
    assert answered(page, f"/v1/cases/{case_id}/members/") == 2


def cancelled(service: Service) -> str:
    """A job that was cancelled before its end."""
    found = ""

    def is_cancelled() -> bool:
        nonlocal found
        # One at a time is done: the last one has not begun, or only just.
        made = [service.client.post("/v1/jobs/exports", json={}).json() for _ in range(4)]
        found = made[-1]["job_id"]
        service.client.post(f"/v1/jobs/{found}:cancel")
        job: dict[str, Any] = {}

        def is_over() -> bool:
            job.update(service.client.get(f"/v1/jobs/{found}").json())
            return job["state"] not in ("queued", "running")

        wait_until(is_over, "the job is over")
        return job["state"] == "cancelled"

    wait_until(is_cancelled, "a job is cancelled before its end")
    return found


def test_the_second_click_is_not_for_the_button_that_comes_next(
    signed_in: Page, service: Service
) -> None:
    page = signed_in
    job_id = cancelled(service)
    waiting: list[Route] = []
    page.route("**/v1/jobs/*:retry", lambda route: waiting.append(route))
    retries = sent(page, f"{job_id}:retry")
    open_at(page, service, "#/running?tab=jobs")
    button = page.locator("tbody tr", has_text=job_id).get_by_role("button")
    expect(button).to_have_accessible_name(f"Run again {job_id}")
    button.dblclick()
    expect(button).to_be_disabled()
    let_go(page, waiting)
    row = page.locator("tbody tr", has_text=job_id)
    expect(row).to_contain_text("succeeded")
    assert len(retries) == 1


def test_a_generation_is_promoted_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    ids = [f"{topic}-{i:02}" for topic in TOPICS for i in range(15)]
    made = hand_over_of(cast(TestClient, service.client), ids)
    for name, handed in (("monday", made), ("tuesday", made.turned(3))):
        path = f"/v1/spaces/nightly/generations/{name}"
        query, headers = {"promote": name == "monday"}, {"Content-Type": NPZ}
        answer = service.client.put(path, params=query, headers=headers, content=handed.npz())
        assert answer.is_success, answer.text
    changes = sent(page, "/v1/spaces/nightly")
    open_at(page, service, "#/newcomer?tab=spaces")
    space = page.get_by_role("region", name="nightly")
    dialog = page.get_by_role("dialog")
    space.get_by_role("button", name="Promote").dblclick()
    sure = dialog.get_by_role("button", name="Promote")
    click_again(page, sure)  # the dialog may come up where the pointer is
    expect(sure).to_be_enabled()
    sure.dblclick()
    expect(space).to_contain_text("This replica serves tuesday")
    back = space.get_by_role("button", name="Roll back to monday")
    expect(back).to_be_enabled()
    back.focus()
    page.keyboard.down("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.down("Enter")  # it was not let go: that repeats it
    page.keyboard.up("Enter")
    dialog.get_by_role("button", name="Roll back to monday").dblclick()
    expect(space).to_contain_text("This replica serves monday")
    expect(space.get_by_role("button", name="Promote")).to_be_enabled()
    look_at_jobs(page, service)
    assert [request.url.rpartition(":")[2] for request in changes] == ["promote", "rollback"]
    assert service.client.get("/v1/spaces/nightly").json()["serving"] == "monday"


def test_a_list_is_run_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    question = {"positive": [{"streamer_id": "cooking-01"}], "k": 20}
    body = {"title": "once", "question": question}
    service.client.put("/v1/lists/once", json=body).raise_for_status()
    runs = sent(page, "/v1/lists/once:run")
    open_at(page, service, "#/lists?list=once")
    button = page.get_by_role("button", name="Run r")
    button.click()
    expect(rows(page)).to_have_count(20)
    expect(button).to_be_enabled()
    click_again(page, button)
    look_at_jobs(page, service)
    assert len(runs) == 1
    assert len(service.client.get("/v1/lists/once").json()["runs"]) == 1


def test_a_pair_is_judged_by_a_double_click(signed_in: Page, service: Service) -> None:
    page = signed_in
    group = group_of_copies(service)
    judged = sent(page, "/v1/judgements", "PUT")
    open_at(page, service, f"#/duplicates?group={group}")
    expect(page.get_by_text("Pair 1 of")).to_be_visible()
    button = page.get_by_role("button", name="Unsure")
    button.click()
    expect(page.get_by_role("status").filter(has_text=": Unsure")).to_be_visible()
    expect(button).to_be_enabled()
    click_again(page, button)
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("Taken back")).to_be_visible()
    assert len(judged) == 1
    assert judgements(service) == {}


@pytest.fixture
def two_alerts(service: Service) -> Iterator[str]:
    """A list with two that are open: its id."""
    for name in ("amber-0", "amber-1", "amber-2"):
        service.client.put(f"/v1/streamers/{name}", json=RING).raise_for_status()
    body = {
        "name": "amber",
        "mode": "on",
        "min_probability": 0.9,
        "positive": [{"streamer_id": "amber-0"}],
    }
    list_id = service.client.post("/v1/watchlists", json=body).json()["watchlist_id"]
    wait_until(lambda: still_open(service, list_id) == 2, "the list matches both")
    yield list_id
    path = f"/v1/watchlists/{list_id}"
    tag = {"If-Match": f'"{service.client.get(path).json()["revision"]}"'}
    service.client.delete(path, headers=tag).raise_for_status()


def still_open(service: Service, list_id: str) -> int:
    """How many alerts of a list are."""
    query = {"state": "open", "watchlist_id": list_id}
    return len(service.client.get("/v1/alerts", params=query).json()["alerts"])


def settle(page: Page) -> None:
    """Wait until a question is answered that is sent behind all others."""
    with page.expect_response("**/v1/alerts?*"):
        page.get_by_role("button", name="Look again").click()


def test_one_alert_is_decided_by_a_double_click(
    signed_in: Page, service: Service, two_alerts: str
) -> None:
    page = signed_in
    decisions = sent(page, "/v1/alerts/", "PUT")
    open_at(page, service, f"#/alerts?list={two_alerts}")
    expect(page.locator(".alert")).to_have_count(2)
    button = page.get_by_role("button", name="Dismiss").first
    button.click()
    expect(page.locator(".alert")).to_have_count(1)
    click_again(page, button)  # the other alert is there by now
    settle(page)
    assert len(decisions) == 1
    assert still_open(service, two_alerts) == 1


def test_one_alert_is_decided_by_a_key_that_is_held_down(
    signed_in: Page, service: Service, two_alerts: str
) -> None:
    page = signed_in
    decisions = sent(page, "/v1/alerts/", "PUT")
    open_at(page, service, f"#/alerts?list={two_alerts}")
    expect(page.locator(".alert")).to_have_count(2)
    page.keyboard.down("n")
    expect(page.locator(".alert")).to_have_count(1)
    page.keyboard.down("n")
    page.keyboard.up("n")
    settle(page)
    assert len(decisions) == 1
    assert still_open(service, two_alerts) == 1


def test_a_key_decides_on_nobody_who_took_the_place_of_another(
    signed_in: Page, service: Service, two_alerts: str
) -> None:
    page, decisions = signed_in, sent(signed_in, "/v1/alerts/", "PUT")
    open_at(page, service, f"#/alerts?list={two_alerts}")
    expect(page.locator(".alert")).to_have_count(2)
    chosen = page.locator(".alert.current .id").inner_text()
    query = {"state": "open", "watchlist_id": two_alerts}
    found: Any = service.client.get("/v1/alerts", params=query).json()["alerts"]
    (taken,) = (one["alert_id"] for one in found if one["streamer_id"] == chosen)
    body = {"state": "dismissed"}
    service.client.put(f"/v1/alerts/{taken}", json=body).raise_for_status()  # somebody else
    page.get_by_role("button", name="Look again").click()
    expect(page.locator(".alert")).to_have_count(1)
    page.keyboard.press("n")
    settle(page)
    assert not decisions
    assert still_open(service, two_alerts) == 1
    page.keyboard.press("j")
    page.keyboard.press("n")
    expect(page.locator(".alert")).to_have_count(0)
    assert len(decisions) == 1
    body = {"state": "open"}
    service.client.put(f"/v1/alerts/{taken}", json=body).raise_for_status()
    settle(page)
    expect(page.locator(".alert.current .id")).to_have_text(chosen)
    page.keyboard.press("n")
    expect(page.locator(".alert")).to_have_count(0)
    assert len(decisions) == 2


def test_a_watchlist_is_turned_by_a_double_click(
    signed_in: Page, service: Service, two_alerts: str
) -> None:
    page = signed_in
    open_at(page, service, f"#/alerts?list={two_alerts}")
    changes = sent(page, "/v1/watchlists/", "PATCH")
    page.get_by_role("button", name="To shadow").click()
    back = page.get_by_role("button", name="Turn on")
    expect(back).to_be_visible()
    click_again(page, back)
    settle(page)
    assert len(changes) == 1
    found = service.client.get(f"/v1/watchlists/{two_alerts}").json()
    assert found["mode"] == "shadow"
