"""A sticky share of the callers is answered by the next model, and nobody notices a change."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.errors import NotReady
from service.features.models.following import ModelFollower
from service.features.models.live import routing
from service.features.models.live.routing import place_of
from service.http.auth.callers import KEYLESS, Caller
from tests.bundles import DIM, TOPICS
from tests.service.conftest import put
from tests.service.features.models.comparing import BAD, FIRST, fill, opened, ready, write_models
from tests.service.features.models.live.asking import asked, canaried

CALLERS = [f"client-{i}" for i in range(30)]
SEED = "cooking-01"
PROFILE = {"positive": [{"profile": {"bio": TOPICS["music"]}}], "k": 5, "explain": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def opened_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with opened(folder, tmp_path_factory.mktemp("canary")) as client:
        fill(client)
        ready(client, "bad", BAD)  # its answers are others for sure
        yield client


@pytest.fixture
def client(opened_once: TestClient) -> Iterator[TestClient]:
    yield opened_once
    canaried(opened_once, BAD, 0)


def place(caller: str, model: str = BAD) -> float:
    return place_of({"headers": [(b"x-client-id", caller.encode())], "caller": KEYLESS}, model)


def chosen(client: TestClient) -> set[str]:
    """Who is answered by the canary."""
    by = {c: asked(client, SEED, c)["model_version"] for c in CALLERS}
    assert set(by.values()) <= {FIRST, BAD}
    return {caller for caller, model in by.items() if model == BAD}


def gave_way(client: TestClient, why: str) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(f'streamer_canary_gave_way_total{{reason="{why}"}}'):
            return float(line.split()[1])
    raise AssertionError(f"{why} is not counted")


def is_same(one: Any, other: Any) -> bool:
    """Whether all of an answer is of one model: the last digits depend on who was encoded too."""
    scores = [[hit["score"] for hit in each["hits"]] for each in (one, other)]
    ids = [[hit["streamer_id"] for hit in each["hits"]] for each in (one, other)]
    is_whole = one["reached"] == other["reached"] and ids[0] == ids[1]
    return is_whole and scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.slow
def test_a_caller_stays_where_the_share_put_it(client: TestClient) -> None:
    assert chosen(client) == set()
    for share in (0.3, 0.6, 1.0, 0.3):
        shown = canaried(client, BAD, share)
        assert (shown["state"], shown["canary_share"]) == ("canary", share)
        assert chosen(client) == {caller for caller in CALLERS if place(caller) < share}
    assert canaried(client, BAD, 0)["state"] == "ready"
    assert chosen(client) == set()
    places = [place(f"{i}") for i in range(2000)]
    assert 0.25 < sum(each < 0.3 for each in places) / len(places) < 0.35
    assert place("one") != place("one", FIRST)  # another model has other callers first


def test_without_an_id_the_key_decides_and_without_a_key_the_address() -> None:
    def at(key: str, address: str, *headers: tuple[bytes, bytes]) -> float:
        caller = Caller(key, "", frozenset())
        return place_of({"headers": headers, "caller": caller, "client": (address, 1)}, BAD)

    assert at("k1", "10.0.0.1") == at("k1", "10.0.0.2") != at("k2", "10.0.0.1")
    keyless = KEYLESS.key_id
    assert at(keyless, "10.0.0.1") == at(keyless, "10.0.0.1") != at(keyless, "10.0.0.2")
    named = (b"x-client-id", b"me")
    assert at("k1", "10.0.0.1", named) == at("k2", "10.0.0.2", named) == place("me")
    assert at("k1", "10.0.0.1", (b"x-client-id", b"")) == at("k1", "10.0.0.1")


@pytest.mark.slow
def test_whoever_asks_all_the_time_gets_whole_answers_of_one_model(client: TestClient) -> None:
    def answers(caller: str) -> list[Any]:
        paged = {"positive": [{"streamer_id": SEED}], "min_score": -1, "pages": True, "k": 7}
        headers = {"X-Client-Id": caller}
        first = client.post("/v1/similar", json=paged, headers=headers)
        cursor = {"cursor": first.json()["next_cursor"]}
        found = [
            client.get(f"/v1/streamers/{SEED}/similar", headers=headers),
            client.get(f"/v1/streamers/{SEED}/similar?exact=true&k=7", headers=headers),
            client.post("/v1/similar", json=PROFILE, headers=headers),
            first,
            client.get("/v1/similar", params=cursor, headers=headers),
        ]
        assert {answer.status_code for answer in found} == {200}, [a.text for a in found]
        bodies = [answer.json() for answer in found]
        assert bodies[3]["model_version"] == bodies[4]["model_version"]
        return [{n: b[n] for n in ("hits", "model_version", "reached")} for b in bodies]

    known: dict[str, list[Any]] = {FIRST: answers("x")}
    canaried(client, BAD, 1)
    known[BAD] = answers("x")
    assert [a["model_version"] for a in known[BAD]] == [BAD] * 5
    assert all(a["hits"] != b["hits"] for a, b in zip(known[FIRST], known[BAD], strict=True))
    is_over = threading.Event()

    def read(caller: str) -> int:
        count = 0
        while not is_over.is_set():
            for which, answer in enumerate(answers(caller)):
                assert is_same(answer, known[answer["model_version"]][which])
                count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read, caller) for caller in CALLERS[:2]]
        try:
            for share in (0.2, 0.7, 0, 1, 0.4):
                canaried(client, BAD, share)
                expected = {caller for caller in CALLERS if place(caller) < share}
                assert chosen(client) == expected
            client.post(f"/v1/models/{BAD}:promote").raise_for_status()
            assert chosen(client) == {*CALLERS}
            client.post("/v1/models:rollback").raise_for_status()
            assert chosen(client) == set()  # the promotion has ended the canary
        finally:
            is_over.set()
        assert all(reader.result() for reader in readers)


def test_what_the_canary_lacks_the_active_model_answers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaried(client, BAD, 1)
    before = gave_way(client, "not_here")
    with monkeypatch.context() as patched:
        patched.setattr(ModelFollower, "is_indexed", lambda *_: False)
        assert asked(client, SEED)["model_version"] == FIRST
    assert gave_way(client, "not_here") == before + 1
    # Its index stands still: who has written is answered by the index that has it.
    models = client.app_state["services"].live._models  # type: ignore[index]
    follower = next(each.follower for each in models if each.model_version == BAD)
    assert client.portal is not None
    client.portal.call(follower._applying.acquire)
    before = gave_way(client, "behind")
    try:
        put(client, "new", tags=["music"], bio=TOPICS["music"])
        found = asked(client, "new")
        assert (found["model_version"], gave_way(client, "behind")) == (FIRST, before + 1)
    finally:
        client.portal.call(follower._applying.release)
    monkeypatch.setattr(routing, "_WAIT_MS", 60_000)  # it goes on, however busy the machine is
    deleted = client.delete("/v1/streamers/new").json()["sequence"]
    follow = {"after_sequence": deleted}
    answer = client.get(f"/v1/streamers/{SEED}/similar", params=follow)
    assert answer.json()["model_version"] == BAD
    # Whatever goes wrong with it.
    canary = next(each.similar for each in models if each.model_version == BAD)
    for error in (NotReady("it has no index"), RuntimeError("it is broken")):
        before = gave_way(client, "error")

        async def fails(*_: Any, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            for name in ("nearest", "search"):
                patched.setattr(canary, name, fails)
            assert asked(client, SEED)["model_version"] == FIRST
        assert gave_way(client, "error") == before + 1
    # A wrong question is wrong for both, and nobody gave way.
    before = gave_way(client, "error")
    missing = client.get("/v1/streamers/nobody/similar")
    assert (missing.status_code, missing.json()["code"]) == (404, "streamer_not_found")
    assert gave_way(client, "error") == before


def test_what_belongs_to_the_active_model_stays_with_it(client: TestClient) -> None:
    canaried(client, BAD, 1)
    vector = client.get(f"/v1/streamers/{SEED}/embedding").json()
    assert vector["model_version"] == FIRST
    for body in (
        {"positive": [{"vector": vector["embedding"]}]},
        {"positive": [{"streamer_id": SEED}], "negative": [{"vector": [1.0] * DIM}]},
    ):
        answer = client.post("/v1/similar", json=body)
        answer.raise_for_status()
        assert answer.json()["model_version"] == FIRST
    assert asked(client, SEED)["model_version"] == BAD
    assert client.get("/v1/model").json()["model_version"] == FIRST
    dedup = client.post("/v1/dedup", json={"ids": [SEED, "cooking-02"]}).json()
    assert dedup["model_version"] == FIRST
    metrics = client.get("/metrics").text
    for model in (FIRST, BAD):
        assert f'streamer_model_question_seconds_count{{model_version="{model}"}}' in metrics
        assert f'streamer_model_empty_answers_total{{model_version="{model}"}}' in metrics


def test_bad_input(client: TestClient) -> None:
    for share in (-0.1, 1.1, "x", None, True):
        answer = client.post(f"/v1/models/{BAD}:canary", json={"share": share})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/share"
    answer = client.post(f"/v1/models/{FIRST}:canary", json={"share": 0.1})
    assert (answer.status_code, answer.json()["code"]) == (409, "model_state_conflict")
