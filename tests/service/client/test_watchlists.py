"""Watchlists and alerts by the client and by the commands, and the example that uses them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.client import Client, Conflict, NotFound
from tests.service.process import ROOT, environment, run, wait_until

pytestmark = pytest.mark.slow
GUITAR = {"name": "the guitar channel", "bio": "guitar vocal cover concert every night at nine"}


def waits_for_an_alert(client: Client, watchlist_id: str) -> None:
    wait_until(
        lambda: bool(client.alerts.page(watchlist_id=watchlist_id).alerts), "the copy matches"
    )


def test_from_a_list_to_a_decision(client: Client) -> None:
    client.put("seed", GUITAR)
    wanted = {"name": "l", "positive": [{"streamer_id": "seed"}], "min_probability": 0.5}
    made = client.watchlists.create(wanted)
    assert [each.watchlist_id for each in client.watchlists.all(page_size=1)] == [made.watchlist_id]
    client.put("copy", GUITAR)
    waits_for_an_alert(client, made.watchlist_id)
    (alert,) = client.alerts.all(state="open", watchlist_id=made.watchlist_id)
    assert (alert.streamer_id, alert.seed_id) == ("copy", "seed")
    decided = client.alerts.decide(alert.alert_id, "confirmed", "why", if_revision=alert.revision)
    assert client.alerts.get(alert.alert_id) == decided
    with pytest.raises(Conflict):
        client.alerts.decide(alert.alert_id, "open", if_revision=alert.revision)
    changed = client.watchlists.replace(made.watchlist_id, {**wanted, "name": "m"})
    with pytest.raises(Conflict):
        client.watchlists.delete(made.watchlist_id, if_revision=made.revision)
    client.watchlists.delete(made.watchlist_id, if_revision=changed.revision)
    with pytest.raises(NotFound):
        client.watchlists.get(made.watchlist_id)


def test_from_a_shell(client: Client) -> None:
    client.put("seed", GUITAR)
    client.put("other", {"bio": "ranked match"})
    url = ("--url", client.url)
    made = run("watchlists", "create", "seed", "--name", "l", "--not-like", "other", "--json", *url)
    assert made.returncode == 0, made.stderr
    list_id = json.loads(made.stdout)["watchlist_id"]
    client.put("copy", GUITAR)
    waits_for_an_alert(client, list_id)
    shown = run("alerts", "list", "--state", "open", "--list", list_id, *url)
    assert shown.returncode == 0, shown.stderr
    alert_id, streamer_id, like, *_ = shown.stdout.splitlines()[1].split()
    assert (streamer_id, like) == ("copy", "seed")
    assert "text" in run("alerts", "show", alert_id, *url).stdout
    assert "dismissed" in run("alerts", "dismiss", alert_id, "--note", "his own", *url).stdout
    rows = run("watchlists", "show", list_id, *url).stdout.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [["+", "seed"], ["-", "other"]]
    updated = run("watchlists", "update", list_id, "seed", "--name", "m", "--shadow", *url)
    assert "shadow" in updated.stdout
    assert list_id in run("watchlists", "list", *url).stdout
    assert list_id in run("watchlists", "delete", list_id, *url).stdout
    gone = run("watchlists", "show", list_id, *url)
    assert gone.returncode == 1
    assert gone.stderr.startswith("error: ")


def test_the_example_sees_the_next_copy(client: Client, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        client.put(name, GUITAR)

    def is_ring() -> bool:
        return len(client.duplicates.of("one").duplicates) == 2

    wait_until(is_ring, "the copies are known")
    archive = tmp_path / "case.zip"
    command = [sys.executable, "examples/investigate.py", "one", "two", "--alerts", "1"]
    command += ["--export", str(archive)]
    with subprocess.Popen(
        [*command, "--url", client.url],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as example:
        assert example.stdout is not None
        lines: list[str] = []
        for line in example.stdout:
            lines.append(line)
            if line.startswith("watching by"):
                client.put("four", {**GUITAR, "tags": ["new"]})
    assert example.returncode == 0
    assert lines[0].startswith("one, two: near_duplicate")
    assert any(line.endswith(": one, three, two\n") for line in lines)
    assert run("verify-case", archive).returncode == 0
    assert lines[-1].startswith("four is like ")
