"""Groups of duplicates over the corpus: their members, ids that stay, edges, and rebuilds."""

from itertools import combinations
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.rings import copy_of, group_id_of, group_of, members_of, write_ring
from tests.support.service import wait_until

PATH = "/v1/duplicates"


def shown(api: Api, group_id: str, **params: Any) -> dict[str, Any]:
    return api.ok("GET", f"{PATH}/{group_id}", params=params)


def rewrite(api: Api, streamer_id: str, **profile: Any) -> None:
    api.wait_until_grouped(api.put_streamer(streamer_id, **profile))


def remove(api: Api, *ids: str) -> None:
    gone = [api.ok("DELETE", f"/v1/streamers/{name}")["sequence"] for name in ids]
    api.wait_until_grouped(max(gone))


def bio_of(*rings: str) -> str:
    """A bio that quotes those of rings."""
    return " ".join(copy_of(ring)["bio"] for ring in rings)


def test_copies_become_a_group_that_keeps_its_id_while_it_grows_and_shrinks(api: Api) -> None:
    ids = write_ring(api, "quorzel", 3)
    group = shown(api, group_id := group_id_of(api, ids[0]))
    assert "\nstreamer_duplicates_leading 1.0\n" in api.get("/metrics").text
    assert (group["state"], group["size"], group["members"]) == ("live", 3, ids)
    assert group["representative"] in ids
    assert group["successors"] == []
    assert {(edge["a"], edge["b"]) for edge in group["edges"]} == {*combinations(ids, 2)}
    assert {edge["kind"] for edge in group["edges"]} == {"near_duplicate"}
    assert not any(edge["bridge"] for edge in group["edges"])
    pair = {"a": {"streamer_id": ids[0]}, "b": {"streamer_id": ids[1]}}
    weight = api.ok("POST", "/v1/compare", pair)["weight"]
    assert group["edges"][0]["weight"] == pytest.approx(weight, rel=1e-4)

    ids.append("quorzel-9")
    rewrite(api, ids[-1], **copy_of("quorzel"))
    grown = shown(api, group_id)
    assert (grown["members"], grown["size"]) == (ids, 4)
    assert grown["created_at"] == group["created_at"]
    assert grown["updated_at"] > group["updated_at"]
    rewrite(api, ids[0], name="Ada", bio="ranked match raid", tags=["gaming"])
    assert group_of(api, ids[0]) is None
    assert shown(api, group_id)["members"] == ids[1:]
    remove(api, *ids[2:])
    ended = shown(api, group_id)
    assert (ended["state"], ended["size"], ended["members"]) == ("dissolved", 0, [])
    assert ended["representative"] is None
    assert group_id not in [one["group_id"] for one in api.all(PATH, "groups")]


def test_groups_merge_by_a_member_in_between_and_split_without_it(api: Api) -> None:
    large = write_ring(api, "lumbrax", 4)
    small = write_ring(api, "tirvok", 3)
    kept, merged = group_id_of(api, large[0]), group_id_of(api, small[0])
    assert kept != merged
    rewrite(api, "between", name="Zed", tags=["music"], bio=bio_of("lumbrax", "tirvok"))
    assert members_of(api, small[0]) == sorted([*large, *small, "between"])
    assert group_id_of(api, small[0]) == kept
    ended = shown(api, merged)
    assert (ended["state"], ended["successors"], ended["size"]) == ("merged", [kept], 0)

    remove(api, "between")
    assert members_of(api, large[0]) == large
    assert members_of(api, small[0]) == small
    assert group_id_of(api, large[0]) == kept
    anew = group_id_of(api, small[0])
    assert anew not in (kept, merged)
    assert shown(api, merged)["successors"] == [anew]

    def told() -> list[dict[str, Any]]:
        page = api.ok("GET", "/v1/events", params={"kinds": "duplicates.*", "limit": 500})
        return [e for e in page["events"] if e["data"]["group_id"] in (kept, merged, anew)]

    wait_until(lambda: "duplicates.split" in [e["kind"] for e in told()], "the split is told")
    by_kind = {e["kind"]: e["data"] for e in told()}
    assert by_kind["duplicates.merged"]["group_id"] == kept
    assert by_kind["duplicates.merged"]["groups"] == [merged]
    split = by_kind["duplicates.split"]
    assert (split["group_id"], split["groups"]) == (kept, [anew])
    assert (split["size_before"], split["size"]) == (8, 4)
    joined = [e["data"]["streamer_ids"] for e in told() if e["kind"] == "duplicates.grew"]
    assert sorted(joined[0]) == large
    remove(api, *small)
    assert shown(api, merged)["successors"] == []


def test_of_edges_that_alone_hold_two_parts_together_weak_ones_are_cut(api: Api) -> None:
    left, right = write_ring(api, "gandrel", 3), write_ring(api, "poskity", 3)

    def link(words: str) -> dict[str, Any]:
        """Have the first of both rings say the same; the tie of one to the other."""
        for ids, ring in ((left, "gandrel"), (right, "poskity")):
            rewrite(api, ids[0], **copy_of(ring, bio=f"{bio_of(ring)} {words}"))
        ties = api.ok("GET", f"/v1/streamers/{left[0]}/duplicates")["duplicates"]
        return {tie["streamer_id"]: tie for tie in ties}[right[0]]

    weak = link("velmor drupsi kalimbo nestrov quillby")
    assert weak["in_group"] is False
    assert members_of(api, left[0]) == left
    strong = link("加微信 noodle_master88 领资料")
    assert strong["weight"] > weak["weight"]
    assert strong["in_group"] is True
    group = shown(api, group_id_of(api, left[0]))
    assert group["members"] == [*left, *right]
    bridges = [(e["a"], e["b"]) for e in group["edges"] if e["bridge"]]
    assert bridges == [(left[0], right[0])]
    api.ok("PUT", "/v1/judgements", {"a": left[1], "b": right[1], "verdict": "same"})
    edges = shown(api, group["group_id"])["edges"]
    assert not any(edge["bridge"] for edge in edges)


def test_who_is_taken_for_a_duplicate_of_a_streamer_comes_strongest_first(api: Api) -> None:
    ids = write_ring(api, "wexford", 3)
    rewrite(api, "linked", name="Una", tags=["music"], bio=bio_of("wexford"))
    found = api.ok("GET", f"/v1/streamers/{ids[0]}/duplicates")
    ties = found["duplicates"]
    assert {tie["streamer_id"] for tie in ties} == {*ids[1:], "linked"}
    weights = [tie["weight"] for tie in ties]
    assert weights == sorted(weights, reverse=True)
    assert ties[-1]["streamer_id"] == "linked"
    assert all(tie["in_group"] for tie in ties)
    assert found["group"]["size"] == 4
    first = api.ok("GET", f"/v1/streamers/{ids[0]}/duplicates?limit=1")["duplicates"]
    assert first == ties[:1]
    judged = {"a": ids[0], "b": "linked", "verdict": "different"}
    api.ok("PUT", "/v1/judgements", judged)
    wait_until(lambda: group_of(api, "linked") is None, "the pair is parted")
    ties = api.ok("GET", f"/v1/streamers/{ids[0]}/duplicates")["duplicates"]
    assert {t["streamer_id"]: t["in_group"] for t in ties}["linked"] is False
    rewrite(api, "alone", name="nobody like it", bio="mountain", tags=["travel"])
    nothing = api.ok("GET", "/v1/streamers/alone/duplicates")
    assert (nothing["group"], nothing["duplicates"]) == (None, [])


def test_pages_have_all_groups_and_members_once(api: Api) -> None:
    sizes = {"yarrowin": 2, "brelkin": 4, "dopsuma": 3}
    rings = {ring: write_ring(api, ring, size) for ring, size in sizes.items()}
    ours = {group_id_of(api, ids[0]): ring for ring, ids in rings.items()}

    def listed(order: str) -> list[dict[str, Any]]:
        pages = [*api.pages(PATH, "groups", order=order, limit=2)]
        assert all(len(page) == 2 for page in pages[:-1])
        found = [one for page in pages for one in page]
        assert len({one["group_id"] for one in found}) == len(found)
        assert found == api.ok("GET", PATH, params={"order": order, "limit": 1000})["groups"]
        return found

    by_size = listed("size")
    assert [one["size"] for one in by_size] == sorted((g["size"] for g in by_size), reverse=True)
    order = [ours[one["group_id"]] for one in by_size if one["group_id"] in ours]
    assert order == ["brelkin", "dopsuma", "yarrowin"]
    newest = [one["group_id"] for one in listed("newest")]
    assert [ours[one] for one in newest[:3]] == ["dopsuma", "brelkin", "yarrowin"]

    path = f"{PATH}/{group_id_of(api, 'brelkin-0')}"
    assert [*api.pages(path, "members", limit=3)] == [
        rings["brelkin"][:3],
        rings["brelkin"][3:],
    ]
    first = api.ok("GET", f"{path}?limit=1")
    assert len(first["edges"]) == 3
    assert all("brelkin-0" in (edge["a"], edge["b"]) for edge in first["edges"])
    cursor = api.ok("GET", f"{PATH}?limit=1&order=newest")["next_cursor"]
    for other in (PATH, path, "/v1/judgements"):  # which it does not continue
        problem = api.refused(
            "GET", other, params={"cursor": cursor}, status=422, code="invalid_request"
        )
        assert wrong_fields(problem) == ["cursor"]


def test_a_rebuild_keeps_ids_and_judgements(api: Api) -> None:
    a, b = write_ring(api, "vintorea", 3), write_ring(api, "wollmund", 3)
    api.ok("PUT", "/v1/judgements", {"a": a[0], "b": b[0], "verdict": "same"})
    wait_until(lambda: members_of(api, b[0]) == [*a, *b], "the rings are one group")
    before = {g["group_id"]: g for g in api.all(PATH, "groups")}
    once = {"Idempotency-Key": '"rebuild-1"'}
    answer = api.post(f"{PATH}:rebuild", headers={**once, "Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["location"].endswith(f"/v1/jobs/{job['job_id']}")
    again = api.ok("POST", f"{PATH}:rebuild", status=202, headers=once)
    assert again["job_id"] == job["job_id"]
    done = api.finished(job)
    assert done["kind"] == "duplicates"
    assert done["result"]["groups"] == len(before)
    assert done["progress"]["done"] == len(api.all("/v1/streamers", "streamers"))
    assert {g["group_id"]: g for g in api.all(PATH, "groups")} == before
    rewrite(api, "vintorea-9", **copy_of("vintorea"))
    assert members_of(api, b[0]) == [*a, "vintorea-9", *b]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{PATH}/dup-{'0' * 24}", 404, "group_not_found"),
        (f"{PATH}/dup-1", 422, "invalid_request"),
        (f"{PATH}?order=oldest", 422, "invalid_request"),
        (f"{PATH}?limit=0", 422, "invalid_request"),
        (f"{PATH}?limit=1001", 422, "invalid_request"),
        (f"{PATH}?cursor=%25%25", 422, "invalid_request"),
        ("/v1/streamers/nobody/duplicates", 404, "streamer_not_found"),
        ("/v1/streamers/a%20b/duplicates", 422, "invalid_request"),
    ],
)
def test_what_is_not_there_or_wrong_is_refused(api: Api, path: str, status: int, code: str) -> None:
    api.refused("GET", path, status=status, code=code)


def test_groups_need_their_scope(api: Api) -> None:
    with api.with_key("duplicates") as fraud:
        assert fraud.ok("GET", PATH)["evaluated_sequence"] is not None
    group = f"{PATH}/dup-{'0' * 24}"
    with api.with_key("search", "explain", "streamers:read", "streamers:write") as other:
        for path in (PATH, group, "/v1/streamers/nobody/duplicates"):
            other.refused("GET", path, status=403, code="missing_scope")
        other.refused("POST", f"{PATH}:rebuild", status=403, code="missing_scope")
