"""Running it: health, jobs that go on, keys that are made and revoked, the audit log, events."""

from playwright.sync_api import Page, Route, expect

from tests.console.conftest import KEY, NO_KEY, lose_the_answer, open_at, sign_in
from tests.console.test_looks import violations
from tests.support.service import Service, wait_until


def test_the_state_of_the_service(signed_in: Page, service: Service) -> None:
    open_at(signed_in, service, "#/running")
    expect(signed_in.get_by_text("Ready", exact=True)).to_be_visible()
    health = service.api.get("/readyz").json()
    expect(signed_in.locator(".state")).to_contain_text(health["model_version"])
    expect(signed_in.locator(".state")).to_contain_text(str(health["index_rows"]))


def test_the_model_shows_its_card_and_its_plots(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/running?tab=model")
    card = service.api.get("/v1/model").json()
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
    job_id = service.api.post("/v1/jobs/exports", json={}).raise_for_status().json()["job_id"]

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
        lambda: service.api.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded",
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
    service.api.delete(f"/v1/keys/{key_id}").raise_for_status()
    page.get_by_label("How many").select_option("20")
    expect(page.get_by_role("alert")).to_contain_text("no longer takes this key")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".results tbody tr:not(.end)")).to_have_count(20)  # where it was
    assert made not in page.url
    assert KEY not in page.url


def test_without_a_key_it_asks_for_one(page: Page, service: Service) -> None:
    page.provoked.append(NO_KEY)  # pyright: ignore[reportAttributeAccessIssue]
    page.goto(f"{service.url}/console/#/find?like=cooking-01")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no longer takes this key")


def test_what_was_asked_and_what_happened(signed_in: Page, service: Service) -> None:
    service.api.put_streamer("audited-1", name="Audited")
    service.api.delete("/v1/streamers/audited-1").raise_for_status()
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
