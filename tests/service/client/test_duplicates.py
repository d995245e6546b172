"""Groups, judgements and events by the client, of a service that keeps them up to date."""

import asyncio

import httpx
import pytest

from service.client import AsyncClient, Client, Invalid, NotFound
from service.client.models import EventOut
from tests.service.client.scripted import Script
from tests.service.process import Service, wait_until

slow = pytest.mark.slow
GUITAR = {"name": "the guitar channel", "bio": "guitar vocal cover concert", "tags": ["music"]}


def ring(client: Client, prefix: str, count: int) -> list[str]:
    """Copies of one account, in a group."""
    ids = [f"{prefix}{i}" for i in range(count)]
    for streamer_id in ids:
        client.put(streamer_id, GUITAR)

    def grouped() -> bool:
        group = client.duplicates.of(ids[0]).group
        return group is not None and group.size == count

    wait_until(grouped, "the copies are a group")
    return ids


@slow
def test_from_a_seed_to_the_group_and_its_evidence(client: Client) -> None:
    ids = ring(client, "a", 4)
    client.put("other", {"name": "Zhu", "bio": "ranked match", "tags": ["gaming"]})
    found = client.duplicates.of("a0")
    assert found.group is not None
    assert {tie.streamer_id for tie in found.duplicates} == set(ids) - {"a0"}
    assert [g.group_id for g in client.duplicates.all(page_size=1)] == [found.group.group_id]
    group = client.duplicates.get(found.group.group_id)
    assert group.members == ids
    assert group.next_cursor is None
    first = client.duplicates.get(found.group.group_id, limit=3)
    rest = client.duplicates.get(found.group.group_id, limit=3, cursor=first.next_cursor)
    assert first.members + rest.members == ids
    comparison = client.compare("a0", "a1")
    assert comparison.verdict == "near_duplicate"
    (text,) = [c.weight for c in comparison.channels if c.channel == "text"]
    left = client.compare("a0", "a1", without=["text"])
    assert left.weight == pytest.approx(comparison.weight - text)
    with pytest.raises(NotFound):
        client.duplicates.get("dup-" + "0" * 24)
    with pytest.raises(Invalid, match="group_id"):
        client.duplicates.get("dup-garbage")
    with pytest.raises(NotFound):
        client.duplicates.of("nobody")
    job = client.jobs.wait(client.duplicates.rebuild().job_id)
    assert job.kind == "duplicates"
    wait_until(lambda: client.duplicates.page().evaluated_sequence is not None, "it is rebuilt")
    assert client.duplicates.get(found.group.group_id).members == ids


@slow
def test_judgements_are_given_found_and_taken_back(client: Client) -> None:
    ids = ring(client, "j", 3)
    assert client.judgements.get("j0", "j1") is None
    given = client.judgements.put("j1", "j0", "different", "two brothers")
    assert (given.a, given.b, given.overrules) == ("j0", "j1", [])

    def apart() -> bool:
        groups = [client.duplicates.of(name).group for name in ("j0", "j1")]
        return groups[0] is None or groups[1] is None or groups[0] != groups[1]

    wait_until(apart, "they are in different groups")
    (tie,) = [t for t in client.duplicates.of("j0").duplicates if t.streamer_id == "j1"]
    assert not tie.in_group
    client.judgements.put("j1", "j2", "same")
    newest = client.judgements.put("j0", "j2", "same")
    assert [(pair.a, pair.b) for pair in newest.overrules] == [("j0", "j1")]
    kept = client.judgements.get("j1", "j0")
    assert kept is not None
    assert kept.note == "two brothers"
    assert [(pair.a, pair.b) for pair in kept.overruled_by]
    assert [(j.a, j.b) for j in client.judgements.all(page_size=1)] == [
        ("j0", "j1"), ("j0", "j2"), ("j1", "j2"),
    ]  # fmt: skip
    assert {(j.a, j.b) for j in client.judgements.all("j0")} == {("j0", "j1"), ("j0", "j2")}
    for a, b in (("j0", "j1"), ("j0", "j2"), ("j2", "j1")):
        client.judgements.delete(a, b)
    assert list(client.judgements.all()) == []
    with pytest.raises(NotFound):
        client.judgements.delete("j0", "j1")
    with pytest.raises(Invalid, match="two different streamers"):
        client.judgements.put("j0", "j0", "same")
    with pytest.raises(NotFound, match="'nobody'"):
        client.judgements.put("j0", "nobody", "same")
    assert ids == sorted(ids)


@slow
def test_events_go_on_where_they_were_left(service: Service, client: Client) -> None:
    kinds = ["duplicates.*"]
    before = client.events(kinds=kinds)
    list(before)
    assert before.cursor is not None
    ring(client, "e", 3)
    seen = {event.event_id: event for event in before}
    joined = [name for event in seen.values() for name in event.data["streamer_ids"]]
    assert sorted(name for name in joined if name[0] == "e") == ["e0", "e1", "e2"]
    assert list(before) == []
    client.delete("e2")
    follower = client.events(before.cursor, kinds=kinds, poll_s=0.01)
    event = next(e for e in follower if "e2" in e.data["streamer_ids"])
    assert event.kind == "duplicates.split"
    assert event.event_id not in seen
    with pytest.raises(Invalid, match="cursor"):
        next(client.events("dup-garbage"))

    async def again() -> list[EventOut]:
        async with AsyncClient(service.url) as there:
            return [
                event async for event in there.events(follower.cursor, page_size=1, kinds=kinds)
            ]

    assert event in asyncio.run(again())


def page(cursor: str, *numbers: int) -> httpx.Response:
    data = {"group_id": "dup-1", "streamer_ids": [], "groups": []}
    events = [
        {"event_id": f"evt-{n}", "kind": "duplicates.grew", "at": 1.0, "data": data}
        for n in numbers
    ]
    return httpx.Response(200, json={"events": events, "next_cursor": cursor, "retention": {}})


def test_a_cursor_moves_on_once_a_page_was_dealt_with() -> None:
    script = Script(page("c2", 1, 2), page("c3", 3), page("c3"), page("c3"), page("c4", 4))
    events = script.client().events("c0", poll_s=1e-4)
    kept = [(next(events).event_id, events.cursor) for _ in range(4)]
    assert kept == [("evt-1", "c0"), ("evt-2", "c0"), ("evt-3", "c2"), ("evt-4", "c3")]
    asked = [request.url.params["cursor"] for request in script.seen]
    assert asked == ["c0", "c2", "c3", "c3", "c3"]


def test_events_end_and_go_on() -> None:
    script = Script(page("c1", 1), page("c1"), page("c2", 2), page("c2"))
    events = script.client().events()
    assert [event.event_id for event in events] == ["evt-1"]
    assert events.cursor == "c1"
    assert [event.event_id for event in events] == ["evt-2"]
    assert "cursor" not in script.seen[0].url.params
