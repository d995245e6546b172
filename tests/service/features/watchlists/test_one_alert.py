"""One open alert of a streamer, dismissals that hold, and room for those who had none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.watchlists.test_watchlists import (
    CHESS,
    NOODLES,
    alerts,
    create,
    events,
    listed,
    matched,
    swept,
    who,
)
from tests.service.process import wait_until


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose lists may have two open alerts."""
    settings = Settings(
        bundle=bundle,
        data_dir=tmp_path_factory.mktemp("data"),
        watchlists={"max_open_alerts": 2},  # type: ignore[arg-type]
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def made(client: TestClient) -> Iterator[dict[str, Any]]:
    """A list of a service without streamers."""
    made = create(client, NOODLES)
    yield made
    client.delete(f"/v1/watchlists/{made['watchlist_id']}").raise_for_status()
    for each in client.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]:
        client.delete(f"/v1/streamers/{each['streamer_id']}").raise_for_status()


def decide(client: TestClient, alert: dict[str, Any], state: str) -> None:
    client.put(f"/v1/alerts/{alert['alert_id']}", json={"state": state}).raise_for_status()


def told(client: TestClient, made: dict[str, Any]) -> list[str]:
    of_list = [e["data"] for e in events(client)]
    return [d["streamer_id"] for d in of_list if d["watchlist_id"] == made["watchlist_id"]]


def test_facts_that_change_each_night_raise_nothing_and_take_no_room(
    client: TestClient, made: dict[str, Any]
) -> None:
    for fans in range(5):
        put(client, "regular", bio=NOODLES, attributes={"fans": fans})
        matched(client, put(client, "regular-2", bio=NOODLES, attributes={"fans": fans}))
    (first, _) = alerts(client, made["watchlist_id"])
    assert told(client, made) == ["regular", "regular-2"]
    decide(client, first, "dismissed")
    matched(client, put(client, "regular", bio=NOODLES, attributes={"fans": 9}))
    assert who(client, made["watchlist_id"], state="open") == {"regular-2"}
    matched(client, put(client, "new", bio=NOODLES + " 换号了"))
    assert who(client, made["watchlist_id"], state="open") == {"regular-2", "new"}
    assert told(client, made) == ["regular", "regular-2", "new"]


def test_content_that_comes_later_brings_the_open_alert_up_to_date(
    client: TestClient, made: dict[str, Any]
) -> None:
    matched(client, put(client, "a", bio=NOODLES + " 换号了"))
    (before,) = alerts(client, made["watchlist_id"])
    last = put(client, "a", bio=NOODLES)
    matched(client, last)
    (after,) = alerts(client, made["watchlist_id"])
    assert (after["alert_id"], after["at"]) == (before["alert_id"], before["at"])
    assert (before["sequence"] < after["sequence"], after["sequence"]) == (True, last)
    assert after["digest"] != before["digest"]
    assert told(client, made) == ["a"]


def test_a_dismissal_holds_until_the_streamer_shows_something_else(
    client: TestClient, made: dict[str, Any]
) -> None:
    other = NOODLES + " 换号了"
    matched(client, put(client, "a", bio=NOODLES))
    matched(client, put(client, "a", bio=other))  # it is this that is dismissed
    decide(client, alerts(client, made["watchlist_id"])[0], "dismissed")
    matched(client, put(client, "a", bio=other, attributes={"fans": 2}))
    assert told(client, made) == ["a"]
    matched(client, put(client, "a", bio=NOODLES))
    first, second = alerts(client, made["watchlist_id"])
    assert (first["state"], second["state"]) == ("dismissed", "open")
    matched(client, put(client, "a", bio=other))  # dismissed before
    assert alerts(client, made["watchlist_id"])[1] == second
    decide(client, second, "confirmed")
    for bio in (NOODLES, other, CHESS, NOODLES, other):
        matched(client, put(client, "a", bio=bio))
    assert len(alerts(client, made["watchlist_id"])) == 2
    assert told(client, made) == ["a", "a"]


def test_who_had_no_room_is_raised_when_there_is(client: TestClient, made: dict[str, Any]) -> None:
    path = f"/v1/watchlists/{made['watchlist_id']}"
    assert swept(client, made["watchlist_id"])["full"] is False
    for i in range(4):
        matched(client, put(client, f"x{i}", bio=f"{NOODLES} {i}"))
    matched(client, put(client, "x3", bio=f"{NOODLES} again"))  # counted already
    shown = listed(client, path)
    assert (shown["full"], shown["beyond"], shown["alerts"]["open"]) == (True, 2, 2)
    metrics = client.get("/metrics").text
    wait_until(lambda: "streamer_watchlists_beyond 1.0" in client.get("/metrics").text, metrics)
    decide(client, alerts(client, made["watchlist_id"])[0], "dismissed")
    assert swept(client, made["watchlist_id"])["beyond"] == 1
    assert who(client, made["watchlist_id"], state="open") == {"x1", "x2"}
    for each in alerts(client, made["watchlist_id"], state="open"):
        decide(client, each, "confirmed")
    shown = swept(client, made["watchlist_id"])
    assert (shown["full"], shown["beyond"], shown["alerts"]["open"]) == (False, 0, 1)
    assert told(client, made) == ["x0", "x1", "x2", "x3"]


def test_a_shadow_alert_that_is_opened_again_is_delivered_if_its_list_is_on(
    client: TestClient,
) -> None:
    made = create(client, CHESS, mode="shadow")
    matched(client, put(client, "s", bio=CHESS))
    matched(client, put(client, "t", bio=CHESS))
    for each in alerts(client, made["watchlist_id"], mode="shadow"):
        decide(client, each, "dismissed")
    first, second = alerts(client, made["watchlist_id"], mode="shadow")
    decide(client, first, "open")  # the list is in shadow still
    decide(client, first, "dismissed")
    path = f"/v1/watchlists/{made['watchlist_id']}"
    client.patch(path, json={"mode": "on"}).raise_for_status()
    swept(client, made["watchlist_id"])
    assert (told(client, made), who(client, made["watchlist_id"])) == ([], set())
    decide(client, first, "open")
    assert who(client, made["watchlist_id"]) == {"s"}
    assert [a["alert_id"] for a in alerts(client, made["watchlist_id"], mode="shadow")] == [
        second["alert_id"]
    ]
    assert told(client, made) == ["s"]
    decide(client, first, "dismissed")
    decide(client, first, "open")
    assert told(client, made) == ["s"]
    shown = listed(client, path)
    assert (shown["alerts"]["open"], shown["shadow_alerts"]["dismissed"]) == (1, 1)
    client.delete(path).raise_for_status()
