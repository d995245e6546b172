"""The graph of a case: names, branches that fold, lines that lead to evidence, and colours."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Route, expect

from tests.support.bundles import write_bundle_with_evidence
from tests.console.conftest import KEY, open_at
from tests.console.test_cases import case_of
from tests.console.test_looks import violations
from tests.console.test_once import let_go
from tests.service.features.cases.test_cases import chain
from tests.support.service import Service, wait_until

GRAPH = "document.querySelector('.graph')?._cyreg?.cy"
NAMES = f"({GRAPH}?.nodes('.member').map((n) => n.data('label')) ?? [])"
BRANCHES = f"{GRAPH}.nodes('.branch').length"
ON_PAGE = """([selector, middle]) => {
  const box = document.querySelector('.graph');
  const one = box._cyreg.cy.$(selector);
  const at = middle ? one.renderedMidpoint() : one.renderedPosition();
  const { left, top } = box.getBoundingClientRect();
  return { x: left + at.x, y: top + at.y };
}"""
BORDER = f"{GRAPH}.$('.KIND').style('border-color')"


def expect_names(page: Page, *names: str) -> None:
    """Wait until those who are drawn have these names, in any order."""
    page.wait_for_function(
        f"(names) => {NAMES}.sort().join() === names.sort().join()", arg=[*names]
    )


def click(page: Page, selector: str, *, middle: bool = False) -> None:
    """Click what the graph draws."""
    page.locator(".graph").scroll_into_view_if_needed()
    at = page.evaluate(ON_PAGE, [selector, middle])
    page.mouse.click(at["x"], at["y"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has accounts that lead from one to the next: Ana, Bo, Cyd and Dee."""
    folder = tmp_path_factory.mktemp("graph")
    write_bundle_with_evidence(folder / "bundle")
    with Service(folder / "bundle", folder / "data", STREAMER_API_KEY=KEY) as running:
        running.wait_until_ready()
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        chain(cast(TestClient, running.client))
        yield running


def test_a_branch_is_folded_and_unfolded_by_a_key(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "a chain", "ana")
    open_at(page, service, f"#/cases?case={case_id}")
    members = page.locator(".members tbody tr")
    expect(members).to_have_count(4)
    expect(page.get_by_role("img", name="Graph of 4 members and 3 edges")).to_be_visible()
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    assert page.evaluate(BRANCHES) == 2  # Cyd's within Bo's; the one of Ana is all of it
    fold = page.get_by_role("button", name="reached through")
    expect(fold).to_have_text("Fold the 3 reached through ana c")
    page.keyboard.press("j")
    expect(fold).to_have_text("Fold the 2 reached through bo c")
    page.keyboard.press("c")
    expect(page.get_by_role("img", name="Graph of 2 members and 1 edges")).to_be_visible()
    expect_names(page, "Ana", "Bo +2")
    expect(fold).to_have_attribute("aria-pressed", "true")
    expect(members).to_have_count(4)  # the table still has everyone
    page.keyboard.press("j")  # Bo stands for Cyd
    page.wait_for_function(f"() => {GRAPH}.$('.current').id() === 'member bo'")
    assert violations(page) == []
    page.keyboard.press("k")
    page.keyboard.press("c")
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    page.get_by_role("button", name="Fold all", exact=True).click()
    expect_names(page, "Ana", "Bo +2")
    page.get_by_role("button", name="Unfold all").click()
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    members.nth(3).locator(".name").click()
    expect(fold).to_have_text("Fold the 0 reached through dee c")
    expect(fold).to_be_disabled()
    page.keyboard.press("c")
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")


def test_members_and_lines_are_clicked(signed_in: Page, service: Service) -> None:
    page = signed_in
    case_id = case_of(service, "clicked", "ana")
    open_at(page, service, f"#/cases?case={case_id}")
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    row = page.locator(".members tr", has_text="cyd").first
    click(page, "[of = 'cyd'].member")
    expect(page.locator(".members tr.current .id")).to_have_text("cyd")
    expect(row).to_be_visible()
    click(page, "edge.near[source = 'member bo']", middle=True)
    evidence = page.locator(".evidence")
    expect(evidence.get_by_role("heading")).to_have_text("bo – cyd")
    expect(evidence.locator(".quotes").first).to_be_visible()
    expect(evidence.locator("tfoot")).to_contain_text("Together")
    assert violations(page) == []
    waiting: list[Route] = []
    page.route("**/v1/compare", lambda route: waiting.append(route))
    page.locator("summary", has_text="Edges").click()
    page.locator(".edges button").filter(has_not_text="cyd").first.click()
    expect(evidence.get_by_role("heading")).not_to_have_text("bo – cyd")
    expect(evidence.locator("tfoot")).to_have_count(0)  # that of the other edge
    let_go(page, waiting)
    expect(evidence.locator("tfoot")).to_contain_text("Together")


def test_who_is_chosen_stays_so_whatever_others_decide(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.provoked.append("412")  # type: ignore[attr-defined]
    case_id = case_of(service, "decided by two", "ana")
    open_at(page, service, f"#/cases?case={case_id}")
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    click(page, "[of = 'dee'].member")
    chosen = page.locator(".members tr.current .id")
    expect(chosen).to_have_text("dee")
    page.keyboard.press("+")
    near = page.evaluate(f"{GRAPH}.zoom()")
    assert page.evaluate(f"{GRAPH}.resize().zoom()") == near  # its size is the one before
    client, path = service.client, f"/v1/cases/{case_id}"
    for method, rest, body in (
        ("PUT", "/members/cyd", {"verdict": "confirmed", "note": ""}),
        ("POST", ":rerun", None),
    ):
        tag = {"If-Match": f'"{client.get(path).json()["revision"]}"'}
        client.request(method, path + rest, json=body, headers=tag).raise_for_status()
    wait_until(lambda: client.get(path).json()["job_id"] is None, "it ran again")
    page.keyboard.press("y")
    expect(page.locator(".members tbody tr .id").nth(1)).to_have_text("cyd")  # it was the third
    expect(chosen).to_have_text("dee")
    page.keyboard.press("y")
    expect(page.locator(".members tr", has_text="dee").last).to_contain_text("Confirmed")
    verdicts = client.get(f"{path}/verdicts").json()["verdicts"]
    assert {each["streamer_id"] for each in verdicts} == {"cyd", "dee"}
    assert page.evaluate(f"{GRAPH}.nodes('.seed').map((n) => n.data('of'))") == ["ana"]


def test_verdicts_have_the_colours_of_the_page(signed_in: Page, service: Service) -> None:
    page = signed_in
    page.emulate_media(color_scheme="light")
    case_id = case_of(service, "coloured", "ana")
    open_at(page, service, f"#/cases?case={case_id}")
    expect_names(page, "Ana", "Bo", "Cyd", "Dee")
    for key, kind in (("y", "confirmed"), ("n", "cleared")):
        page.keyboard.press("j")
        page.keyboard.press(key)
        page.wait_for_function(
            f"(kind) => {GRAPH}.$(`.member.${{kind}}`).length",
            arg=kind,
        )

    def colours() -> dict[str, Any]:
        return {
            kind: page.evaluate(BORDER.replace("KIND", kind))
            for kind in ("seed", "confirmed", "cleared")
        }

    light = colours()
    assert light["confirmed"] == "rgb(163,32,32)"  # --bad
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {BORDER.replace('KIND', 'confirmed')} === 'rgb(255,156,148)'")
    dark = colours()
    assert all(dark[kind] != light[kind] for kind in light)
    page.get_by_label("Colours").select_option("Light")
    page.wait_for_function(f"() => {BORDER.replace('KIND', 'confirmed')} === 'rgb(163,32,32)'")
