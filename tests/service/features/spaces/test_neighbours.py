"""Neighbours that streamers are handed over with: every form, the check, erasure, bad input."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import put, wait_until_visible
from tests.service.features.spaces.hand_overs import (
    NDJSON,
    NPZ,
    PARQUET,
    STREAMERS,
    HandOver,
    checks_of,
    send,
    space_of,
)
from tests.service.features.spaces.test_archives import USERLESS, npy, npz_of
from tests.service.features.spaces.test_hand_over import counts_of, loaded, parquet_of
from tests.service.http.test_bad_input import problem


@pytest.mark.slow
@pytest.mark.parametrize("form", ["lines", "npz", "packed", "parquet"])
def test_neighbours_come_in_every_form(client: TestClient, handed: HandOver, form: str) -> None:
    told = handed.with_nearest()
    assert told.neighbours is not None
    body, kind = {
        "lines": (told.lines(), NDJSON),
        "npz": (told.npz(), NPZ),
        "packed": (told.npz(packed=True), NPZ),
        "parquet": (parquet_of(told), PARQUET),
    }[form]
    made = send(client, "g1", body, kind, promote="true").raise_for_status().json()
    assert made["counts"] == counts_of(with_neighbours=STREAMERS * 3 // 4)
    check = checks_of(made)["neighbours"]
    assert (check["passed"], check["value"] > 0.9) == (True, True)
    _, read = loaded(client)
    assert read is not None
    for row, expected in enumerate(told.neighbours):
        rows, shares = read.of(row)
        assert rows.tolist() == [other for other, _ in expected]
        largest = max((weight for _, weight in expected), default=1)
        np.testing.assert_allclose(shares, [w / largest for _, w in expected], rtol=1e-3)


@pytest.mark.slow
def test_neighbours_of_others_are_refused(client: TestClient, handed: HandOver) -> None:
    """Rows of the archive that were put in another order, and the neighbours' not with them."""
    told = handed.with_nearest()
    assert told.neighbours is not None
    order = np.random.default_rng(5).permutation(STREAMERS).tolist()
    mixed = [
        [(order[other], weight) for other, weight in each if order[other] != row]
        for row, each in enumerate(told.neighbours)
    ]
    answer = send(client, "g1", told.but(neighbours=mixed).npz(), promote="true")
    detail = problem(answer, 409, "generation_refused")
    assert [e["pointer"] for e in detail["errors"]] == ["/checks/neighbours"]
    assert "do the neighbours belong to these streamers?" in detail["detail"]
    few = [each if row < 30 else [] for row, each in enumerate(told.neighbours)]
    check = checks_of(send(client, "g2", told.but(neighbours=few).npz()).json())["neighbours"]
    assert (check["passed"], "30 are needed" in check["detail"]) == (None, True)
    everybody = range(STREAMERS)
    long = [[(other, 1.0) for other in everybody if other != row][:60] for row in everybody]
    check = checks_of(send(client, "g3", told.but(neighbours=long).npz()).json())["neighbours"]
    assert (check["passed"], "too long" in check["detail"]) == (None, True)


@pytest.mark.slow
def test_an_erased_streamer_takes_its_neighbours_along(
    client: TestClient, handed: HandOver
) -> None:
    last = put(client, "once", bio="guitar vocal song")
    wait_until_visible(client, last)
    told = handed.but(
        ids=["once", *handed.ids], vectors=np.concatenate([handed.vectors[:1], handed.vectors])
    ).with_nearest()
    assert told.neighbours is not None
    told.neighbours[0] = [(1, 1.0)]
    send(client, "g1", told.npz(), promote="true").raise_for_status()
    client.delete("/v1/streamers/once", params={"erase": "true"}).raise_for_status()
    having = sum(map(bool, told.neighbours)) - 1
    expected = counts_of(with_neighbours=having, erased_streamers=1)
    assert space_of(client)["generations"][0]["counts"] == expected
    read, neighbours = loaded(client)
    assert neighbours is not None
    for row in range(STREAMERS):
        ids = [read.streamer_ids[other] for other in neighbours.of(row)[0].tolist()]
        assert ids == [told.ids[other] for other, _ in told.neighbours[row + 1] if other]


def near_of(rows: Any, weights: Any) -> bytes:
    """An archive of two streamers with neighbours."""
    return npz_of(**USERLESS, neighbour_rows=npy(rows), neighbour_weights=npy(weights))


def near_line(*neighbours: dict[str, Any], **fields: Any) -> bytes:
    """A line of a streamer `a` with neighbours, and one of `b`."""
    line = {"kind": "streamer", "id": "a", "vector": [1], "neighbours": neighbours, **fields}
    return json.dumps(line).encode() + b'\n{"kind": "streamer", "id": "b", "vector": [1]}'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            npz_of(**USERLESS, neighbour_rows=npy([[1], [0]])),
            "neighbour_rows: is without the other one",
        ),
        (
            npz_of(**USERLESS, neighbour_weights=npy(np.ones((2, 1)))),
            "neighbour_weights: is without the other one",
        ),
        (near_of([[1, -1]], [[1, 1]]), "they are (n, m), with n of ids, 2"),
        (near_of([[1], [0]], [[1, 1], [1, 1]]), "do not belong together"),
        (near_of([1, 0], [1, 1]), "do not belong together"),
        (near_of([["s001"], ["s000"]], [[1], [1]]), "it has rows of ids, and -1 for none"),
        (
            near_of([[1], [None]], [[1], [1]]),
            "of its own, neighbour_rows.astype(np.int32)",
        ),
        (near_of([[1], [0]], [["1"], ["1"]]), "neighbour_weights: is of type <U1; write float32"),
        (near_of(np.full((2, 65), -1), np.ones((2, 65))), "has 65 neighbours of each; 64 may be"),
        (
            near_of([[-1], [2]], [[1], [1]]),
            "neighbour_rows[1]: has 2 with the weight 1.0; a neighbour is",
        ),
        (near_of([[-2], [-1]], [[1], [1]]), "a neighbour is a row from 0 to 1, or -1"),
        (near_of([[-1], [1]], [[1], [1]]), "a neighbour is not the streamer itself"),
        (near_of([[1, 1], [0, -1]], np.ones((2, 2))), "a neighbour is there once: write -1"),
        (near_of([[1], [0]], [[1], [0]]), "has 0 with the weight 0.0; a neighbour has"),
        (near_of([[1], [0]], [[np.inf], [1]]), "has 1 with the weight inf"),
        (near_of([[1], [0]], [[1], [np.nan]]), "has 0 with the weight nan"),
        (
            near_of([[1], [0]], [[-2], [1]]),
            "the weight -2.0; a neighbour has a weight that is",
        ),
        (near_line({"streamer_id": "b"}), "line 1: neighbours/0/weight: "),
        (near_line({"streamer_id": "b", "weight": "1"}), "line 1: neighbours/0/weight: "),
        (near_line({"streamer_id": "b", "weight": 1, "x": 2}), "line 1: neighbours/0/x: "),
        (near_line({"streamer_id": 1, "weight": 1}), "line 1: neighbours/0/streamer_id: "),
        (
            near_line({"streamer_id": "b", "weight": 0}),
            "line 1: neighbours: the weight of 'b'",
        ),
        (near_line({"streamer_id": "b", "weight": -1}), "it is positive and finite"),
        (near_line({"streamer_id": "b", "weight": float("nan")}), "weight"),
        (near_line({"streamer_id": "b", "weight": float("inf")}), "weight"),
        (near_line({"streamer_id": "a", "weight": 1}), "'a' is there itself: leave it out"),
        (near_line(*[{"streamer_id": "b", "weight": 1}] * 2), "'b' is there twice: send it once"),
        (near_line({"streamer_id": "b\n", "weight": 1}), "is no id of a streamer"),
        (
            near_line(*({"streamer_id": f"x{i}", "weight": 1} for i in range(65))),
            "line 1: neighbours: there are 65; 64 may be: send those that weigh most",
        ),
        (
            near_line({"streamer_id": "c", "weight": 1}),
            "neighbours: 'c', which 'a' has, is not among the streamers of this hand-over",
        ),
        (
            near_line({"streamer_id": "b", "weight": 1}, kind="user"),
            "neighbours are told of streamers alone",
        ),
    ],
)
def test_neighbours_that_are_not_usable(client: TestClient, body: bytes, what: str) -> None:
    kind = NPZ if body.startswith(b"PK") else NDJSON
    assert what in problem(send(client, "g1", body, kind), 422, "invalid_request")["detail"]
    assert space_of(client) is None
