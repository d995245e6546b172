"""Modality ablation: quality of a trained encoder when profiles show one modality only.

Queries and gallery are both restricted. The encoder is not retrained, so it sees profiles that lack
most of their content.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.source import ExportSource
from training.data import Dataset
from training.data.passes import mapped, subset
from training.errors import UsageError
from training.evaluation.metrics import DEPTH, ndcg
from training.evaluation.setting import Split, setting_of
from training.evaluation.subject import shown, top
from training.evaluation.tasks import ColdStartTask
from training.inference.representation import embed
from training.towers import TowerReader, cache_folder

GROUPS: dict[str, frozenset[str]] = {
    "all": frozenset(MODALITIES),
    "texts": frozenset({"name", "bio", "videos", "lives"}),
    "labels": frozenset({"tags", "category", "language"}),
    "pictures": frozenset({"avatar", "covers", "frames"}),
    "sounds": frozenset({"audio"}),
    **{name: frozenset({name}) for name in MODALITIES if name != "audio"},
}
"""Name -> modalities shown: all, kinds of modalities, and each one."""


@dataclass(frozen=True)
class Alone:
    """Result for one group of modalities.

    Attributes:
        name: key of `GROUPS`.
        metric: mean NDCG@20 over all queries; queries without the modalities count as random order.
        queries: number of queries with the modalities.
        metric_shown: mean NDCG@20 of these queries.
        metric_all: mean NDCG@20 of these queries with all modalities.
    """

    name: str
    metric: float
    queries: int
    metric_shown: float
    metric_all: float


def each_alone(
    dataset: Dataset,
    source: ExportSource,
    split: Split = "test",
    *,
    tower_cache: Path | None = None,
) -> tuple[list[Alone], float]:
    """Measure each of `GROUPS` that occurs, and the NDCG@20 of a random order.

    Args:
        dataset: with behaviour, which defines relevance.
        source: trained encoder.
        split: split of the queries.
        tower_cache: folder of cached tower vectors.

    Raises:
        UsageError: the data set has no ground truth for the primary task.
    """
    setting = setting_of(dataset, split)
    task = setting.seen
    if task is None:
        raise UsageError(f"{dataset.folder} has no behaviour to measure modalities by")
    chance = _chance(task)
    with TowerReader(source.towers, tower_cache or cache_folder()) as reader:
        reader.fill(dataset.profiles)
        everyone = mapped(pieces_of, dataset.profiles)
        queries, gallery = (
            list(reader.over(list(subset(everyone, rows)))) for rows in (task.queries, task.gallery)
        )
    values = {
        name: _values(task, source, _only(queries, kept), _only(gallery, kept), chance)
        for name, kept in GROUPS.items()
    }
    everything = values["all"][0]
    found = [
        Alone(
            name,
            float(value.mean()),
            int(shows.sum()),
            float(value[shows].mean()),
            float(everything[shows].mean()),
        )
        for name, (value, shows) in values.items()
        if shows.any()
    ]
    return found, float(chance.mean())


def _only(profiles: Sequence[Sequence[Piece]], kept: frozenset[str]) -> list[list[Piece]]:
    return [[piece for piece in pieces if piece.modality in kept] for pieces in profiles]


def _values(
    task: ColdStartTask,
    source: ExportSource,
    queries: Sequence[Sequence[Piece]],
    gallery: Sequence[Sequence[Piece]],
    chance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """NDCG@20 per query (Q,), and which queries have content (Q,)."""
    asking = embed(source, queries)
    shows = shown(asking)
    value = ndcg(top(asking, embed(source, gallery), DEPTH), task.relevant)
    return np.where(shows, value, chance), shows


def _chance(task: ColdStartTask) -> NDArray[np.float64]:
    """Expected NDCG@20 of a random order, per query (Q,)."""
    discount = 1 / np.log2(np.arange(DEPTH) + 2)
    relevant = np.array([len(each) for each in task.relevant])
    ideal = np.cumsum(discount)[np.minimum(relevant, DEPTH) - 1]
    return relevant / len(task.gallery) * discount[: len(task.gallery)].sum() / ideal


def alone_table(rows: Sequence[Alone], chance: float) -> Iterator[str]:
    """Table as lines of text."""
    yield f"{'shown alone':<12} {'NDCG@20':>8} {'who show it':>12} {'theirs':>8} {'with all':>9}"
    for row in rows:
        yield (
            f"{row.name:<12} {row.metric:>8.4f} {row.queries:>12,} {row.metric_shown:>8.4f} "
            f"{row.metric_all:>9.4f}"
        )
    yield f"{'random':<12} {chance:>8.4f}"
