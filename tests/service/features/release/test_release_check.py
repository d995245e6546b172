"""A model that has learned is released, and those that are broken are stopped by name."""

import csv
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.calibration import RIGHT, Calibration, ScoreCalibration
from model_export.contract.vocabulary import Vocabulary
from service.__main__ import main
from service.features.release import gates
from service.features.release.encoder import ReleaseEncoder, Vectors
from service.features.release.gates import FEWEST, Thresholds
from service.features.release.held_out import HeldOut, held_out
from service.features.release.pairs import PairScores
from service.features.release.service import check_release
from tests.bundles import CALIBRATION, TOPICS, curve
from tests.planted import Table, constant, learned, model, shuffled
from tests.service.data_sets import json_line
from training.disguises import copy_of

SOME = 240
"""Streamers that suffice to tell a model that is broken."""
DISGUISES = ("zero_width", "full_width", "spaced")


def written(folder: Path, name: str, columns: list[str], rows: list[list[str]]) -> None:
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Streamers of four topics, who show one of its words; copies of some, plain or disguised."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(3)
    topics = {topic: words.split() for topic, words in TOPICS.items()}
    profiles: list[dict[str, Any]] = []
    labels, duplicates, splits = [], [], []
    for i in range(400):
        topic = rng.choice(list(topics))
        words = [rng.choice(topics[topic])] * 6
        profile = {
            "streamer_id": f"s{i:03}",
            "bio": f"{' '.join(words[:4])} {rng.getrandbits(60):x} {rng.getrandbits(60):x}",
            "tags": sorted({*words[4:], f"tag{rng.getrandbits(40):x}"}),
            "videos": [
                {"video_id": f"v{j}", "title": f"{' '.join(words)} {rng.getrandbits(60):x}"}
                for j in range(2)
            ],
        }
        profiles.append(profile)
        labels.append([profile["streamer_id"], topic])
        splits.append([profile["streamer_id"], "test" if i % 3 == 0 else "train"])
        if i % 3 == 0 and i < 360:
            kind = ("", *DISGUISES)[i // 3 % 4]
            copy = {**profile, "streamer_id": f"c{i:03}", "name": f"copy {i}"}
            if kind:
                copy = {**copy_of(profile, [kind], random.Random(i)), "streamer_id": f"c{i:03}"}
            profiles.append(copy)
            duplicates += [[profile["streamer_id"], f"g{i}", ""], [f"c{i:03}", f"g{i}", kind]]
            labels.append([f"c{i:03}", topic])
            splits.append([f"c{i:03}", "test"])
    text = "".join(map(json_line, profiles))
    (folder / "streamers.jsonl").write_text(text, encoding="utf-8")
    written(folder, "labels", ["streamer_id", "label"], labels)
    written(folder, "splits", ["streamer_id", "split"], splits)
    written(folder, "duplicates", ["streamer_id", "group", "disguise"], duplicates)
    return folder


@pytest.fixture(scope="module")
def calibration(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """What the learned model really does, on streamers of another draw."""
    bundle = model(tmp_path_factory.mktemp("measured") / "b", learned, None)
    found = held_out(data, 2000, seed=9)
    vectors = ReleaseEncoder(Bundle(bundle)).vectors(found.profiles).embedding
    assert found.relevant is not None
    scores = (vectors[: found.queries] @ vectors.T).ravel()
    right = found.relevant.rows(np.arange(found.queries)).ravel()
    knots = []
    for score in np.quantile(scores, [0.99, 0.9, 0.8, 0.5, 0.2]).tolist():
        precision = float(right[scores >= score].mean())
        knots.append((score, precision, precision))
    for i in range(1, len(knots)):  # precision never rises
        best = min(knots[i - 1][1], knots[i][1])
        knots[i] = (knots[i][0], best, best)
    embedding = ScoreCalibration(
        source=f"right = {RIGHT['labels']}; 100 streamers",
        base_rate=0.25,
        curves=[curve(1, None, *knots)],
    )
    return Calibration(embedding=embedding, content=CALIBRATION.content)


def statuses(bundle: Path, data: Path) -> dict[str, str]:
    """What each gate says of a model that is broken, by some of the streamers."""
    found = check_release(Bundle(bundle), data, most=SOME)
    return {gate.name: gate.status for gate in found.gates}


@pytest.mark.slow
def test_a_learned_model_is_released(
    data: Path, tmp_path: Path, calibration: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = model(tmp_path / "b", learned, calibration)
    assert main(["release-check", str(bundle), "--data", str(data), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["released"], err) == (True, "")
    by_name = {gate["name"]: gate for gate in found["gates"]}
    passed = {name for name, gate in by_name.items() if gate["status"] == "passed"}
    assert passed >= {"golden", "duplicates", "relevance", "calibration", "false_joins:strangers"}
    assert passed >= {f"disguises:{kind}" for kind in DISGUISES}
    assert passed >= {"absent:bio", "absent:tags", "absent:videos"}
    assert by_name["absent:audio"]["status"] == "not_run"


@pytest.mark.slow
def test_a_shuffled_table_is_stopped(
    data: Path, tmp_path: Path, calibration: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = model(tmp_path / "b", shuffled, calibration)
    given = ["--data", str(data), "--streamers", str(SOME)]
    assert main(["release-check", str(bundle), *given]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: test-0 must not be served: ")
    assert "relevance" in last
    assert "calibration" in last


@pytest.mark.slow
def test_one_vector_for_all_is_stopped(
    data: Path, tmp_path: Path, calibration: Calibration
) -> None:
    found = statuses(model(tmp_path / "b", constant, calibration), data)
    assert found["golden"] == "failed"
    assert found["calibration"] == "failed"


def test_vectors_that_are_no_numbers_end_the_test(data: Path, tmp_path: Path) -> None:
    def broken(table: Table, words: Vocabulary) -> Table:
        table[1 : 1 + len(words.tokens)] = np.nan
        return table

    assert statuses(model(tmp_path / "b", broken), data) == {"golden": "failed"}


@pytest.mark.slow
def test_a_model_promises_too_much(data: Path, tmp_path: Path) -> None:
    promised = curve(1, None, (0.2, 0.999, 0.99), (0.1, 0.999, 0.99), (0.0, 0.99, 0.99))
    embedding = ScoreCalibration(source="right = the same label", base_rate=0.25, curves=[promised])
    wishes = Calibration(embedding=embedding, content=CALIBRATION.content)
    bundle = model(tmp_path / "b", lambda table, _: table, wishes)
    assert statuses(bundle, data)["calibration"] == "failed"


@pytest.mark.slow
def test_a_calibration_by_another_relevance_is_not_judged(
    data: Path, tmp_path: Path, calibration: Calibration
) -> None:
    """Its precision is that of users in common, and the folder tells labels alone."""
    source = f"right = {RIGHT['interactions']}; 100 validation streamers"
    other = calibration.embedding.model_copy(update={"source": source})
    measured = calibration.model_copy(update={"embedding": other})
    found = check_release(Bundle(model(tmp_path / "b", learned, measured)), data, most=SOME)
    gate = next(gate for gate in found.gates if gate.name == "calibration")
    assert gate.status == "not_run"
    assert RIGHT["interactions"] in gate.reason
    assert RIGHT["labels"] in gate.reason
    assert {gate.name: gate.status for gate in found.gates}["relevance"] == "passed"


@pytest.mark.parametrize(("joined", "status"), [(3, "passed"), (40, "failed")])
def test_few_strangers_may_be_joined(
    monkeypatch: pytest.MonkeyPatch, joined: int, status: str
) -> None:
    """One of a hundred is too many, where one of two hundred candidates is the same."""

    def some(*given: Any) -> NDArray[np.bool_]:
        return np.arange(len(given[-1])) < joined

    monkeypatch.setattr(gates, "_joined", some)
    nothing: Any = None
    profiles: Any = range(4000)
    data = HeldOut(profiles, 10, [], [], np.zeros(4000, np.bool_), None, np.arange(4000))
    found = gates.copies(data, nothing, nothing, Thresholds())
    assert {g.name: g.status for g in found}["false_joins:strangers"] == status


@pytest.mark.slow
def test_a_folder_without_truth_says_what_is_missing(
    tmp_path: Path, bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "streamers.jsonl").write_bytes((data / "streamers.jsonl").read_bytes())
    given = ["release-check", str(bundle), "--data", str(tmp_path), "--require-all", "--json"]
    assert main(given) == 1
    out, err = capsys.readouterr()
    assert "absent:audio: " in err
    gates = {gate["name"]: gate for gate in json.loads(out)["gates"]}
    assert {gate["status"] for gate in gates.values()} == {"passed", "not_run"}
    assert "interactions.csv" in gates["relevance"]["reason"]
    assert gates["duplicates"]["status"] == gates["disguises"]["status"] == "not_run"
    written(tmp_path, "labels", ["streamer_id", "topic"], [])
    assert main(["release-check", str(bundle), "--data", str(tmp_path)]) == 1
    assert "labels.csv: has no column 'label'" in capsys.readouterr().err


def test_audiences_make_streamers_relevant(tmp_path: Path) -> None:
    lines = [json_line({"streamer_id": f"s{i}", "tags": ["music"]}) for i in range(4)]
    (tmp_path / "streamers.jsonl").write_text("".join(lines))
    shared = [["u", "s0"], ["v", "s0"], ["u", "s1"], ["v", "s1"], ["w", "s3"], ["v", "s3"]]
    pairs = [[*pair, "1"] for pair in (*shared, ("u", "s2"))]
    zeros = [["v", "s2", "0"], ["w", "s2", "0"]]  # who is in no audience, as in training
    written(tmp_path, "interactions", ["user_id", "streamer_id", "weight"], [*pairs, *zeros])
    written(tmp_path, "splits", ["streamer_id", "split"], [[f"s{i}", "test"] for i in range(4)])
    found = held_out(tmp_path, 1000, seed=0)
    ids = [profile.streamer_id for profile in found.profiles]
    assert found.relevant is not None
    relevant = found.relevant.rows(np.arange(found.queries))
    found_pairs = {(ids[q], ids[n]) for q, n in zip(*np.nonzero(relevant), strict=True)}
    assert {pair for pair in found_pairs if pair[0] != pair[1]} == {("s0", "s1"), ("s1", "s0")}
    known = {i for i, is_known in zip(ids, found.known.tolist(), strict=True) if is_known}
    assert known == {"s0", "s1", "s3"}


def test_area_under_the_curve_counts_ties_half() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(-2, 3, 40) / 2, rng.integers(-2, 2, 30) / 2
    naive = np.mean([(r > w) + 0.5 * (r == w) for r in right for w in wrong])
    pairs = PairScores()
    scores, truth = np.concatenate([right, wrong]), np.arange(70) < 40
    for some in np.array_split(rng.permutation(70), 4):
        pairs.add(scores[some].astype(np.float32), truth[some])
    assert (pairs.right, pairs.wrong) == (40, 30)
    assert pairs.area_under_curve() == pytest.approx(naive)


def test_calibration_error_is_that_of_a_double_loop() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(-1, 1, 500).astype(np.float32)
    right = rng.random(500) < (scores + 1) / 2
    promised = curve(1, None, (0.95, 0.9, 0.9), (0.5, 0.7, 0.7), (0.0, 0.6, 0.6))
    gaps, weights, before = [], [], 0
    for knot in promised.knots:
        chosen = scores >= knot.score
        if chosen.sum() >= FEWEST:
            gaps.append(abs(right[chosen].mean() - knot.precision))
            weights.append(int(chosen.sum()) - before)
            before = int(chosen.sum())
    pairs = PairScores(promised.knots)
    for some in np.array_split(np.arange(500), 3):
        pairs.add(scores[some], right[some])
    error, reached = pairs.calibration_error(FEWEST)
    assert error == pytest.approx(np.average(gaps, weights=weights))
    assert reached == before


def test_blocks_measure_what_all_at_once_does(
    data: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = held_out(data, 400, seed=1)
    encoder = ReleaseEncoder(Bundle(bundle))
    vectors = encoder.vectors(found.profiles)
    everyone = np.arange(found.queries)
    scores = vectors.embedding[everyone] @ vectors.embedding.T
    scores[:, ~vectors.usable] = -np.inf
    scores[everyone, everyone] = -np.inf
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, : gates.DEPTH]
    limits, measured = Thresholds(), []
    promised = CALIBRATION.embedding.model_copy(update={"source": f"right = {found.right}; some"})
    for block_pairs in (1 << 30, 7 * 400):
        monkeypatch.setattr(gates, "BLOCK_PAIRS", block_pairs)
        near = gates.nearest(vectors.embedding[everyone], vectors, everyone)
        lowest = np.take_along_axis(scores, near, 1).min(1)
        assert near.shape == wanted.shape
        assert lowest == pytest.approx(np.take_along_axis(scores, wanted, 1).min(1), abs=1e-6)
        measured.append(gates.ranking(found, vectors, promised, limits))
    for whole, part in zip(*measured, strict=True):
        assert (part.name, part.status, part.cases) == (whole.name, whole.status, whole.cases)
        assert part.measured == pytest.approx(whole.measured, abs=1e-5)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "BLOCK_PAIRS", 1 << 18)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((8000, 8)).astype(np.float32)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = Vectors([], units, np.ones(8000, np.bool_))
    queries, zeros = np.arange(2000), np.zeros(8000, np.int64)
    data = HeldOut([], 2000, [], [], zeros == 0, Topics(rng.integers(0, 9, 8000)), zeros)
    tracemalloc.start()
    try:
        near = gates.nearest(units[queries], vectors, queries)
        (relevance, _) = gates.ranking(data, vectors, None, Thresholds())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert near.shape == (2000, gates.DEPTH)
    assert relevance.cases == 2000 * 6000
    assert peak < 180 << 20  # bins and their sums; all scores in their order have 256 MiB


class Topics:
    """Relevant are those of one topic."""

    def __init__(self, topics: NDArray[np.int64]) -> None:
        self._topics = topics

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._topics[places, None] == self._topics
