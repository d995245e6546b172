"""Commands of the machine learning team: encode a corpus, watch for drift, test a release."""

import csv
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_export.contract.bundle import Bundle
from model_export.contract.calibration import RIGHT, Calibration, ScoreCalibration
from model_export.contract.vocabulary import Vocabulary
from tests.conftest import Serve
from tests.support import planted
from tests.support.api import Api
from tests.support.bundles import CALIBRATION, TOPICS, curve
from tests.support.planted import Table
from tests.support.service import run, write_data
from tests.support.valkey import Server

WORDS = {topic: words.split() for topic, words in TOPICS.items()}


def lines_of(profiles: list[Any]) -> str:
    texts = [p if isinstance(p, str) else json.dumps(p, ensure_ascii=False) for p in profiles]
    return "".join(f"{text}\n" for text in texts)


def encode(*options: object, status: int = 0) -> dict[str, Any]:
    """The answer of one run."""
    done = run("encode", *options, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_parts_of_a_corpus_are_the_whole_and_are_kept(
    bundle: Path, api: Api, tmp_path: Path
) -> None:
    profiles = [
        {"streamer_id": f"off-{i:02}", "bio": " ".join(WORDS["music"][: 1 + i % 5])}
        for i in range(20)
    ]
    wrong = ["{", {"streamer_id": "off-00", "bio": "again"}, {"streamer_id": "a b"}]
    source = tmp_path / "in.jsonl"
    source.write_text(lines_of([*profiles, *wrong]), encoding="utf-8")
    given = ("--bundle", bundle, "--in", source)
    whole = tmp_path / "whole.parquet"
    encode(*given, "--out", whole)
    rejects = tmp_path / "whole.parquet.rejects.ndjson"
    told = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert len([each for each in told if "byte" in each]) == len(wrong)
    parts = [tmp_path / f"{number}.parquet" for number in (1, 2)]
    for number, out in enumerate(parts, start=1):
        encode(*given, "--part", f"{number}/2", "--out", out)
    rows = [row for out in parts for row in pq.read_table(out).to_pylist()]
    known = {row["streamer_id"]: row for row in pq.read_table(whole).to_pylist()}
    assert known.keys() == {profile["streamer_id"] for profile in profiles}
    for row in rows:  # of two with one id in two parts both are there
        assert row == known[row["streamer_id"]] or json.loads(row["profile"])["bio"] == "again"
    before = parts[0].stat().st_mtime_ns
    encode(*given, "--part", "1/2", "--out", parts[0])  # complete: it is kept
    assert parts[0].stat().st_mtime_ns == before
    done = run("import", *parts, "--url", api.base_url, STREAMER_API_KEY=str(_key(api)))
    assert done.returncode == 0, done.stderr
    stored = {s["streamer_id"] for s in api.all("/v1/streamers", "streamers")}
    assert stored >= {profile["streamer_id"] for profile in profiles}
    # The vectors are those that the service makes.
    written = api.put_streamer("written", bio=profiles[4]["bio"])
    api.wait_until_indexed(written)
    assert api.embedding("off-04") == pytest.approx(api.embedding("written"), abs=1e-6)


def _key(api: Api) -> str:
    return api.headers["Authorization"].removeprefix("Bearer ")


def test_a_corpus_of_which_all_is_rejected_is_a_failure(bundle: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_text("{\n", encoding="utf-8")
    assert run("encode", "--bundle", bundle, "--in", source, "--out", out).returncode == 1


def shown(i: int, draw: random.Random, **drift: Any) -> dict[str, Any]:
    words = draw.choices(WORDS[drift.get("topic") or draw.choice([*WORDS])], k=5)
    if draw.random() < drift.get("unknown", 0.1):
        words += [f"new{draw.randrange(10**6)}" for _ in range(5)]
    profile = {"streamer_id": f"s{i:04}", "bio": " ".join(words), "tags": words[:2]}
    if draw.random() < drift.get("without_tags", 0.1):
        del profile["tags"]
    return profile


DRIFTS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    ({"without_tags": 0.5}, [("tags", "absent")]),
    ({"unknown": 0.7}, [("bio", "unknown_tokens")]),
    ({"topic": "gaming"}, [("bio", "classifier"), ("embedding", "neighbours")]),
]


def test_drift_is_told_with_its_modality_and_examples(
    serve: Serve, bundle: Path, tmp_path: Path
) -> None:
    """The late ones are written again each time, as others."""
    (tmp_path / "valkey").mkdir()
    server = Server(tmp_path / "valkey", appendonly="no")
    server.start()
    try:
        draw = random.Random(4)
        variables = {"REDIS_URL": server.url, "STREAMER_DUPLICATES__EVALUATE": "false"}
        api = serve(**variables).api
        api.write(shown(i, draw) for i in range(200))
        date_back(server)
        for drift, named in DRIFTS:
            api.write(shown(i, draw, **drift) for i in range(200, 400))
            metrics = tmp_path / "drift.prom"
            options = ("--bundle", bundle, "--json", "--metrics", metrics)
            done = run("drift", *options, REDIS_URL=server.url)
            found = json.loads(done.stdout)
            assert (found["before"], found["late"]) == (200, 200)
            assert done.returncode == int(bool(named)), (done.stderr, found)
            alarms = {(f["modality"], f["measure"]): f for f in found["findings"] if f["is_alarm"]}
            assert len(alarms) == found["alarms"]
            assert alarms.keys() >= set(named)
            for one in named:
                assert alarms[one]["adjusted"] <= 0.05
                assert alarms[one]["examples"]
                assert all(example >= "s0200" for example in alarms[one]["examples"])
                assert f"{one[0]}: {one[1]}" in done.stderr
            families = text_string_to_metric_families(metrics.read_text(encoding="utf-8"))
            samples = [sample for family in families for sample in family.samples]
            measured = [s for s in samples if s.name == "streamer_drift_alarm"]
            told = {(s.labels["modality"], s.labels["measure"]) for s in measured if s.value}
            assert told == alarms.keys()
    finally:
        server.kill()


def date_back(server: Server) -> None:
    """As if all that is stored had been written a month ago."""
    for key in server.command("KEYS", "*"):
        is_hash = server.command("TYPE", key) == b"hash"
        if is_hash and server.command("HEXISTS", key, "updated_at"):
            server.command("HSET", key, "updated_at", repr(time.time() - 30 * 86_400))


def table(folder: Path, name: str, columns: list[str], rows: list[list[str]]) -> None:
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Streamers of four topics who show one of its words, and copies of some."""
    draw, profiles = random.Random(3), list[dict[str, Any]]()
    labels, duplicates, splits = [], [], []
    for i in range(300):
        topic, name = draw.choice([*WORDS]), f"s{i:03}"
        word = draw.choice(WORDS[topic])
        noise = [f"{draw.getrandbits(60):x}" for _ in range(3)]
        profile = {
            "streamer_id": name,
            "bio": f"{word} {word} {word} {noise[0]} {noise[1]}",
            "tags": sorted({word, f"tag{noise[2][:8]}"}),
        }
        profiles.append(profile)
        labels.append([name, topic])
        splits.append([name, "test" if i % 3 == 0 else "train"])
        if i % 3 == 0:
            copy = f"c{i:03}"
            profiles.append({**profile, "streamer_id": copy, "name": f"copy {i}"})
            duplicates += [[name, f"g{i}", ""], [copy, f"g{i}", ""]]
            labels.append([copy, topic])
            splits.append([copy, "test"])
    folder = write_data(tmp_path_factory.mktemp("released"), profiles)
    table(folder, "labels", ["streamer_id", "label"], labels)
    table(folder, "splits", ["streamer_id", "split"], splits)
    table(folder, "duplicates", ["streamer_id", "group", "disguise"], duplicates)
    return folder


def promising(*knots: tuple[float, float, float]) -> Calibration:
    embedding = ScoreCalibration(
        source=f"right = {RIGHT['labels']}; 100 streamers",
        base_rate=0.25,
        curves=[curve(1, None, *knots)],
    )
    return Calibration(embedding=embedding, content=CALIBRATION.content)


MODEST = promising((0.9, 0.95, 0.9), (0.7, 0.95, 0.9), (0.0, 0.5, 0.5))
BOASTING = promising((0.2, 0.999, 0.99), (0.1, 0.999, 0.99), (0.0, 0.99, 0.99))


def without_numbers(found: Table, words: Vocabulary) -> Table:
    found[1 : 1 + len(words.tokens)] = np.nan
    return found


def checked(bundle: Path, data: Path, *options: object) -> tuple[int, dict[str, Any], str]:
    done = run("release-check", bundle, "--data", data, "--json", *options)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_model_that_has_learned_is_released(data: Path, tmp_path: Path) -> None:
    bundle = planted.model(tmp_path / "b", planted.learned, MODEST)
    status, found, _ = checked(bundle, data)
    by_name = {gate["name"]: gate for gate in found["gates"]}
    failed = {name for name, gate in by_name.items() if gate["status"] == "failed"}
    assert (status, found["released"], failed) == (0, True, set())
    passed = {name for name, gate in by_name.items() if gate["status"] == "passed"}
    assert passed >= {"golden", "duplicates", "relevance", "false_joins:strangers"}
    assert by_name["duplicates"]["measured"] >= by_name["duplicates"]["limit"]
    assert by_name["absent:audio"]["status"] == "not_run"
    status, found, errors = checked(bundle, data, "--require-all")
    assert (status, found["released"], "absent:audio" in errors) == (1, False, True)


@pytest.mark.parametrize(
    ("change", "calibration", "failing"),
    [
        (planted.shuffled, MODEST, {"relevance"}),
        (planted.constant, MODEST, {"golden"}),
        (without_numbers, MODEST, {"golden"}),
        (planted.learned, BOASTING, {"calibration"}),
    ],
    ids=["shuffled", "constant", "no numbers", "boasting"],
)
def test_a_broken_model_is_stopped_by_name(
    data: Path,
    tmp_path: Path,
    change: Callable[[Table, Vocabulary], Table],
    calibration: Calibration,
    failing: set[str],
) -> None:
    bundle = planted.model(tmp_path / "b", change, calibration)
    assert Bundle(bundle).manifest.model_version == "test-0"
    status, found, errors = checked(bundle, data, "--streamers", 240)
    failed = {gate["name"] for gate in found["gates"] if gate["status"] == "failed"}
    assert (status, found["released"]) == (1, False)
    assert failed >= failing
    assert all(name in errors.splitlines()[-1] for name in failed)


@pytest.mark.parametrize(
    ("table_name", "text", "named"),
    [
        ("splits", "streamer_id,split\ns0,Test\n", "splits.csv:2"),
        ("splits", "streamer_id,split\nx,test\n", "'x'"),
        ("duplicates", "streamer_id\ns0\n", "duplicates.csv"),
    ],
)
def test_tables_that_training_would_refuse(
    bundle: Path, tmp_path: Path, table_name: str, text: str, named: str
) -> None:
    folder = write_data(tmp_path / "set", [{"streamer_id": "s0", "bio": "music"}])
    (folder / f"{table_name}.csv").write_text(text, encoding="utf-8")
    done = run("release-check", bundle, "--data", folder)
    assert done.returncode == 1
    assert named in done.stderr
