"""Ratings: given on hits, rows, members and pairs by keys and by hand; what measures models."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import KEY, open_at
from tests.console.test_cases import case_of
from tests.console.test_duplicates import group_of_copies
from tests.console.test_find import rows
from tests.console.test_looks import PHONE, violations
from tests.support.service import Service, run, wait_until

COOKING: dict[str, Any] = {"must": [{"field": "category", "any": ["cooking"]}]}
NAME = "rated-list"


def ratings(service: Service) -> list[dict[str, Any]]:
    return service.client.get("/v1/ratings", params={"limit": 1000}).json()["ratings"]


def wait_for(service: Service, **expected: int) -> None:
    def are_kept() -> bool:
        return {one["streamer_id"]: one["rating"] for one in ratings(service)} == expected

    wait_until(are_kept, f"the ratings are {expected}")


def taken_back_elsewhere(service: Service, streamer_id: str) -> None:
    (question_id,) = {one["question_id"] for one in ratings(service)}
    which = {"question_id": question_id, "streamer_id": streamer_id}
    service.client.delete("/v1/ratings", params=which).raise_for_status()


@pytest.fixture(autouse=True)
def nothing_is_rated(service: Service) -> Iterator[None]:
    yield
    for one in ratings(service):
        which = {name: one[name] for name in ("question_id", "streamer_id")}
        service.client.delete("/v1/ratings", params=which).raise_for_status()


def test_hits_are_rated_and_measure_the_model(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.extend(["404", "ERR_"])  # pyright: ignore[reportAttributeAccessIssue]
    place = "#/find?like=cooking-01&unlike=gaming-01&k=10&where=category~is~cooking"
    open_at(page, service, place)
    expect(rows(page)).to_have_count(10)
    expect(page.locator("select.rating")).to_have_count(0)
    page.keyboard.press("2")  # nothing is rated unless that is asked for
    page.get_by_role("button", name="Rate", exact=True).click()
    choices = page.locator("select.rating")
    expect(choices).to_have_count(10)
    assert violations(page) == []
    ids = page.locator(".results .id").all_inner_texts()
    for key in ("j", "3", "j", "0"):
        page.keyboard.press(key)
    expect(choices.nth(0)).to_have_value("3")
    expect(choices.nth(1)).to_have_value("0")
    page.get_by_label(f"How well {ids[2]} fits").select_option("2 fits")
    wait_for(service, **{ids[0]: 3, ids[1]: 0, ids[2]: 2})
    assert {json.dumps(one["question"]) for one in ratings(service)} == {
        json.dumps({"positive": ["cooking-01"], "negative": ["gaming-01"], "filter": COOKING})
    }
    page.reload()
    expect(choices.nth(2)).to_have_value("2")
    page.locator(".results .name").nth(1).focus()
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Backspace")
    expect(choices.nth(1)).to_have_value("")
    wait_for(service, **{ids[0]: 3, ids[2]: 2})
    taken_back_elsewhere(service, ids[0])
    choices.nth(0).select_option("–")
    expect(choices.nth(0)).to_have_value("")
    choices.nth(0).select_option("3 just what was wanted")
    wait_for(service, **{ids[0]: 3, ids[2]: 2})
    taken_back_elsewhere(service, ids[0])
    page.route("**/v1/ratings", lambda route: route.abort())
    choices.nth(2).select_option("0 does not fit")
    again = page.get_by_role("button", name="Try again")
    again.click()
    expect(choices.nth(0)).to_have_value("")
    expect(choices.nth(2)).to_have_value("2")
    expect(again).to_have_count(0)
    page.unroute("**/v1/ratings")
    choices.nth(0).select_option("3 just what was wanted")
    wait_for(service, **{ids[0]: 3, ids[2]: 2})
    page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    least = ("--min-coverage", 0, "--min-questions", 1, "--json", "--url", service.url)
    measured = run("evaluate-ratings", *least, STREAMER_API_KEY=KEY)
    told = json.loads(measured.stdout)
    assert told["questions"] == 1
    assert told["verdict"].startswith("ndcg@10 is ")


def test_rows_members_and_pairs_are_rated(signed_in: Page, service: Service) -> None:
    page = signed_in
    question = {"positive": [{"streamer_id": "music-01"}], "k": 5, "filter": {}}
    path = f"/v1/lists/{NAME}"
    service.client.put(path, json={"title": "", "question": question}).raise_for_status()
    open_at(page, service, f"#/lists?list={NAME}&rating=on")
    page.get_by_role("button", name="Run r").click()
    expect(page.locator("select.rating")).to_have_count(5)
    first = page.locator(".results .id").first.inner_text()
    page.keyboard.press("j")
    page.keyboard.press("1")
    expect(page.locator("select.rating").first).to_have_value("1")
    wait_for(service, **{first: 1})

    def without_the_first(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        route.fulfill(response=answer, json=told | {"rows": told["rows"][1:]})

    second = page.locator(".results .id").nth(1).inner_text()
    page.keyboard.press("j")
    page.route(f"**{path}:run", without_the_first)
    # While the first run is under way, its runs being read again, there is no second one.
    expect(page.get_by_role("button", name="Run r")).to_have_attribute("aria-disabled", "false")
    page.keyboard.press("r")
    expect(page.locator("select.rating")).to_have_count(4)
    page.keyboard.press("3")  # still of whom the focus is on, who is the first now
    wait_for(service, **{first: 1, second: 3})
    service.client.delete(path).raise_for_status()

    group_of_copies(service)
    case_id = case_of(service, "rated", "copy-0")
    open_at(page, service, f"#/cases?case={case_id}&rating=on")
    expect(page.locator(".members tbody tr")).to_have_count(3)
    expect(page.locator("select.rating")).to_have_count(2)  # seeds are no answers
    page.locator(".members .name").first.click()
    for key in ("j", "2"):
        page.keyboard.press(key)
    member = page.locator(".members .id").nth(1).inner_text()
    expect(page.get_by_label(f"How well {member} fits")).to_have_value("2")
    wait_for(service, **{first: 1, second: 3, member: 2})
    assert violations(page) == []

    open_at(page, service, "#/duplicates?of=copy-0&rating=on")
    question_of = page.get_by_text("fit a search for streamers like")
    expect(question_of).to_be_visible()
    rated = page.locator("select.rating")
    page.keyboard.press("3")
    expect(rated).to_have_value("3")
    assert violations(page) == []
    pair = next(
        one for one in ratings(service) if one["rating"] == 3 and one["streamer_id"] != second
    )
    expect(question_of).to_contain_text(pair["streamer_id"])
    expect(question_of).to_contain_text(pair["question"]["positive"][0])
    many = ",".join(f"{topic}-{i:02}" for topic in ("music", "gaming") for i in range(11))
    open_at(page, service, f"#/find?rating=on&like={many}")
    expect(page.get_by_text("ratings belong to questions of up to 20 seeds")).to_be_visible()
    expect(rated).to_have_count(0)
