"""Watchlists and alerts by the client and by the commands."""

import json

import httpx
import pytest

from service.client import Client, Conflict, NotFound
from service.client.models import AlertPage
from tests.service.client.scripted import Script
from tests.service.process import run, wait_until

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
    alert = run("alerts", "show", alert_id, *url)
    assert "text" in alert.stdout
    revision = alert.stderr.split()[-1]
    dismiss = ("alerts", "dismiss", alert_id, "--note", "his own", *url, "--if-revision")
    assert "dismissed" in run(*dismiss, revision).stdout
    assert run(*dismiss, revision).returncode == 1  # it has another one by now
    rows = run("watchlists", "show", list_id, *url).stdout.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [["+", "seed"], ["-", "other"]]
    updated = run("watchlists", "update", list_id, "seed", "--name", "m", "--shadow", *url)
    assert "shadow" in updated.stdout
    all_ = run("watchlists", "list", *url)
    assert list_id in all_.stdout
    assert all_.stderr == ""
    run("watchlists", "create", "seed", "--name", "n", *url)
    one = run("watchlists", "list", "--limit", 1, *url)
    assert len(one.stdout.splitlines()) == 2
    assert one.stderr.startswith("there are more: ")
    assert list_id in run("watchlists", "delete", list_id, *url).stdout
    gone = run("watchlists", "show", list_id, *url)
    assert gone.returncode == 1
    assert gone.stderr.startswith("error: ")


def test_alerts_of_a_deleted_list_are_dismissed_together(client: Client) -> None:
    client.put("seed", GUITAR)
    wanted = {"name": "l", "positive": [{"streamer_id": "seed"}], "min_probability": 0.5}
    made, kept = (client.watchlists.create({**wanted, "mode": m}) for m in ("shadow", "on"))
    client.put("one", GUITAR)
    wait_until(
        lambda: bool(client.alerts.page(mode="shadow", watchlist_id=made.watchlist_id).alerts),
        "the copy matches in the shadow",
    )
    client.watchlists.change(made.watchlist_id, {"mode": "on"})
    waits_for_an_alert(client, made.watchlist_id)
    client.watchlists.change(made.watchlist_id, {"mode": "shadow"})
    client.put("two", GUITAR)
    wait_until(
        lambda: bool(client.alerts.page(mode="shadow", watchlist_id=made.watchlist_id).alerts),
        "the other copy matches in the shadow",
    )
    client.watchlists.delete(made.watchlist_id)
    done = run(
        *("alerts", "dismiss", "--list", made.watchlist_id, "--note", "a wrong list", "--json"),
        *("--url", client.url),
    )
    assert done.returncode == 0, done.stderr
    dismissed = json.loads(done.stdout)["alerts"]
    assert sorted(each["streamer_id"] for each in dismissed) == ["one", "two"]
    assert done.stderr == f"dismissed 2 of list {made.watchlist_id}\n"
    assert {(each["state"], each["decisions"][0]["note"]) for each in dismissed} == {
        ("dismissed", "a wrong list")
    }
    assert all(each.state == "open" for each in client.alerts.all(watchlist_id=kept.watchlist_id))
    url = ("--url", client.url)
    again = run("alerts", "dismiss", "--list", made.watchlist_id, *url)
    assert (again.returncode, len(again.stdout.splitlines())) == (0, 1)
    assert run("alerts", "dismiss", *url).returncode == 2
    assert run("alerts", "dismiss", "--list", "l", "--if-revision", 1, *url).returncode == 2
    refused = run("alerts", "dismiss", "--list", "BAD", *url)
    assert refused.returncode != 0
    assert "dismissed" not in refused.stderr


def test_a_short_page_of_alerts_is_not_the_last_one() -> None:
    example = AlertPage.model_json_schema()["examples"][0]["alerts"][0]

    def page(cursor: str, has_more: bool | None, *names: str) -> httpx.Response:
        alerts = [
            {**example, "seed_id": None, "alert_id": f"al-{i:024x}", "streamer_id": name}
            for i, name in enumerate(names)
        ]
        fields = {"alerts": alerts, "next_cursor": cursor}
        told = fields if has_more is None else {**fields, "has_more": has_more}
        return httpx.Response(200, json=told)

    script = Script(page("c1", True, "a", "b"), page("c2", True, "c"), page("c3", False, "d"))
    found = [each.streamer_id for each in script.client().alerts.all(page_size=2)]
    assert found == ["a", "b", "c", "d"]
    assert [request.url.params.get("cursor") for request in script.seen] == [None, "c1", "c2"]
    older = Script(page("c1", None, "a"), page("c1", None))  # a service that does not tell
    assert [each.streamer_id for each in older.client().alerts.all()] == ["a"]
