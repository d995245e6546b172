"""Groups over the corpus, as a caller sees them."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.duplicates import endpoints
from service.features.duplicates.schemas import GroupDetailOut
from service.features.duplicates.service import ShownGroup
from tests.service.conftest import put
from tests.service.process import WAIT_S

BIOS = {"music": "guitar vocal cover concert", "travel": "mountain beach hostel train"}


def ring(client: TestClient, what: str, count: int, prefix: str = "") -> list[str]:
    ids = [f"{prefix}{what}-{i}" for i in range(count)]
    for name in ids:
        put(client, name, name=f"the {what} channel", bio=BIOS[what], tags=[what])
    return ids


def until(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """What a condition is once it is true."""
    ends = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return found


def evaluated(client: TestClient, sequence: int) -> dict[str, Any]:
    """The groups, once they take a write into account."""

    def look() -> dict[str, Any] | None:
        page = client.get("/v1/duplicates").raise_for_status().json()
        return page if (page["evaluated_sequence"] or -1) >= sequence else None

    return until(look)


def group_of(client: TestClient, streamer_id: str) -> dict[str, Any] | None:
    answer = client.get(f"/v1/streamers/{streamer_id}/duplicates").raise_for_status().json()
    return answer["group"]


def members(client: TestClient, group_id: str) -> list[str]:
    return client.get(f"/v1/duplicates/{group_id}").raise_for_status().json()["members"]


def judge(client: TestClient, a: str, b: str, verdict: str) -> dict[str, Any]:
    body = {"a": a, "b": b, "verdict": verdict, "note": "seen"}
    return client.put("/v1/judgements", json=body).raise_for_status().json()


@pytest.fixture(autouse=True)
def no_judgements(client: TestClient) -> None:
    for one in client.get("/v1/judgements").json()["judgements"]:
        client.delete("/v1/judgements", params={"a": one["a"], "b": one["b"]})


def test_copies_become_a_group_and_leave_it_when_they_change(client: TestClient) -> None:
    music, travel = ring(client, "music", 4), ring(client, "travel", 3)
    last = put(client, "alone", name="Zhu", bio="ranked match", tags=["gaming"])
    page = evaluated(client, last)
    assert [group["size"] for group in page["groups"]] == [4, 3]
    first = page["groups"][0]["group_id"]
    assert members(client, first) == music
    detail = client.get(f"/v1/duplicates/{first}").json()
    assert detail["representative"] in music
    assert {edge["kind"] for edge in detail["edges"]} == {"near_duplicate"}
    assert not any(edge["bridge"] for edge in detail["edges"])
    assert group_of(client, "alone") is None

    last = put(client, music[0], name="Ada", bio="kitchen recipe noodles soup", tags=["cooking"])
    evaluated(client, last)
    assert members(client, first) == music[1:]
    for name in travel[:2]:
        last = client.delete(f"/v1/streamers/{name}").json()["sequence"]
    gone = page["groups"][1]["group_id"]
    evaluated(client, last)
    assert client.get(f"/v1/duplicates/{gone}").json()["state"] == "dissolved"


def test_judgements_join_and_part_and_the_newest_wins(client: TestClient) -> None:
    music, travel = ring(client, "music", 3), ring(client, "travel", 3)
    evaluated(client, put(client, "alone", name="Zhu", bio="ranked match"))
    assert judge(client, music[0], travel[0], "same")["before"] is None
    until(lambda: (group_of(client, travel[2]) or {}).get("size") == 6)
    parted = judge(client, travel[0], music[0], "different")
    assert (parted["before"]["verdict"], parted["overrules"]) == ("same", [])
    until(lambda: (group_of(client, travel[2]) or {}).get("size") == 3)

    judge(client, "alone", music[1], "same")
    judge(client, music[1], music[2], "same")
    newest = judge(client, "alone", music[2], "different")
    assert newest["overrules"] == [{"a": "alone", "b": music[1]}]
    until(lambda: group_of(client, "alone") is None)
    listed = client.get("/v1/judgements", params={"streamer_id": "alone"}).json()["judgements"]
    assert [bool(one["overruled_by"]) for one in listed] == [True, False]
    client.delete("/v1/judgements", params={"a": music[2], "b": "alone"}).raise_for_status()
    until(lambda: group_of(client, "alone") is not None)


def test_judgements_about_who_is_not_stored_overrule_nothing(client: TestClient) -> None:
    """They join nobody either, until the streamer is back."""
    put(client, "hub", name="Ada", bio="kitchen recipe noodles soup", tags=["cooking"])
    put(client, "left", name="Zhu", bio="ranked match", tags=["gaming"])
    evaluated(client, put(client, "right", name="Bo", bio="mountain hostel", tags=["travel"]))
    judge(client, "left", "right", "different")
    judge(client, "hub", "left", "same")
    parted = [{"a": "left", "b": "right"}]
    joined = [{"a": "hub", "b": "left"}, {"a": "hub", "b": "right"}]
    assert judge(client, "hub", "right", "same")["overrules"] == parted

    def overruled_by() -> list[list[dict[str, str]]]:
        listed = client.get("/v1/judgements").raise_for_status().json()["judgements"]
        return [one["overruled_by"] for one in listed]

    assert overruled_by() == [[], [], joined]
    until(lambda: (group_of(client, "right") or {}).get("size") == 3)
    evaluated(client, client.delete("/v1/streamers/hub").json()["sequence"])
    assert group_of(client, "right") is None
    assert overruled_by() == [[], [], []]
    assert judge(client, "left", "right", "same")["overrules"] == []
    judge(client, "left", "right", "different")
    put(client, "hub", name="Ada", bio="kitchen recipe noodles soup", tags=["cooking"])
    assert overruled_by() == [[{"a": "hub", "b": "right"}, *parted], [], []]


def test_the_id_of_a_merged_group_leads_to_its_members_when_the_merge_is_corrected(
    client: TestClient,
) -> None:
    music, travel = ring(client, "music", 4), ring(client, "travel", 3)
    evaluated(client, put(client, "alone", name="Zhu", bio="ranked match"))
    kept, merged = (
        str((group_of(client, names[0]) or {})["group_id"]) for names in (music, travel)
    )

    def resolved() -> list[str]:
        return client.get(f"/v1/duplicates/{merged}").raise_for_status().json()["successors"]

    judge(client, music[0], travel[0], "same")
    until(lambda: (group_of(client, travel[0]) or {}).get("group_id") == kept)
    assert resolved() == [kept]
    judge(client, music[0], travel[0], "different")
    now = until(lambda: g if (g := group_of(client, travel[0])) and g["size"] == 3 else None)
    assert now["group_id"] not in (kept, merged)
    assert resolved() == [now["group_id"]]
    gone = [client.delete(f"/v1/streamers/{name}").json()["sequence"] for name in travel]
    evaluated(client, max(gone))
    assert resolved() == []


def test_the_id_of_a_dissolved_group_leads_to_its_members_when_they_form_one_again(
    client: TestClient,
) -> None:
    put(client, "hub", name="Ada", bio="kitchen recipe noodles soup", tags=["cooking"])
    put(client, "left", name="Zhu", bio="ranked match", tags=["gaming"])
    evaluated(client, put(client, "right", name="Bo", bio="mountain hostel", tags=["travel"]))
    judge(client, "hub", "left", "same")
    judge(client, "hub", "right", "same")
    ended = until(lambda: g if (g := group_of(client, "left")) and g["size"] == 3 else None)

    def resolved() -> tuple[str, list[str]]:
        answer = client.get(f"/v1/duplicates/{ended['group_id']}").raise_for_status().json()
        return answer["state"], answer["successors"]

    evaluated(client, client.delete("/v1/streamers/hub").json()["sequence"])
    assert resolved() == ("dissolved", [])
    judge(client, "left", "right", "same")
    again = until(lambda: group_of(client, "left"))
    assert resolved() == ("dissolved", [again["group_id"]])


def test_impossible_judgements_are_refused_by_field(client: TestClient) -> None:
    put(client, "here", name="Zhu", bio="ranked match")
    body = {"a": "here", "b": "here", "verdict": "same"}
    answer = client.put("/v1/judgements", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/b"
    answer = client.put("/v1/judgements", json=body | {"a": "nobody", "b": "noone"})
    assert answer.status_code == 404
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/a", "/b"]
    gone = client.delete("/v1/judgements", params={"a": "here", "b": "there"})
    assert (gone.status_code, gone.json()["code"]) == (404, "judgement_not_found")
    assert client.get("/v1/duplicates/dup-" + "0" * 24).json()["code"] == "group_not_found"
    assert client.get("/v1/streamers/nobody/duplicates").json()["code"] == "streamer_not_found"


def test_the_feed_tells_of_each_change_once(client: TestClient) -> None:
    # Whatever was removed before has its events by then.
    evaluated(client, put(client, "before", name="Zhu", bio="ranked match"))
    kinds = {"kinds": "duplicates.*"}
    start = client.get("/v1/events", params=kinds).json()
    while start["events"]:
        start = client.get("/v1/events", params=kinds | {"cursor": start["next_cursor"]}).json()
    cursor = start["next_cursor"]
    music = ring(client, "music", 2)
    evaluated(client, ring_end := put(client, "alone", name="Zhu", bio="ranked match"))
    assert ring_end
    ring(client, "music", 3)
    until(lambda: (group_of(client, music[0]) or {}).get("size") == 3)
    told = client.get("/v1/events", params=kinds | {"cursor": cursor}).json()
    assert {event["kind"] for event in told["events"]} == {"duplicates.grew"}
    joined = [name for event in told["events"] for name in event["data"]["streamer_ids"]]
    assert sorted(joined) == [*music, "music-2"]
    again = client.get("/v1/events", params=kinds | {"cursor": told["next_cursor"]}).json()
    assert (again["events"], again["next_cursor"]) == ([], told["next_cursor"])
    for wrong, code in (("x", "invalid_request"), ("00000000-writes.1", "cursor_expired")):
        assert client.get("/v1/events", params={"cursor": wrong}).json()["code"] == code


@pytest.mark.slow
def test_a_rebuild_keeps_ids_and_judgements(client: TestClient) -> None:
    music, travel = ring(client, "music", 3), ring(client, "travel", 3)
    evaluated(client, put(client, "alone", name="Zhu", bio="ranked match"))
    judge(client, music[0], travel[0], "same")
    joined = until(lambda: g if (g := group_of(client, music[0])) and g["size"] == 6 else None)
    job = client.post("/v1/duplicates:rebuild")
    assert job.status_code == 202
    done = until(
        lambda: (
            j
            if (j := client.get(job.headers["Location"]).json())["state"] in ("succeeded", "failed")
            else None
        )
    )
    assert (done["state"], done["result"]["groups"], done["progress"]["done"]) == (
        "succeeded",
        1,
        7,
    )
    assert group_of(client, travel[1]) == joined
    last = put(client, "music-9", name="the music channel", bio=BIOS["music"], tags=["music"])
    evaluated(client, last)
    assert (group_of(client, "music-9") or {}).get("group_id") == joined["group_id"]


def test_pages_have_all_groups_and_members_once(client: TestClient) -> None:
    ring(client, "music", 2, "p-")
    ring(client, "travel", 2, "p-")
    evaluated(client, put(client, "p-last", name="Zhu", bio="ranked match", tags=["gaming"]))
    every = client.get("/v1/duplicates", params={"order": "newest"}).json()["groups"]
    found, cursor = [], None
    while True:
        params = {"order": "newest", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/duplicates", params=params).raise_for_status().json()
        found += page["groups"]
        if not (cursor := page["next_cursor"]):
            break
    assert found == every
    assert len(found) >= 2
    page = client.get("/v1/duplicates", params={"order": "newest", "limit": 1}).json()
    for path in ("/v1/duplicates", f"/v1/duplicates/{found[0]['group_id']}", "/v1/judgements"):
        other = client.get(path, params={"cursor": page["next_cursor"]})
        assert (other.status_code, other.json()["errors"][0]["parameter"]) == (422, "cursor")
        assert "of another listing or order" in other.json()["detail"]
    wrong = client.get("/v1/duplicates", params={"cursor": "%%%"})
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "cursor")


def test_many_edges_are_written_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, threads = endpoints._detail_out, list[str]()

    def watched(found: ShownGroup) -> GroupDetailOut:
        threads.append(threading.current_thread().name)
        return made(found)

    monkeypatch.setattr(endpoints, "_detail_out", watched)
    names = ring(client, "music", 12)
    group = until(lambda: g if (g := group_of(client, names[0])) and g["size"] == 12 else None)
    answer = client.get(f"/v1/duplicates/{group['group_id']}").raise_for_status().json()
    assert sorted(answer["members"]) == sorted(names)
    assert len(answer["edges"]) == 66
    assert [name.startswith("lanes-") for name in threads] == [True]


@pytest.mark.slow
def test_a_write_finds_who_shares_name_and_contact_behind_many_nearer_ones(
    client: TestClient,
) -> None:
    contact = "加微信 noodle_master88 领资料"
    name = "noodle master in town"
    first = put(client, "first", name=name, bio=f"{BIOS['music']} {contact}", tags=["music"])
    others = [
        put(client, f"x{i}", bio=f"{BIOS['travel']} day {i}", tags=["travel"]) for i in range(60)
    ]
    evaluated(client, max(first, *others))
    body = {"name": name, "bio": f"{BIOS['travel']} {contact}", "tags": ["travel"]}
    answer = client.put("/v1/streamers/second", json=body).raise_for_status().json()
    assert answer["near_duplicates_unavailable_because"] is None
    assert "first" in {near["streamer_id"] for near in answer["near_duplicates"]}
