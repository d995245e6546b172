"""A recommender hands over its vectors: every form, the checks, what is served."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from service.engine.spaces.generation import Generation
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.streamer_neighbours import StreamerNeighbours
from service.features.spaces.service import Spaces
from service.features.spaces.storing import load
from service.index.filters import Condition, Filter
from service.store.spaces import SpaceRecord
from tests.service.conftest import put, wait_until_visible
from tests.service.features.spaces.hand_overs import (
    NDJSON,
    NPZ,
    PARQUET,
    STREAMERS,
    USERS,
    WIDTH,
    HandOver,
    checks_of,
    promote,
    roll_back,
    send,
    served,
    space_of,
)
from tests.service.http.test_bad_input import problem


def counts_of(**changed: int) -> dict[str, int]:
    """Counts of a generation, as they are shown."""
    known = {
        "streamers": STREAMERS,
        "users": USERS,
        "with_neighbours": 0,
        "erased_streamers": 0,
        "erased_users": 0,
    }
    return {**known, **changed}


def spaces_of(client: TestClient) -> Spaces:
    return client.app_state["services"].spaces  # type: ignore[index]


def read_from_store(client: TestClient) -> Generation:
    """What the store has of the generation of `als` that is served."""
    return loaded(client)[0]


def loaded(client: TestClient) -> tuple[Generation, StreamerNeighbours | None]:
    """The same, with the neighbours that its streamers came with."""
    spaces = spaces_of(client)
    assert client.portal is not None
    active = SpaceRecord.of_json(client.portal.call(spaces._store.get, "als")).active
    assert active is not None
    return client.portal.call(load, spaces._store, "als", active, spaces._lanes)


def parquet_of(handed: HandOver) -> bytes:
    rows: list[dict[str, Any]] = [
        {
            "kind": "streamer",
            "id": name,
            "vector": vector.tolist(),
            "attributes": None,
            "neighbours": None if handed.neighbours is None else handed.named_neighbours(row),
        }
        for row, (name, vector) in enumerate(zip(handed.ids, handed.vectors, strict=True))
    ]
    told = handed.attributes or [None] * len(handed.user_ids)
    rows += [
        {"kind": "user", "id": name, "vector": vector.tolist(), "attributes": attributes}
        for name, vector, attributes in zip(handed.user_ids, handed.user_vectors, told, strict=True)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=37)
    return sink.getvalue().to_pybytes()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["lines", "npz", "packed", "parquet"])
def test_every_form_is_served_as_it_was_sent(
    client: TestClient, handed: HandOver, form: str
) -> None:
    body, kind = {
        "lines": (handed.lines(), NDJSON),
        "npz": (handed.npz(), NPZ),
        "packed": (handed.npz(packed=True), NPZ),
        "parquet": (parquet_of(handed), PARQUET),
    }[form]
    answer = send(client, "g1", body, kind, promote="true")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["state"] == "active"
    assert made["counts"] == counts_of()
    assert made["dim"] == WIDTH
    for row in (0, 41, STREAMERS - 1):
        found = served(client, handed.ids[row])
        assert (found["generation"], found["is_established"]) == ("g1", True)
        assert found["vector"] == handed.vectors[row].tolist()
        assert found["age_s"] >= 0
    assert not served(client, "somebody-else")["is_established"]


def test_checks_are_named_and_a_first_one_is_held_against_content(
    client: TestClient, handed: HandOver
) -> None:
    checks = checks_of(send(client, "g1", handed.npz()).json())
    assert set(checks) == {"width", "finite", "norms", "duplicates", "known_ids", "content"}
    assert all(check["passed"] for check in checks.values())
    assert checks["known_ids"]["value"] == 1
    assert checks["content"]["value"] > checks["content"]["limit"]


def test_a_later_one_is_held_against_what_is_served(client: TestClient, handed: HandOver) -> None:
    send(client, "g1", handed.npz(), promote="true")
    checks = checks_of(send(client, "g2", handed.turned(3).npz()).json())
    assert checks["neighbourhoods"]["value"] == pytest.approx(1, abs=0.01)
    assert checks["rotation"]["value"] == pytest.approx(0, abs=0.01)
    assert checks["rotation"]["detail"].startswith("a rotation of generation 'g1'")
    assert checks["content"]["passed"] is None
    noise = np.random.default_rng(9).normal(size=handed.vectors.shape).astype(np.float32)
    drifted = handed.but(vectors=handed.vectors + noise * handed.vectors.std())
    checks = checks_of(send(client, "g3", drifted.npz()).json())
    assert 0.1 < checks["neighbourhoods"]["value"] < 0.95
    assert checks["rotation"]["value"] > 0.05
    assert checks["rotation"]["detail"].startswith("more than a rotation")


def test_users_are_held_against_those_that_are_served(client: TestClient, handed: HandOver) -> None:
    """Streamers that are right beside users that are not would give random audiences."""
    send(client, "g1", handed.npz(), promote="true").raise_for_status()
    turned = handed.turned(3)
    assert checks_of(send(client, "g2", turned.npz()).json())["audiences"]["value"] > 0.99
    order = np.random.default_rng(5).permutation(USERS)
    shuffled = turned.but(user_vectors=turned.user_vectors[order])
    of_another_run = turned.but(user_vectors=handed.turned(4).user_vectors)
    for name, wrong in (("g3", shuffled), ("g4", of_another_run)):
        answer = send(client, name, wrong.npz(), promote="true")
        told = problem(answer, 409, "generation_refused")
        assert [e["pointer"] for e in told["errors"]] == ["/checks/audiences"]
        assert "of the same run" in told["detail"]
    few = turned.but(user_ids=turned.user_ids[:49], user_vectors=turned.user_vectors[:49])
    check = checks_of(send(client, "g5", few.npz()).json())["audiences"]
    assert (check["passed"], "50 are needed" in check["detail"]) == (None, True)
    none = turned.but(user_ids=[], user_vectors=turned.user_vectors[:0])
    forced = send(client, "g6", none.npz(), promote="true", force="true").raise_for_status()
    assert "audiences" not in checks_of(forced.json())
    check = checks_of(send(client, "g7", handed.npz()).json())["audiences"]
    assert (check["passed"], "no users" in check["detail"]) == (None, True)


@pytest.mark.slow
def test_a_file_that_was_not_written_to_its_end_is_refused(
    client: TestClient, handed: HandOver
) -> None:
    send(client, "g1", handed.npz(), promote="true").raise_for_status()
    turned = handed.turned(3)
    half = STREAMERS // 2
    streamers = turned.but(ids=turned.ids[: half - 1], vectors=turned.vectors[: half - 1])
    users = turned.but(user_ids=[], user_vectors=turned.user_vectors[:0])
    for name, cut in (("g2", streamers), ("g3", users)):
        answer = send(client, name, cut.npz(), promote="true")
        told = problem(answer, 409, "generation_refused")
        assert [e["pointer"] for e in told["errors"]] == ["/checks/size"]
        assert "written to its end" in told["detail"]
    enough = turned.but(ids=turned.ids[:half], vectors=turned.vectors[:half])
    assert send(client, "g4", enough.npz(), promote="true").json()["state"] == "active"


@pytest.mark.slow
def test_a_space_of_the_bundle_is_held_against_the_bundle(
    client: TestClient, handed: HandOver
) -> None:
    answer = send(client, "g1", handed.npz(), space="test-ids")
    width = checks_of(answer.json())["width"]
    assert (width["passed"], width["value"], width["limit"]) == (False, WIDTH, 8)
    assert "the bundle has 8" in width["detail"]
    assert answer.json()["state"] == "refused"
    fitting = handed.but(vectors=handed.vectors[:, :8], user_vectors=handed.user_vectors[:, :8])
    answer = send(client, "g2", fitting.npz(), space="test-ids", promote="true")
    assert (answer.status_code, answer.json()["state"]) == (201, "active")
    # From now on it is the service's own: the one before is compared with, not the bundle.
    checks = checks_of(send(client, "g3", fitting.turned(1).npz(), space="test-ids").json())
    assert "generation 'g2'" in checks["neighbourhoods"]["detail"]


@pytest.mark.slow
def test_interactions_tell_who_is_established(client: TestClient, handed: HandOver) -> None:
    counts = np.arange(STREAMERS, dtype=np.float32)
    send(client, "g1", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    for row, is_established in ((0, False), (9, False), (10, True), (79, True)):
        found = served(client, handed.ids[row])
        assert (found["interactions"], found["is_established"]) == (row, is_established)
    kinds = {"kinds": "streamer.graduated", "limit": 1000}
    before = client.get("/v1/events", params=kinds).json()
    while before["events"]:  # of other tests
        params = kinds | {"cursor": before["next_cursor"]}
        before = client.get("/v1/events", params=params).json()
    grown = counts.copy()
    grown[:5] = 50
    lines = handed.but(interactions=grown).lines()
    send(client, "g2", lines, NDJSON, promote="true").raise_for_status()
    params = kinds | {"cursor": before["next_cursor"]}
    after = client.get("/v1/events", params=params).json()["events"]
    graduated = [event["data"]["streamer_id"] for event in after]
    assert sorted(graduated) == handed.ids[:5]
    assert all(event["data"]["generation"] == "g2" for event in after)


@pytest.mark.slow
def test_promote_roll_back_and_delete(client: TestClient, handed: HandOver) -> None:
    for number in range(3):
        send(client, f"g{number}", handed.turned(number).npz()).raise_for_status()
    assert space_of(client)["active"] is None
    assert promote(client, "g0")["serving"] == "g0"
    shown = promote(client, "g1")
    assert (shown["active"]["generation"], shown["previous"]) == ("g1", "g0")
    assert [g["state"] for g in shown["generations"]] == ["checked", "active", "previous"]
    assert served(client, "s003")["vector"] == handed.turned(1).vectors[3].tolist()
    shown = roll_back(client).json()
    assert (shown["active"]["generation"], shown["previous"]) == ("g0", None)
    assert served(client, "s003")["vector"] == handed.turned(0).vectors[3].tolist()
    assert problem(roll_back(client), 409, "nothing_before")["detail"].startswith("no generation")
    path = "/v1/spaces/als/generations/"
    assert problem(client.delete(path + "g0"), 409, "generation_in_use")
    assert client.delete(path + "g1").status_code == 204
    assert problem(client.delete(path + "g1"), 404, "generation_not_found")
    assert client.delete(path + "g2").status_code == 204
    assert client.delete(path + "g0").status_code == 204
    assert space_of(client) is None


@pytest.mark.slow
def test_old_generations_make_room(client: TestClient, handed: HandOver) -> None:
    for number in range(7):
        send(client, f"g{number}", handed.turned(number).npz(), promote=number < 2)
    kept = [g["generation"] for g in space_of(client)["generations"]]
    assert kept == ["g6", "g5", "g1", "g0"]


def test_a_user_is_erased_from_all_generations(client: TestClient, handed: HandOver) -> None:
    send(client, "g0", handed.npz(), promote="true")
    send(client, "g1", handed.turned(1).npz(), promote="true")
    erased = client.delete("/v1/spaces/als/users/观众-7")
    assert erased.json() == {"space": "als", "user_id": "观众-7", "generations": 2}
    assert client.delete("/v1/spaces/als/users/观众-7").json()["generations"] == 0
    spaces = client.app_state["services"].spaces  # type: ignore[index]
    now = spaces.active.get("als")
    assert now.erased_users == {"观众-7"}
    assert "观众-7" in now.generation.user_ids
    # In the one before it is hidden as well, and is not when that is read from the store.
    roll_back(client).raise_for_status()
    assert spaces.active.get("als").erased_users == {"观众-7"}
    asked = {"streamer_id": handed.ids[3], "users": USERS}
    users = client.post("/v1/cold-start", json=asked).json()["users"]
    assert {user["user_id"] for user in users} == set(handed.user_ids) - {"观众-7"}
    read = read_from_store(client)
    assert isinstance(read.user_ids, PackedIds)
    assert "观众-7" not in read.user_ids
    assert len(read.user_ids) == len(read.user_vectors) == USERS - 1
    row = read.user_ids.find("观众-8")
    assert read.user_vectors.take(np.array([row]))[0].tolist() == handed.user_vectors[8].tolist()
    counts = space_of(client)["generations"][0]["counts"]
    assert counts == counts_of(users=USERS - 1, erased_users=1)


@pytest.mark.slow
def test_the_vectors_of_an_erased_streamer_go_from_all_generations(
    client: TestClient, handed: HandOver
) -> None:
    last = put(client, "once", bio="guitar vocal song")
    wait_until_visible(client, last)
    one = handed.but(
        ids=[*handed.ids, "once"],
        vectors=np.concatenate([handed.vectors, handed.vectors[:1]]),
        interactions=np.full(STREAMERS + 1, 20, np.float32),
    )
    send(client, "g0", one.npz(), promote="true").raise_for_status()
    send(client, "g1", one.turned(1).npz(), promote="true").raise_for_status()
    send(client, "g2", one.turned(2).npz(), space="other").raise_for_status()
    assert served(client, "once")["is_established"]
    erased = client.delete("/v1/streamers/once", params={"erase": "true"}).json()
    (left,) = [each["what"] for each in erased["persists"] if each["where"] == "spaces"]
    assert "which no answer shows" in left
    for _ in range(2):
        assert served(client, "once")["vector"] is None
        for space in ("als", "other"):
            for generation in space_of(client, space)["generations"]:
                expected = counts_of(erased_streamers=1)
                assert generation["counts"] == expected
        asked = client.post("/v1/cold-start", json={"streamer_id": "once", "space": "als"})
        assert problem(asked, 404, "streamer_not_found")
        roll_back(client)
    read = read_from_store(client)
    assert read.interactions is not None
    assert "once" not in read.streamer_ids
    assert len(read.streamer_ids) == len(read.vectors) == len(read.interactions) == STREAMERS
    assert read.vectors[40].tolist() == one.vectors[40].tolist()
    # Nothing is left to be done.
    client.delete("/v1/streamers/once", params={"erase": "true"}).raise_for_status()
    assert space_of(client)["generations"][0]["counts"] == counts_of(erased_streamers=1)


ATTRIBUTES: list[dict[str, Any]] = [
    {
        **({} if i % 5 == 0 else {"country": ("CN", "TW", "日本")[i % 3]}),
        **({} if i % 7 == 0 else {"level": i % 10}),
        "is_vip": i % 2 == 0,
    }
    for i in range(USERS)
]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["lines", "npz", "parquet"])
def test_users_are_filtered_by_attributes_that_come_with_them(
    client: TestClient, handed: HandOver, form: str
) -> None:
    told = handed.but(attributes=ATTRIBUTES)
    body, kind = {
        "lines": (told.lines(), NDJSON),
        "npz": (told.npz(), NPZ),
        "parquet": (parquet_of(told), PARQUET),
    }[form]
    made = send(client, "g1", body, kind, promote="true").raise_for_status().json()
    assert sorted(made["user_attributes"]) == ["country", "is_vip", "level"]

    def among(wanted: dict[str, Any]) -> list[int]:
        asked = {"streamer_id": handed.ids[3], "users": USERS, "user_filter": wanted}
        answer = client.post("/v1/cold-start", json=asked).raise_for_status().json()
        assert answer["unknown_user_fields"] == []
        return sorted(int(user["user_id"].split("-")[1]) for user in answer["users"])

    def those(holds: Callable[[dict[str, Any]], bool]) -> list[int]:
        return [i for i in range(USERS) if holds(ATTRIBUTES[i])]

    one_of = {"field": "country", "any": ["CN", "日本"]}
    assert among({"must": [one_of]}) == those(lambda a: a.get("country") in ("CN", "日本"))
    high = {"field": "attributes.level", "gte": 3, "lt": 7}
    vip = {"field": "is_vip", "any": [True]}
    assert among({"must": [high], "must_not": [one_of, vip]}) == those(
        lambda a: (
            3 <= a.get("level", -1) < 7
            and a.get("country") not in ("CN", "日本")
            and not a["is_vip"]
        )
    )
    assert among({"must": [{"field": "level", "any": [0, 9]}]}) == those(
        lambda a: a.get("level") in (0, 9)
    )
    # Who is erased takes its attributes along.
    client.delete("/v1/spaces/als/users/观众-4").raise_for_status()
    read = read_from_store(client)
    assert read.user_attributes is not None
    mask = read.user_attributes.mask(Filter([Condition("is_vip", any=[True])]))
    assert [read.user_ids[row] for row in np.flatnonzero(mask).tolist()] == [
        handed.user_ids[i] for i in those(lambda a: a["is_vip"]) if i != 4
    ]


def test_a_field_that_no_user_has_is_told(client: TestClient, handed: HandOver) -> None:
    send(client, "g1", handed.npz(), promote="true").raise_for_status()
    wanted = {"must": [{"field": "contry", "any": ["CN"]}]}
    asked = {"streamer_id": handed.ids[3], "users": 5, "user_filter": wanted}
    answer = client.post("/v1/cold-start", json=asked).json()
    assert (answer["users"], answer["unknown_user_fields"]) == ([], ["contry"])


@pytest.mark.slow
def test_metrics_tell_of_spaces(client: TestClient, handed: HandOver) -> None:
    send(client, "g0", handed.with_nearest().npz(), promote="true")
    text = client.get("/metrics").text
    assert f'streamer_space_with_neighbours{{space="als"}} {STREAMERS * 0.75}' in text
    assert f'streamer_space_streamers{{space="als"}} {float(STREAMERS)}' in text
    assert f'streamer_space_users{{space="als"}} {float(USERS)}' in text
    assert 'streamer_space_behind{space="als"} 0.0' in text
