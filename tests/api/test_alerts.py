"""Alerts: raised once for each content, brought up to date, decided on, read by a cursor."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.watching import (
    alerts,
    bundle_of_watchlists,
    matched,
    path_of,
    seeds,
    swept,
    told,
    watch,
    who,
)
from tests.support.words import words

UNKNOWN = f"/v1/alerts/al-{'0' * 24}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of_watchlists(tmp_path_factory.mktemp("bundle") / "bundle")


def text(of: str) -> str:
    """What a copy of a test's account says too."""
    return words(f"alerts {of}", 12)


def decide(api: Api, alert: dict[str, Any], state: str, **fields: Any) -> dict[str, Any]:
    return api.ok("PUT", f"/v1/alerts/{alert['alert_id']}", {"state": state, **fields})


def test_an_alert_tells_whom_by_which_seed_and_by_what_evidence(api: Api) -> None:
    api.put_streamer("a-seed", bio=text("a seed"))
    made = watch(api, text("a"), "a-seed", name="the ring of a")
    first = matched(api, "a-1", bio=text("a"))
    second = matched(api, "a-2", bio=f"{text('a seed')} follow")
    one, two = alerts(api, made)
    assert (one["streamer_id"], one["sequence"], one["state"]) == ("a-1", first, "open")
    assert (one["seed"], one["seed_id"], one["verdict"]) == (0, None, "near_duplicate")
    assert (two["streamer_id"], two["sequence"]) == ("a-2", second)
    assert (two["seed"], two["seed_id"]) == (1, "a-seed")
    for alert in (one, two):
        assert (alert["watchlist_name"], alert["watchlist_version"]) == ("the ring of a", 1)
        assert (alert["mode"], alert["decisions"]) == ("on", [])
        weights = {each["channel"]: each["weight"] for each in alert["evidence"]}
        assert sum(weights.values()) == pytest.approx(alert["weight"], abs=0.01)
        assert weights["text"] > 10
        assert alert["probability"] >= 0.9
        path = f"/v1/alerts/{alert['alert_id']}"
        assert api.ok("GET", path) == alert
        assert api.get(path).headers["ETag"] == f'"{alert["revision"]}"'
    sides = {"a": {"streamer_id": "a-seed"}, "b": {"streamer_id": "a-2"}}
    compared = api.ok("POST", "/v1/compare", sides)
    assert two["probability"] == pytest.approx(compared["probability"], abs=1e-4)
    data = [
        event["data"]
        for event in api.ok("GET", "/v1/events?kinds=watchlist.matched&limit=1000")["events"]
        if event["data"]["watchlist_id"] == made["watchlist_id"]
    ]
    assert [(each["alert_id"], each["streamer_id"]) for each in data] == [
        (one["alert_id"], "a-1"),
        (two["alert_id"], "a-2"),
    ]


def test_the_same_content_raises_nothing_again(api: Api) -> None:
    made = watch(api, text("b"))
    for fans in range(3):
        matched(api, "b", bio=text("b"), attributes={"fans": fans})
    matched(api, "b", bio=text("b other"))
    matched(api, "b", bio=text("b"))
    (alert,) = alerts(api, made)
    assert told(api, made) == ["b"]
    decide(api, alert, "dismissed")
    matched(api, "b", bio=text("b"), attributes={"fans": 9})
    api.ok("PATCH", path_of(made), {"name": "swept again"})
    swept(api, made)
    assert (who(api, made), who(api, made, state="open")) == (["b"], [])


def test_other_content_brings_the_open_alert_up_to_date(api: Api) -> None:
    made = watch(api, text("c"))
    matched(api, "c", bio=f"{text('c')} follow")
    (before,) = alerts(api, made)
    last = matched(api, "c", bio=text("c"))
    (after,) = alerts(api, made)
    assert (after["alert_id"], after["at"]) == (before["alert_id"], before["at"])
    assert (after["sequence"], told(api, made)) == (last, ["c"])
    assert after["digest"] != before["digest"]
    assert after["revision"] > before["revision"]
    seen = {"If-Match": f'"{before["revision"]}"'}
    path, body = f"/v1/alerts/{after['alert_id']}", {"state": "dismissed"}
    api.refused("PUT", path, body, headers=seen, status=412, code="version_conflict")
    assert api.ok("GET", path)["state"] == "open"
    now = {"If-Match": f'"{after["revision"]}"'}
    assert api.ok("PUT", path, body, headers=now)["state"] == "dismissed"


def test_a_decision_holds_for_the_content_that_it_was_about(api: Api) -> None:
    made, other = watch(api, text("d")), f"{text('d')} follow"
    matched(api, "d", bio=text("d"))
    matched(api, "d", bio=other)
    decide(api, alerts(api, made)[0], "dismissed")  # of the latter
    matched(api, "d", bio=text("d"))
    first, second = alerts(api, made)
    assert (first["state"], second["state"]) == ("dismissed", "open")
    matched(api, "d", bio=other)
    assert alerts(api, made) == [first, second]
    decide(api, second, "confirmed")
    for bio in (text("d"), other, text("d other"), text("d"), other):
        matched(api, "d", bio=bio)
    assert [each["state"] for each in alerts(api, made)] == ["dismissed", "confirmed"]
    assert told(api, made) == ["d", "d"]
    assert api.ok("GET", path_of(made))["alerts"] == {"open": 0, "confirmed": 1, "dismissed": 1}


def test_who_decided_is_kept_and_alerts_are_listed_by_state(api: Api) -> None:
    made = watch(api, text("e"))
    matched(api, "e", bio=text("e"))
    (alert,) = alerts(api, made)
    path, desk = f"/v1/alerts/{alert['alert_id']}", api.with_key("cases")
    answer = desk.put(path, json={"state": "dismissed", "note": "his brother"})
    decided = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (200, f'"{decided["revision"]}"')
    (decision,) = decided["decisions"]
    assert (decision["state"], decision["note"], decision["key_name"]) == (
        "dismissed",
        "his brother",
        "t",
    )
    assert decision["at"] >= decided["at"]
    assert decided["state"] == "dismissed"
    for state, ids in (("open", []), ("confirmed", []), ("dismissed", ["e"])):
        assert who(api, made, state=state) == ids
    again = decide(api, alert, "open")
    assert [each["state"] for each in again["decisions"]] == ["dismissed", "open"]
    assert again["decisions"][1]["key_id"] != decision["key_id"]
    assert (who(api, made, state="open"), who(api, made, state="dismissed")) == (["e"], [])
    *_, last = (decide(api, alert, "confirmed", note=f"{i}") for i in range(20))
    assert [each["note"] for each in last["decisions"]] == [f"{i}" for i in range(20)]
    assert told(api, made) == ["e"]


def test_alerts_are_read_in_order_by_a_cursor_that_goes_on(api: Api) -> None:
    made, other = watch(api, text("f")), watch(api, text("f 2"))
    for i in range(5):
        matched(api, f"f{i}", bio=text("f"))
    matched(api, "f-other", bio=text("f 2"))
    params: dict[str, Any] = {"watchlist_id": made["watchlist_id"], "limit": 2}
    pages = list[list[str]]()
    has_more = True
    while has_more:
        page = api.ok("GET", "/v1/alerts", params=params)
        pages.append([each["streamer_id"] for each in page["alerts"]])
        params["cursor"], has_more = page["next_cursor"], page["has_more"]
    assert pages == [["f0", "f1"], ["f2", "f3"], ["f4"]]
    matched(api, "f-late", bio=text("f"))
    page = api.ok("GET", "/v1/alerts", params=params)
    assert [each["streamer_id"] for each in page["alerts"]] == ["f-late"]
    for changes in ({"state": "open"}, {"mode": "shadow"}, {"watchlist_id": other["watchlist_id"]}):
        problem = api.refused(
            "GET", "/v1/alerts", params=params | changes, status=422, code="invalid_request"
        )
        assert wrong_fields(problem) == ["cursor"]
    of_all = api.ok("GET", "/v1/alerts?limit=1000")["alerts"]
    ids = [each["streamer_id"] for each in of_all if each["streamer_id"].startswith("f")]
    assert ids == ["f0", "f1", "f2", "f3", "f4", "f-other", "f-late"]
    empty = api.ok("GET", "/v1/alerts", params={"watchlist_id": f"wl-{'0' * 24}"})
    assert (empty["alerts"], empty["next_cursor"], empty["has_more"]) == ([], None, False)


def test_a_shadow_alert_that_is_opened_again_is_delivered_if_its_list_is_on(api: Api) -> None:
    made = watch(api, text("g"), mode="shadow")
    for name in ("g-1", "g-2"):
        matched(api, name, bio=text("g"))
    for each in alerts(api, made, mode="shadow"):
        decide(api, each, "dismissed")
    first, second = alerts(api, made, mode="shadow")
    decide(api, first, "open")  # the list is in shadow still
    decide(api, first, "dismissed")
    api.ok("PATCH", path_of(made), {"mode": "on"})
    swept(api, made)
    assert (told(api, made), who(api, made)) == ([], [])
    assert decide(api, first, "open")["mode"] == "on"
    assert (told(api, made), who(api, made)) == (["g-1"], ["g-1"])
    assert [a["alert_id"] for a in alerts(api, made, mode="shadow")] == [second["alert_id"]]
    decide(api, first, "dismissed")
    decide(api, first, "open")
    assert told(api, made) == ["g-1"]


def test_an_account_raises_one_alert_for_each_list_by_its_own_seeds(api: Api) -> None:
    one = watch(api, text("h"), text("h 2"))
    two = watch(api, text("h"), negative=seeds(text("h 2")))
    matched(api, "h", bio=text("h 2"))
    matched(api, "h-2", bio=text("h"))
    assert [(a["streamer_id"], a["seed"]) for a in alerts(api, one)] == [("h", 1), ("h-2", 0)]
    assert [(a["streamer_id"], a["seed"]) for a in alerts(api, two)] == [("h-2", 0)]


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "?state=closed", None, "state"),
        ("GET", "?mode=off", None, "mode"),
        ("GET", "?watchlist_id=wl-1", None, "watchlist_id"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?limit=1001", None, "limit"),
        ("GET", "?cursor=nonsense", None, "cursor"),
        ("PUT", "/al-1", {"state": "open"}, "alert_id"),
        ("PUT", UNKNOWN.removeprefix("/v1/alerts"), {}, "/state"),
        ("PUT", UNKNOWN.removeprefix("/v1/alerts"), {"state": "closed"}, "/state"),
        (
            "PUT",
            UNKNOWN.removeprefix("/v1/alerts"),
            {"state": "open", "note": "x" * 1001},
            "/note",
        ),
    ],
)
def test_what_is_wrong_is_named(api: Api, method: str, path: str, body: Any, field: str) -> None:
    problem = api.refused(method, f"/v1/alerts{path}", body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]


def test_alerts_need_the_scope_cases_and_others_are_not_there(api: Api) -> None:
    made = watch(api, text("i"))
    matched(api, "i", bio=text("i"))
    path = f"/v1/alerts/{alerts(api, made)[0]['alert_id']}"
    others = api.with_key("streamers:read", "streamers:write", "search", "duplicates", "explain")
    for method, body in (("GET", None), ("PUT", {"state": "dismissed"})):
        others.refused(method, path, body, status=403, code="missing_scope")
        api.refused(method, UNKNOWN, body, status=404, code="alert_not_found")
    others.refused("GET", "/v1/alerts", status=403, code="missing_scope")
    others.refused("GET", "/v1/events?kinds=watchlist.*", status=403, code="missing_scope")
    desk = api.with_key("cases")
    assert desk.ok("GET", path)["state"] == "open"
    assert who(desk, made) == ["i"]
