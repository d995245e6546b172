"""Retrieval quality on data set folders, beside the baselines, with intervals over queries.

    python -m tests.benchmarks.quality --data DIR [DIR ...] --seeds 3

Each fit runs in a process of its own, as a person would start it, so that its time and memory are
its own. The task is the primary one of `training.evaluation`; intervals are 95 % bootstrap ones
over queries of the mean over seeds, the last column is paired with TF-IDF. `--vectors DIR` keeps
the embeddings (`ids`, `vectors`) for other scorers.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.pieces import pieces_of
from training.bags import corpus_bags
from training.baselines import baselines
from training.checkpoint import Checkpoint
from training.data import Dataset, load_dataset
from training.encoder import StreamerEncoder, load_checkpoint
from training.evaluation.metrics import hubness, ndcg
from training.evaluation.statistics import interval
from training.evaluation.tasks import ColdStartTask, cold_start_task
from training.stage import all_rows
from training.teacher import audience_of

TF_IDF = "TF-IDF"


@dataclass(frozen=True, eq=False)
class Measured:
    """One method with one seed.

    Attributes:
        method: its name.
        ndcg: per query (Q,).
        hubness: of its rankings.
        note: what its fit took.
    """

    method: str
    ndcg: NDArray[np.float64]
    hubness: float
    note: str = ""


def test_task(dataset: Dataset) -> ColdStartTask:
    """The cold test split against everybody else.

    Raises:
        SystemExit: the data set has no audiences.
    """
    gallery = dataset.rows("train", "val")
    audience = audience_of(dataset, gallery)
    if audience is None:
        raise SystemExit(f"{dataset.folder} has neither interactions nor relations")
    return cold_start_task(audience, dataset.rows("test"), gallery)


def measure(
    dataset: Dataset, folder: Path, recipe: str, seed: int, settings: list[str], keep: Path | None
) -> Iterator[Measured]:
    """Fit once; the recipe and the baselines on the same vocabulary."""
    out = folder / f"{dataset.folder.name}-{recipe}-{seed}"
    command = ["fit", "--data", str(dataset.folder), "--recipe", recipe, "--out", str(out)]
    more = [part for each in settings for part in ("--set", each)]
    subprocess.run(
        [sys.executable, "-m", "training", *command, "--seed", str(seed), *more],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    task, metrics = test_task(dataset), Checkpoint.load(out).metrics
    source = load_checkpoint(out)
    bags, usable = corpus_bags(map(pieces_of, dataset.profiles), source.vocabulary)
    known = task.gallery
    audience = audience_of(dataset, known)
    assert audience is not None
    assert isinstance(source.module, StreamerEncoder)
    for name, vectors in baselines(bags, source.vocabulary, audience, known, seed):
        yield _measured(name, task, vectors)
    vectors = all_rows(source.module, source.module.embed, bags, usable)
    if keep is not None:
        ids = np.array(dataset.ids)[usable]
        np.savez(keep / f"{out.name}.npz", ids=ids, vectors=vectors[usable])
    note = f"{metrics['fit_seconds']:.0f} s, {metrics['peak_rss_mb']:.0f} MB"
    yield _measured(recipe, task, vectors, note)


def _measured(name: str, task: ColdStartTask, vectors, note: str = "") -> Measured:
    ranking = task.ranking(vectors)
    return Measured(name, ndcg(ranking, task.relevant), hubness(ranking, len(task.gallery)), note)


def report(dataset: str, results: list[Measured]) -> None:
    """Print one row per method: the mean over its seeds."""
    by_method: dict[str, list[Measured]] = {}
    for each in results:
        by_method.setdefault(each.method, []).append(each)
    mean = {name: np.mean([m.ndcg for m in runs], axis=0) for name, runs in by_method.items()}
    for name, runs in by_method.items():
        low, high = interval(mean[name])
        line = f"{dataset:<12} {name:<14} {mean[name].mean():.4f} [{low:.4f}, {high:.4f}]"
        line += f"  hub {np.mean([m.hubness for m in runs]):5.1f}"
        if name != TF_IDF:
            difference = mean[name] - mean[TF_IDF]
            low, high = interval(difference)
            line += f"  {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        notes = "; ".join(run.note for run in runs if run.note)
        print(f"{line}  {notes}".rstrip(), flush=True)


def main() -> None:
    """Fit, measure and print."""
    parser = argparse.ArgumentParser(description="Retrieval quality beside the baselines.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--recipe", default="transfer-plus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--vectors", type=Path, metavar="DIR")
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.vectors is not None:
        args.vectors.mkdir(parents=True, exist_ok=True)
    print(f"{'data':<12} {'method':<14} NDCG@20 {'':<21}{'':<10}  against {TF_IDF}")
    for folder in args.data:
        dataset = load_dataset(folder)
        with tempfile.TemporaryDirectory() as temporary:
            results = [
                each
                for seed in range(args.seeds)
                for each in measure(
                    dataset, Path(temporary), args.recipe, seed, args.set, args.vectors
                )
            ]
        report(folder.name, results)


if __name__ == "__main__":
    main()
