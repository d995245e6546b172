"""Lists: from Find to a saved list, run again with who is new; a file, and a record of outreach."""

from playwright.sync_api import Page, Route, expect

from tests.console.conftest import KEY, lose_the_answer, open_at
from tests.console.test_find import rows
from tests.console.test_looks import violations
from tests.support.service import Service

NAME = "spring-campaign"


def test_a_list_is_saved_run_and_written_to(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=cooking-01&k=20")
    page.get_by_role("button", name="Save as a list").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the list").fill(NAME)
    dialog.get_by_label("Title, for people").fill("<b>Spring</b> 春")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="<b>Spring</b> 春")).to_be_visible()
    assert service.client.get(f"/v1/lists/{NAME}").json()["question"]["k"] == 20
    expect(page.get_by_text("files have a new preview, of which nothing is kept")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download CSV").click()
    assert downloading.value.suggested_filename == f"{NAME}.csv"
    assert service.client.get(f"/v1/lists/{NAME}").json()["runs"] == []
    lose_the_answer(page, f"**/v1/lists/{NAME}:run")
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_be_visible()
    page.keyboard.press("r")  # the run that was lost, not one more
    expect(rows(page)).to_have_count(20)
    expect(page.get_by_text("Files have run 1, as it is shown here")).to_be_visible()
    expect(rows(page).first).to_contain_text("Shared tags: cooking")
    expect(rows(page).first).not_to_contain_text("new")  # nothing to compare with
    held = [row.inner_text() for row in page.locator(".results .id").all()]
    assert service.client.get(f"/v1/lists/{NAME}/runs/1").json()["ids"] == held
    rows(page).first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="<b>Spring</b> 春")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", name="<b>Spring</b> 春")).to_be_visible()
    assert [row.inner_text() for row in page.locator(".results .id").all()] == held
    assert len(service.client.get(f"/v1/lists/{NAME}").json()["runs"]) == 1
    page.get_by_role("button", name="Record outreach").click()
    page.get_by_label("Note").fill("first mail")
    assert violations(page) == []
    lose_the_answer(page, "**/v1/outreach")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text("Recorded: 20 were written to")).to_be_visible()
    recorded = service.client.get("/v1/outreach").json()["outreach"]
    assert [(one["ids"], one["note"]) for one in recorded] == [(held, "first mail")]
    first = held[0]
    service.client.put(f"/v1/lists/{NAME}", json=without(service, first)).raise_for_status()
    open_at(page, service, f"#/lists?list={NAME}")
    page.get_by_role("button", name="Run r").click()
    expect(page.get_by_text("1 new since run 1")).to_be_visible()
    page.get_by_label("new ones only").check()
    expect(rows(page)).to_have_count(1)
    shown = page.locator(".results .id").inner_text()
    service.client.post(f"/v1/lists/{NAME}:run", json={}).raise_for_status()  # somebody else's
    for form in ("XLSX", "CSV"):
        with page.expect_download() as downloading:
            page.get_by_role("button", name=f"Download {form}").click()
        assert downloading.value.suggested_filename == f"{NAME}-run-2-new.{form.lower()}"
        content = downloading.value.path().read_bytes()
        if form == "XLSX":
            assert content.startswith(b"PK")
            continue
        (line,) = content.decode("utf-8-sig").splitlines()[1:]
        assert line.split(",")[1] == shown
    assert len(service.client.get(f"/v1/lists/{NAME}").json()["runs"]) == 3
    page.reload()
    page.get_by_role("rowheader", name="2", exact=True).get_by_role("link").click()
    expect(rows(page)).to_have_count(20)
    expect(page.get_by_text("1 new since run 1")).to_be_visible()
    expect(page.get_by_text("Files have run 2, as it is shown here")).to_be_visible()
    assert page.url.endswith("run=2")
    page.get_by_label("new ones only").check()
    page.get_by_role("rowheader", name="1", exact=True).get_by_role("link").click()
    expect(rows(page)).to_have_count(20)  # nothing to compare with
    assert violations(page) == []
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No list is saved")).to_be_visible()
    for one in recorded:
        service.client.delete(f"/v1/outreach/{one['outreach_id']}").raise_for_status()


def test_outreach_to_those_who_are_still_stored_is_recorded(
    signed_in: Page, service: Service
) -> None:
    page = signed_in
    twin = service.client.get("/v1/streamers/cooking-01").json()["profile"]
    last = service.put(**twin | {"streamer_id": "leaving"})
    question = {"positive": [{"streamer_id": "cooking-01"}], "k": 3, "after_sequence": last}
    service.client.put("/v1/lists/left", json={"question": question}).raise_for_status()
    ids = [row["streamer_id"] for row in service.client.post("/v1/lists/left:run").json()["rows"]]
    assert "leaving" in ids
    service.client.delete("/v1/streamers/leaving").raise_for_status()
    open_at(page, service, "#/lists?list=left&run=1")
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Record outreach").click()
    record = page.get_by_role("button", name="Record", exact=True)
    page.provoked.append("404")  # pyright: ignore[reportAttributeAccessIssue]
    record.click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("leaving")
    record.click()
    expect(page.get_by_text("Recorded: 2 were written to")).to_be_visible()
    (recorded,) = service.client.get("/v1/outreach").json()["outreach"]
    assert recorded["ids"] == [name for name in ids if name != "leaving"]
    service.client.delete(f"/v1/outreach/{recorded['outreach_id']}").raise_for_status()
    service.client.delete("/v1/lists/left").raise_for_status()


def test_a_list_that_may_lack_some_says_so(signed_in: Page, service: Service) -> None:
    page = signed_in
    question = {"positive": [{"streamer_id": "cooking-01"}], "k": 3}
    service.client.put("/v1/lists/behind", json={"question": question}).raise_for_status()

    def behind(route: Route) -> None:
        answer = route.fetch()
        told = {"complete": False, "incomplete_because": "the index is behind"}
        route.fulfill(response=answer, json=answer.json() | told)

    run = "**/v1/lists/behind:run*"
    page.route(run, behind)
    open_at(page, service, "#/lists?list=behind")
    page.get_by_role("button", name="Run r").click()
    missing = page.get_by_text("Some may be missing: the index is behind")
    expect(missing).to_be_visible()
    question["k"] = 2  # somebody else saves over it
    service.client.put("/v1/lists/behind", json={"question": question}).raise_for_status()
    page.evaluate("location.hash = '#/running'")
    expect(missing).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", name="behind")).to_be_visible()
    expect(rows(page)).to_have_count(0)
    held = list[Route]()
    page.unroute(run)
    page.route(run, lambda route: held.append(route))
    with page.expect_request(run):
        page.keyboard.press("r")
    page.get_by_role("button", name="Sign out").click()
    with page.expect_response(run):
        held.pop().continue_()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="behind")).to_be_visible()
    expect(rows(page)).to_have_count(0)  # they were for who left
    service.client.delete("/v1/lists/behind").raise_for_status()


def test_a_list_above_a_thousand_is_made_by_a_job(signed_in: Page, service: Service) -> None:
    page = signed_in
    open_at(page, service, "#/find?like=music-01&k=20")
    page.get_by_role("button", name="Save as a list").click()
    page.get_by_label("Name of the list").fill("everybody")
    page.get_by_label("How many, up to 10,000").fill("1500")
    page.keyboard.press("Enter")
    expect(page.get_by_text("up to 1,500 streamers")).to_be_visible()
    lose_the_answer(page, "**/v1/lists/everybody:run")
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_be_visible()
    lose_the_answer(page, "**/v1/jobs/*/result")
    page.keyboard.press("r")
    expect(page.get_by_role("rowheader", name="1", exact=True)).to_be_visible()  # it is kept
    page.get_by_role("alert").get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The list is made", exact=True)).to_be_visible()
    (run,) = service.client.get("/v1/lists/everybody").json()["runs"]
    expect(rows(page)).to_have_count(run["rows"])
    expect(rows(page).first).to_contain_text("music-")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download XLSX").click()
    assert downloading.value.path().read_bytes().startswith(b"PK")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download CSV").click()
    lines = downloading.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 + run["rows"]
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No list is saved")).to_be_visible()


def without(service: Service, streamer_id: str) -> dict[str, object]:
    """The list as it is saved, but nobody who is named."""
    saved = service.client.get(f"/v1/lists/{NAME}").json()
    question = {**saved["question"], "exclude": {"ids": [streamer_id]}}
    return {"title": saved["title"], "question": question}
