"""Watchlists and their alerts, for tests that make several."""

from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.bundles import write_bundle_with_evidence
from tests.support.service import wait_until

Made = dict[str, Any]


def bundle_of_watchlists(folder: Path) -> Path:
    """A bundle by whose evidence the same words that nobody else has are the same account."""
    write_bundle_with_evidence(folder)
    return folder


def seeds(*given: object) -> list[object]:
    """Seeds of ids, of profiles by their bios (which have spaces), and of whole seeds."""
    return [
        each
        if isinstance(each, dict)
        else {"profile": {"bio": each}}
        if " " in str(each)
        else {"streamer_id": each}
        for each in given
    ]


def wanted(*positive: object, **fields: Any) -> dict[str, Any]:
    """What to ask for, of seeds as in `seeds`."""
    return {"name": "ring", "min_probability": 0.9, "positive": seeds(*positive), **fields}


def watch(api: Api, *positive: object, **fields: Any) -> Made:
    """A new watchlist, of seeds as in `seeds`."""
    return api.ok("POST", "/v1/watchlists", wanted(*positive, **fields), status=201)


def path_of(made: Made) -> str:
    return f"/v1/watchlists/{made['watchlist_id']}"


def swept(api: Api, made: Made) -> Made:
    """The list, once all that is stored was matched with it."""

    def is_swept() -> bool:
        return api.ok("GET", path_of(made))["sweep"]["state"] == "done"

    wait_until(is_swept, "the watchlist is swept")
    return api.ok("GET", path_of(made))


def matched(api: Api, name: str, **profile: Any) -> int:
    """Write a streamer and wait until watchlists were matched with it; its sequence number."""
    sequence = api.put_streamer(name, **profile)
    api.wait_until_matched(sequence)
    return sequence


def alerts(api: Api, made: Made, **params: Any) -> list[dict[str, Any]]:
    """Alerts of a list, in the order in which they were raised."""
    asked = {"watchlist_id": made["watchlist_id"], "limit": 1000, **params}
    return api.ok("GET", "/v1/alerts", params=asked)["alerts"]


def who(api: Api, made: Made, **params: Any) -> list[str]:
    """Whom alerts of a list are about, in the order in which they were raised."""
    return [each["streamer_id"] for each in alerts(api, made, **params)]


def told(api: Api, made: Made) -> list[str]:
    """Whom the feed named for a list, in order."""
    found, cursor = list[str](), dict[str, str]()
    while True:
        params = {"kinds": "watchlist.matched", "limit": 1000, **cursor}
        page = api.ok("GET", "/v1/events", params=params)
        if not page["events"]:
            return found
        data = [event["data"] for event in page["events"]]
        found += [d["streamer_id"] for d in data if d["watchlist_id"] == made["watchlist_id"]]
        cursor = {"cursor": page["next_cursor"]}
