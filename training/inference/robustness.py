"""Robustness: loss of quality when a modality of the queries is missing or misleading.

For each modality a share of the queries is corrupted; the gallery is unchanged:

    drop         the modality is removed
    swap         the modality is replaced by that of another query
    boilerplate  a common text, tag or the mean vector is added to the modality
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
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
from training.evaluation.subject import top
from training.evaluation.tasks import ColdStartTask
from training.inference.representation import embed
from training.towers import TowerReader, cache_folder

SHARES = (0.0, 0.25, 0.5, 1.0)
METRIC = f"NDCG@{DEPTH}"
TEXTS = (
    "follow me for more",
    "welcome to my channel",
    "thanks for watching, like and subscribe",
    "new videos every week",
    "欢迎关注",
    "感谢大家支持，每天更新",
    "フォローよろしくお願いします",
    "sígueme para más",
)
"""Boilerplate bios and titles."""
TAGS = ("new", "follow", "viral", "fyp", "live", "hot", "推荐", "热门")

Pieces = Sequence[Piece]


@dataclass(frozen=True)
class Robustness:
    """Effect of one corruption.

    Attributes:
        modality: corrupted modality.
        corruption: "drop", "swap" or "boilerplate".
        share: share of corrupted queries among those that can be corrupted.
        queries: number of queries that can be corrupted.
        metric: mean NDCG@20 of these queries, corrupted or not.
        retention: metric divided by that without corruption; 1 if that is 0.
        overlap: mean share of a corrupted query's 20 best that are unchanged; 1 without any.
    """

    modality: str
    corruption: str
    share: float
    queries: int
    metric: float
    retention: float
    overlap: float


def robustness(
    dataset: Dataset,
    source: ExportSource,
    split: Split = "test",
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    tower_cache: Path | None = None,
) -> list[Robustness]:
    """Measure every corruption of every modality.

    Queries corrupted at a smaller share are also corrupted at a larger one.

    Args:
        dataset: with behaviour, which defines relevance.
        source: trained encoder.
        split: split of the queries.
        shares: shares of corrupted queries.
        seed: of the corruption.
        tower_cache: folder of cached tower vectors.

    Raises:
        UsageError: the data set has no ground truth for the primary task.
    """
    setting = setting_of(dataset, split)
    task = setting.seen
    if task is None:
        raise UsageError(f"{dataset.folder} has no behaviour to measure robustness by")
    with TowerReader(source.towers, tower_cache or cache_folder()) as reader:
        reader.fill(dataset.profiles)
        return _robustness(dataset, source, task, reader, shares, seed)


def _robustness(
    dataset: Dataset,
    source: ExportSource,
    task: ColdStartTask,
    reader: TowerReader,
    shares: Sequence[float],
    seed: int,
) -> list[Robustness]:
    everyone = mapped(pieces_of, dataset.profiles)
    profiles = list(subset(everyone, task.queries))
    gallery = embed(source, reader.over(subset(everyone, task.gallery)))
    measure = _Measure(task, gallery, embed(source, reader.over(profiles)))
    found = []
    for modality in MODALITIES:
        for name, corrupt in CORRUPTIONS.items():
            rng = np.random.default_rng([seed, MODALITIES.index(modality)])
            changed = corrupt(profiles, modality, rng)
            places = np.array(sorted(changed), np.int64)
            if not len(places):
                continue
            corrupted = [changed[place] for place in places.tolist()]
            after = embed(source, reader.over(corrupted))
            order = rng.permutation(len(places))
            for share in shares:
                some = order[: round(share * len(places))]
                metric, retention, overlap = measure(places, after, some)
                found.append(
                    Robustness(modality, name, share, len(places), metric, retention, overlap)
                )
    return found


class _Measure:
    """Compares rankings of corrupted and clean queries."""

    def __init__(
        self, task: ColdStartTask, gallery: NDArray[np.float32], clean: NDArray[np.float32]
    ) -> None:
        """Rank the gallery for the clean queries (Q, D)."""
        self._task, self._gallery = task, gallery
        self._before = top(clean, gallery, DEPTH)
        self._value = ndcg(self._before, task.relevant)

    def __call__(
        self, places: NDArray[np.int64], after: NDArray[np.float32], corrupted: NDArray[np.int64]
    ) -> tuple[float, float, float]:
        """Metric, retention and overlap when some queries are corrupted.

        Args:
            places: places of the queries that can be corrupted (P,).
            after: their corrupted vectors (P, D).
            corrupted: which are corrupted, as places in `places`.
        """
        ranking = top(after[corrupted], self._gallery, DEPTH)
        relevant = [self._task.relevant[place] for place in places[corrupted].tolist()]
        values = self._value[places].copy()
        values[corrupted] = ndcg(ranking, relevant) if len(corrupted) else 0
        clean = float(self._value[places].mean())
        kept = [
            len(np.intersect1d(now, before)) / len(before)
            for now, before in zip(ranking, self._before[places[corrupted]], strict=True)
        ]
        metric = float(values.mean())
        return (
            metric,
            metric / clean if clean > 0 else 1.0,
            float(np.mean(kept)) if kept else 1.0,
        )


def _without(pieces: Pieces, modality: str) -> list[Piece]:
    return [piece for piece in pieces if piece.modality != modality]


def _drop(
    profiles: Sequence[Pieces], modality: str, rng: np.random.Generator
) -> dict[int, list[Piece]]:
    """Profiles with the modality, without it."""
    return {place: _without(profiles[place], modality) for place in _showing(profiles, modality)}


def _swap(
    profiles: Sequence[Pieces], modality: str, rng: np.random.Generator
) -> dict[int, list[Piece]]:
    """Profiles with the modality, each with that of another profile."""
    places = rng.permutation(_showing(profiles, modality)).tolist()
    if len(places) < 2:
        return {}
    changed = {}
    for place, other in zip(places, [*places[1:], places[0]], strict=True):
        borrowed = [piece for piece in profiles[other] if piece.modality == modality]
        changed[place] = [*_without(profiles[place], modality), *borrowed]
    return changed


def _boilerplate(
    profiles: Sequence[Pieces], modality: str, rng: np.random.Generator
) -> dict[int, list[Piece]]:
    """All profiles with one more boilerplate piece of the modality.

    Modalities that no profile shows are skipped, and so are category, language and media.
    """
    example = next((p for pieces in profiles for p in pieces if p.modality == modality), None)
    if example is None or example.kind in ("category", "language", "media"):
        return {}
    if example.kind == "vector":
        shown = [p.vector for pieces in profiles for p in pieces if _is_like(p, example)]
        vector = tuple(np.mean(shown, axis=0).tolist())
        added = [dataclasses.replace(example, vector=vector)] * len(profiles)
    else:
        choice = TAGS if example.kind == "tag" else TEXTS
        texts = rng.choice(choice, len(profiles)).tolist()
        added = [dataclasses.replace(example, text=text) for text in texts]
    return {place: [*profiles[place], added[place]] for place in range(len(profiles))}


def _is_like(piece: Piece, example: Piece) -> bool:
    return piece.modality == example.modality and piece.space == example.space


def _showing(profiles: Sequence[Pieces], modality: str) -> list[int]:
    return [i for i, pieces in enumerate(profiles) if any(p.modality == modality for p in pieces)]


CORRUPTIONS: dict[
    str, Callable[[Sequence[Pieces], str, np.random.Generator], dict[int, list[Piece]]]
] = {"drop": _drop, "swap": _swap, "boilerplate": _boilerplate}
"""Corruption name -> function (profiles, modality, rng) -> place -> corrupted profile."""


def table(rows: Sequence[Robustness]) -> Iterator[str]:
    """Table as lines of text."""
    yield f"{'modality':<10} {'corruption':<12} {'share':>5} {METRIC:>8} {'kept':>6} {'overlap':>8}"
    for row in rows:
        yield (
            f"{row.modality:<10} {row.corruption:<12} {row.share:>5.2f} {row.metric:>8.4f} "
            f"{row.retention:>6.3f} {row.overlap:>8.3f}"
        )
