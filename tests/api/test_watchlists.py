"""Watchlists: what is stored and every write is matched with them; changed, bounded, deleted."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.service import wait_until
from tests.support.watching import (
    Made,
    alerts,
    bundle_of_watchlists,
    matched,
    path_of,
    seeds,
    swept,
    told,
    wanted,
    watch,
    who,
)
from tests.support.words import words

MOST_LISTS, MOST_SEEDS, MOST_OPEN = 40, 200, 4
UNKNOWN = f"/v1/watchlists/wl-{'0' * 24}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of_watchlists(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_WATCHLISTS__MAX_LISTS": str(MOST_LISTS),
        "STREAMER_WATCHLISTS__MAX_SEEDS": str(MOST_SEEDS),
        "STREAMER_WATCHLISTS__MAX_OPEN_ALERTS": str(MOST_OPEN),
    }


def text(of: str) -> str:
    """What a copy of a test's account says too."""
    return words(f"watchlists {of}", 12)


def passage(of: str) -> str:
    """Half of it, beside other words: the same by 1.7 %; strangers are by 0.2 %."""
    return " ".join([*text(of).split()[:6], *text(f"{of} other").split()[:6]])


def case_of(api: Api, **by_id: str) -> Made:
    """A case in which somebody decided on its seeds."""
    case = api.ok("POST", "/v1/cases", {"title": "ring", "seeds": [*by_id]}, status=201)
    for name, verdict in by_id.items():
        path = f"/v1/cases/{case['case_id']}/members/{name}"
        api.ok("PUT", path, {"verdict": verdict}, headers={"If-Match": "*"})
    return case


def test_what_is_stored_is_swept_and_every_write_is_matched(api: Api) -> None:
    api.put_streamer("a-copy", bio=f"{text('a')} follow")
    last = api.put_streamer("a-stranger", bio=text("a stranger"))
    answer = api.post("/v1/watchlists", json=wanted(text("a"), name=" noodles "))
    made = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (201, f'"{made["revision"]}"')
    assert (made["name"], made["mode"], made["version"]) == ("noodles", "on", 1)
    assert (made["positive_count"], made["negative_count"]) == (1, 0)

    done = swept(api, made)

    assert done["sweep"]["streamers"] >= 2
    assert done["sweep"]["at"] >= made["created_at"]
    assert done["alerts"] == {"open": 1, "confirmed": 0, "dismissed": 0}
    assert done["positive"] == [
        {"streamer_id": None, "case_id": None, "profile": {"bio": text("a")}}
    ]
    matched(api, "a-late", bio=f"new here {text('a')}")
    assert (who(api, made), told(api, made)) == (["a-copy", "a-late"], ["a-copy", "a-late"])
    assert alerts(api, made)[0]["sequence"] < last
    sweeps = [each for each in api.all("/v1/jobs", "jobs") if each["kind"] == "watchlists"]
    assert api.finished(sweeps[-1])["result"]["lists"] >= 1
    listed = {each["watchlist_id"]: each for each in api.all("/v1/watchlists", "watchlists")}
    about = api.ok("GET", path_of(made))
    of_list = listed[made["watchlist_id"]]
    assert of_list == {name: about[name] for name in of_list}
    assert of_list["alerts"]["open"] == 2


def test_the_probability_of_a_list_decides_who_matches(api: Api) -> None:
    for name, bio in (
        ("b-copy", text("b")),
        ("b-part", passage("b")),
        ("b-other", text("b other")),
    ):
        api.put_streamer(name, bio=bio)
    sure, unsure = watch(api, text("b")), watch(api, text("b"), min_probability=0.01)
    for made in (sure, unsure):
        swept(api, made)
    assert (who(api, sure), {*who(api, unsure)}) == (["b-copy"], {"b-copy", "b-part"})
    api.ok("PATCH", path_of(sure), {"min_probability": 0.01})
    swept(api, sure)
    assert who(api, sure) == ["b-copy", "b-part"]
    compared = api.ok(
        "POST",
        "/v1/compare",
        {"a": {"profile": {"bio": text("b")}}, "b": {"streamer_id": "b-part"}},
    )
    assert alerts(api, sure)[1]["probability"] == pytest.approx(compared["probability"], abs=1e-4)


def test_those_that_are_not_meant_cancel_a_match(api: Api) -> None:
    api.put_streamer("c-seed", bio=text("c"))
    api.put_streamer("c-fan", bio=passage("c"))
    made = watch(api, "c-seed", min_probability=0.01, negative=seeds("c-fan"))
    api.put_streamer("c-copy", bio=text("c"))
    matched(api, "c-fan-2", bio=passage("c"))
    assert swept(api, made)["negative"][0]["streamer_id"] == "c-fan"
    assert who(api, made) == ["c-copy"]
    assert alerts(api, made)[0]["seed_id"] == "c-seed"
    without = watch(api, "c-seed", min_probability=0.01)
    swept(api, without)
    assert {*who(api, without)} == {"c-copy", "c-fan", "c-fan-2"}
    matched(api, "c-fan", bio=text("c"))  # no longer what it was
    assert who(api, made) == ["c-copy", "c-fan"]


def test_seeds_stay_as_they_were_and_put_takes_them_anew(api: Api) -> None:
    api.put_streamer("d-seed", bio=text("d"))
    made = watch(api, "d-seed")
    api.put_streamer("d-seed", bio=text("d later"))
    matched(api, "d-copy", bio=text("d"))
    assert who(api, made) == ["d-copy"]
    changed = api.ok("PUT", path_of(made), wanted("d-seed", name="anew"))
    assert (changed["version"], changed["name"]) == (2, "anew")
    assert changed["created_at"] == made["created_at"]
    swept(api, made)
    matched(api, "d-copy-2", bio=text("d"))
    matched(api, "d-copy-3", bio=text("d later"))
    assert who(api, made) == ["d-copy", "d-copy-3"]


def test_a_list_in_shadow_delivers_nothing_until_it_is_turned_on(api: Api) -> None:
    api.put_streamer("e-seed", bio=text("e"))
    made = watch(api, "e-seed", mode="shadow")
    api.ok("DELETE", "/v1/streamers/e-seed")
    matched(api, "e-copy", bio=text("e"))
    assert api.ok("GET", path_of(made))["shadow_alerts"]["open"] == 1
    assert (who(api, made), who(api, made, mode="shadow")) == ([], ["e-copy"])
    assert told(api, made) == []
    api.refused("PUT", path_of(made), wanted("e-seed"), status=404, code="streamer_not_found")

    changed = api.ok("PATCH", path_of(made), {"mode": "on"})

    assert (changed["mode"], changed["version"]) == ("on", 2)
    kept = ("name", "min_probability", "positive", "negative", "created_at")
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    done = swept(api, made)
    assert (done["alerts"]["open"], done["shadow_alerts"]["open"]) == (1, 0)
    matched(api, "e-next", bio=text("e"))
    assert (who(api, made), told(api, made)) == (["e-copy", "e-next"], ["e-copy", "e-next"])


def test_a_seed_raises_nothing_until_it_is_nearer_to_another_one(api: Api) -> None:
    api.put_streamer("f-one", bio=text("f"))
    api.put_streamer("f-two", bio=text("f 2"))
    made = watch(api, "f-one", "f-two")
    swept(api, made)
    matched(api, "f-one", bio=f"{text('f')} follow", attributes={"fans": 2})
    assert who(api, made) == []
    matched(api, "f-one", bio=text("f 2"))
    assert who(api, made) == ["f-one"]


def test_an_erased_seed_is_no_longer_looked_for(api: Api) -> None:
    api.put_streamer("g-seed", bio=text("g"))
    made = watch(api, "g-seed", text("g 2"))
    erased = api.ok("DELETE", "/v1/streamers/g-seed", params={"erase": "true"})
    assert "watchlists, alerts" in {each["where"] for each in erased["persists"]}
    api.put_streamer("g-copy", bio=text("g"))
    matched(api, "g-other", bio=text("g 2"))
    # An erasure cuts the log: a sweep may be what finds who was written meanwhile.
    wait_until(lambda: who(api, made) == ["g-other"], "the copy of the other seed is found")
    shown = api.ok("GET", path_of(made))
    assert [each["streamer_id"] for each in shown["positive"]] == ["g-seed", None]
    assert who(api, made) == ["g-other"]


def test_confirmed_members_of_a_case_are_seeds_and_cleared_ones_raise_nothing(api: Api) -> None:
    names = ("h-sure", "h-gone", "h-friend", "h-open")
    for name in names:
        api.put_streamer(name, bio=f"{text('h')} {words(name, 1)}")
    case = case_of(
        api, **dict(zip(names, ("confirmed", "confirmed", "cleared", "unsure"), strict=True))
    )
    api.ok("DELETE", "/v1/streamers/h-gone")
    made = watch(api, {"case_id": case["case_id"]})
    assert made["positive"] == [
        {"streamer_id": "h-sure", "case_id": case["case_id"], "profile": None}
    ]
    assert (made["not_stored"], made["cleared"]) == (["h-gone"], ["h-friend"])
    swept(api, made)
    matched(api, "h-friend", bio=f"{text('h')} {words('h-friend', 1)}", attributes={"fans": 2})
    assert who(api, made) == ["h-open"]
    matched(api, "h-friend", bio=text("h"))  # other content than was cleared
    assert who(api, made) == ["h-open", "h-friend"]
    nobody = {"case_id": case_of(api, **{"h-open": "unsure"})["case_id"]}
    problem = api.refused(
        "POST", "/v1/watchlists", wanted(nobody), status=422, code="invalid_request"
    )
    assert wrong_fields(problem) == ["/positive"]


def test_a_list_that_matches_too_many_is_full_and_raises_the_others_later(api: Api) -> None:
    made = watch(api, text("i"))
    assert swept(api, made)["full"] is False
    for i in range(MOST_OPEN + 2):
        matched(api, f"i{i}", bio=f"{text('i')} {i}")
    matched(api, f"i{MOST_OPEN}", bio=f"{text('i')} again")  # is counted already
    shown = api.ok("GET", path_of(made))
    assert (shown["full"], shown["beyond"], shown["alerts"]["open"]) == (True, 2, MOST_OPEN)
    for alert in alerts(api, made)[:2]:
        api.ok("PUT", f"/v1/alerts/{alert['alert_id']}", {"state": "dismissed"})

    def open_now() -> set[str]:
        return {*who(api, made, state="open")}

    wait_until(lambda: open_now() == {"i2", "i3", "i4", "i5"}, "the others are raised")
    done = swept(api, made)
    assert (done["full"], done["beyond"], done["alerts"]["dismissed"]) == (True, 0, 2)
    assert sorted(told(api, made)) == [f"i{i}" for i in range(MOST_OPEN + 2)]


def test_two_people_do_not_overwrite_each_other(api: Api) -> None:
    made = watch(api, text("j"))
    path, seen = path_of(made), {"If-Match": f'"{made["revision"]}"'}
    answer = api.put(path, json=wanted(text("j"), name="mine"), headers=seen)
    assert (answer.status_code, answer.headers["ETag"]) == (200, f'"{answer.json()["revision"]}"')
    assert api.get(path).headers["ETag"] == answer.headers["ETag"]
    late: list[tuple[str, Any]] = [
        ("PUT", wanted(text("j"))),
        ("PATCH", {"name": "yours"}),
        ("DELETE", None),
    ]
    for method, body in late:
        api.refused(method, path, body, headers=seen, status=412, code="version_conflict")
    assert api.ok("GET", path)["name"] == "mine"
    now = {"If-Match": answer.headers["ETag"]}
    changed = api.ok("PATCH", path, {"name": " ours ", "min_probability": 0.95}, headers=now)
    assert (changed["name"], changed["min_probability"], changed["mode"]) == ("ours", 0.95, "on")
    assert changed["version"] == 3


def test_a_deleted_list_raises_nothing_and_its_alerts_stay(api: Api) -> None:
    made = watch(api, text("k"))
    matched(api, "k-copy", bio=text("k"))
    assert api.ok("DELETE", path_of(made)) == {"watchlist_id": made["watchlist_id"]}
    matched(api, "k-late", bio=text("k"))
    (alert,) = alerts(api, made)
    assert (alert["streamer_id"], alert["watchlist_name"]) == ("k-copy", "ring")
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"mode": "on"})):
        api.refused(method, path_of(made), body, status=404, code="watchlist_not_found")


def test_a_list_is_made_once_by_its_key(api: Api) -> None:
    headers, body = {"Idempotency-Key": '"list-1"'}, wanted(text("l"))
    first, again = (api.post("/v1/watchlists", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["watchlist_id"] == again.json()["watchlist_id"]
    api.refused(
        "POST",
        "/v1/watchlists",
        wanted(text("l 2")),
        headers=headers,
        status=422,
        code="idempotency_key_reused",
    )


def test_no_more_lists_and_seeds_are_kept_than_the_settings_say(api: Api) -> None:
    full: dict[str, Any] = {"status": 409, "code": "too_many_watchlists"}
    many = seeds(text("m")) * (MOST_SEEDS + 1)
    api.refused("POST", "/v1/watchlists", {**wanted(), "positive": many}, **full)
    room = MOST_LISTS - len(api.all("/v1/watchlists", "watchlists"))
    made = [watch(api, text("m")) for _ in range(room)]
    api.refused("POST", "/v1/watchlists", wanted(text("m")), **full)
    pages = [*api.pages("/v1/watchlists", "watchlists", limit=15)]
    assert [len(page) for page in pages] == [15, 15, 10]
    ids = [each["watchlist_id"] for page in pages for each in page]
    assert ids == sorted(set(ids))
    for each in made:
        api.ok("DELETE", path_of(each))
    assert api.ok("DELETE", path_of(watch(api, text("m"))))


BOTH = {"streamer_id": "n", "case_id": "case-0000000000000000"}


@pytest.mark.parametrize(
    ("changes", "status", "code", "fields"),
    [
        ({"positive": []}, 422, "invalid_request", ["/positive"]),
        ({"positive": [BOTH]}, 422, "invalid_request", ["/positive/0"]),
        ({"positive": [{}]}, 422, "invalid_request", ["/positive/0"]),
        ({"positive": [{"profile": {}}]}, 422, "invalid_request", ["/positive/0"]),
        ({"positive": seeds("n", "n")}, 422, "invalid_request", ["/positive/1"]),
        ({"positive": seeds("n"), "negative": seeds("n")}, 422, "invalid_request", ["/negative/0"]),
        ({"positive": seeds("a b") * 1001}, 422, "invalid_request", ["/positive"]),
        ({"positive": seeds("x")}, 404, "streamer_not_found", ["/positive/0/streamer_id"]),
        ({"negative": seeds("n", "x")}, 404, "streamer_not_found", ["/negative/1/streamer_id"]),
        ({"positive": [{"case_id": "case-0000000000000000"}]}, 404, "case_not_found", None),
        ({"min_probability": 0}, 422, "invalid_request", ["/min_probability"]),
        ({"min_probability": 1.5}, 422, "invalid_request", ["/min_probability"]),
        ({"name": " "}, 422, "invalid_request", ["/name"]),
        ({"name": "x" * 201}, 422, "invalid_request", ["/name"]),
        ({"mode": "off"}, 422, "invalid_request", ["/mode"]),
        ({"treshold": 1}, 422, "invalid_request", ["/treshold"]),
    ],
)
def test_a_list_that_can_not_be_made_or_put(
    api: Api, changes: dict[str, Any], status: int, code: str, fields: list[str] | None
) -> None:
    api.put_streamer("n", bio=text("n"))
    made, body = watch(api, text("n 2")), {**wanted(text("n 2")), **changes}
    for method, path in (("POST", "/v1/watchlists"), ("PUT", path_of(made))):
        problem = api.refused(method, path, body, status=status, code=code)
        if fields is not None:
            assert wrong_fields(problem) == fields
    assert api.ok("GET", path_of(made))["version"] == 1
    api.ok("DELETE", path_of(made))


@pytest.mark.parametrize(
    ("method", "route", "body", "field"),
    [
        ("PATCH", "", {}, ""),
        ("PATCH", "", {"mode": None}, ""),
        ("PATCH", "", {"mode": "off"}, "/mode"),
        ("PATCH", "", {"name": "  "}, "/name"),
        ("PATCH", "", {"min_probability": 1.5}, "/min_probability"),
        ("PATCH", "", {"positive": []}, "/positive"),
        ("GET", "s?limit=101", None, "limit"),
        ("GET", "s?cursor=nonsense", None, "cursor"),
    ],
)
def test_what_is_wrong_is_named(api: Api, method: str, route: str, body: Any, field: str) -> None:
    made = watch(api, text("o"))
    path = "/v1/watchlist" + route if route else path_of(made)
    problem = api.refused(method, path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]
    assert api.ok("GET", path_of(made))["version"] == 1
    api.ok("DELETE", path_of(made))


def test_lists_need_the_scope_cases_and_others_are_not_there(api: Api) -> None:
    made = watch(api, text("p"))
    others = api.with_key("streamers:read", "streamers:write", "search", "duplicates", "explain")
    desk = api.with_key("cases")
    asked: list[tuple[str, Any]] = [
        ("GET", None),
        ("PUT", wanted(text("p"))),
        ("PATCH", {"name": "x"}),
        ("DELETE", None),
    ]
    for method, body in asked:
        others.refused(method, path_of(made), body, status=403, code="missing_scope")
        desk.refused(method, UNKNOWN, body, status=404, code="watchlist_not_found")
    others.refused("GET", "/v1/watchlists", status=403, code="missing_scope")
    others.refused("POST", "/v1/watchlists", wanted(text("p")), status=403, code="missing_scope")
    changed = desk.ok("PATCH", path_of(made), {"name": "the desk's"})
    assert (changed["key_name"], changed["name"]) == ("t", "the desk's")
    assert changed["key_id"] != made["key_id"]
