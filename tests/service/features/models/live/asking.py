"""A service with a model that is ready beside the active one, and what live callers ask of it."""

from typing import Any

from fastapi.testclient import TestClient

from tests.service.process import wait_until


def ids_of(answer: Any) -> list[str]:
    return [hit["streamer_id"] for hit in answer["hits"]]


def asked(client: TestClient, seed: str, caller: str = "") -> Any:
    """The nearest of a streamer, as the lean route answers."""
    answer = client.get(f"/v1/streamers/{seed}/similar", headers={"X-Client-Id": caller})
    answer.raise_for_status()
    return answer.json()


def shadowed(client: TestClient, name: str, **body: Any) -> Any:
    answer = client.post(f"/v1/models/{name}:shadow", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def canaried(client: TestClient, name: str, share: float) -> Any:
    answer = client.post(f"/v1/models/{name}:canary", json={"share": share})
    assert answer.status_code == 200, answer.text
    return answer.json()


def report(client: TestClient, name: str, sampled: int) -> Any:
    """The report of a shadow, once so many questions were drawn and none waits."""

    def is_done() -> bool:
        answer = client.get(f"/v1/models/{name}/shadow")
        answer.raise_for_status()
        found.update(answer.json())
        assert found["sampled"] <= sampled
        done = found["compared"] + sum(found["dropped"].values())
        return found["sampled"] == sampled == done

    found: dict[str, Any] = {}
    wait_until(is_done, "the shadow has been asked")
    return found
