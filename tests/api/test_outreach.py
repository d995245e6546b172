"""Outreach: who was written to, when, by which key; and mistakes that are taken back."""

from typing import Any

import pytest

from tests.support.api import Api, wrong_fields

PATH = "/v1/outreach"


@pytest.fixture(scope="module", autouse=True)
def streamers(api: Api) -> None:
    api.write({"streamer_id": f"s{i}", "tags": ["cooking"]} for i in range(12))


def record(api: Api, *ids: str, **more: Any) -> Any:
    return api.ok("POST", PATH, {"ids": ids, **more}, status=201)


def listed(api: Api, **params: Any) -> list[str]:
    return [one["outreach_id"] for one in api.all(PATH, "outreach", limit=2, **params)]


def test_records_say_who_and_when_and_are_found_by_streamer_and_time(api: Api) -> None:
    with api.with_key("streamers:write", "streamers:read", name="campaigns") as desk:
        first = record(desk, "s1", "s2", "s1", note="first mail", at=1000)
    assert (first["ids"], first["at"], first["note"]) == (["s1", "s2"], 1000, "first mail")
    assert first["key_name"] == "campaigns"
    second = record(api, "s2")
    assert second["at"] == pytest.approx(second["recorded_at"], abs=1)
    assert second["key_id"] != first["key_id"]
    third = record(api, "s3", at=5)
    a, b, c = (one["outreach_id"] for one in (first, second, third))
    assert [one for one in listed(api) if one in (a, b, c)] == [a, b, c]
    assert listed(api, streamer_id="s2") == [a, b]
    assert listed(api, streamer_id="s2", since=1000) == [a, b]
    assert listed(api, streamer_id="s2", since=1000.5) == [b]
    assert listed(api, streamer_id="s3", since=6) == []
    assert a not in listed(api, since=1001)
    assert api.ok("DELETE", f"{PATH}/{a}") == first
    assert listed(api, streamer_id="s2") == [b]
    api.refused("DELETE", f"{PATH}/{a}", status=404, code="outreach_not_found")


def test_records_come_in_pages_each_once(api: Api) -> None:
    made = [record(api, "s4", at=i)["outreach_id"] for i in range(5)]
    pages = [*api.pages(PATH, "outreach", limit=2, streamer_id="s4")]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one["outreach_id"] for page in pages for one in page] == made


def test_a_request_is_recorded_once_by_its_key(api: Api) -> None:
    once, body = {"Idempotency-Key": '"mail-1"'}, {"ids": ["s5"], "note": "first mail"}
    first, again = (api.ok("POST", PATH, body, 201, headers=once) for _ in range(2))
    assert first == again
    assert listed(api, streamer_id="s5") == [first["outreach_id"]]
    other = {**body, "note": "second mail"}
    code = "idempotency_key_reused"
    api.refused("POST", PATH, other, status=422, code=code, headers=once)
    api.ok("DELETE", f"{PATH}/{first['outreach_id']}")
    anew = api.ok("POST", PATH, body, 201, headers=once)
    assert anew["outreach_id"] != first["outreach_id"]


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        ({"ids": ["s6", "nobody", "no1"]}, 404, "streamer_not_found", ["/ids/1", "/ids/2"]),
        ({"ids": []}, 422, "invalid_request", ["/ids"]),
        ({"ids": ["a b"]}, 422, "invalid_request", ["/ids/0"]),
        ({"ids": ["s6"] * 10_001}, 422, "invalid_request", ["/ids"]),
        ({"ids": ["s6"], "at": -1}, 422, "invalid_request", ["/at"]),
        ({"ids": ["s6"], "at": 1862438400000}, 422, "invalid_request", ["/at"]),
        ({"ids": ["s6"], "note": "n" * 2001}, 422, "invalid_request", ["/note"]),
        ({"ids": ["s6"], "key_name": "me"}, 422, "invalid_request", ["/key_name"]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_recorded(
    api: Api, body: dict[str, Any], status: int, code: str, fields: list[str]
) -> None:
    assert wrong_fields(api.refused("POST", PATH, body, status=status, code=code)) == fields
    assert listed(api, streamer_id="s6") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("since=-1", "since"),
        ("since=1862438400000", "since"),
        ("streamer_id=a%20b", "streamer_id"),
        ("cursor=%25%25", "cursor"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(api: Api, query: str, field: str) -> None:
    problem = api.refused("GET", f"{PATH}?{query}", status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]


def test_recording_needs_the_scope_to_write_and_reading_that_to_read(api: Api) -> None:
    path = f"{PATH}/{record(api, 's7')['outreach_id']}"
    with api.with_key("streamers:read", "search") as reader:
        assert len(listed(reader, streamer_id="s7")) == 1
        reader.refused("POST", PATH, {"ids": ["s7"]}, status=403, code="missing_scope")
        reader.refused("DELETE", path, status=403, code="missing_scope")
    with api.with_key("streamers:write", "search") as writer:
        writer.refused("GET", PATH, status=403, code="missing_scope")
        writer.ok("DELETE", path)


def test_an_erasure_takes_a_streamer_out_of_all_records(api: Api) -> None:
    both, alone = record(api, "s8", "s9"), record(api, "s8")
    api.ok("DELETE", "/v1/streamers/s9")  # which is no erasure
    assert listed(api, streamer_id="s9") == [both["outreach_id"]]
    assert api.ok("DELETE", "/v1/streamers/s8?erase=true")["outreach"] == 2
    assert listed(api, streamer_id="s8") == []
    (left,) = api.all(PATH, "outreach", streamer_id="s9")
    assert left == {**both, "ids": ["s9"]}
    assert alone["outreach_id"] not in listed(api)
    assert api.ok("DELETE", "/v1/streamers/s8?erase=true")["outreach"] == 0
