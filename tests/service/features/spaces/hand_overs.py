"""Hand-overs of streamers that a service has, whose vectors follow from their content."""

import io
import json
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from tests.bundles import TOPICS
from tests.service.conftest import put_all, wait_until_visible

STREAMERS, USERS, WIDTH = 80, 120, 12
WORDS = " ".join(TOPICS.values()).split()
NDJSON, NPZ = "application/x-ndjson", "application/x-npz"
PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, eq=False)
class HandOver:
    """What a recommender hands over; neighbours are rows with their weights."""

    ids: list[str]
    vectors: NDArray[np.float32]
    user_ids: list[str]
    user_vectors: NDArray[np.float32]
    interactions: NDArray[np.float32] | None = None
    attributes: list[dict[str, Any]] | None = None
    neighbours: list[list[tuple[int, float]]] | None = None

    def but(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def turned(self, seed: int) -> Self:
        """The same in other directions, as a refit gives them."""
        noise = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(noise.normal(size=(self.vectors.shape[1],) * 2))
        turn = turn.astype(np.float32)
        return self.but(vectors=self.vectors @ turn, user_vectors=self.user_vectors @ turn)

    def shuffled(self) -> Self:
        order = np.random.default_rng(5).permutation(len(self.ids))
        return self.but(vectors=self.vectors[order])

    def lines(self) -> bytes:
        rows: list[dict[str, Any]] = []
        for row, (name, vector) in enumerate(zip(self.ids, self.vectors, strict=True)):
            rows.append({"kind": "streamer", "id": name, "vector": vector.tolist()})
            if self.interactions is not None:
                rows[-1]["interactions"] = float(self.interactions[row])
            if self.neighbours is not None:
                rows[-1]["neighbours"] = self.named_neighbours(row)
        for row, (name, vector) in enumerate(zip(self.user_ids, self.user_vectors, strict=True)):
            rows.append({"kind": "user", "id": name, "vector": vector.tolist()})
            if self.attributes is not None:
                rows[-1]["attributes"] = self.attributes[row]
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)

    def named_neighbours(self, row: int) -> list[dict[str, Any]]:
        told = [] if self.neighbours is None else self.neighbours[row]
        return [{"streamer_id": self.ids[other], "weight": weight} for other, weight in told]

    def with_nearest(self, count: int = 5) -> Self:
        """With the nearest by vector as neighbours of each, but of every fourth streamer none."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -1)
        order = np.argsort(-cosines, axis=1)[:, :count]
        lists = [
            [(other, 1 + float(cosines[row, other])) for other in order[row].tolist()]
            for row in range(len(self.ids))
        ]
        return self.but(neighbours=[each if row % 4 else [] for row, each in enumerate(lists)])

    def npz(self, *, packed: bool = False) -> bytes:
        arrays: dict[str, Any] = {"ids": np.array(self.ids), "vectors": self.vectors}
        if self.interactions is not None:
            arrays["interactions"] = self.interactions
        if self.neighbours is not None:
            widest = max(map(len, self.neighbours))
            rows = np.full((len(self.ids), widest), -1, np.int32)
            weights = np.full((len(self.ids), widest), np.nan, np.float32)
            for row, told in enumerate(self.neighbours):
                for place, (other, weight) in enumerate(told):
                    rows[row, place], weights[row, place] = other, weight
            arrays |= {"neighbour_rows": rows, "neighbour_weights": weights}
        if self.user_ids:
            arrays |= {"user_ids": np.array(self.user_ids), "user_vectors": self.user_vectors}
        for name in {name for told in self.attributes or () for name in told}:
            values = [told.get(name) for told in self.attributes or ()]
            none = "" if any(isinstance(value, str) for value in values) else np.nan
            column = [none if value is None else value for value in values]
            arrays[f"user_attributes.{name}"] = np.array(column)
        into = io.BytesIO()
        (np.savez_compressed if packed else np.savez)(into, **arrays)
        return into.getvalue()


def store_streamers(client: TestClient, count: int = STREAMERS) -> list[str]:
    """Write streamers who show different words; their ids."""
    ids = [f"s{i:03}" for i in range(count)]
    draw = np.random.default_rng(1)
    bios = (" ".join(draw.choice(WORDS, 5, replace=False).tolist()) for _ in ids)
    profiles = ({"streamer_id": name, "bio": bio} for name, bio in zip(ids, bios, strict=True))
    wait_until_visible(client, put_all(client, profiles))
    return ids


def hand_over_of(client: TestClient, ids: list[str], **fields: Any) -> HandOver:
    """Vectors that are a linear map of the streamers' embeddings, and users beside them."""
    return hand_over_from(ids, embeddings_of(client, ids), **fields)


def embeddings_of(client: TestClient, ids: list[str]) -> NDArray[np.float32]:
    """Embeddings (N, D) of streamers."""
    found = [client.get(f"/v1/streamers/{name}/embedding").json()["embedding"] for name in ids]
    return np.array(found, np.float32)


def hand_over_from(ids: list[str], embeddings: NDArray[np.float32], **fields: Any) -> HandOver:
    """`hand_over_of`, of embeddings (N, D) that are known."""
    draw = np.random.default_rng(2)
    vectors = (embeddings @ draw.normal(size=(embeddings.shape[1], WIDTH))).astype(np.float32)
    users = draw.normal(size=(USERS, WIDTH)).astype(np.float32)
    return HandOver(ids, vectors, [f"观众-{i}" for i in range(USERS)], users, **fields)


def send(
    client: TestClient,
    generation: str,
    body: Any,
    kind: str = NPZ,
    space: str = "als",
    **parameters: object,
) -> Any:
    """Hand over; the answer."""
    path = f"/v1/spaces/{space}/generations/{generation}"
    return client.put(path, content=body, headers={"Content-Type": kind}, params=parameters)  # type: ignore[arg-type]


def promote(client: TestClient, generation: str, space: str = "als") -> Any:
    answer = client.post(f"/v1/spaces/{space}/generations/{generation}:promote")
    answer.raise_for_status()
    return answer.json()


def roll_back(client: TestClient, space: str = "als") -> Any:
    return client.post(f"/v1/spaces/{space}:rollback")


def served(client: TestClient, streamer_id: str, space: str = "als") -> Any:
    answer = client.get(f"/v1/spaces/{space}/streamers/{streamer_id}")
    answer.raise_for_status()
    return answer.json()


def space_of(client: TestClient, space: str = "als") -> Any:
    answer = client.get(f"/v1/spaces/{space}")
    return answer.json() if answer.status_code == 200 else None


def checks_of(generation: dict[str, Any]) -> dict[str, Any]:
    return {check["name"]: check for check in generation["checks"]}


def forget_spaces(client: TestClient) -> None:
    """Delete every space, as an operator does."""
    for space in client.get("/v1/spaces").json()["spaces"]:
        name, active = space["space"], space["active"]
        ordered = [g["generation"] for g in space["generations"]]
        ordered.sort(key=lambda g: active is not None and g == active["generation"])
        for generation in ordered:
            client.delete(f"/v1/spaces/{name}/generations/{generation}").raise_for_status()
