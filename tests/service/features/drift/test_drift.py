"""Drift is told with its modality, its p-value and examples; what is alike raises no alarm."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from service.__main__ import main
from service.app import create_app
from service.features.drift import permutations, sample
from service.features.drift.permutations import (
    Labellings,
    classifier_auc,
    expected_mixing,
    mean_difference,
    nearest,
    neighbour_mixing,
)
from service.settings import Settings
from tests.bundles import TOPICS, write_bundle
from tests.service.conftest import put_all
from tests.service.data_sets import NDJSON, json_line
from tests.service.features.models.test_life_cycle import NEXT, backfilled, opened
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.features.operations.stored import inside

WORDS = {topic: words.split() for topic, words in TOPICS.items()}


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for the p-values of these tests."""
    monkeypatch.setattr(permutations, "PERMUTATIONS", 1999)


def shown(i: int, rng: random.Random, **drift: Any) -> dict[str, Any]:
    topic = drift.get("topic") or rng.choice(list(WORDS))
    words = rng.choices(WORDS[topic], k=5)
    if rng.random() < drift.get("unknown", 0.1):
        words += [f"new{rng.randrange(10**6)}" for _ in range(5)]
    profile = {"streamer_id": f"s{i:04}", "bio": " ".join(words), "tags": words[:2]}
    if rng.random() < drift.get("without_tags", 0.1):
        del profile["tags"]
    return profile


def drifted(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], **drift: Any
) -> tuple[int, dict[str, Any], str]:
    """Status, answer and errors of `drift` on 200 streamers of before and 200 of late."""
    rng = random.Random(4)
    early = [shown(i, rng) for i in range(200)]
    late = [shown(i, rng, **drift) for i in range(200, 400)]
    ungrouped = {"evaluate": False}
    known = {"bundle": bundle, "data_dir": folder, "duplicates": ungrouped}
    app = create_app(Settings.model_validate(known))
    with TestClient(app, base_url="http://localhost") as client:
        body = "".join(map(json_line, [*early, *late]))
        client.post("/v1/streamers:bulk", content=body, headers=NDJSON).raise_for_status()
        with inside(folder) as store:
            date_back(store, {profile["streamer_id"] for profile in early})
        capsys.readouterr()
        metrics = folder / "drift.prom"
        status = main(
            ["drift", "--data-dir", str(folder), "--bundle", str(bundle), "--json",
             "--metrics", str(metrics)]
        )  # fmt: skip
    out, err = capsys.readouterr()
    return status, json.loads(out), err


def date_back(store: Redis, ids: set[str]) -> None:
    """As if these had been written a month ago."""
    keys: Any = store.keys("*")
    for key in keys:
        if key.decode()[-5:] in ids and store.type(key) == b"hash":
            before: Any = store.hget(key, "updated_at")
            if before is not None:
                store.hset(key, "updated_at", repr(float(before) - 30 * 86_400))


@pytest.mark.slow
def test_alike_windows_raise_no_alarm(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, _ = drifted(bundle, tmp_path, capsys)
    assert (status, found["alarms"], found["before"], found["late"]) == (0, 0, 200, 200)
    assert {f["modality"] for f in found["findings"]} >= {"bio", "tags", "embedding"}
    families = text_string_to_metric_families((tmp_path / "drift.prom").read_text())
    told = [sample for family in families for sample in family.samples]
    assert any(sample.name == "streamer_drift_measured_seconds" for sample in told)
    samples = [sample for sample in told if sample.name == "streamer_drift_alarm"]
    assert samples
    assert all(set(s.labels) == {"modality", "measure"} and s.value == 0 for s in samples)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drift", "named"),
    [
        ({"without_tags": 0.5}, [("tags", "absent")]),
        ({"unknown": 0.6}, [("bio", "unknown_tokens")]),
        ({"topic": "gaming"}, [("bio", "classifier"), ("embedding", "neighbours")]),
    ],
)
def test_drift_is_named(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    drift: dict[str, Any],
    named: list[tuple[str, str]],
) -> None:
    status, found, err = drifted(bundle, tmp_path, capsys, **drift)
    assert status == 1
    for modality, measure in named:
        (alarm,) = [
            f for f in found["findings"] if f["modality"] == modality and f["measure"] == measure
        ]
        assert alarm["is_alarm"]
        assert alarm["adjusted"] <= 0.05
        assert all(example >= "s0200" for example in alarm["examples"])
        assert alarm["examples"]
        assert f"{modality}: {measure}" in err


def test_another_model_or_too_few_streamers(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(Settings(bundle=bundle, data_dir=tmp_path / "data"))
    with TestClient(app, base_url="http://localhost") as client:
        client.put("/v1/streamers/s", json={"bio": "music"}).raise_for_status()
        write_bundle(tmp_path / "other", seed=5)
        for model, said in (
            (bundle, "only 0 of 1 streamers"),
            (tmp_path / "other", "the bundle is"),
        ):
            given = ["--data-dir", str(tmp_path / "data"), "--bundle", str(model)]
            assert main(["drift", *given]) == 1
            err = capsys.readouterr().err
            assert said in err
            assert "--days" not in err  # whatever the time, one streamer is too few


def test_too_few_of_those_looked_at_asks_for_what_can_help(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, "LOOK_FACTOR", 2)
    rng = random.Random(4)
    with TestClient(
        create_app(Settings(bundle=bundle, data_dir=tmp_path)), base_url="http://localhost"
    ) as client:
        put_all(client, [shown(i, rng) for i in range(150)])
        for size, most, looked_at, larger in (
            (50, 20_000, 100, True),
            (100, 20_000, 150, False),
            (50, 50, 100, False),
        ):
            monkeypatch.setattr(sample, "MOST", most)
            given = ["--data-dir", str(tmp_path), "--bundle", str(bundle), "--sample", str(size)]
            assert main(["drift", *given]) == 1
            err = capsys.readouterr().err
            assert f"only 0 of {looked_at} streamers that were looked at, of 150 in all," in err
            assert ("--sample" in err) is larger
            assert "--days" in err


def test_who_was_not_written_since_a_promotion_is_of_the_model_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, data = random.Random(4), tmp_path / "data"
    profiles = [shown(i, rng) for i in range(100)]
    with opened(folder, data) as client:
        put_all(client, profiles)
        with inside(data) as store:
            date_back(store, {profile["streamer_id"] for profile in profiles[:50]})
        backfilled(client)
        client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        given = ["--data-dir", str(data), "--bundle", str(folder / "next")]
        main(["drift", "--json", *given])
    out, err = capsys.readouterr()
    found = json.loads(out or "{}")
    assert (found.get("before"), found.get("late")) == (50, 50), err


@pytest.mark.slow
def test_p_values_of_chance_are_uniform() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) < 50
    found: dict[str, list[float]] = {"mean": [], "classifier": [], "neighbours": []}
    for _ in range(40):
        rows = rng.standard_normal((100, 4))
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        found["mean"].append(mean_difference(rows[:, 0], labels, rng).p_value)
        found["classifier"].append(classifier_auc(rows, labels, rng).p_value)
        found["neighbours"].append(neighbour_mixing(units, labels, rng).p_value)
    for name, values in found.items():
        assert 0.3 < np.mean(values) < 0.7, name
        assert np.mean(np.array(values) < 0.05) < 0.25, name


def test_statistics_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(60) < 0.4
    rows = rng.standard_normal((60, 5)) + labels[:, None]
    tested = mean_difference(rows[:, 0], labels, rng)
    expected = rows[labels, 0].mean() - rows[~labels, 0].mean()
    assert tested.value == pytest.approx(expected)
    assert tested.p_value < 0.05
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = []
    for i in range(60):
        near = sorted((j for j in range(60) if j != i), key=lambda j, i=i: -units[i] @ units[j])
        shares += [labels[j] == labels[i] for j in near[:10]]
    assert neighbour_mixing(units, labels, rng).value == pytest.approx(np.mean(shares))
    late = int(labels.sum())
    same = late * (late - 1) + (60 - late) * (59 - late)
    assert expected_mixing(labels) == pytest.approx(same / (60 * 59))
    assert classifier_auc(rows, labels, rng).value > 0.8


def with_copies(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit vectors of which half are of five templates (N, D)."""
    rows = rng.standard_normal((count, 32))
    copied = np.flatnonzero(rng.random(count) < 0.5)
    rows[copied] = rng.standard_normal((5, 32))[rng.integers(0, 5, len(copied))]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("before", [150, 350])
def test_copies_in_both_windows_are_no_drift_and_hide_none(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permutations, "PERMUTATIONS", 199)
    labels = np.arange(500) >= before
    chance, found = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = with_copies(rng, 500)
        chance.append(neighbour_mixing(rows, labels, rng).p_value)
        new = rng.standard_normal(32) + 0.3 * rng.standard_normal((60, 32))
        rows[np.flatnonzero(labels)[:60]] = new / np.linalg.norm(new, axis=1, keepdims=True)
        found.append(neighbour_mixing(rows, labels, rng).p_value)
    assert 0.3 < np.mean(chance) < 0.7
    assert np.mean(np.array(chance) <= 0.05) <= 0.2
    assert np.mean(np.array(found) <= 0.05) >= 0.9


def test_blocks_find_what_all_at_once_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    labels = rng.random(301) < 0.4
    rows = rng.standard_normal((301, 8)) + 0.2 * labels[:, None]
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def found() -> tuple[Any, ...]:
        drawn = np.concatenate(
            [many for _, many in Labellings(labels, np.random.default_rng(1)).blocks()]
        )
        tested = [
            test(values, labels, np.random.default_rng(2))
            for test, values in (
                (mean_difference, rows[:, 0]),
                (classifier_auc, rows),
                (neighbour_mixing, units),
            )
        ]
        return drawn, np.sort(nearest(units, np.random.default_rng(3)), axis=1), tested

    monkeypatch.setattr(permutations, "BLOCK_ROWS", 1000)
    drawn, near, tested = found()
    assert len(drawn) == 2000
    assert (drawn.sum(1) == labels.sum()).all()
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    assert (near == np.sort(np.argsort(-cosines, axis=1)[:, :10], axis=1)).all()
    monkeypatch.setattr(permutations, "BLOCK_ROWS", 37)
    monkeypatch.setattr(permutations, "BLOCK_BYTES", 8 * 301 * 97)
    parts, near_by_part, tested_by_part = found()
    assert (parts == drawn).all()
    assert (near_by_part == near).all()
    for whole, part in zip(tested, tested_by_part, strict=True):
        assert part.value == pytest.approx(whole.value, abs=1e-6)
        assert part.p_value == pytest.approx(whole.p_value, abs=0.002)
        assert part.scores == pytest.approx(whole.scores, abs=1e-4)


@pytest.mark.slow
def test_memory_grows_with_the_sample_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutations, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(permutations, "BLOCK_ROWS", 64)
    monkeypatch.setattr(permutations, "PERMUTATIONS", 999)
    rng = np.random.default_rng(0)
    labels = np.arange(4000) < 2000
    rows = rng.standard_normal((4000, 16)).astype(np.float32)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    tracemalloc.start()
    try:
        mean_difference(rows[:, 0].astype(np.float64), labels, rng)
        classifier_auc(rows, labels, rng)
        neighbour_mixing(units, labels, rng)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20  # cosines of all pairs have 64 MB, labellings as numbers 32 MB
