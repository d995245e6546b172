"""Retrieval quality on data set folders, beside the baselines, with intervals over queries.

    python -m tests.benchmarks.quality --data DIR [DIR ...] --seeds 3

Each fit runs in a process of its own, as a person would start it, so that its time and memory are
its own. Intervals are 95 % bootstrap ones over queries of the mean over seeds, the last column is
paired with tf-idf. `--vectors DIR` keeps the embeddings (`ids`, `vectors`) for other scorers.
`python -m training compare` does more and takes longer.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.baselines import BASELINES, corpus_of
from training.data import Dataset, load_dataset
from training.encoder import load_checkpoint
from training.errors import UsageError
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.statistics import interval
from training.evaluation.subject import shown
from training.evaluation.trained import represent

REFERENCE = "tf-idf"


def fitted(dataset: Dataset, args: argparse.Namespace, seed: int, folder: Path) -> Evaluation:
    """Fit the recipe once and measure it."""
    out = folder / f"{dataset.folder.name}-{args.recipe}-{seed}"
    command = ["fit", "--data", str(dataset.folder), "--recipe", args.recipe, "--out", str(out)]
    settings = [part for each in args.set for part in ("--set", each)]
    subprocess.run(
        [sys.executable, "-m", "training", *command, "--seed", str(seed), *settings],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    source = load_checkpoint(out)
    representation = represent(source, dataset)
    if args.vectors is not None:
        vectors = representation.query
        usable = shown(vectors)
        ids = np.array(dataset.ids)[usable]
        np.savez(args.vectors / f"{out.name}.npz", ids=ids, vectors=np.asarray(vectors)[usable])
    took, memory = source.metrics["fit_seconds"], source.metrics["peak_rss_mb"]
    subject = f"{args.recipe} ({took:.0f} s, {memory:.0f} MB)" if seed == 0 else args.recipe
    return evaluate(dataset, representation, subject=subject, seed=seed)


def measured(dataset: Dataset, args: argparse.Namespace) -> Iterator[tuple[str, list[Evaluation]]]:
    """The baselines once each, the recipe with every seed."""
    corpus = corpus_of(dataset, "test", 0)
    for name, baseline in BASELINES.items():
        try:
            yield name, [evaluate(dataset, baseline.fit(corpus), subject=name)]
        except UsageError as error:
            print(f"{dataset.folder.name:<12} {name:<14} {error}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        runs = [fitted(dataset, args, seed, Path(temporary)) for seed in range(args.seeds)]
    yield runs[0].subject, runs


def main() -> None:
    """Fit, measure and print."""
    parser = argparse.ArgumentParser(description="Retrieval quality beside the baselines.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--recipe", default="transfer-plus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--vectors", type=Path, metavar="DIR")
    args = parser.parse_args()
    if args.vectors is not None:
        args.vectors.mkdir(parents=True, exist_ok=True)
    print(f"{'data':<12} {'method':<14} NDCG@20 {'':<31} against {REFERENCE}")
    for folder in args.data:
        dataset = load_dataset(folder)
        reference = None
        for name, runs in measured(dataset, args):
            if "neighbours" not in runs[0].summary:
                raise SystemExit(f"{folder} has neither interactions nor relations")
            values = np.mean([run.per_query["neighbours"]["NDCG@20"] for run in runs], axis=0)
            reference = values if name == REFERENCE else reference
            hubness = np.mean([run.summary["neighbours"]["hubness"] for run in runs])
            low, high = interval(values)
            line = f"{folder.name:<12} {name:<14} {values.mean():.4f} [{low:.4f}, {high:.4f}]"
            line += f"  hub {hubness:5.1f}"
            if reference is not None and name != REFERENCE:
                low, high = interval(values - reference)
                line += f"  {(values - reference).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            print(line, flush=True)


if __name__ == "__main__":
    main()
