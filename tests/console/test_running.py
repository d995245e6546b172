"""Running it: health, jobs that go on, keys that are made and revoked, the audit log, events."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import KEY, NO_KEY, lose_the_answer, open_at, sign_in
from tests.console.test_cases import case_of
from tests.console.test_looks import violations
from tests.support.service import Service, wait_until


def test_the_state_of_the_service(signed_in: Page, service: Service) -> None:
    open_at(signed_in, service, "#/running")
    expect(signed_in.get_by_text("Ready", exact=True)).to_be_visible()
    health = service.client.get("/readyz").json()
    expect(signed_in.locator(".state")).to_contain_text(health["model_version"])
    expect(signed_in.locator(".state")).to_contain_text(str(health["index_rows"]))


def test_a_service_that_hangs_is_not_called_ready(signed_in: Page, service: Service) -> None:
    page, held = signed_in, list[Route]()
    page.clock.install()
    open_at(page, service, "#/running")
    ready = page.get_by_text("Ready", exact=True)
    expect(ready).to_be_visible()
    with page.expect_request("**/readyz"):
        page.route("**/readyz", lambda route: held.append(route))  # it is never answered
        page.clock.fast_forward(5_000)
    page.clock.fast_forward(10_000)
    expect(ready).to_be_visible()  # it may be slow
    page.clock.fast_forward(5_000)
    assert len(held) == 1  # an answer is waited for
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    expect(ready).to_have_count(0)
    page.unroute("**/readyz")
    page.get_by_role("button", name="Try again").click()
    expect(ready).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_model_shows_its_card_and_its_plots(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/running?tab=model")
    card = service.client.get("/v1/model").json()
    expect(page.locator(".state")).to_contain_text(card["model_version"])
    plot = page.get_by_role("figure", name="Precision of similar streamers, by score")
    expect(plot.locator("polyline")).to_have_count(2)
    plot.get_by_text("As a table").click()
    cells = plot.locator("tbody tr")
    knots = card["calibration"]["embedding"]["curves"][0]["knots"]
    expect(cells).to_have_count(2 * len(knots))
    expect(cells.first).to_contain_text(f"{knots[0]['score']:.2f}")
    robust = page.get_by_role("table", name="Highest precision promised, by what is shown")
    expect(robust.locator("tbody tr")).to_have_count(
        len(card["calibration"]["embedding"]["curves"])
    )
    assert violations(page) == []
    open_at(page, service, "#/running")
    expect(page.get_by_role("figure", name="Lag of the index")).to_be_visible()


def test_the_index_is_rebuilt_by_a_job(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/running")
    page.get_by_role("button", name="Rebuild the index").click()
    dialog = page.get_by_role("dialog")
    lose_the_answer(page, "**/v1/index:rebuild")
    dialog.get_by_role("button", name="Rebuild the index").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name="Rebuild the index").click()
    rows = page.locator("tbody tr", has_text="index")
    expect(rows.first).to_contain_text("succeeded")
    expect(rows).to_have_count(1)


def test_a_job_is_followed_to_its_end(signed_in: Page, service: Service) -> None:
    page, jobs = signed_in, "**/v1/jobs?*"
    page.provoked.append("ERR_")  # pyright: ignore[reportAttributeAccessIssue]
    page.clock.install()
    job_id = service.client.post("/v1/jobs/exports", json={}).raise_for_status().json()["job_id"]

    told = "running"

    def tell(route: Route) -> None:
        if told == "nothing":
            route.abort()
            return
        body = route.fetch().body()
        if told == "running":
            body = body.replace(b'"succeeded"', b'"running"')
        route.fulfill(body=body, content_type="application/json")

    page.route(jobs, tell)
    open_at(page, service, "#/running?tab=jobs")
    cancel = page.get_by_role("button", name=f"Cancel {job_id}")
    cancel.focus()
    told = "nothing"
    page.clock.fast_forward(2_000)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service does not answer")
    expect(cancel).to_be_focused()
    told = "all"
    page.clock.fast_forward(2_000)
    expect(alert).to_have_count(0)
    wait_until(
        lambda: service.client.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded",
        "the job is over",
    )
    page.clock.fast_forward(2_000)
    expect(page.locator("tbody tr", has_text=job_id).locator(".job")).to_have_text("succeeded")
    none = '{"jobs": [], "next_cursor": null}'
    page.route(jobs, lambda route: route.fulfill(body=none, content_type="application/json"))
    page.evaluate("location.hash = '#/running?tab=jobs&cursor=last'")
    expect(page.get_by_text("No jobs")).to_be_visible()
    expect(page.get_by_role("link", name="From the beginning")).to_be_visible()


def test_a_key_is_made_used_and_revoked_while_it_is_open(page: Page, service: Service) -> None:
    page.provoked += ["401", "403"]  # pyright: ignore[reportAttributeAccessIssue]
    sign_in(page, service, "#/running?tab=keys")
    page.get_by_label("Name").fill("desk 7")
    page.get_by_label("Role").select_option("operations")
    page.get_by_role("button", name="New key").click()
    made = page.locator(".secret").inner_text()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("status")).to_have_text("Copied")
    page.get_by_role("button", name="Close").click()
    rotate = page.locator("tbody tr", has_text=made.split("_")[1]).get_by_role("button").first
    expect(rotate).to_have_accessible_name(f"Rotate desk 7 {made.split('_')[1]}")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").fill(made)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This key may not do that")
    page.get_by_role("link", name="Find").click()
    page.get_by_label("Like these", exact=True).fill("cooking-01")
    page.keyboard.press("Enter")
    page.get_by_label("How many").select_option("10")
    expect(page.locator(".results tbody tr:not(.end)")).to_have_count(10)
    expect(page.locator(".facet").first).to_be_visible()  # nothing is asked any more
    key_id = made.split("_")[1]
    service.client.delete(f"/v1/keys/{key_id}").raise_for_status()
    page.get_by_label("How many").select_option("20")
    expect(page.get_by_role("alert")).to_contain_text("no longer takes this key")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".results tbody tr:not(.end)")).to_have_count(20)  # where it was
    assert made not in page.url
    assert KEY not in page.url


def test_what_was_typed_outlasts_the_text_of_a_key(page: Page, service: Service) -> None:
    page.provoked.append("401")  # pyright: ignore[reportAttributeAccessIssue]
    body = {"name": "ends", "role": "operations"}
    made = service.client.post("/v1/keys", json=body).raise_for_status().json()
    sign_in(page, service, "#/find?like=cooking-01&k=10", made["key"])
    page.get_by_role("button", name="Save as a list").click()
    field = page.get_by_label("Name of the list")
    field.fill("typed")
    path = f"/v1/keys/{made['key_id']}"
    rotated = service.client.post(f"{path}:rotate", json={"grace_s": 0}).raise_for_status().json()
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("no longer takes this key")
    expect(field).to_be_hidden()
    entry = page.get_by_label("API key")
    expect(entry).to_be_focused()
    checks, closed = list[Route](), page.locator("main > [hidden]")
    page.route("**/v1/model", lambda route: checks.append(route))
    for text in ("any-text", rotated["key"]):
        entry.fill(text)
        with page.expect_request("**/v1/model"):
            page.keyboard.press("Enter")
        expect(closed).to_have_count(1)  # as long as nobody knows whether it is a key
        checks.pop().continue_()
        if text == "any-text":
            expect(page.get_by_role("button", name="Sign in")).to_have_attribute(
                "aria-disabled", "false"
            )
            expect(closed).to_have_count(1)
    page.unroute("**/v1/model")
    expect(field).to_be_visible()
    expect(field).to_have_value("typed")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Save as a list")).to_be_focused()
    page.keyboard.press("Enter")
    field.fill("typed-again")
    service.client.delete(path).raise_for_status()
    page.keyboard.press("Enter")
    expect(alert).to_contain_text("no longer takes this key")
    asked = list[Route]()
    page.route("**/v1/lists:preview", lambda route: asked.append(route))
    with page.expect_request("**/v1/lists:preview"):
        entry.fill(KEY)
        page.keyboard.press("Enter")
    expect(entry).to_have_count(0)
    expect(field).to_have_count(0)
    expect(page.locator(".results tbody tr")).to_have_count(0)  # another read that
    asked.pop().continue_()
    expect(page.locator(".results tbody tr:not(.end)")).to_have_count(10)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.locator(".results")).to_have_count(0)


def test_a_lost_answer_ends_no_text_that_is_in_use(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("409")  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, "#/running?tab=keys")
    page.get_by_label("Name").fill("lost")
    lose_the_answer(page, "**/v1/keys")
    page.get_by_role("button", name="New key").click()
    lost = page.locator("tbody tr", has_text="lost")
    expect(lost).to_have_count(1)
    alert, dialog = page.get_by_role("alert"), page.get_by_role("dialog")
    expect(alert).to_be_visible()
    page.get_by_role("button", name="New key").click()
    expect(alert).to_contain_text("was shown then")
    expect(lost).to_have_count(1)
    lost.get_by_role("button", name="Rotate").click()
    key = page.locator(".secret").inner_text()
    page.get_by_role("button", name="Close").click()
    path = f"/v1/keys/{key.split('_')[1]}"
    rotated = service.client.post(f"{path}:rotate", json={"grace_s": 0}).raise_for_status().json()
    page.reload()  # without the text before
    lose_the_answer(page, "**/v1/keys/*:rotate")
    lost.get_by_role("button", name="Rotate").click()
    expect(alert).to_be_visible()
    lost.get_by_role("button", name="Rotate").click()
    expect(dialog).to_contain_text("Rotate again, and that is refused at once")
    headers = {"Authorization": f"Bearer {rotated['key']}"}
    assert service.client.get("/v1/streamers/cooking-01", headers=headers).is_success
    dialog.get_by_role("button", name="Rotate").click()
    expect(dialog).to_contain_text("one more day")
    page.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    service.client.delete(path).raise_for_status()


def test_a_key_gets_scopes_of_its_own(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/running?tab=keys")
    page.get_by_label("Name").fill("two scopes")
    page.get_by_label("Role").select_option("scopes of its own")
    expect(page.get_by_role("button", name="New key")).to_be_disabled()
    page.get_by_label("search", exact=True).check()
    page.get_by_label("explain", exact=True).check()
    page.get_by_label("Expires").fill("2090-01-15")
    assert violations(page) == []
    page.get_by_role("button", name="New key").click()
    key_id = page.locator(".secret").inner_text().split("_")[1]
    keys = {key["key_id"]: key for key in service.client.get("/v1/keys").json()["keys"]}
    assert sorted(keys[key_id]["scopes"]) == ["explain", "search"]
    # Its end, by the clock of the browser, may be on another day of UTC.
    assert keys[key_id]["expires_at"].startswith("2090-01-1")
    service.client.delete(f"/v1/keys/{key_id}").raise_for_status()


def test_without_a_key_it_asks_for_one(page: Page, service: Service) -> None:
    page.provoked.append(NO_KEY)  # pyright: ignore[reportAttributeAccessIssue]
    page.goto(f"{service.url}/console/#/find?like=cooking-01")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no longer takes this key")


def test_what_was_asked_and_what_happened(signed_in: Page, service: Service) -> None:
    service.put("audited-1", name="Audited")
    service.client.delete("/v1/streamers/audited-1").raise_for_status()
    open_at(signed_in, service, "#/running?tab=audit")
    about = signed_in.locator("tbody tr", has_text="audited-1").locator("th")
    expect(about).to_have_text(  # the newest first
        ["DELETE /v1/streamers/{streamer_id}", "PUT /v1/streamers/{streamer_id}"]
    )
    zone = signed_in.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    expect(signed_in.get_by_role("columnheader", name="When")).to_contain_text(zone)
    signed_in.get_by_role("link", name="Events").click()
    expect(signed_in.get_by_role("heading", name="Events")).to_be_visible()


def test_it_says_when_the_service_does_not_answer(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("ERR_")  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, "#/find?like=cooking-01")
    expect(page.locator(".results")).to_be_visible()
    page.route("**/v1/**", lambda route: route.abort())
    page.get_by_label("How many").select_option("20")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".results tbody tr:not(.end)")).to_have_count(20)


def test_it_offers_to_reload_what_a_new_version_replaced(signed_in: Page, service: Service) -> None:
    page, parts = signed_in, "**/console/assets/*.js"
    page.provoked.append("404")  # pyright: ignore[reportAttributeAccessIssue]
    open_at(page, service, "#/find")
    expect(page.get_by_label("Like these", exact=True)).to_be_visible()
    page.route(parts, lambda route: route.fulfill(status=404))
    page.get_by_role("link", name="Lists").click()
    expect(page.get_by_role("alert")).to_contain_text("This page could not be loaded")
    page.get_by_role("link", name="Find").click()
    expect(page.get_by_label("Like these", exact=True)).to_be_visible()
    page.get_by_role("link", name="Lists").click()
    page.unroute(parts)
    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_text("Choose a list")).to_be_visible()
    page.route("**/assets/graph*.js", lambda route: route.fulfill(status=404))
    case = case_of(service, "without its graph", "copy-0")
    page.evaluate(f"location.hash = '#/cases?case={case}'")
    expect(page.get_by_role("alert")).to_contain_text("This page could not be loaded")
    expect(page.locator(".members tbody tr").first).to_be_visible()
    service.client.delete(f"/v1/cases/{case}", headers={"If-Match": "*"}).raise_for_status()


def test_a_profile_is_read_anew(signed_in: Page, service: Service) -> None:
    page, path = signed_in, "/v1/streamers/renamed-1"
    page.provoked.append("ERR_")  # pyright: ignore[reportAttributeAccessIssue]
    page.clock.install()
    service.put("renamed-1", name="Before", tags=["cooking"])
    panel = page.get_by_role("complementary")

    def look() -> None:
        page.evaluate("location.hash = '#/find?like=cooking-01'")
        expect(panel).to_have_count(0)
        page.evaluate("location.hash = '#/find?like=cooking-01&open=renamed-1'")

    page.route(f"**{path}", lambda route: route.abort())
    open_at(page, service, "#/find?like=cooking-01")
    expect(page.locator(".results")).to_be_visible()
    look()
    expect(panel.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute(f"**{path}")
    page.clock.fast_forward(6_000)
    look()
    expect(panel.get_by_role("heading", name="Before")).to_be_visible()
    service.put("renamed-1", name="After", tags=["cooking"])
    page.clock.fast_forward(61_000)
    look()
    expect(panel.get_by_role("heading", name="After")).to_be_visible()
    service.client.delete(path).raise_for_status()


@pytest.mark.parametrize("body", ["null", "<!doctype html><title>A proxy</title>"])
def test_it_does_not_call_an_answer_none(signed_in: Page, service: Service, body: str) -> None:
    page = signed_in
    page.route("**/v1/lists:preview", lambda route: route.fulfill(status=200, body=body))
    open_at(page, service, "#/find?like=cooking-01")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The answer could not be shown")
    expect(alert).to_contain_text("Error")  # what is wrong with it
    expect(alert).not_to_contain_text("does not answer")
    page.unroute("**/v1/lists:preview")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".results tbody tr:not(.end)").first).to_be_visible()
