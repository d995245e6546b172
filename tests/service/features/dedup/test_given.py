"""Who is on a list is looked up beside the event loop; mistakes in it are told at once."""

import threading
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient

from service.features.dedup import service
from service.features.dedup.given import Shown
from service.index.base import Row
from tests.service.conftest import put, wait_until_visible


def test_who_is_on_a_list_is_looked_up_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_of, threads = service.shown_of, list[str]()

    def watched(
        ids: Sequence[str], rows: Sequence[Row | None]
    ) -> tuple[list[str], list[Shown], list[str]]:
        threads.append(threading.current_thread().name)
        return shown_of(ids, rows)

    monkeypatch.setattr(service, "shown_of", watched)
    monkeypatch.setattr(service, "_SIDES_AT_ONCE", 2)
    names = [f"music-{i}" for i in range(5)]
    last = 0
    for name in names:
        last = put(client, name, name="Ada", bio="guitar vocal cover concert")
    wait_until_visible(client, last)
    for mode in ("clusters", "feed"):
        body = {"ids": [*names, "nobody"], "mode": mode}
        found = client.post("/v1/dedup", json=body).raise_for_status().json()
        (cluster,) = found["clusters"]
        assert [member["streamer_id"] for member in cluster["members"]] == names
        assert {member["kind"] for member in cluster["members"]} == {"near_duplicate"}
        assert all(member["weight"] > 0 for member in cluster["members"])
        assert found["not_stored"] == ["nobody"]
    assert [name.startswith("lanes-") for name in threads] == [True, True]


def test_a_list_that_names_somebody_twice_waits_for_no_write(client: TestClient) -> None:
    body = {"ids": ["a", "b", "a"], "after_sequence": 2**40}
    answer = client.post("/v1/dedup", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/ids/2"]
    once = client.post("/v1/dedup", json=body | {"ids": ["a", "b"]})
    assert once.json()["code"] == "not_yet_visible"


@pytest.mark.parametrize("mode", [{}, {"mode": "clusters"}])
def test_a_field_that_the_mode_does_not_use_is_refused(
    client: TestClient, mode: dict[str, str]
) -> None:
    profiles = [{"streamer_id": name, "bio": "guitar vocal cover concert"} for name in "ab"]
    query = {"profiles": profiles, **mode}
    answer = client.post("/v1/dedup", json={**query, "window": 5, "max_per_cluster": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    detail = "is not used by mode clusters; leave it out, or ask for mode feed"
    assert answer.json()["errors"] == [
        {"pointer": f"/{name}", "detail": detail} for name in ("window", "max_per_cluster")
    ]
    defaults = {**query, "window": 3, "max_per_cluster": None}
    assert client.post("/v1/dedup", json=defaults).json()["mode"] == "clusters"
    spread = {**query, "mode": "feed", "window": 5, "max_per_cluster": 1}
    assert client.post("/v1/dedup", json=spread).json()["held_back"] == ["b"]
