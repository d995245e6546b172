"""What `--init-from` saves or gains: today's fit with and without yesterday's encoder.

    python -m tests.benchmarks.daily_retraining --data DATA --recipe transfer-plus

Yesterday is simulated: a random tenth of the training streamers had not come. Today is fitted with
`--steps` and with a third of them, without refit. Printed are the validation metric by step, its
best value, and NDCG@20 on the test split.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from training.api import Checkpoint, Dataset, fit, load_dataset
from training.models.checkpoint import METRICS_LOG
from training.tasks.recipes import find_recipe

_SHARE = 0.1
_SHOWN = (0, 10, 20, 50, 100)
_TESTED = ("test_seen_NDCG@20", "test_unseen_NDCG@20", "test_cold_start_NDCG@20")


def yesterday(dataset: Dataset) -> Dataset:
    """The data set without a tenth of its training streamers."""
    train = dataset.rows("train")
    gone = random.Random(0).sample(train.tolist(), round(len(train) * _SHARE))
    keep = np.setdiff1d(np.arange(len(dataset.ids)), gone)
    interactions, relations = dataset.interactions, dataset.relations
    if interactions is not None:
        matrix = sp.csr_matrix(interactions.matrix)[keep]
        interactions = replace(interactions, matrix=matrix)
    return replace(
        dataset,
        profiles=[dataset.profiles[row] for row in keep],
        ids=[dataset.ids[row] for row in keep],
        split=dataset.split[keep],
        interactions=interactions,
        relations=None if relations is None else sp.csr_matrix(relations[keep][:, keep]),
        id_embeddings=None,
        duplicates=None if dataset.duplicates is None else dataset.duplicates[keep],
        labels=None,
        digest=f"{dataset.digest} yesterday",
    )


def row(name: str, folder: Path, metric: str) -> str:
    """A line of the table."""
    text = (folder / METRICS_LOG).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    values = {line["step"]: line["value"] for line in lines if line["event"] == "validation"}
    metrics = Checkpoint.load(folder).metrics
    by_step = " ".join(f"{values.get(step, float('nan')):7.3f}" for step in _SHOWN)
    tested = " ".join(f"{metrics.get(each, float('nan')):7.3f}" for each in _TESTED)
    best = f"{metrics[metric]:7.3f} at {metrics['validation_step']:4.0f}"
    return f"{name:<22} {by_step} {best} {tested} {metrics['fit_seconds']:6.0f} s"


def measure(dataset: Dataset, recipe: str, steps: int, seed: int, out: Path) -> Iterator[str]:
    """Fit yesterday, then today in four ways; a finished fit is not repeated."""
    settings = {"refit": False}
    fit(yesterday(dataset), out / "yesterday", recipe, settings)
    settings |= {"evaluate_every": 10, "patience": 1_000_000}
    yield f"{'validation at step':<22} " + " ".join(f"{step:7}" for step in _SHOWN)
    for count in (steps, steps // 3):
        for start in (None, out / "yesterday"):
            name = f"{count} steps, {'anew' if start is None else 'init-from'}"
            folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
            fit(dataset, folder, recipe, settings | {"steps": count}, seed=seed, init_from=start)
            yield row(name, folder, find_recipe(recipe).metric_name)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What --init-from saves or gains.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="transfer-plus")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/daily-retraining"))
    args = parser.parse_args()
    dataset = load_dataset(args.data)
    for line in measure(dataset, args.recipe, args.steps, args.seed, args.out / args.recipe):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
