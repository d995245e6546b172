"""`cold-start-report`: users of newcomers, foretold by several ways."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from model_export.contract.pieces import pieces_of
from training.baselines.corpus import Corpus
from training.commands.cli import main
from training.data import Dataset
from training.evaluation.setting import setting_of
from training.newcomers.measure import METRICS, PARTS, Measured, measure, newcomers_of, ways_of


@pytest.fixture(scope="module")
def found(world: Dataset) -> dict[str, Measured]:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    return {name: measure(given, name, way) for name, way in ways_of(given, 0).items()}


def test_content_foretells_more_than_popularity(found: dict[str, Measured]) -> None:
    for metric in METRICS:
        value = {name: way.values[metric, "all"].mean for name, way in found.items()}
        assert value["ridge"] > value["popularity"] > value["random"]
        assert value["kNN-borrowed"] > value["popularity"]
        assert value["category popularity"] > value["random"]


def test_intervals_hold_their_means(found: dict[str, Measured]) -> None:
    for way in found.values():
        assert set(way.values) == {(m, part) for m in METRICS for part in ("all", *PARTS)}
        for value in way.values.values():
            assert 0 <= value.low <= value.mean <= value.high <= 1


def test_a_way_that_knows_the_users_is_perfect(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    truth = sp.csr_matrix(
        (
            np.ones(sum(map(len, given.relevant)), np.float32),
            np.concatenate(given.relevant),
            np.cumsum([0, *map(len, given.relevant)]),
        ),
        (len(given.queries), given.watched.get_shape()[1]),
    )
    perfect = measure(given, "truth", lambda part: np.asarray(truth[part].todense(), np.float32))
    assert perfect.values["NDCG@50", "all"].mean == pytest.approx(1)


def test_the_page_has_all_ways(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["cold-start-report", "--data", str(world_folder), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 * len(METRICS)
    for name in ("random", "popularity", "category popularity", "kNN-borrowed", "ridge"):
        assert f"<td>{name}" in page


def test_data_without_users_are_refused(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("streamers.jsonl", "splits.csv"):
        (tmp_path / name).write_bytes((world_folder / name).read_bytes())
    assert main(["cold-start-report", "--data", str(tmp_path), "--out", str(tmp_path / "r")]) != 0
    assert "interactions.csv" in capsys.readouterr().err
