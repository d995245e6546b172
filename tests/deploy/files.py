"""Where the files of a deployment lie, and what stands in those for Prometheus and Grafana."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "alerts.yml"
DASHBOARD: dict[str, Any] = json.loads(
    (DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8")
)


def alerts() -> list[dict[str, Any]]:
    """The alert rules, in order."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Title of a panel, and each query in it."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target


def expressions() -> dict[str, str]:
    """Where an expression stands -> the expression, the dashboard's variables filled in."""
    found = {f"alert {alert['alert']}": alert["expr"] for alert in alerts()}
    for title, target in targets():
        filled = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
        assert not re.search(r"\$\w", filled), filled
        found[f"panel {title}, {target['refId']}"] = filled
    return found
