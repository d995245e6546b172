"""Alerts, their tests and their runbook name each other; the dashboard is in order."""

import re
from collections import Counter

import yaml

from tests.deploy.files import DASHBOARD, PROMETHEUS, ROOT, alerts, targets
from tests.house.pages import prose

RUNBOOK = ROOT / "docs" / "runbook.md"
NAMES = [alert["alert"] for alert in alerts()]


def sections() -> dict[str, str]:
    """Alert -> its section of the runbook."""
    _, *found = re.split(r"(?m)^## (Streamer\w+)$", prose(RUNBOOK))
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    assert list(sections()) == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_every_alert_leads_to_its_section() -> None:
    for alert in alerts():
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert ROOT / page == RUNBOOK
        assert anchor == alert["alert"].lower()


def test_every_section_says_what_it_means_and_what_to_do() -> None:
    for name, text in sections().items():
        assert re.findall(r"(?m)^\*\*(\w+)\.\*\* \S", text) == ["Meaning", "Look", "Do"], name


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for alert in alerts():
        assert alert["labels"] == {"severity": alert["labels"]["severity"]}
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"].endswith(".")


def test_every_alert_is_seen_to_fire() -> None:
    """`promtool test rules` compares; here is what is left out of it."""
    text = (PROMETHEUS / "alerts.test.yml").read_text(encoding="utf-8")
    fired = {
        name
        for test in yaml.safe_load(text)["tests"]
        for expected in test["promql_expr_test"]
        for sample in expected["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == set(NAMES)


def test_the_alerts_name_the_job_of_the_scrape() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    named = {name for alert in alerts() for name in re.findall(r'\bjob="([^"]+)"', alert["expr"])}
    shown = {name for _, t in targets() for name in re.findall(r'\bjob="([^"]+)"', t["expr"])}
    assert named == shown == {job["job_name"]}
    (found,) = job["dns_sd_configs"]
    pods = yaml.safe_load(
        (ROOT / "deploy/kubernetes/base/pods.yaml").read_text(encoding="utf-8"),
    )
    assert found["names"] == [pods["metadata"]["name"]]
    assert found["port"] == pods["spec"]["ports"][0]["port"]


def test_panels_have_a_place_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: Counter[tuple[int, int]] = Counter()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            taken.update((x, y) for y in range(place["y"], place["y"] + place["h"]))
    assert set(taken.values()) == {1}


def test_panels_ask_the_chosen_data_source_and_services() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    for title, target in targets():
        assert target["datasource"]["uid"] == "${datasource}", title
        assert 'instance=~"$instance"' in target["expr"], title
