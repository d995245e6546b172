"""What a recommender hands over: vectors of streamers and users, in every form of a request."""

import io
import json
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.support.api import NDJSON, Api
from tests.support.bundles import TOPICS

Floats = NDArray[np.float32]
LINES, NPZ = NDJSON["Content-Type"], "application/x-npz"
PARQUET = "application/vnd.apache.parquet"
STREAMERS, USERS, WIDTH = 80, 120, 12
WORDS = " ".join(TOPICS.values()).split()


@dataclass(frozen=True, eq=False)
class HandOver:
    """Rows of streamers and users; `neighbours` are rows of streamers with weights."""

    ids: list[str]
    vectors: Floats
    user_ids: list[str]
    user_vectors: Floats
    interactions: Floats | None = None
    attributes: list[dict[str, Any]] | None = None
    neighbours: list[list[tuple[int, float]]] | None = None

    def but(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def first(self, streamers: int | None = None, users: int | None = None) -> Self:
        """With the first rows alone."""
        return self.but(
            ids=self.ids[:streamers],
            vectors=self.vectors[:streamers],
            user_ids=self.user_ids[:users],
            user_vectors=self.user_vectors[:users],
        )

    def narrowed(self, width: int) -> Self:
        return self.but(vectors=self.vectors[:, :width], user_vectors=self.user_vectors[:, :width])

    def turned(self, seed: int) -> Self:
        """The same in other directions, as a model that was fitted again gives them."""
        noise = np.random.default_rng(seed).normal(size=(self.vectors.shape[1],) * 2)
        turn = np.linalg.qr(noise)[0].astype(np.float32)
        return self.but(vectors=self.vectors @ turn, user_vectors=self.user_vectors @ turn)

    def shuffled(self) -> Self:
        """Vectors whose rows no longer belong to their ids."""
        order = np.random.default_rng(5).permutation(len(self.ids))
        return self.but(vectors=self.vectors[order])

    def with_nearest(self, count: int = 5) -> Self:
        """With the nearest by vector as neighbours, but of every fourth streamer none."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -1)
        order = np.argsort(-cosines, axis=1)[:, :count].tolist()
        near = [
            [(other, 1 + float(cosines[row, other])) for other in order[row]] if row % 4 else []
            for row in range(len(self.ids))
        ]
        return self.but(neighbours=near)

    def rows(self) -> list[dict[str, Any]]:
        """One object for each streamer and each user."""
        rows: list[dict[str, Any]] = []
        for row, (name, vector) in enumerate(zip(self.ids, self.vectors, strict=True)):
            rows.append({"kind": "streamer", "id": name, "vector": vector.tolist()})
            if self.interactions is not None:
                rows[-1]["interactions"] = float(self.interactions[row])
            if self.neighbours is not None:
                told = self.neighbours[row]
                near = [
                    {"streamer_id": self.ids[other], "weight": weight} for other, weight in told
                ]
                rows[-1]["neighbours"] = near
        for row, (name, vector) in enumerate(zip(self.user_ids, self.user_vectors, strict=True)):
            rows.append({"kind": "user", "id": name, "vector": vector.tolist()})
            if self.attributes is not None:
                rows[-1]["attributes"] = self.attributes[row]
        return rows

    def lines(self) -> bytes:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows()).encode()

    def parquet(self) -> bytes:
        sink = pa.BufferOutputStream()
        fields = {name for row in self.rows() for name in row}
        table = pa.Table.from_pylist([dict.fromkeys(fields) | row for row in self.rows()])
        pq.write_table(table, sink, row_group_size=37)
        return sink.getvalue().to_pybytes()

    def npz(self, *, packed: bool = False) -> bytes:
        arrays: dict[str, Any] = {"ids": np.array(self.ids), "vectors": self.vectors}
        if self.interactions is not None:
            arrays["interactions"] = self.interactions
        if self.neighbours is not None:
            shape = len(self.ids), max(map(len, self.neighbours))
            rows, weights = np.full(shape, -1, np.int32), np.full(shape, np.nan, np.float32)
            for row, told in enumerate(self.neighbours):
                for place, (other, weight) in enumerate(told):
                    rows[row, place], weights[row, place] = other, weight
            arrays |= {"neighbour_rows": rows, "neighbour_weights": weights}
        if self.user_ids:
            arrays |= {"user_ids": np.array(self.user_ids), "user_vectors": self.user_vectors}
        for name in {name for told in self.attributes or () for name in told}:
            values = [told.get(name) for told in self.attributes or ()]
            none = "" if any(isinstance(value, str) for value in values) else np.nan
            column = np.array([none if value is None else value for value in values])
            arrays[f"user_attributes.{name}"] = column
        into = io.BytesIO()
        (np.savez_compressed if packed else np.savez)(into, **arrays)
        return into.getvalue()


def store_streamers(api: Api, count: int = STREAMERS, prefix: str = "s") -> list[str]:
    """Write streamers who show some of the known words each; their ids."""
    draw = np.random.default_rng(1)
    ids = [f"{prefix}{i:03}" for i in range(count)]
    bios = [" ".join(draw.choice(WORDS, 5, replace=False).tolist()) for _ in ids]
    api.write({"streamer_id": name, "bio": bio} for name, bio in zip(ids, bios, strict=True))
    return ids


def hand_over_of(api: Api, ids: list[str], **fields: Any) -> HandOver:
    """Vectors that are a linear map of the streamers' embeddings, and users beside them."""
    draw = np.random.default_rng(2)
    embeddings = np.array([api.embedding(name) for name in ids], np.float32)
    vectors = (embeddings @ draw.normal(size=(embeddings.shape[1], WIDTH))).astype(np.float32)
    users = draw.normal(size=(USERS, WIDTH)).astype(np.float32)
    return HandOver(ids, vectors, [f"观众-{i}" for i in range(USERS)], users, **fields)


def send(
    api: Api, space: str, generation: str, body: Any, kind: str = NPZ, **params: Any
) -> httpx.Response:
    """Hand over a generation; the answer."""
    path = f"/v1/spaces/{quote(space, safe='')}/generations/{quote(generation, safe='')}"
    return api.put(path, content=body, headers={"Content-Type": kind}, params=params)


def handed_over(
    api: Api, space: str, generation: str, body: Any, kind: str = NPZ, **params: Any
) -> dict[str, Any]:
    """Hand over a generation that is taken; how it is shown."""
    answer = send(api, space, generation, body, kind, **params)
    assert answer.status_code == 201, answer.text
    return answer.json()


def checks_of(generation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in generation["checks"]}
