"""The map coloured by what the next model changes, while both are open."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.bundles import SHORT_DIM, TOPICS
from tests.service.data_sets import NDJSON
from tests.service.features.layouts.maps import drawn, fitted, profile_of, until_placed
from tests.service.features.models.test_life_cycle import NEXT, backfilled, folder, opened

__all__ = ("folder",)
pytestmark = pytest.mark.slow
EACH = 2 * SHORT_DIM + 10
"""More of four topics than eight times the numbers of a vector."""


def filled(client: TestClient) -> int:
    lines = [
        json.dumps({"streamer_id": f"{topic}-{i}", **profile_of(topic, i)})
        for topic in TOPICS
        for i in range(EACH)
    ]
    answer = client.post("/v1/streamers:bulk", content="\n".join(lines), headers=NDJSON)
    answer.raise_for_status()
    return len(lines)


def test_the_map_tells_what_the_next_model_changes(folder: Path, tmp_path: Path) -> None:
    name = f"{NEXT}-d{SHORT_DIM}"
    with opened(folder, tmp_path / "data", dim=SHORT_DIM) as client:
        count = filled(client)
        fitted(client)
        until_placed(client, count)
        asked = {"colour": "model_change"}
        alone = client.get("/v1/layouts/current/points", params=asked)
        assert (alone.status_code, alone.json()["errors"][0]["parameter"]) == (422, "colour")
        assert "GET /v1/models" in alone.json()["detail"]
        backfilled(client, name)
        found = drawn(client, **asked)
        classes = found.head["classes"]
        assert sum(one["count"] for one in classes) == found.head["count"] == count
        assert classes[-1]["lte"] > 0.05  # tables of words are drawn anew in the next model
        assert (found.codes > 0).all()
