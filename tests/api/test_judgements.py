"""Judgements: what people know of pairs joins and parts groups, and the newest wins."""

from itertools import pairwise
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.rings import copy_of, group_id_of, group_of, members_of, write_ring
from tests.support.service import wait_until

PATH = "/v1/judgements"


def strangers(api: Api, *ids: str) -> None:
    """Store streamers whom no evidence joins with anybody."""
    api.wait_until_grouped(
        api.write(
            {"streamer_id": i, "name": f"{i} alone", "bio": i, "tags": ["music"]} for i in ids
        )
    )


def judge(api: Api, a: str, b: str, verdict: str, note: str = "") -> Any:
    return api.ok("PUT", PATH, {"a": a, "b": b, "verdict": verdict, "note": note})


def take_back(api: Api, a: str, b: str) -> Any:
    return api.ok("DELETE", PATH, params={"a": a, "b": b})


def wait_for_group(api: Api, *ids: str) -> None:
    """Wait until these are a group, with nobody else; one alone is in none."""
    wanted = sorted(ids)
    wait_until(lambda: members_of(api, ids[0]) == wanted, f"a group of {wanted}")


def pair(a: str, b: str) -> dict[str, str]:
    return {"a": a, "b": b}


def overruled(api: Api, streamer_id: str) -> dict[str, list[dict[str, str]]]:
    """The judgements of a streamer: the other one, and by what it is overruled, by pair."""
    found = api.all(PATH, "judgements", streamer_id=streamer_id)
    return {
        one["b"] if one["a"] == streamer_id else one["a"]: sorted(
            one["overruled_by"], key=lambda each: (each["a"], each["b"])
        )
        for one in found
    }


def test_a_judgement_says_who_gave_it_and_replaces_the_one_before(api: Api) -> None:
    strangers(api, "who-1", "who-2")
    with api.with_key("duplicates", name="desk 2") as desk:
        given = judge(desk, "who-2", "who-1", "unsure", "same voice?")
    assert (given["a"], given["b"]) == ("who-1", "who-2")  # in order, whichever was named first
    assert (given["verdict"], given["note"]) == ("unsure", "same voice?")
    assert (given["key_name"], given["before"], given["overrules"]) == ("desk 2", None, [])
    again = judge(api, "who-1", "who-2", "different")
    assert again["before"] == {k: v for k, v in given.items() if k not in ("before", "overrules")}
    assert again["key_id"] != given["key_id"]
    (listed,) = api.all(PATH, "judgements", streamer_id="who-2")
    assert (listed["verdict"], listed["note"], listed["overruled_by"]) == ("different", "", [])
    taken = take_back(api, "who-2", "who-1")
    assert (taken["verdict"], taken["at"]) == ("different", again["at"])
    assert api.all(PATH, "judgements", streamer_id="who-1") == []
    params = pair("who-1", "who-2")
    api.refused("DELETE", PATH, params=params, status=404, code="judgement_not_found")


def test_same_joins_what_no_evidence_does_and_different_parts_it_again(api: Api) -> None:
    a, b = write_ring(api, "narbelto", 3), write_ring(api, "fluskind", 3)
    judge(api, a[0], b[0], "same")
    wait_for_group(api, *a, *b)
    edges = api.ok("GET", f"/v1/duplicates/{group_id_of(api, a[0])}")["edges"]
    assert pair(b[0], a[0]) not in [pair(e["a"], e["b"]) for e in edges]
    judge(api, a[0], b[0], "unsure")  # as the evidence says
    wait_for_group(api, *a)
    wait_for_group(api, *b)
    judge(api, a[0], b[0], "same")
    wait_for_group(api, *a, *b)
    parted = judge(api, b[0], a[0], "different")
    assert (parted["before"]["verdict"], parted["overrules"]) == ("same", [])
    wait_for_group(api, *a)
    wait_for_group(api, *b)
    judge(api, a[0], a[1], "different")  # within a ring: one stays with the third
    wait_until(lambda: (group_of(api, a[2]) or {}).get("size") == 2, "the ring is parted")
    assert members_of(api, a[0]) != members_of(api, a[1])
    take_back(api, a[0], a[1])
    wait_for_group(api, *a)


def test_judgements_survive_writes_that_change_everything_and_deletions(api: Api) -> None:
    strangers(api, "stay-1", "stay-2")
    judge(api, "stay-1", "stay-2", "same")
    wait_for_group(api, "stay-1", "stay-2")
    for profile in ({"name": "Ada", "bio": "kitchen soup"}, copy_of("stayer")):
        api.wait_until_grouped(api.put_streamer("stay-1", **profile))
        assert members_of(api, "stay-1") == ["stay-1", "stay-2"]
    ring = write_ring(api, "keldrami", 2)
    judge(api, ring[0], ring[1], "different")
    wait_for_group(api, ring[0])
    api.wait_until_grouped(api.put_streamer(ring[1], **copy_of("keldrami", language="en")))
    assert members_of(api, ring[1]) == [ring[1]]

    gone = api.ok("DELETE", "/v1/streamers/stay-1")["sequence"]
    api.wait_until_grouped(gone)
    assert group_of(api, "stay-2") is None
    assert list(overruled(api, "stay-1")) == ["stay-2"]
    api.wait_until_grouped(api.put_streamer("stay-1", **copy_of("stayer")))
    wait_for_group(api, "stay-1", "stay-2")


def test_of_judgements_that_contradict_each_other_the_newest_holds(api: Api) -> None:
    a, b, c, d = ids = [f"con-{i}" for i in range(4)]
    strangers(api, *ids)
    for one, next_one in pairwise(ids):
        judge(api, one, next_one, "same")
    wait_for_group(api, *ids)
    newest = judge(api, a, d, "different")
    assert newest["overrules"] == [pair(a, b)]  # the oldest of the chain
    wait_for_group(api, a)
    wait_for_group(api, b, c, d)
    assert overruled(api, a) == {b: [pair(a, d), pair(b, c), pair(c, d)], d: []}
    take_back(api, d, a)
    wait_for_group(api, *ids)
    assert overruled(api, a) == {b: []}
    judge(api, a, d, "different")
    late = judge(api, a, b, "same")  # which is the newest now
    assert late["overrules"] == [pair(b, c)]
    wait_for_group(api, a, b)


def test_judgements_about_who_is_not_stored_overrule_nothing(api: Api) -> None:
    strangers(api, "hub", "left", "right")
    judge(api, "left", "right", "different")
    judge(api, "hub", "left", "same")
    assert judge(api, "hub", "right", "same")["overrules"] == [pair("left", "right")]
    wait_for_group(api, "hub", "left", "right")
    assert overruled(api, "left") == {
        "hub": [],
        "right": [pair("hub", "left"), pair("hub", "right")],
    }
    api.wait_until_grouped(api.ok("DELETE", "/v1/streamers/hub")["sequence"])
    assert group_of(api, "left") is None
    assert overruled(api, "left") == {"hub": [], "right": []}
    strangers(api, "hub")
    wait_for_group(api, "hub", "left", "right")


def test_an_erasure_says_that_judgements_stay_until_they_are_taken_back(api: Api) -> None:
    strangers(api, "era-1", "era-2")
    judge(api, "era-1", "era-2", "same")
    erased = api.ok("DELETE", "/v1/streamers/era-1?erase=true")
    assert "judgements" in " ".join(left["where"] for left in erased["persists"])
    assert overruled(api, "era-2") == {"era-1": []}
    take_back(api, "era-2", "era-1")
    assert overruled(api, "era-1") == {}


def test_judgements_come_in_pages_by_pair(api: Api) -> None:
    ids = [f"pg-{i}" for i in range(5)]
    strangers(api, *ids)
    for other in ids[:0:-1]:
        judge(api, other, ids[0], "unsure")
    pages = [*api.pages(PATH, "judgements", streamer_id=ids[0], limit=3)]
    assert [len(page) for page in pages] == [3, 1]
    assert [one["b"] for page in pages for one in page] == ids[1:]
    pairs = [(one["a"], one["b"]) for one in api.all(PATH, "judgements", limit=2)]
    assert pairs == sorted(set(pairs))
    assert {*pairs} >= {(ids[0], other) for other in ids[1:]}
    cursor = api.ok("GET", PATH, params={"streamer_id": ids[0], "limit": 1})["next_cursor"]
    params = {"cursor": cursor, "streamer_id": ids[1]}
    problem = api.refused("GET", PATH, params=params, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["cursor"]


@pytest.mark.parametrize(
    ("wrong", "status", "fields"),
    [
        ({"b": "bad-1"}, 422, ["/b"]),
        ({"a": "nobody", "b": "noone"}, 404, ["/a", "/b"]),
        ({"a": "nobody"}, 404, ["/a"]),
        ({"a": "a b"}, 422, ["/a"]),
        ({"verdict": "perhaps"}, 422, ["/verdict"]),
        ({"note": "n" * 1001}, 422, ["/note"]),
        ({"key_name": "me"}, 422, ["/key_name"]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_judged(
    api: Api, wrong: dict[str, str], status: int, fields: list[str]
) -> None:
    strangers(api, "bad-1", "bad-2")
    body = {"a": "bad-1", "b": "bad-2", "verdict": "same", **wrong}
    code = "invalid_request" if status == 422 else "streamer_not_found"
    assert wrong_fields(api.refused("PUT", PATH, body, status=status, code=code)) == fields
    assert overruled(api, "bad-1") == {}


def test_judgements_need_the_scope_of_duplicates(api: Api) -> None:
    strangers(api, "key-1", "key-2")
    judge(api, "key-1", "key-2", "unsure")
    with api.with_key("search", "streamers:write", "streamers:read", "explain") as other:
        body = {**pair("key-1", "key-2"), "verdict": "same"}
        other.refused("PUT", PATH, body, status=403, code="missing_scope")
        other.refused("GET", PATH, status=403, code="missing_scope")
        params = pair("key-1", "key-2")
        other.refused("DELETE", PATH, params=params, status=403, code="missing_scope")
    (left,) = api.all(PATH, "judgements", streamer_id="key-1")
    assert left["verdict"] == "unsure"
