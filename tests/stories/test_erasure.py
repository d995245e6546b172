"""A streamer and a user ask to be forgotten: they are gone everywhere, also after a restart."""

import json
from typing import Any

import numpy as np
import pytest

from tests.conftest import ADMIN_KEY, Serve
from tests.support.api import Api
from tests.support.hand_overs import HandOver, handed_over
from tests.support.service import wait_until

GONE, COPY = "forget-me", "the-twin"
USER, USERS = "viewer-7", 30


@pytest.fixture
def person(profiles: list[dict[str, Any]]) -> dict[str, Any]:
    """A profile that shows much, with a name that nobody else has."""
    shown = next(p for p in profiles if {"bio", "tags", "videos"} <= p.keys())
    return {**shown, "name": "Zyxwvut Quillfeather"}


def question(streamer_id: str) -> dict[str, Any]:
    return {"positive": [{"streamer_id": streamer_id}]}


def names_of(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False)


class Desk:
    """What the teams have about the streamer, and where they would meet it again."""

    def __init__(self, api: Api, other: str) -> None:
        self.api, self.other = api, other

    def decide(self) -> None:
        api, other = self.api, self.other
        pair = {"a": GONE, "b": COPY, "verdict": "same", "note": "told us"}
        api.ok("PUT", "/v1/judgements", pair)
        rated = {"question": {"positive": [other]}, "streamer_id": GONE, "rating": 3}
        api.ok("PUT", "/v1/ratings", rated)
        api.ok("POST", "/v1/outreach", {"ids": [GONE, other], "note": "mail"}, status=201)
        body = {"question": {**question(other), "k": 50}, "title": "Spring"}
        body["question"]["positive"].append({"streamer_id": GONE})
        api.ok("PUT", "/v1/lists/spring", body, status=201, headers={"If-None-Match": "*"})
        started = api.post("/v1/lists/spring:run")
        assert started.status_code in (200, 202), started.text
        if started.status_code == 202:
            api.finished(started.json())
        self.case = api.ok("POST", "/v1/cases", {"title": "twins", "seeds": [GONE]}, status=201)
        watched = {"name": "twins", "mode": "on", "min_probability": 0.9}
        made = api.ok(
            "POST", "/v1/watchlists", {**watched, "positive": [{"streamer_id": COPY}]}, status=201
        )
        self.watchlist = f"/v1/watchlists/{made['watchlist_id']}"
        wait_until(lambda: api.ok("GET", self.watchlist)["sweep"]["state"] == "done", "it is swept")

    def met(self) -> dict[str, str]:
        """Answers that name somebody, as text."""
        api, other = self.api, self.other
        asked = {"positive": [{"streamer_id": other}], "k": 1000, "min_score": -1.0}
        return {
            "similar": names_of(api.ok("POST", "/v1/similar", asked)["hits"]),
            "list of streamers": names_of(api.all("/v1/streamers", "streamers", limit=1000)),
            "names": self.named(),
            "groups": names_of(api.all("/v1/duplicates", "groups")),
            "outreach": names_of(api.ok("GET", "/v1/outreach")),
            "list": names_of(api.ok("GET", "/v1/lists/spring")),
            "cold start": names_of(
                api.ok("POST", "/v1/cold-start", {"streamer_id": other, "neighbours": 1000})
            ),
            "export": self.exported(),
        }

    def named(self) -> str:
        return names_of(self.api.ok("GET", "/v1/streamers", params={"q": "quillfeather"}))

    def exported(self) -> str:
        job = self.api.finished(self.api.ok("POST", "/v1/jobs/exports", {}, status=202))
        return self.api.get(f"/v1/jobs/{job['job_id']}/result").text

    def users(self) -> list[str]:
        asked = {"streamer_id": self.other, "space": "nightly", "users": USERS}
        answer = self.api.ok("POST", "/v1/cold-start", asked)
        return [user["user_id"] for user in answer["users"]]


def hand_over(api: Api, ids: list[str]) -> None:
    draw = np.random.default_rng(3)
    content = np.array([api.embedding(name) for name in ids], np.float32)
    vectors = (content @ draw.normal(size=(content.shape[1], 8))).astype(np.float32)
    users = draw.normal(size=(USERS, 8)).astype(np.float32)
    given = HandOver(ids, vectors, [f"viewer-{i}" for i in range(USERS)], users)
    handed_over(api, "nightly", "g0", given.npz(), promote=True)


def test_who_asks_to_be_forgotten_is_forgotten(
    serve: Serve, profiles: list[dict[str, Any]], person: dict[str, Any]
) -> None:
    service = serve(STREAMER_API_KEY=ADMIN_KEY)
    api = service.api
    some = [p for p in profiles if {"bio", "tags"} <= p.keys()][:60]
    last = api.write([*some, {**person, "streamer_id": GONE}, {**person, "streamer_id": COPY}])
    api.wait_until_grouped(last)
    other = next(p["streamer_id"] for p in some if p["streamer_id"] != person["streamer_id"])
    hand_over(api, [*(p["streamer_id"] for p in some), GONE, COPY])
    desk = Desk(api, other)
    desk.decide()
    wait_until(lambda: GONE in desk.named(), "its name is found")
    for where, text in desk.met().items():
        assert GONE in text, where
    assert api.ok("GET", f"/v1/streamers/{GONE}/duplicates")["group"] is not None
    wait_until(lambda: GONE in names_of(api.ok("GET", "/v1/alerts")["alerts"]), "it is an alert")
    assert USER in desk.users()

    erased = api.ok("DELETE", f"/v1/streamers/{GONE}", params={"erase": True})
    assert api.ok("DELETE", f"/v1/spaces/nightly/users/{USER}")["generations"] == 1
    persists = {where for each in erased["persists"] for where in each["where"].split(", ")}
    assert persists >= {"judgements", "events", "cases", "watchlists", "alerts", "spaces"}
    assert persists >= {"files of jobs", "backups", "audit log"}
    assert all(each["what"] and each["until"] for each in erased["persists"])
    api.wait_until_indexed(erased["sequence"])
    api.wait_until_grouped(erased["sequence"])

    def check(api: Api) -> None:
        desk.api = api
        for method, path in (
            ("GET", f"/v1/streamers/{GONE}"),
            ("GET", f"/v1/streamers/{GONE}/embedding"),
            ("GET", f"/v1/streamers/{GONE}/similar"),
            ("GET", f"/v1/streamers/{GONE}/duplicates"),
        ):
            api.refused(method, path, status=404, code="streamer_not_found")
        for where, text in desk.met().items():
            assert GONE not in text, where
        shown = api.ok("GET", f"/v1/spaces/nightly/streamers/{GONE}")
        assert (shown["vector"], shown["is_established"]) == (None, False)
        assert USER not in desk.users()
        assert len(desk.users()) == USERS - 1
        # What people decided stays, as the answer of the erasure says, without the profile.
        case = names_of(api.ok("GET", f"/v1/cases/{desk.case['case_id']}"))
        assert GONE in case
        judged = names_of(api.ok("GET", "/v1/judgements"))
        assert GONE in judged
        assert person["name"] not in case + judged + names_of(api.ok("GET", desk.watchlist))

    check(api)
    # Whoever has nothing to do with it is still there, the twin too.
    assert api.ok("GET", f"/v1/streamers/{COPY}")["profile"]["name"] == person["name"]
    assert COPY in desk.met()["similar"]
    # Nothing comes back with a restart.
    assert service.stop() == 0
    service = serve(STREAMER_API_KEY=ADMIN_KEY)
    wait_until(
        lambda: service.api.ok("GET", "/v1/spaces/nightly")["serving"] == "g0", "it is loaded"
    )
    check(service.api)
    again = service.api.ok("DELETE", f"/v1/streamers/{GONE}", params={"erase": True})
    assert again["persists"]
