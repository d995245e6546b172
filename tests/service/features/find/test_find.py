"""Streamers are found by name, by filter and page by page; values of filters are counted."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from service.app import create_app
from service.features.find import endpoints
from service.features.find.schemas import FacetsOut, FindOut
from service.settings import Settings
from tests.service.conftest import Serve, put
from tests.service.process import Service, wait_until, when_visible


@pytest.fixture(scope="module")
def world(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        kitchen = {"name": "夜猫子厨房", "tags": ["面食", "noodles"], "language": "zh"}
        kitchen["category"] = "food"
        put(client, "kitchen", **kitchen, attributes={"followers": 10})
        put(client, "branch", name="夜猫子厨房分店", language="zh")
        put(client, "fan", name="我最爱夜猫子", bio="I watch the night kitchen every day")
        put(client, "tagged", name="someone", tags=["夜猫子"], attributes={"followers": 500})
        last = put(client, "empty")
        for number in range(30):
            name = f"guest {number:02}"
            attributes = {"followers": number, "live": number % 2 == 0}
            last = put(client, f"g{number:02}", name=name, tags=["music"], attributes=attributes)
        asked = {"q": "guest", "after_sequence": last}
        when_visible(lambda: client.get("/v1/streamers", params=asked))
        yield client


def found(client: TestClient, q: str, **options: Any) -> list[tuple[str, str]]:
    """Ids and how they were found, by both routes, which have to agree."""
    answer = client.post("/v1/streamers:find", json={"q": q, **options})
    answer.raise_for_status()
    assert answer.json()["complete"] is True
    hits = [(hit["streamer_id"], hit["matched"]) for hit in answer.json()["streamers"]]
    if not options:
        listed = client.get("/v1/streamers", params={"q": q, "limit": 20})
        listed.raise_for_status()
        assert [(s["streamer_id"], s["matched"]) for s in listed.json()["streamers"]] == hits
    return hits


@pytest.mark.slow
def test_the_best_come_first_and_are_told_how_they_were_found(world: TestClient) -> None:
    assert found(world, "夜猫子") == [
        ("kitchen", "name_beginning"),
        ("branch", "name_beginning"),
        ("fan", "name_part"),
        ("tagged", "tag"),
    ]
    assert found(world, "夜貓子廚房")[0] == ("kitchen", "name")
    assert found(world, "Kitchen night") == [("fan", "bio")]
    assert found(world, "kitchen") == [("kitchen", "id"), ("fan", "bio")]
    assert found(world, "猫子") == [
        ("kitchen", "name_part"),
        ("fan", "name_part"),
        ("branch", "name_part"),
        ("tagged", "tag"),
    ]
    assert found(world, "nobody is called so") == []


def test_it_is_told_what_the_index_knows(world: TestClient) -> None:
    answer = world.post("/v1/streamers:find", json={"q": "夜猫子厨房", "limit": 1}).json()
    (first,) = answer["streamers"]
    assert first == {
        "streamer_id": "kitchen",
        "matched": "name",
        "name": "夜猫子厨房",
        "category": "food",
        "language": "zh",
        "tags": ["面食", "noodles"],
        "attributes": {"followers": 10},
    }
    listed = world.get("/v1/streamers", params={"q": "夜猫子厨房", "limit": 1}).json()
    assert listed["streamers"][0]["profile"]["name"] == "夜猫子厨房"
    assert listed["complete"] is True


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"field": "language", "any": ["zh"]}, ["kitchen", "branch"]),
        ({"field": "followers", "gte": 100}, ["tagged"]),
        ({"field": "streamer_id", "any": ["fan", "g01"]}, ["fan"]),
        ({"field": "colour", "any": ["red"]}, []),
    ],
)
def test_a_filter_says_who_may_be_found(
    world: TestClient, condition: dict[str, Any], expected: list[str]
) -> None:
    hits = found(world, "夜猫子", filter={"must": [condition]})
    assert [name for name, _ in hits] == expected


def test_who_has_no_usable_content_is_found_and_filtered(world: TestClient) -> None:
    assert found(world, "empty") == [("empty", "id")]
    only = {"must": [{"field": "streamer_id", "any": ["empty"]}]}
    assert found(world, "empty", filter=only) == [("empty", "id")]
    assert found(world, "empty", filter={"must_not": only["must"]}) == []


def test_pages_go_on_where_the_last_one_ended(world: TestClient) -> None:
    guests = [f"g{n:02}" for n in range(30)]
    seen = list[str]()
    for filtered in ({"filter": {"must": [{"field": "live", "any": [True]}]}}, {}):
        seen.clear()
        body: dict[str, Any] = {"q": "guest", "limit": 7, **filtered}
        while True:
            page = world.post("/v1/streamers:find", json=body).json()
            seen += [hit["streamer_id"] for hit in page["streamers"]]
            if page["next_cursor"] is None:
                break
            body["cursor"] = page["next_cursor"]
        assert sorted(seen) == (guests[::2] if filtered else guests)
    listed, cursor = list[str](), None
    while True:
        params = {"q": "guest", "limit": 8} | ({"cursor": cursor} if cursor else {})
        page = world.get("/v1/streamers", params=params).json()
        listed += [streamer["streamer_id"] for streamer in page["streamers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == seen


def test_a_cursor_is_of_one_question(world: TestClient) -> None:
    page = world.post("/v1/streamers:find", json={"q": "guest", "limit": 3}).json()
    for cursor, q in ((page["next_cursor"], "someone"), ("bm8", "guest"), ("!", "guest")):
        answer = world.get("/v1/streamers", params={"q": q, "cursor": cursor})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize("q", ["a", "  ", "!?", "é.", "界"])
def test_less_than_two_characters_are_refused(world: TestClient, q: str) -> None:
    for answer, where in (
        (world.get("/v1/streamers", params={"q": q}), {"parameter": "q"}),
        (world.post("/v1/streamers:find", json={"q": q}), {"pointer": "/q"}),
    ):
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert {key: error.get(key) for key in where} == where
        assert "two characters" in error["detail"]


def test_values_are_counted(world: TestClient) -> None:
    fields = ["tags", "live", "followers", "nothing"]
    wanted = {"must": [{"field": "followers", "lt": 20}]}
    body = {"fields": fields, "filter": wanted, "most": 3}
    answer = world.post("/v1/streamers:facets", json=body).json()
    assert answer["count"] == 21
    tags, live, followers, nothing = answer["fields"]
    assert tags["values"][0] == {"value": "music", "count": 20}
    assert not tags["more"]
    assert live["values"] == [{"value": False, "count": 10}, {"value": True, "count": 10}]
    assert followers["values"][0] == {"value": 10, "count": 2}
    assert followers["more"]
    assert followers["numbers"]["count"] == 21
    assert followers["numbers"]["deciles"][0] == 0
    assert followers["numbers"]["deciles"][-1] == 19
    assert nothing == {"field": "nothing", "values": [], "more": False, "numbers": None}
    assert answer["unknown_fields"] == ["nothing"]
    assert answer["known_fields"] == ["category", "followers", "language", "live", "tags"]


def test_a_large_answer_is_made_off_the_event_loop(
    world: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.json_bodies.MOST_INLINE", 10)
    threads: list[str] = []

    def noting(kind: type[BaseModel]) -> Callable[..., BaseModel]:
        def made(**fields: Any) -> BaseModel:
            threads.append(threading.current_thread().name)
            return kind(**fields)

        return made

    for kind in (FindOut, FacetsOut):
        monkeypatch.setattr(endpoints, kind.__name__, noting(kind))
    for most in (10, 30):
        page = world.post("/v1/streamers:find", json={"q": "guest", "limit": most})
        assert len(page.raise_for_status().json()["streamers"]) == most
        counts = world.post("/v1/streamers:facets", json={"fields": ["followers"], "most": most})
        assert len(counts.raise_for_status().json()["fields"][0]["values"]) == most
    assert [name.startswith("lanes-") for name in threads] == [False, False, True, True]


def test_a_write_is_found_and_a_deleted_or_renamed_streamer_is_not(client: TestClient) -> None:
    def names(q: str, sequence: int) -> list[str]:
        asked = {"q": q, "after_sequence": sequence}
        answer = when_visible(lambda: client.get("/v1/streamers", params=asked))
        return [streamer["streamer_id"] for streamer in answer.json()["streamers"]]

    assert names("luna", put(client, "one", name="Luna", bio="sings")) == ["one"]
    renamed = put(client, "one", name="Stella", bio="sings")
    assert names("luna", renamed) == []
    assert names("stella", renamed) == ["one"]
    assert names("sings", renamed) == ["one"]
    deleted = client.delete("/v1/streamers/one").json()["sequence"]
    assert names("stella", 0) == []  # before the file knows
    assert names("stella", deleted) == []


def test_a_write_that_does_not_come_is_not_waited_for_too_long(
    bundle: Path, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path, "limits": {"visible_timeout_ms": 10}}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        answer = client.get("/v1/streamers", params={"q": "luna", "after_sequence": 99})
        assert answer.status_code == 503
        told = answer.json()
        assert (told["code"], told["store_sequence"]) == ("not_yet_visible", 0)  # nor will it come


@pytest.mark.slow
def test_a_restart_goes_on_and_a_damaged_file_is_made_anew(serve: Serve, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    def is_found(service: Service) -> bool:
        answer = service.client.get("/v1/streamers", params={"q": "luna"}).json()
        return [streamer["streamer_id"] for streamer in answer["streamers"]] == ["one"]

    service = serve(data_dir=data_dir)
    service.client.put("/v1/streamers/one", json={"name": "Luna"}).raise_for_status()
    wait_until(lambda: is_found(service), "the name is found")
    service.stop()
    (path,) = (data_dir / "names").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT id FROM streamers").fetchall() == [("one",)]
    again = serve(data_dir=data_dir)
    wait_until(lambda: is_found(again), "the name is found again")
    again.stop()
    path.write_bytes(b"damaged" * 3000)
    last = serve(data_dir=data_dir)
    wait_until(lambda: is_found(last), "the name is found in a new file")
