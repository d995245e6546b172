"""Ratings: given on hits, rows, members and pairs by keys and by hand; what measures models."""

import json
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import KEY, open_at
from tests.console.test_find import rows
from tests.console.test_looks import PHONE, violations
from tests.support.service import Service, run, wait_until

COOKING: dict[str, Any] = {"must": [{"field": "category", "any": ["cooking"]}]}
NAME = "rated-list"


def ratings(service: Service) -> list[dict[str, Any]]:
    return service.api.get("/v1/ratings", params={"limit": 1000}).json()["ratings"]


def wait_for(service: Service, **expected: int) -> None:
    def are_kept() -> bool:
        return {one["streamer_id"]: one["rating"] for one in ratings(service)} == expected

    wait_until(are_kept, f"the ratings are {expected}")


def taken_back_elsewhere(service: Service, streamer_id: str) -> None:
    (question_id,) = {one["question_id"] for one in ratings(service)}
    which = {"question_id": question_id, "streamer_id": streamer_id}
    service.api.delete("/v1/ratings", params=which).raise_for_status()


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
