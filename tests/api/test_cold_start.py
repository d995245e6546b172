"""New streamers among the bundle's established ones, one by one and in batches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.contract.established import BehaviourGraph
from tests.conftest import Serve
from tests.support.api import NDJSON, Api
from tests.support.bundles import (
    BOILERPLATE,
    CALIBRATION,
    ESTABLISHED_IDS,
    ID_DIM,
    SPACE,
    curve,
    write_bundle,
)

LEAST_COVERAGE = 0.4
COVERED = curve(1, None, (0.5, 0.9, 0.8)).model_copy(update={"least_coverage": LEAST_COVERAGE})
CALIBRATED = CALIBRATION.model_copy(
    update={"embedding": CALIBRATION.embedding.model_copy(update={"by_coverage": [COVERED]})}
)
# The audience of 0 and 4 (cooking) watches 2 (music) most, and 7, which is never stored.
EDGES = {0: {2: 0.75, 7: 0.25}, 4: {2: 0.5, 7: 0.25, 1: 0.25}}
OWN_SHARE = 0.1
TAGS = {0: "cooking", 4: "cooking", 2: "music", 1: "gaming", 3: "travel"}
VECTORS = np.random.default_rng(0).standard_normal((len(ESTABLISHED_IDS), ID_DIM))
"""Of the established, in the order of their ids, as `write_bundle` makes them."""
OUTSIDER = {"bio": "quantum field theory and a soup of quarks", "tags": ["physics", "university"]}
COOK = {"profile": {"tags": ["cooking"]}}


def behaviour() -> BehaviourGraph:
    rows = [EDGES.get(row, {}) for row in range(len(ESTABLISHED_IDS))]
    return BehaviourGraph(
        np.cumsum([0, *map(len, rows)]),
        np.array([place for row in rows for place in row], np.int32),
        np.array([weight for row in rows for weight in row.values()], np.float32),
        temperature=0.01,
        own_share=OWN_SHARE,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It knows who shares an audience, and of which coverage it can't predict."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(folder, calibration=CALIBRATED, behaviour=behaviour())
    return folder


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_LIMITS__MAX_K": "20",
        "STREAMER_LIMITS__BULK_LINES": "30",
        "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "500",
    }


@pytest.fixture(scope="module")
def nobody_stored(api: Api) -> dict[str, Any]:
    """An answer from when none of the established was stored, which they are afterwards."""
    answer = place(api, **COOK)
    profiles = {ESTABLISHED_IDS[row]: {"tags": [tag]} for row, tag in TAGS.items()}
    profiles |= {"newcomer": {"tags": ["cooking"]}, "bare": {}}
    api.write([{"streamer_id": name, **profile} for name, profile in profiles.items()])
    return answer


@pytest.fixture(scope="module")
def stored(api: Api, nobody_stored: dict[str, Any]) -> Api:
    """A service where five of the established are stored, and two others."""
    return api


def place(api: Api, **query: Any) -> dict[str, Any]:
    return api.ok("POST", "/v1/cold-start", query)


def rows_of(answer: dict[str, Any]) -> list[int]:
    """The neighbours, by their places among the established."""
    return [ESTABLISHED_IDS.index(n["streamer_id"]) for n in answer["neighbours"]]


def lines_of(api: Api, lines: list[Any], **options: Any) -> list[dict[str, Any]]:
    """The result lines of a batch; a text is a line as it is."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    answer = api.post("/v1/cold-start:batch", content="\n".join(texts), headers=NDJSON, **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def test_the_audience_of_those_most_alike_elects_the_neighbours(stored: Api) -> None:
    answer = place(stored, **COOK)
    neighbours = answer["neighbours"]
    # 0 and 4 are as alike: half of the votes each. 7 is not stored, and takes no place.
    votes = {2: (0.75 + 0.5) / 2, 1: 0.25 / 2, 0: OWN_SHARE / 2, 4: OWN_SHARE / 2}
    assert rows_of(answer)[:2] == [2, 1]
    assert set(rows_of(answer)[:4]) == set(votes)
    weights = {row: n["weight"] for row, n in zip(rows_of(answer), neighbours, strict=True)}
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    for row, vote in votes.items():
        assert weights[row] == pytest.approx(vote / sum(votes.values()), rel=1e-2)
    assert set(neighbours[0]["via"][:2]) == {ESTABLISHED_IDS[0], ESTABLISHED_IDS[4]}
    assert neighbours[1]["via"][0] == ESTABLISHED_IDS[4]
    for own in neighbours[2:4]:
        assert own["via"][0] == own["streamer_id"]
        assert own["score"] == pytest.approx(1, abs=1e-3)  # they show the same
    assert abs(neighbours[0]["score"]) < 0.5
    fewer = place(stored, **COOK, neighbours=2)
    assert rows_of(fewer) == [2, 1]
    assert sum(n["weight"] for n in fewer["neighbours"]) == pytest.approx(1, abs=1e-5)
    # Of whom no audience is known, he himself is what his audience watches.
    assert rows_of(place(stored, profile={"tags": ["travel"]}))[0] == 3


def test_a_prediction_in_the_recommenders_space(stored: Api) -> None:
    answer = place(stored, **COOK)
    told = answer["id_embedding"]
    assert (told["space"], told["source"], told["method"]) == ("test-ids", "mapped", "predicted")
    assert len(told["vector"]) == ID_DIM
    weights = np.array([n["weight"] for n in answer["neighbours"]])
    mean = weights @ VECTORS[rows_of(answer)]
    agreement = mean @ told["vector"] / np.linalg.norm(mean) / np.linalg.norm(told["vector"])
    assert told["confidence"] == pytest.approx(np.clip(agreement, 0, 1), abs=1e-4)
    assert answer["fallback"] == {"used": False, "reason": None}
    assert (answer["complete"], answer["missing"], answer["coverage"]) == (True, [], 1)
    assert answer["modalities"]["tags"] == "used"
    assert answer["modalities"]["bio"] == "absent"
    assert answer["model_version"] == "test-0"
    assert place(stored, **COOK, space="test-ids")["id_embedding"]["vector"] == told["vector"]
    of_stored = place(stored, streamer_id="newcomer")
    assert of_stored["id_embedding"]["vector"] == pytest.approx(told["vector"], abs=1e-5)
    assert of_stored["neighbours"] == answer["neighbours"]


def test_nobody_is_a_neighbour_of_himself(stored: Api) -> None:
    answer = place(stored, streamer_id=ESTABLISHED_IDS[0], neighbours=20)
    assert rows_of(answer)[0] == 2
    assert answer["neighbours"][0]["via"][0] == ESTABLISHED_IDS[4]
    assert 0 not in rows_of(answer)


def test_who_is_not_established_is_no_neighbour(stored: Api) -> None:
    names = {n["streamer_id"] for n in place(stored, **COOK, neighbours=20)["neighbours"]}
    assert names == {ESTABLISHED_IDS[row] for row in TAGS}


@pytest.mark.parametrize(
    ("profile", "reason", "bio"),
    [
        ({"bio": BOILERPLATE}, "insufficient_content", "uninformative"),
        ({"bio": "кварк"}, "insufficient_content", "uninformative"),
        ({}, "insufficient_content", "absent"),
        (OUTSIDER, "low_coverage", "used"),
    ],
)
def test_who_shows_too_little_gets_the_mean_of_all(
    stored: Api, profile: dict[str, Any], reason: str, bio: str
) -> None:
    answer = place(stored, profile=profile)
    assert answer["fallback"] == {"used": True, "reason": reason}
    assert bool(answer["neighbours"]) == (reason == "low_coverage")
    told = answer["id_embedding"]
    assert (told["source"], told["confidence"]) == ("centroid", 0)
    assert told["vector"] == pytest.approx(VECTORS.mean(axis=0), abs=1e-5)
    assert answer["coverage"] < LEAST_COVERAGE
    assert answer["modalities"]["bio"] == bio


def test_nothing_to_go_by_is_told_of_stored_streamers_too(stored: Api) -> None:
    assert place(stored, streamer_id="bare")["fallback"]["reason"] == "insufficient_content"


def test_without_established_neighbours_there_is_a_prediction(
    nobody_stored: dict[str, Any],
) -> None:
    assert nobody_stored["neighbours"] == []
    assert nobody_stored["fallback"] == {"used": True, "reason": "no_established_neighbours"}
    assert nobody_stored["id_embedding"]["source"] == "mapped"
    assert nobody_stored["id_embedding"]["confidence"] == 0


def test_unknown_labels_are_read_as_text(stored: Api) -> None:
    answer = place(stored, profile={"tags": ["guitar vocal concert"]})
    assert answer["fallback"] == {"used": False, "reason": None}
    assert (answer["modalities"]["tags"], answer["modalities"]["bio"]) == ("used", "absent")
    as_text = place(stored, profile={"bio": "guitar vocal concert"})
    vector = answer["id_embedding"]["vector"]
    assert vector == pytest.approx(as_text["id_embedding"]["vector"], abs=1e-5)


def test_users_are_of_spaces_that_are_handed_over(stored: Api) -> None:
    answer = place(stored, **COOK, users=5)
    assert answer["users"] is None
    assert answer["users_unavailable_because"]
    assert place(stored, **COOK)["users_unavailable_because"] is None


def test_by_the_deadline_the_answer_says_what_is_missing(stored: Api) -> None:
    answer = place(stored, **COOK, deadline_ms=20, after_sequence=2**40)
    assert answer["missing"] == ["id_embedding", "neighbours"]
    assert answer["fallback"] == {"used": True, "reason": "deadline"}
    assert answer["complete"] is False
    assert answer["incomplete_because"]
    assert answer["id_embedding"]["source"] == "centroid"
    assert place(stored, **COOK, deadline_ms=600_000)["missing"] == []
    late = {**COOK, "after_sequence": 2**40}
    stored.refused("POST", "/v1/cold-start", late, status=503, code="not_yet_visible")


def test_vectors_are_for_keys_that_may_see_them(stored: Api) -> None:
    with_scope = stored.with_key("coldstart", "embeddings:read")
    without = stored.with_key("coldstart")
    seen, unseen = place(with_scope, **COOK), place(without, **COOK)
    assert seen["id_embedding_unavailable_because"] is None
    assert len(seen["id_embedding"]["vector"]) == ID_DIM
    assert "embeddings:read" in unseen["id_embedding_unavailable_because"]
    assert unseen["id_embedding"] == seen["id_embedding"] | {"vector": None}
    (line,) = lines_of(without, [COOK])
    assert line["answer"]["id_embedding"]["vector"] is None
    other = stored.with_key("search", "embeddings:read")
    other.refused("POST", "/v1/cold-start", COOK, status=403, code="missing_scope")
    other.refused(
        "POST",
        "/v1/cold-start:batch",
        content="{}",
        headers=NDJSON,
        status=403,
        code="missing_scope",
    )


def test_without_a_graph_cosines_decide(serve: Serve, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    api = serve(bundle=tmp_path / "bundle").api
    tags = [["cooking"], ["cooking", "soup"], ["music"], ["gaming"]]
    shown = {ESTABLISHED_IDS[i]: {"tags": some} for i, some in enumerate(tags)}
    api.write([{"streamer_id": n, **p} for n, p in {**shown, "new": COOK["profile"]}.items()])
    answer = place(api, **COOK, neighbours=3)
    assert rows_of(answer)[:2] == [0, 1]
    scores = np.array([n["score"] for n in answer["neighbours"]])
    vector = np.array(api.embedding("new"))
    for neighbour, score in zip(answer["neighbours"], scores, strict=True):
        expected = vector @ np.array(api.embedding(neighbour["streamer_id"]))
        assert score == pytest.approx(float(expected), abs=1e-5)
        assert neighbour["via"] == []
    weights = np.exp((scores - scores.max()) / 0.1)
    expected = (weights / weights.sum()).tolist()
    assert [n["weight"] for n in answer["neighbours"]] == pytest.approx(expected, abs=1e-5)
    # A bundle that does not know which coverage is too little predicts for everybody.
    assert place(api, profile=OUTSIDER)["id_embedding"]["source"] == "mapped"


# Batches


def test_a_batch_answers_each_line_as_a_question_of_its_own(stored: Api) -> None:
    questions: list[Any] = [
        {**COOK, "neighbours": 2},
        {"streamer_id": "newcomer"},
        {"profile": OUTSIDER},
        {"streamer_id": ESTABLISHED_IDS[0], "users": 3},
        *({"profile": {"tags": [tag]}, "neighbours": 1} for tag in ("music", "gaming", "travel")),
    ]
    lines = lines_of(stored, questions)
    assert [line["line"] for line in lines] == list(range(1, len(questions) + 1))
    for line, question in zip(lines, questions, strict=True):
        alone = place(stored, **question)
        assert line["answer"] | {"took_ms": 0} == alone | {"took_ms": 0}


def test_a_bad_line_does_not_stop_the_others(stored: Api) -> None:
    lines = lines_of(
        stored,
        [
            COOK,
            "",
            "{not json",
            {"streamer_id": "nobody"},
            {**COOK, "streamer_id": "newcomer"},
            {**COOK, "neighbours": 21},
            {**COOK, "space": "elsewhere"},
            {**COOK, "friends": 3},
            {"profile": {"avatar": {"vector": [1], "space": SPACE}}},
            {"streamer_id": "newcomer"},
        ],
    )
    assert [line["line"] for line in lines] == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [line["line"] for line in lines if "answer" in line] == [1, 10]
    told = {line["line"]: line["problem"] for line in lines if "problem" in line}
    assert told[4]["code"] == "streamer_not_found"
    assert told[3]["code"] == "malformed_body"
    assert {told[line]["code"] for line in range(5, 10)} == {"invalid_request"}
    pointers = {line: [e["pointer"] for e in p["errors"]] for line, p in told.items() if line > 3}
    assert pointers == {
        4: ["/streamer_id"],
        5: [""],
        6: ["/neighbours"],
        7: ["/space"],
        8: ["/friends"],
        9: ["/profile/avatar/vector"],
    }


def test_batches_that_are_refused(stored: Api) -> None:
    path, line = "/v1/cold-start:batch", json.dumps(COOK)
    wrong: dict[str, Any] = {"status": 422, "code": "invalid_request"}
    for content in ("", "\n\n", "\n".join([line] * 31)):
        stored.refused("POST", path, content=content, headers=NDJSON, **wrong)
    assert len(lines_of(stored, [COOK] * 30)) == 30


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({}, 422, "invalid_request", ""),
        ({**COOK, "streamer_id": "newcomer"}, 422, "invalid_request", ""),
        ({"streamer_id": "not an id"}, 422, "invalid_request", "/streamer_id"),
        ({"profile": {"nmae": "x"}}, 422, "invalid_request", "/profile/nmae"),
        (
            {"profile": {"avatar": {"vector": [1], "space": SPACE}}},
            422,
            "invalid_request",
            "/profile/avatar/vector",
        ),
        ({**COOK, "neighbours": 0}, 422, "invalid_request", "/neighbours"),
        ({**COOK, "neighbours": 21}, 422, "invalid_request", "/neighbours"),
        ({**COOK, "users": -1}, 422, "invalid_request", "/users"),
        ({**COOK, "users": 21}, 422, "invalid_request", "/users"),
        ({**COOK, "deadline_ms": 0}, 422, "invalid_request", "/deadline_ms"),
        ({**COOK, "min_interactions": -1}, 422, "invalid_request", "/min_interactions"),
        ({**COOK, "space": "elsewhere"}, 422, "invalid_request", "/space"),
        (
            {**COOK, "user_filter": {"must": [{}]}},
            422,
            "invalid_request",
            "/user_filter/must/0/field",
        ),
        ({"streamer_id": "nobody"}, 404, "streamer_not_found", "/streamer_id"),
    ],
)
def test_questions_that_are_refused(
    stored: Api, body: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    problem = stored.refused("POST", "/v1/cold-start", body, status=status, code=code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
