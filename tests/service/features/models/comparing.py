"""A service with what people decided, and models to be compared with the one that serves."""

import itertools
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from model_export.contract.bundle import MANIFEST, file_entry
from model_export.contract.evidence import EVIDENCE, packaged
from service.app import create_app
from service.settings import Duplicates, Settings
from service.settings.models import Models
from tests.bundles import TOPICS, write_manifest
from tests.planted import learned, learned_again, model, shuffled
from tests.service.conftest import put_all, wait_until_visible
from tests.service.features.models.test_life_cycle import model as shown
from tests.service.features.watchlists.test_watchlists import alerts, swept
from tests.service.process import wait_until

FIRST, GOOD, BAD, UPSIDE_DOWN = "test-0", "test-1", "test-2", "test-3"
EACH = 12
"""Streamers of a topic."""
COPIES = 6


def write_models(folder: Path) -> Path:
    """Below a folder: the one that serves, a good one, and two that are broken."""
    model(folder / "first", learned)
    model(folder / "good", learned_again, seed=1)
    model(folder / "bad", shuffled, seed=2)
    upside_down(model(folder / "upside-down", learned_again, seed=3))
    return folder


def upside_down(bundle: Path) -> Path:
    """Evidence that takes what is the same for what is not."""
    known = packaged()
    turned = {
        name: each.model_copy(update={"m": each.u, "u": each.m})
        for name, each in known.channels.items()
    }
    content = known.model_copy(update={"channels": turned}).model_dump_json().encode()
    (bundle / EVIDENCE).write_bytes(content)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][EVIDENCE] = file_entry(content).model_dump()
    write_manifest(bundle, manifest)
    return bundle


@contextmanager
def opened(folder: Path, data_dir: Path, **limits: Any) -> Iterator[TestClient]:
    known = {"gate_fewest": 4, "gate_fewest_questions": 4, "compare_sample": 30, **limits}
    settings = Settings(
        bundle=folder / "first",
        data_dir=data_dir,
        models=Models(folder=folder, **known),
        duplicates=Duplicates(evaluate=False),
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def fill(client: TestClient) -> None:
    """Streamers of four topics who show one of its words each; copies of some of them."""
    drawn, profiles = random.Random(3), list[dict[str, Any]]()
    for topic, words in TOPICS.items():
        for i in range(EACH):
            word = drawn.choice(words.split())
            profile = {
                "bio": f"{word} {word} {drawn.getrandbits(60):x} {drawn.getrandbits(60):x}",
                "tags": [word],
            }
            profiles.append({"streamer_id": f"{topic}-{i:02}", **profile})
            if i == 0 or (topic == "cooking" and i < COPIES):
                profiles.append({"streamer_id": f"copy-of-{topic}-{i:02}", **profile})
    wait_until_visible(client, put_all(client, profiles))


def judge(client: TestClient) -> None:
    """Copies are the same, streamers of different topics are not."""
    for i in range(COPIES):
        one = f"cooking-{i:02}"
        for other, verdict in ((f"copy-of-{one}", "same"), (f"music-{i:02}", "different")):
            body = {"a": one, "b": other, "verdict": verdict}
            client.put("/v1/judgements", json=body).raise_for_status()


def rate(client: TestClient) -> None:
    """Streamers of the topic of the seed fit, others do not."""
    for topic in TOPICS:
        for seed, other in itertools.product((1, 7), TOPICS):
            question = {"positive": [f"{topic}-{seed:02}"]}
            for i in range(2, 7):
                rating = 3 if other == topic else 0
                body = {"question": question, "streamer_id": f"{other}-{i:02}"}
                given = client.put("/v1/ratings", json={**body, "rating": rating})
                given.raise_for_status()


def decide_case(client: TestClient) -> str:
    """A case whose copies are confirmed, and whose strangers are cleared; its id."""
    copies = [f"copy-of-cooking-{i:02}" for i in range(3)]
    strangers = [f"gaming-{i:02}" for i in range(1, 4)]
    seeds = [*(f"cooking-{i:02}" for i in range(3)), *copies, *strangers]
    made = client.post("/v1/cases", json={"title": "a ring", "seeds": seeds})
    made.raise_for_status()
    case_id, etag = made.json()["case_id"], made.headers["ETag"]
    for name in (*copies, *strangers):
        verdict = "confirmed" if name in copies else "cleared"
        answer = client.put(
            f"/v1/cases/{case_id}/members/{name}",
            json={"verdict": verdict},
            headers={"If-Match": etag},
        )
        answer.raise_for_status()
        etag = answer.headers["ETag"]
    return case_id


def decide_alerts(client: TestClient) -> str:
    """A watchlist whose alerts, of copies, are confirmed; its id."""
    seeds = [{"streamer_id": f"cooking-{i:02}"} for i in range(COPIES)]
    asked = {"name": "scams", "mode": "on", "positive": seeds, "min_probability": 0.9}
    made = client.post("/v1/watchlists", json=asked)
    made.raise_for_status()
    list_id = made.json()["watchlist_id"]
    swept(client, list_id)
    for each in alerts(client, list_id):
        path = f"/v1/alerts/{each['alert_id']}"
        client.put(path, json={"state": "confirmed"}).raise_for_status()
    return list_id


def ready(client: TestClient, folder: str, name: str) -> None:
    """Register and backfill a model, until its index is complete."""
    client.post("/v1/models", json={"folder": folder}).raise_for_status()
    client.post(f"/v1/models/{name}:backfill").raise_for_status()

    def is_ready() -> bool:
        found = shown(client, name)
        return found["state"] == "ready" and all(r["is_indexed"] for r in found["replicas"])

    wait_until(is_ready, "it is ready")


def compared(client: TestClient, name: str, **params: Any) -> dict[str, Any]:
    """The report of a comparison that is made now."""
    queued = client.post(f"/v1/models/{name}:compare", params=params)
    assert queued.status_code == 202, queued.text
    path = queued.headers["Location"]

    def is_done() -> bool:
        job = client.get(path).json()
        assert job["state"] not in ("failed", "cancelled"), job
        return job["state"] == "succeeded"

    wait_until(is_done, "it is compared")
    found = client.get(f"/v1/models/{name}/comparison")
    found.raise_for_status()
    assert found.json()["job_id"] == path.rpartition("/")[2]
    return found.json()


def flips(client: TestClient, name: str, kind: str, limit: int = 1000) -> list[dict[str, Any]]:
    """All flips of a kind, page by page."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"kind": kind, "limit": limit}
    while True:
        page = client.get(f"/v1/models/{name}/comparison/flips", params=params)
        page.raise_for_status()
        found += page.json()["flips"]
        assert len(page.json()["flips"]) <= limit
        if page.json()["next_cursor"] is None:
            return found
        params["cursor"] = page.json()["next_cursor"]
