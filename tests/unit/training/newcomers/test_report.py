"""`cold-start-report`: users of newcomers, foretold by several ways."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.features import Featurizer
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.baselines.corpus import Corpus
from training.commands.cli import main
from training.data import Dataset, load_dataset
from training.data.passes import mapped
from training.data.streamers import StreamerFile
from training.evaluation.setting import setting_of
from training.features.vocabulary import build_vocabulary
from training.models.checkpoint import Checkpoint
from training.newcomers.measure import METRICS, PARTS, Measured, measure, newcomers_of, ways_of


@pytest.fixture(scope="module")
def found(world: Dataset) -> dict[str, Measured]:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    return {name: measure(given, name, way) for name, way in ways_of(given, 0).items()}


@pytest.mark.slow
def test_content_foretells_more_than_popularity(found: dict[str, Measured]) -> None:
    for metric in METRICS:
        value = {name: way.values[metric, "all"].mean for name, way in found.items()}
        assert value["ridge"] > value["popularity"] > value["random"]
        assert value["kNN-borrowed"] > value["popularity"]
        assert value["category popularity"] > value["random"]


@pytest.mark.slow
def test_intervals_hold_their_means(found: dict[str, Measured]) -> None:
    for way in found.values():
        assert set(way.values) == {(m, part) for m in METRICS for part in ("all", *PARTS)}
        for value in way.values.values():
            assert 0 <= value.low <= value.mean <= value.high <= 1


def related(world: Dataset) -> sp.csr_matrix:
    """Everybody is related to the next one."""
    count = len(world.ids)
    following = np.roll(np.arange(count), -1)
    pairs = sp.csr_matrix((np.ones(count, np.float32), (np.arange(count), following)))
    return sp.csr_matrix(pairs + pairs.T)


def test_users_are_foretold_where_streamers_are_related_as_well(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    corpus = Corpus(world, [pieces_of(p) for p in world.profiles], known, 0)
    alone = newcomers_of(world, corpus)
    both = newcomers_of(replace(world, relations=related(world)), corpus)
    assert both.watched.get_shape() == alone.watched.get_shape()
    assert [found.tolist() for found in both.relevant] == [w.tolist() for w in alone.relevant]


def test_profiles_of_a_large_set_are_read_in_passes(
    small_world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    class Counted(StreamerFile):
        def pick(self, places: NDArray[np.int64]) -> Iterator[StreamerProfile]:
            asked.append(len(places))
            return super().pick(places)

    def popularity(data: Dataset) -> tuple[list[int], list[list[float]]]:
        known = np.sort(setting_of(data, "test").gallery)
        given = newcomers_of(data, Corpus(data, mapped(pieces_of, data.profiles), known, 0))
        found = ways_of(given, 0)["category popularity"](slice(None))
        return given.richness.tolist(), found.tolist()

    kept = load_dataset(small_world_folder)
    monkeypatch.setattr("training.data.streamers.StreamerFile", Counted)
    read = load_dataset(small_world_folder, in_memory=1)
    assert popularity(read) == popularity(kept)
    assert asked
    assert 1 not in asked


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


def test_richness_counts_tokens_and_vectors(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    corpus = Corpus(world, [pieces_of(p) for p in world.profiles], known, 0)
    given = newcomers_of(world, corpus)
    featurizer = Featurizer(corpus.vocabulary)
    for row, richness in zip(given.queries.tolist(), given.richness.tolist(), strict=True):
        shown = featurizer(world.profiles[row])
        assert richness == len(shown.token_ids) + sum(map(len, shown.vectors))


def test_those_who_show_equally_much_are_in_one_part(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    count, users = len(given.queries), given.watched.get_shape()[1]

    def means(richness: NDArray[np.int64]) -> dict[str, float]:
        """Share of the first half, for which all is foretold, in each part."""
        truth = np.zeros((count, users), np.float32)
        for row in range(count // 2):
            truth[row, given.relevant[row]] = 1
        flat = -np.arange(users, dtype=np.float32) / users
        asked = replace(given, richness=richness)
        found = measure(asked, "half", lambda part: truth[part] + flat)
        return {part: value.mean for (m, part), value in found.values.items() if m == METRICS[0]}

    assert set(means(np.full(count, 7))) == {"all"}
    halves = np.repeat([1, 2], [count // 2, count - count // 2])
    assert set(means(halves)) == {"all", "thin", "rich"}
    assert means(halves)["thin"] == pytest.approx(1)
    assert means(np.arange(count))["thin"] == pytest.approx(1)
    assert means(np.arange(count))["rich"] < 0.9


@pytest.mark.slow
def test_users_whom_a_category_watches_alike_are_ranked_by_popularity(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    players = known[:200]
    profiles = [
        p.model_copy(update={"category": "chess" if row in players or row not in known else "art"})
        for row, p in enumerate(world.profiles)
    ]
    played = replace(world, profiles=profiles)
    given = newcomers_of(played, Corpus(played, [pieces_of(p) for p in profiles], known, 0))
    alike = np.isin(known, players)[:, None].repeat(2, 1).astype(np.float32)
    alike[-2:, 1] = 1  # two others watch the second one as well
    both = replace(given, watched=sp.csr_matrix(sp.hstack([given.watched, alike])))
    found = ways_of(both, 0)["category popularity"](slice(None))
    assert (found[:, -1] > found[:, -2]).all()
    assert (found[:, -1] < 201).all()  # one more in the category would count more


@pytest.mark.slow
def test_a_random_order_is_not_kept_for_all_queries(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    first = ways_of(given, 0)["random"]
    whole = first(slice(None))
    np.testing.assert_array_equal(first(slice(3, 9)), whole[3:9])
    assert not np.array_equal(ways_of(given, 1)["random"](slice(0, 4)), whole[:4])
    tracemalloc.start()
    try:
        kept = ways_of(given, 0)["random"]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < whole.nbytes
    np.testing.assert_array_equal(kept(slice(0, 4)), whole[:4])


@pytest.mark.slow
def test_the_page_has_all_ways(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["cold-start-report", "--data", str(world_folder), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 * len(METRICS)
    for name in ("random", "popularity", "category popularity", "kNN-borrowed", "ridge"):
        assert f"<td>{name}" in page


@pytest.mark.slow
def test_profiles_of_vectors_alone_are_foretold(world_folder: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0).standard_normal
    for name in ("splits.csv", "interactions.csv"):
        (tmp_path / name).write_bytes((world_folder / name).read_bytes())
    lines = [
        StreamerProfile.model_validate(
            {"streamer_id": i, "avatar": {"vector": draw(8).tolist(), "space": "looks"}}
        ).model_dump_json()
        for i in load_dataset(world_folder).ids
    ]
    (tmp_path / "streamers.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "report.html"
    assert main(["cold-start-report", "--data", str(tmp_path), "--out", str(out)]) == 0
    assert "<td>ridge" in out.read_text(encoding="utf-8")


def test_an_encoder_that_learned_from_newcomers_is_refused(
    world: Dataset, world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newcomer = world.ids[world.rows("test")[0]]
    words = build_vocabulary([pieces_of(profile) for profile in world.profiles])
    learned, out = tmp_path / "checkpoint", tmp_path / "report.html"
    Checkpoint({}, words, {}, {}, learned_from=[newcomer]).save(learned)
    given = ["--data", str(world_folder), "--checkpoint", str(learned), "--out", str(out)]
    assert main(["cold-start-report", *given]) == 1
    assert f"{newcomer!r} (test) was learned from" in capsys.readouterr().err
    assert not out.exists()


def test_data_without_users_are_refused(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("streamers.jsonl", "splits.csv"):
        (tmp_path / name).write_bytes((world_folder / name).read_bytes())
    assert main(["cold-start-report", "--data", str(tmp_path), "--out", str(tmp_path / "r")]) != 0
    assert "interactions.csv" in capsys.readouterr().err
