"""Seeds of saved lists that are vectors: told to who may read vectors."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.client.calls import reader_of
from service.features.lists.answers import ListDetailOut
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.audit.logs import written
from tests.service.features.keys.conftest import bearer, create


@pytest.mark.slow
def test_a_vector_is_told_to_who_may_read_vectors(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    settings = Settings.model_validate({"bundle": bundle, "data_dir": folder, "api_key": "first"})
    with TestClient(create_app(settings), headers=bearer("first")) as client:
        put(client, "a", tags=["cooking"])
        vector = client.get("/v1/streamers/a/embedding").json()["embedding"]
        seeds: list[dict[str, Any]] = [{"vector": vector}, {"streamer_id": "a", "weight": 2}]
        body = {"question": {"positive": seeds}}
        client.put("/v1/lists/mine", json=body).raise_for_status()
        searches = bearer(create(client, scopes=["search"])["key"])
        saved = client.put("/v1/lists/own", json=body, headers=searches).raise_for_status()
        found = client.get("/v1/lists/mine", headers=searches)
        page = client.get("/v1/lists", headers=searches)
        for told in (found.json(), saved.json(), *page.json()["lists"]):
            first, second = told["question"]["positive"]
            assert first["vector"] is None
            assert (second["streamer_id"], second["weight"]) == ("a", 2)
            assert "embeddings:read" in told["vectors_unavailable_because"]
        assert reader_of(ListDetailOut)(found.content).question.positive[0].vector is None
        seen = client.get("/v1/lists/mine", headers={"X-Request-Id": "seen"}).json()
        assert seen["question"]["positive"][0]["vector"] == vector
        assert seen["vectors_unavailable_because"] is None
        assert [e["route"] for e in written(folder) if e.get("request_id") == "seen"]
        shown = {"bio": "cooking", "avatar": {"vector": [0.5], "space": "clip"}}
        body = {"question": {"positive": [{"profile": shown}]}}
        client.put("/v1/lists/mine", json=body).raise_for_status()
        client.get("/v1/lists/mine", headers={"X-Request-Id": "shown"}).raise_for_status()
        assert [e["route"] for e in written(folder) if e.get("request_id") == "shown"]
