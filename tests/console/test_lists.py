"""Lists: from Find to a saved list, run again with who is new; a file, and a record of outreach."""

from playwright.sync_api import Page, expect

from tests.console.conftest import lose_the_answer, open_at
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
    assert service.api.get(f"/v1/lists/{NAME}").json()["question"]["k"] == 20
    expect(page.get_by_text("files have a new preview, of which nothing is kept")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download CSV").click()
    assert downloading.value.suggested_filename == f"{NAME}.csv"
    assert service.api.get(f"/v1/lists/{NAME}").json()["runs"] == []
    lose_the_answer(page, f"**/v1/lists/{NAME}:run")
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_be_visible()
    page.keyboard.press("r")  # the run that was lost, not one more
    expect(rows(page)).to_have_count(20)
    expect(page.get_by_text("Files have run 1, as it is shown here")).to_be_visible()
    expect(rows(page).first).to_contain_text("Shared tags: cooking")
    expect(rows(page).first).not_to_contain_text("new")  # nothing to compare with
    held = [row.inner_text() for row in page.locator(".results .id").all()]
    assert service.api.get(f"/v1/lists/{NAME}/runs/1").json()["ids"] == held
    rows(page).first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="<b>Spring</b> 春")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", name="<b>Spring</b> 春")).to_be_visible()
    assert [row.inner_text() for row in page.locator(".results .id").all()] == held
    assert len(service.api.get(f"/v1/lists/{NAME}").json()["runs"]) == 1
    page.get_by_role("button", name="Record outreach").click()
    page.get_by_label("Note").fill("first mail")
    assert violations(page) == []
    lose_the_answer(page, "**/v1/outreach")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text("Recorded: 20 were written to")).to_be_visible()
    recorded = service.api.get("/v1/outreach").json()["outreach"]
    assert [(one["ids"], one["note"]) for one in recorded] == [(held, "first mail")]
    first = held[0]
    service.api.put(f"/v1/lists/{NAME}", json=without(service, first)).raise_for_status()
    open_at(page, service, f"#/lists?list={NAME}")
    page.get_by_role("button", name="Run r").click()
    expect(page.get_by_text("1 new since run 1")).to_be_visible()
    page.get_by_label("new ones only").check()
    expect(rows(page)).to_have_count(1)
    shown = page.locator(".results .id").inner_text()
    service.api.post(f"/v1/lists/{NAME}:run", json={}).raise_for_status()  # somebody else's
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
    assert len(service.api.get(f"/v1/lists/{NAME}").json()["runs"]) == 3
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
        service.api.delete(f"/v1/outreach/{one['outreach_id']}").raise_for_status()


def without(service: Service, streamer_id: str) -> dict[str, object]:
    """The list as it is saved, but nobody who is named."""
    saved = service.api.get(f"/v1/lists/{NAME}").json()
    question = {**saved["question"], "exclude": {"ids": [streamer_id]}}
    return {"title": saved["title"], "question": question}
