"""Recommender: vectors handed over each night, checked, served, asked for newcomers, taken back."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.api import NDJSON, Api, wrong_fields
from tests.support.hand_overs import NPZ, HandOver, checks_of, handed_over
from tests.support.service import run

WIDTH, USERS = 12, 200


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_DUPLICATES__EVALUATE": "false"}


@pytest.fixture(scope="module")
def newcomers(world: Path, profiles: list[dict[str, Any]]) -> list[str]:
    """Streamers of the held-out split who show something."""
    with (world / "data" / "splits.csv").open(encoding="utf-8", newline="") as file:
        split = {row["streamer_id"]: row["split"] for row in csv.DictReader(file)}
    shows = [p["streamer_id"] for p in profiles if {"bio", "tags"} <= p.keys()]
    return [name for name in shows if split[name] == "test"][:20]


@pytest.fixture(scope="module")
def recommender(api: Api, profiles: list[dict[str, Any]]) -> Iterator[Api]:
    """A client with the role of the recommender; the world is stored."""
    api.write(profiles)
    made = api.ok("POST", "/v1/keys", {"name": "nightly", "role": "recommender"}, status=201)
    with Api(str(api.base_url), made["key"]) as client:
        yield client


@pytest.fixture(scope="module")
def night(api: Api, recommender: Api, world: Path, newcomers: list[str]) -> HandOver:
    """What was learned of all but the newcomers: the best directions of who watches whom."""
    with (world / "data" / "interactions.csv").open(encoding="utf-8", newline="") as file:
        pairs = [(row["streamer_id"], row["user_id"]) for row in csv.DictReader(file)]
    stored = {s["streamer_id"] for s in api.all("/v1/streamers", "streamers", limit=1000)}
    ids = sorted({s for s, _ in pairs if s in stored and s not in newcomers})
    users = sorted({user for _, user in pairs})
    row, column = ({name: i for i, name in enumerate(names)} for names in (ids, users))
    watched = np.zeros((len(ids), len(users)), np.float32)
    for streamer, user in pairs:
        if streamer in row:
            watched[row[streamer], column[user]] = 1
    counts = watched.sum(axis=1)
    left, sizes, right = np.linalg.svd(watched / np.sqrt(counts)[:, None], full_matrices=False)
    vectors = (left[:, :WIDTH] * sizes[:WIDTH]).astype(np.float32)
    audience = np.argsort(-watched.sum(axis=0))[:USERS]
    user_vectors = right[:WIDTH, audience].T.astype(np.float32)
    common = watched @ watched.T / np.sqrt(np.outer(counts, counts))
    np.fill_diagonal(common, 0)
    near = np.argsort(-common, axis=1)[:, :10].tolist()
    neighbours = [
        [(o, float(common[i, o])) for o in near[i] if common[i, o]] for i in range(len(ids))
    ]
    names = [users[i] for i in audience.tolist()]
    given = HandOver(ids, vectors, names, user_vectors, interactions=10 * counts)
    return given.but(neighbours=neighbours)


def asked(api: Api, streamer_id: str, **more: Any) -> dict[str, Any]:
    body = {"streamer_id": streamer_id, "space": "nightly", **more}
    return api.ok("POST", "/v1/cold-start", body)


def vector_of(api: Api, streamer_id: str) -> list[float]:
    return api.ok("GET", f"/v1/spaces/nightly/streamers/{streamer_id}")["vector"]


def test_nights_of_a_recommender(
    recommender: Api, night: HandOver, newcomers: list[str], tmp_path: Path
) -> None:
    # The first night, by the command that a scheduler runs.
    file = tmp_path / "vectors.npz"
    file.write_bytes(night.npz())
    key = recommender.headers["Authorization"].removeprefix("Bearer ")
    words = ("space", "put", "nightly", "monday", file, "--promote")
    done = run(*words, "--url", recommender.base_url, STREAMER_API_KEY=key)
    assert done.returncode == 0, done.stderr
    shown = recommender.ok("GET", "/v1/spaces/nightly")
    assert (shown["active"]["generation"], shown["serving"]) == ("monday", "monday")
    (monday,) = shown["generations"]
    assert monday["counts"]["streamers"] == len(night.ids)
    checks = checks_of(monday)
    assert {name for name, check in checks.items() if check["passed"] is False} == set()
    assert checks["neighbours"]["passed"]
    assert checks["content"]["value"] > checks["content"]["limit"]

    # Newcomers are placed among the established, and users are told for them.
    before = {name: asked(recommender, name, users=10) for name in newcomers}
    placed = [answer for answer in before.values() if not answer["fallback"]["used"]]
    assert len(placed) > len(newcomers) / 2
    for name, answer in before.items():
        found = answer["id_embedding"]
        assert found["generation"] == "monday"
        assert found["source"] in ("mapped", "neighbours", "centroid")
        assert name not in {n["streamer_id"] for n in answer["neighbours"]}
        assert {n["streamer_id"] for n in answer["neighbours"]} <= set(night.ids)
        scores = night.user_vectors @ np.array(found["vector"], np.float32)
        best = np.argsort(-scores)[:10].tolist()
        told = [user["score"] for user in answer["users"]]
        assert told == pytest.approx(scores[best].tolist(), rel=1e-3, abs=1e-5)
    lines = "".join(
        json.dumps({"streamer_id": name, "space": "nightly", "users": 10}) + "\n"
        for name in newcomers
    )
    batch = recommender.post("/v1/cold-start:batch", content=lines.encode(), headers=NDJSON)
    for name, line in zip(newcomers, batch.text.splitlines(), strict=True):
        assert json.loads(line)["answer"]["users"] == before[name]["users"]

    # The next night's file was mixed up, and is not served.
    path = "/v1/spaces/nightly/generations/tuesday"
    options: dict[str, Any] = {"content": night.shuffled().npz(), "headers": {"Content-Type": NPZ}}
    problem = recommender.refused(
        "PUT", f"{path}?promote=true", status=409, code="generation_refused", **options
    )
    assert "/checks/neighbourhoods" in wrong_fields(problem)
    assert vector_of(recommender, night.ids[5]) == night.vectors[5].tolist()
    recommender.ok("DELETE", path, status=204)

    # It is handed over again: other directions, and those who came yesterday have vectors.
    learned = np.array([before[n]["id_embedding"]["vector"] for n in newcomers], np.float32)
    known = [i for i, vector in enumerate(learned) if np.linalg.norm(vector) > 0]
    assert night.interactions is not None
    grown = night.but(
        ids=[*night.ids, *(newcomers[i] for i in known)],
        vectors=np.concatenate([night.vectors, learned[known]]),
        interactions=np.concatenate([night.interactions, np.full(len(known), 50, np.float32)]),
        neighbours=[*(night.neighbours or []), *([] for _ in known)],
    ).turned(7)
    made = handed_over(recommender, "nightly", "tuesday", grown.npz(), promote=True)
    assert made["state"] == "active"
    assert checks_of(made)["rotation"]["value"] == pytest.approx(0, abs=0.05)
    assert asked(recommender, newcomers[known[0]])["id_embedding"]["source"] == "own"
    assert vector_of(recommender, night.ids[5]) == grown.vectors[5].tolist()
    after = asked(recommender, newcomers[known[0]], users=10)
    first = before[newcomers[known[0]]]
    assert {u["user_id"] for u in after["users"]} == {u["user_id"] for u in first["users"]}
    events = recommender.get("/v1/events", params={"kinds": "streamer.graduated", "limit": 1000})
    if events.status_code == 200:  # a role that may read them
        told = {event["data"]["streamer_id"] for event in events.json()["events"]}
        assert told >= {newcomers[i] for i in known}

    # Tuesday is taken back: the answers are Monday's again.
    back = recommender.ok("POST", "/v1/spaces/nightly:rollback")
    assert (back["serving"], back["previous"]) == ("monday", None)
    for name, answer in before.items():
        again = asked(recommender, name, users=10)
        assert again["users"] == answer["users"]
        assert again["id_embedding"]["vector"] == answer["id_embedding"]["vector"]
        assert [n["streamer_id"] for n in again["neighbours"]] == [
            n["streamer_id"] for n in answer["neighbours"]
        ]
