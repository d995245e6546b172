"""`min_precision` over HTTP: through the bundle's calibration, or refused with what is possible."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_export.contract.calibration import Calibration, ScoreCalibration
from service.app import create_app
from service.engine.scoring.precision import Precision
from service.errors import PrecisionNotPromised
from service.index.query import EQUAL
from service.settings import Settings
from tests.bundles import CALIBRATION, DIM, TOPICS, curve, write_bundle
from tests.service.conftest import put, put_all

WHOLE, THIN = CALIBRATION.embedding.curves
_BY_COPIES = ScoreCalibration(
    source="right = copied by hand",
    base_rate=0.001,
    curves=[curve(1, None, (1.0001, 0.99, 0.98), (0.5, 0.75, 0.7))],
)
STRICT = Calibration(embedding=_BY_COPIES, content=_BY_COPIES)
"""Its highest score is the cosine of copies whose vectors were rounded up."""


def fill(client: TestClient) -> int:
    """Per topic, one who shows it all and three who show less and less of it."""
    profiles: list[dict[str, Any]] = []
    for topic, words in TOPICS.items():
        parts = words.split()
        for i in range(4):
            shown = {"tags": [topic], "category": topic, "bio": " ".join(parts[: 8 - 2 * i])}
            profiles.append({"streamer_id": f"{topic}-{i}", **shown})
    return put_all(client, profiles)


def similar(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.post("/v1/similar", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, path: str, **query: Any) -> dict[str, Any]:
    answer = client.post(path, json=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_a_wanted_precision_becomes_the_score_that_promises_it(client: TestClient) -> None:
    sequence = fill(client)
    query = {"positive": [{"streamer_id": "music-0"}], "k": 15, "after_sequence": sequence}
    everyone = similar(client, **query)
    assert everyone["threshold"] is None
    for wanted, knot in ((0.9, WHOLE.knots[0]), (0.8, WHOLE.knots[0]), (0.65, WHOLE.knots[1])):
        found = similar(client, **query, min_precision=wanted)
        assert found["threshold"] == {
            "min_precision": wanted,
            "min_score": knot.score,
            "at_least": knot.at_least,
            "measured_on": "all streamers",
            "source": "right = set by hand",
        }
        expected = [h for h in everyone["hits"] if h["score"] >= knot.score]
        assert found["hits"] == expected
        assert found["complete"] is True
        assert 0 < len(expected) < 15
        assert all(hit["precision"] >= wanted for hit in found["hits"])
    by_address = client.get(
        "/v1/streamers/music-0/similar", params={"k": 15, "min_precision": 0.65}
    ).json()
    assert by_address["hits"] == found["hits"]
    assert by_address["threshold"] == found["threshold"]


def test_every_hit_tells_its_precision_where_it_was_measured(client: TestClient) -> None:
    sequence = fill(client)
    answer = similar(client, positive=[{"streamer_id": "music-0"}], k=15, after_sequence=sequence)
    for hit in answer["hits"]:
        assert hit["precision"] == WHOLE.precision_from(hit["score"])
    assert {hit["precision"] is None for hit in answer["hits"]} == {True, False}


def test_a_query_that_shows_little_has_its_own_threshold(client: TestClient) -> None:
    put(client, "thin", tags=["music"])
    sequence = fill(client)
    for seed in ({"streamer_id": "thin"}, {"profile": {"tags": ["music"]}}):
        answer = similar(client, positive=[seed], min_precision=0.8, after_sequence=sequence)
        assert answer["threshold"]["measured_on"] == "1 modality"
        assert answer["threshold"]["min_score"] == THIN.knots[0].score
    # Of two seeds, the more demanding decides, and the less precise.
    both = [{"streamer_id": "thin"}, {"streamer_id": "travel-0"}]
    answer = similar(client, positive=both, strategy="best_score", min_precision=0.45, k=15)
    assert answer["threshold"]["min_score"] == WHOLE.knots[1].score
    for hit in answer["hits"]:
        known = [c.precision_from(hit["score"]) for c in (WHOLE, THIN)]
        assert hit["precision"] == min(p for p in known if p is not None)


def test_nothing_is_known_about_what_a_vector_shows(client: TestClient) -> None:
    sequence = fill(client)
    answer = similar(
        client, positive=[{"vector": [1.0] * DIM}], min_precision=0.4, after_sequence=sequence
    )
    assert answer["threshold"]["measured_on"] == "all streamers"


def test_a_promise_is_never_cut_without_a_word(client: TestClient) -> None:
    sequence = fill(client)
    query = {"positive": [{"streamer_id": "music-0"}], "min_precision": 0.4}
    whole = similar(client, **query, k=15, after_sequence=sequence)
    cut = similar(client, **query, k=2)
    assert whole["complete"] is True
    assert cut["complete"] is False
    count = len(whole["hits"])
    assert cut["incomplete_because"] == f"{count} streamers reach min_precision, k is 2"


def test_a_precision_that_can_t_be_promised_is_refused_with_what_can(client: TestClient) -> None:
    sequence = fill(client)
    query = {"positive": [{"streamer_id": "music-0"}], "after_sequence": sequence}
    problem = refused(client, "/v1/similar", **query, min_precision=0.95)
    assert problem["code"] == "precision_not_promised"
    (error,) = problem["errors"]
    assert error["pointer"] == "/min_precision"
    assert (
        "ask for at most 0.9, or use min_score; that is promised for all streamers from"
        in error["detail"]
    )
    assert "use min_score" in error["detail"]
    thin = {"positive": [{"profile": {"tags": ["music"]}}], "min_precision": 0.9}
    assert (
        "ask for at most 0.8, or use min_score; that is promised for 1 modality"
        in refused(client, "/v1/similar", **thin)["detail"]
    )
    answer = client.get("/v1/streamers/music-0/similar?min_precision=0.95")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("min_precision: ")
    assert answer.json()["errors"][0].keys() == {"detail", "parameter"}
    assert answer.json()["errors"][0]["parameter"] == "min_precision"
    copies = refused(client, "/v1/dedup", ids=["music-0"], min_precision=0.99)
    assert "ask for at most 0.96, or use threshold" in copies["detail"]
    assert "use threshold" in copies["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"negative": [{"streamer_id": "travel-0"}]},
        {"positive": [{"streamer_id": "music-0"}, {"streamer_id": "music-1"}]},
        {"positive": [{"streamer_id": "music-0"}] * 2, "strategy": "sum"},
    ],
    ids=["unwanted seeds", "mean of two", "sum of two"],
)
def test_scores_that_are_no_cosine_have_no_precision(
    client: TestClient, change: dict[str, Any]
) -> None:
    sequence = fill(client)
    query = {"positive": [{"streamer_id": "music-0"}], "after_sequence": sequence} | change
    assert {hit["precision"] for hit in similar(client, **query)["hits"]} == {None}
    problem = refused(client, "/v1/similar", **query, min_precision=0.5)
    assert problem["code"] == "invalid_request"
    assert problem["errors"][0]["pointer"] == "/min_precision"
    assert "strategy best_score" in problem["detail"]


@pytest.mark.parametrize("value", [0, -0.1, 1.01, "high"])
def test_a_precision_is_a_share(client: TestClient, value: float | str) -> None:
    query = {"positive": [{"profile": {"tags": ["music"]}}], "min_precision": value}
    assert refused(client, "/v1/similar", **query)["errors"][0]["pointer"] == "/min_precision"
    answer = client.get("/v1/streamers/x/similar", params={"min_precision": value})
    assert answer.json()["errors"][0]["parameter"] == "min_precision"
    query = {"profiles": [{"streamer_id": "a"}], "min_precision": value}
    assert refused(client, "/v1/dedup", **query)["errors"][0]["pointer"] == "/min_precision"


def test_only_one_limit_can_be_given(client: TestClient) -> None:
    both = {"min_score": 0.5, "min_precision": 0.5}
    query = {"positive": [{"profile": {"tags": ["music"]}}]}
    assert "give one of" in refused(client, "/v1/similar", **query, **both)["detail"]
    answer = client.get("/v1/streamers/x/similar", params=both)
    assert answer.json()["errors"] == [
        {"detail": "cannot be given with min_score; give one of them", "parameter": "min_precision"}
    ]
    both = {"threshold": 0.5, "min_precision": 0.5}
    query = {"profiles": [{"streamer_id": "a"}]}
    assert "give one of" in refused(client, "/v1/dedup", **query, **both)["detail"]


def test_dedup_joins_from_where_its_precision_is_promised(client: TestClient) -> None:
    profiles = [
        {"streamer_id": "a", "bio": TOPICS["music"]},
        {"streamer_id": "b", "bio": TOPICS["music"]},
        {"streamer_id": "c", "bio": TOPICS["music"] + " " + TOPICS["travel"]},
    ]
    for mode in ("clusters", "feed"):
        for wanted, threshold, copies in ((0.85, 0.5, "abc"), (0.9, 0.9375, "ab")):
            query = {"profiles": profiles, "mode": mode, "min_precision": wanted}
            answer = client.post("/v1/dedup", json=query).json()
            assert answer["threshold"] == threshold
            members = [m["streamer_id"] for m in answer["clusters"][0]["members"]]
            assert members == list(copies)


def served(folder: Path, calibration: Calibration | None) -> Iterator[TestClient]:
    write_bundle(folder / "bundle", calibration=calibration)
    settings = Settings(bundle=folder / "bundle", data_dir=folder / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[TestClient]:
    """A service that promises most from the cosine of copies on."""
    yield from served(tmp_path, STRICT)


@pytest.fixture
def uncalibrated(tmp_path: Path) -> Iterator[TestClient]:
    """A service whose bundle is of the time before scores were calibrated."""
    yield from served(tmp_path, None)


def test_copies_are_found_with_the_highest_precision_that_is_promised(strict: TestClient) -> None:
    profiles = [
        {"streamer_id": f"{topic}-{name}", "bio": words, "tags": [topic]}
        for topic, words in TOPICS.items()
        for name in "ab"
    ]
    query = {"min_precision": 0.98, "after_sequence": put_all(strict, profiles)}
    for topic in TOPICS:
        found = similar(strict, positive=[{"streamer_id": f"{topic}-a"}], **query)
        assert [hit["streamer_id"] for hit in found["hits"]] == [f"{topic}-b"]
        assert found["threshold"]["min_score"] == EQUAL
    for asked in ({"profiles": profiles}, {"ids": [each["streamer_id"] for each in profiles]}):
        copies = strict.post("/v1/dedup", json={**asked, **query}).json()
        members = [[m["streamer_id"] for m in each["members"]] for each in copies["clusters"]]
        assert members == [[f"{topic}-a", f"{topic}-b"] for topic in TOPICS]
        assert copies["threshold"] == EQUAL


def test_without_a_calibration_the_reason_is_told(uncalibrated: TestClient) -> None:
    sequence = fill(uncalibrated)
    query = {"positive": [{"streamer_id": "music-0"}], "after_sequence": sequence}
    problem = refused(uncalibrated, "/v1/similar", **query, min_precision=0.5)
    assert problem["code"] == "precision_not_promised"
    assert "exported before scores were calibrated" in problem["detail"]
    assert "use min_score" in problem["detail"]
    assert similar(uncalibrated, **query)["hits"][0]["precision"] is None
    problem = refused(uncalibrated, "/v1/dedup", ids=["music-0"], min_precision=0.5)
    assert "use threshold" in problem["detail"]


def test_a_model_that_could_not_be_calibrated_says_why() -> None:
    reason = "none: the training data has no known duplicates"
    precision = Precision(ScoreCalibration(source=reason, base_rate=None, curves=[]), "threshold")
    with pytest.raises(PrecisionNotPromised, match=reason):
        precision.threshold(0.5, precision.curves())
