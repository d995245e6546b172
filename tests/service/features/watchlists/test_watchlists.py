"""Watchlists over HTTP: swept, matched with every write, changed, deleted, and wrong ones."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.settings import Settings
from tests.service.conftest import put
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

NOODLES = "每天晚上手工拉面直播 从和面开始 一直到出锅 还有奶奶的红油秘方"
CHESS = "每周三晚上国际象棋残局讲解 从入门到大师 观众可以连线对弈"
FISH = "凌晨四点跟船出海 现捞现卖的海鲜 顺丰冷链到家 不新鲜包退"


@pytest.fixture(scope="module")
def running(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        bundle=bundle,
        data_dir=tmp_path_factory.mktemp("data"),
        watchlists={"max_lists": 8, "max_seeds": 60, "max_open_alerts": 6},  # type: ignore[arg-type]
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(running: TestClient) -> Iterator[TestClient]:
    """A service without streamers and watchlists."""
    yield running
    for each in running.get("/v1/watchlists").json()["watchlists"]:
        running.delete(f"/v1/watchlists/{each['watchlist_id']}").raise_for_status()
    for each in running.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]:
        running.delete(f"/v1/streamers/{each['streamer_id']}").raise_for_status()


def create(client: TestClient, *positive: object, **fields: Any) -> dict[str, Any]:
    """A list of ids, profiles (by their bios) or whole seeds."""
    wanted = {"name": "l", "min_probability": 0.9, "positive": seeds(*positive), **fields}
    answer = client.post("/v1/watchlists", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()


def seeds(*given: object) -> list[object]:
    return [
        each
        if isinstance(each, dict)
        else {"profile": {"bio": each}}
        if " " in str(each)
        else {"streamer_id": each}
        for each in given
    ]


def listed(client: TestClient, path: str) -> dict[str, Any]:
    answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


def swept(client: TestClient, watchlist_id: str) -> dict[str, Any]:
    """The list, once it is swept."""
    path = f"/v1/watchlists/{watchlist_id}"
    wait_until(lambda: listed(client, path)["sweep"]["state"] == "done", "it is swept")
    return listed(client, path)


def alerts(client: TestClient, watchlist_id: str, **params: str) -> list[dict[str, Any]]:
    answer = client.get("/v1/alerts", params={"watchlist_id": watchlist_id, **params})
    answer.raise_for_status()
    return answer.json()["alerts"]


def who(client: TestClient, watchlist_id: str, **params: str) -> set[str]:
    found = alerts(client, watchlist_id, **params)
    assert len({each["alert_id"] for each in found}) == len(found)
    return {each["streamer_id"] for each in found}


def matched(client: TestClient, sequence: int) -> None:
    """Return when a write and all before it are matched."""

    def is_matched() -> bool:
        lines = client.get("/metrics").text.splitlines()
        name = "streamer_watchlists_sequence "
        return any(float(l.split()[1]) >= sequence for l in lines if l.startswith(name))  # noqa: E741

    wait_until(is_matched, f"{sequence} is matched")


def events(client: TestClient) -> list[dict[str, Any]]:
    """Those of alerts."""
    found = client.get("/v1/events", params={"limit": 1000}).json()["events"]
    return [each for each in found if each["kind"] == "watchlist.matched"]


def test_what_is_stored_is_swept_and_every_write_is_matched(client: TestClient) -> None:
    put(client, "a-copy", bio=NOODLES + " 关注我")
    put(client, "a-other", bio=CHESS)
    known = len(events(client))
    made = create(client, NOODLES, name="noodles")
    assert (made["version"], made["positive_count"], made["mode"]) == (1, 1, "on")
    done = swept(client, made["watchlist_id"])
    assert done["sweep"]["streamers"] == 2
    assert done["alerts"] == {"open": 1, "confirmed": 0, "dismissed": 0}
    assert done["positive"] == [{"streamer_id": None, "case_id": None, "profile": {"bio": NOODLES}}]
    matched(client, put(client, "a-late", bio="全新账号 " + NOODLES))
    assert who(client, made["watchlist_id"]) == {"a-copy", "a-late"}
    first, last = alerts(client, made["watchlist_id"])
    assert (first["streamer_id"], last["streamer_id"]) == ("a-copy", "a-late")
    assert last["probability"] >= 0.9
    assert (last["state"], last["verdict"], last["seed"]) == ("open", "near_duplicate", 0)
    assert sum(each["weight"] for each in last["evidence"]) == pytest.approx(last["weight"])
    assert "text" in {each["channel"] for each in last["evidence"]}
    told = events(client)[known:]
    assert [each["data"]["streamer_id"] for each in told] == ["a-copy", "a-late"]
    assert [each["data"]["alert_id"] for each in told] == [first["alert_id"], last["alert_id"]]


def test_the_same_content_raises_nothing_again(client: TestClient) -> None:
    made = create(client, NOODLES)
    put(client, "b", bio=NOODLES)
    put(client, "b", bio=NOODLES)
    put(client, "b", bio=CHESS)
    matched(client, put(client, "b", bio=NOODLES))
    assert len(alerts(client, made["watchlist_id"])) == 1


def test_seeds_raise_nothing_and_negatives_cancel(client: TestClient) -> None:
    honest = f"{NOODLES[:17]} {FISH}"
    put(client, "c-seed", bio=NOODLES)
    put(client, "c-honest", bio=honest)
    made = create(client, "c-seed", min_probability=0.01, negative=seeds("c-honest"))
    put(client, "c-copy", bio=NOODLES)
    last = put(client, "c-fan", bio=honest)
    matched(client, last)
    swept(client, made["watchlist_id"])
    assert who(client, made["watchlist_id"]) == {"c-copy"}
    assert alerts(client, made["watchlist_id"])[0]["seed_id"] == "c-seed"
    without = create(client, "c-seed", min_probability=0.01)
    swept(client, without["watchlist_id"])
    assert who(client, without["watchlist_id"]) == {"c-copy", "c-fan", "c-honest"}


def test_seeds_stay_as_they_were(client: TestClient) -> None:
    put(client, "d-seed", bio=FISH)
    made = create(client, "d-seed")
    client.delete("/v1/streamers/d-seed").raise_for_status()
    matched(client, put(client, "d-copy", bio=FISH))
    assert who(client, made["watchlist_id"]) == {"d-copy"}


def test_decided_alerts_stay_decided_across_versions(client: TestClient) -> None:
    made = create(client, NOODLES)
    matched(client, put(client, "e", bio=NOODLES))
    (alert,) = alerts(client, made["watchlist_id"])
    path = f"/v1/alerts/{alert['alert_id']}"
    answer = client.put(
        path,
        json={"state": "dismissed", "note": "his brother"},
        headers={"If-Match": f'"{alert["revision"]}"'},
    )
    assert answer.status_code == 200
    assert answer.headers["ETag"] == f'"{answer.json()["revision"]}"'
    (decision,) = answer.json()["decisions"]
    assert (decision["state"], decision["note"], decision["key_id"]) == (
        "dismissed",
        "his brother",
        "keyless",
    )
    body = {"state": "confirmed"}
    stale = client.put(path, json=body, headers={"If-Match": f'"{alert["revision"]}"'})
    problem(stale, 412, "version_conflict")
    wanted = {"name": "again", "min_probability": 0.5, "positive": seeds(NOODLES)}
    answer = client.put(f"/v1/watchlists/{made['watchlist_id']}", json=wanted)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    swept(client, made["watchlist_id"])
    matched(client, put(client, "e", bio=NOODLES))
    assert alerts(client, made["watchlist_id"], state="open") == []
    assert who(client, made["watchlist_id"], state="dismissed") == {"e"}
    assert listed(client, path)["state"] == "dismissed"
    again = client.put(path, json={"state": "open"})
    assert [each["state"] for each in again.json()["decisions"]] == ["dismissed", "open"]
    assert who(client, made["watchlist_id"], state="open") == {"e"}
    assert who(client, made["watchlist_id"], state="dismissed") == set()


def test_shadow_alerts_are_counted_and_not_delivered_until_the_list_is_on(
    client: TestClient,
) -> None:
    known = len(events(client))
    made = create(client, CHESS, mode="shadow")
    matched(client, put(client, "f", bio=CHESS))
    path = f"/v1/watchlists/{made['watchlist_id']}"
    assert listed(client, path)["shadow_alerts"]["open"] == 1
    assert who(client, made["watchlist_id"]) == set()
    assert who(client, made["watchlist_id"], mode="shadow") == {"f"}
    assert len(events(client)) == known
    wanted = {"name": "l", "min_probability": 0.9, "positive": seeds(CHESS), "mode": "on"}
    client.put(path, json=wanted).raise_for_status()
    done = swept(client, made["watchlist_id"])
    assert (done["alerts"]["open"], done["shadow_alerts"]["open"]) == (1, 0)
    assert who(client, made["watchlist_id"]) == {"f"}
    (event,) = events(client)[known:]
    assert event["data"]["streamer_id"] == "f"


def test_a_list_that_matches_everybody_is_bounded_and_says_so(client: TestClient) -> None:
    for i in range(10):
        put(client, f"g{i}", bio=f"{CHESS} {i}")
    made = create(client, FISH, min_probability=1e-12)
    done = swept(client, made["watchlist_id"])
    assert done["alerts"]["open"] == 6
    assert done["beyond"] == 4
    matched(client, put(client, "g-late", bio=CHESS))
    assert listed(client, f"/v1/watchlists/{made['watchlist_id']}")["beyond"] == 5
    wanted = {"name": "l", "min_probability": 0.9, "positive": seeds(FISH)}
    path = f"/v1/watchlists/{made['watchlist_id']}"
    client.put(path, json=wanted).raise_for_status()
    assert swept(client, made["watchlist_id"])["beyond"] == 0


def test_alerts_are_read_in_order_by_a_cursor_that_goes_on(client: TestClient) -> None:
    made = create(client, NOODLES)
    written = [put(client, f"h{i}", bio=NOODLES) for i in range(5)]
    matched(client, written[-1])
    params = {"watchlist_id": made["watchlist_id"], "limit": "2"}
    found: list[str] = []
    for _ in range(4):
        page = client.get("/v1/alerts", params=params).json()
        found += [each["streamer_id"] for each in page["alerts"]]
        params["cursor"] = page["next_cursor"]
    assert found == [f"h{i}" for i in range(5)]
    matched(client, put(client, "h-late", bio=NOODLES))
    page = client.get("/v1/alerts", params=params).json()
    assert [each["streamer_id"] for each in page["alerts"]] == ["h-late"]
    params["state"] = "open"
    problem(client.get("/v1/alerts", params=params), 422, "invalid_request")


def test_a_deleted_list_raises_nothing_and_its_alerts_stay(client: TestClient) -> None:
    made = create(client, NOODLES)
    matched(client, put(client, "i", bio=NOODLES))
    path = f"/v1/watchlists/{made['watchlist_id']}"
    headers = {"If-Match": f'"{made["revision"] + 9999}"'}
    problem(client.delete(path, headers=headers), 412, "version_conflict")
    assert client.delete(path).json() == {"watchlist_id": made["watchlist_id"]}
    problem(client.delete(path), 404, "watchlist_not_found")
    matched(client, put(client, "i2", bio=NOODLES))
    assert who(client, made["watchlist_id"]) == {"i"}


def test_a_request_is_carried_out_once_by_its_key(client: TestClient) -> None:
    wanted = {"name": "l", "min_probability": 0.9, "positive": seeds(NOODLES)}
    headers = {"Idempotency-Key": '"one"'}
    first = client.post("/v1/watchlists", json=wanted, headers=headers)
    again = client.post("/v1/watchlists", json=wanted, headers=headers)
    assert first.json()["watchlist_id"] == again.json()["watchlist_id"]
    assert len(client.get("/v1/watchlists").json()["watchlists"]) == 1
    other = client.post("/v1/watchlists", json={**wanted, "name": "m"}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


def test_two_people_who_edit_a_list_do_not_overwrite_each_other(client: TestClient) -> None:
    made = create(client, NOODLES)
    path, headers = (
        f"/v1/watchlists/{made['watchlist_id']}",
        {"If-Match": f'"{made["revision"]}"'},
    )
    wanted = {"name": "mine", "min_probability": 0.9, "positive": seeds(NOODLES)}
    client.put(path, json=wanted, headers=headers).raise_for_status()
    problem(client.put(path, json=wanted, headers=headers), 412, "version_conflict")
    assert listed(client, path)["name"] == "mine"


def _of(**changes: Any) -> dict[str, Any]:
    return {"name": "l", "min_probability": 0.9, "positive": seeds(NOODLES), **changes}


_TWICE = {"streamer_id": "j", "case_id": "c"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "status", "code", "pointer"),
    [
        (_of(positive=[]), 422, "invalid_request", "/positive"),
        (_of(positive=seeds("nobody")), 404, "streamer_not_found", "/positive/0/streamer_id"),
        (_of(negative=seeds("j", "nobody")), 404, "streamer_not_found", "/negative/1/streamer_id"),
        (_of(positive=seeds("j"), negative=seeds("j")), 422, "invalid_request", "/negative/0"),
        (_of(positive=seeds("j", "j")), 422, "invalid_request", "/positive/1"),
        (_of(positive=[_TWICE]), 422, "invalid_request", "/positive/0"),
        (_of(positive=[{"profile": {}}]), 422, "invalid_request", "/positive/0"),
        (_of(min_probability=0), 422, "invalid_request", "/min_probability"),
        (_of(min_probability=1.5), 422, "invalid_request", "/min_probability"),
        (_of(name=" "), 422, "invalid_request", "/name"),
        (_of(mode="off"), 422, "invalid_request", "/mode"),
        (_of(treshold=1), 422, "invalid_request", "/treshold"),
        (_of(positive=seeds(NOODLES) * 1001), 422, "invalid_request", "/positive"),
        (_of(positive=seeds(NOODLES) * 61), 409, "too_many_watchlists", None),
    ],
)
def test_wrong_lists(
    client: TestClient, wanted: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    put(client, "j", bio=CHESS)
    body = problem(client.post("/v1/watchlists", json=wanted), status, code)
    assert [each["pointer"] for each in body.get("errors") or []] == ([pointer] if pointer else [])
    assert client.get("/v1/watchlists").json()["watchlists"] == []


def test_profiles_of_a_list_are_encoded_together(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_many = EncodingPipeline.encode_many
    together: list[int] = []

    async def counted(pipeline: EncodingPipeline, items: Sequence[ToRead]) -> Any:
        together.append(len(items))
        return await encode_many(pipeline, items)

    monkeypatch.setattr(EncodingPipeline, "encode_many", counted)
    made = create(client, NOODLES, FISH, negative=seeds(CHESS))
    assert together == [3]
    assert [each["profile"]["bio"] for each in made["positive"]] == [NOODLES, FISH]
    assert [each["profile"]["bio"] for each in made["negative"]] == [CHESS]


def test_a_deleted_streamer_is_no_seed(client: TestClient) -> None:
    put(client, "k", bio=CHESS)
    client.delete("/v1/streamers/k").raise_for_status()
    answer = client.post("/v1/watchlists", json=_of(positive=seeds("k")))
    problem(answer, 404, "streamer_not_found")


def test_no_more_lists_are_kept_than_the_settings_say(client: TestClient) -> None:
    made = [create(client, NOODLES) for _ in range(8)]
    problem(client.post("/v1/watchlists", json=_of()), 409, "too_many_watchlists")
    client.delete(f"/v1/watchlists/{made[0]['watchlist_id']}").raise_for_status()
    create(client, NOODLES)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda c: c.get("/v1/watchlists/wl-" + "0" * 24), "watchlist_not_found"),
        (lambda c: c.put("/v1/watchlists/wl-" + "0" * 24, json=_of()), "watchlist_not_found"),
        (lambda c: c.get("/v1/alerts/al-" + "0" * 24), "alert_not_found"),
        (lambda c: c.put("/v1/alerts/al-" + "0" * 24, json={"state": "open"}), "alert_not_found"),
    ],
)
def test_what_is_not_there(client: TestClient, ask: Callable[[TestClient], Any], code: str) -> None:
    problem(ask(client), 404, code)


def test_an_erased_streamer_is_no_longer_looked_for(client: TestClient) -> None:
    put(client, "m-seed", bio=FISH)
    made = create(client, "m-seed", NOODLES)
    erased = client.delete("/v1/streamers/m-seed", params={"erase": True}).json()
    assert "watchlists, alerts" in {each["where"] for each in erased["persists"]}
    put(client, "m-fish", bio=FISH)
    matched(client, put(client, "m-copy", bio=NOODLES))
    # An erasure cuts the log: where it was not read to there, a sweep finds who was written.
    wait_until(lambda: who(client, made["watchlist_id"]) == {"m-copy"}, "the copy is found")
    shown = listed(client, f"/v1/watchlists/{made['watchlist_id']}")
    assert [each["streamer_id"] for each in shown["positive"]] == ["m-seed", None]


def test_confirmed_members_of_a_case_are_seeds(client: TestClient) -> None:
    for name, bio in (("n-a", NOODLES), ("n-b", CHESS), ("n-c", FISH)):
        put(client, name, bio=bio)
    case = client.post("/v1/cases", json={"title": "c", "seeds": ["n-a", "n-b", "n-c"]})
    assert case.status_code == 201, case.text
    path = f"/v1/cases/{case.json()['case_id']}"
    wanted = _of(positive=[{"case_id": case.json()["case_id"]}])
    empty = client.post("/v1/watchlists", json=wanted)
    assert problem(empty, 422, "invalid_request")["errors"][0]["pointer"] == "/positive"
    for name, verdict in (("n-a", "confirmed"), ("n-b", "cleared")):
        headers = {"If-Match": client.get(path).headers["ETag"]}
        decided = client.put(f"{path}/members/{name}", json={"verdict": verdict}, headers=headers)
        assert decided.status_code == 200, decided.text
    made = client.post("/v1/watchlists", json=wanted)
    assert made.status_code == 201, made.text
    (seed,) = made.json()["positive"]
    assert (seed["streamer_id"], seed["case_id"]) == ("n-a", case.json()["case_id"])
    problem(
        client.post("/v1/watchlists", json=_of(positive=[{"case_id": "case-" + "0" * 16}])),
        404,
        "case_not_found",
    )
