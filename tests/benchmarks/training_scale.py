"""Time and memory of training on very many streamers.

    python -m tests.benchmarks.training_scale --streamers 1000000
    python -m tests.benchmarks.training_scale --streamers 100000 --recipe masked-views

A synthetic data set is written as Parquet, in one row group, by one process; another reads it
as `python -m training fit` does, and fits for a few steps where a recipe is named. Time is of each
part alone, memory is the largest so far: resident memory of the whole process.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_export.contract.pieces import pieces_of
from tests.benchmarks.synthetic import write
from training.config import override
from training.data import load_dataset
from training.data.passes import mapped, subset
from training.features.bags import corpus_bags
from training.features.vocabulary import build_vocabulary
from training.numeric.memory_usage import peak_rss_mib
from training.tasks.recipes import find_recipe
from training.trainer.fit import Request, fit

_SHORT = ("steps=20", "evaluate_every=10", "refit=false")


@contextmanager
def part(name: str) -> Iterator[None]:
    """Print what a part took."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    print(f"{name:<12} {took:>8.1f} s   {peak_rss_mib():>7,.0f} MiB at most", flush=True)


def measure(folder: Path, recipe: str | None, settings: list[str]) -> None:
    """Read, count, make features, and fit if a recipe is named."""
    with part("imports"):
        pass
    with part("read"):
        dataset = load_dataset(folder)
    if recipe is not None:
        config = override(find_recipe(recipe).config(), [*_SHORT, *settings])
        with part("fit"), tempfile.TemporaryDirectory() as out:
            metrics = fit(Request(recipe, config, 0, 1, Path(out)), dataset).metrics
        print(metrics)
        return
    pieces = mapped(pieces_of, dataset.profiles)
    with part("vocabulary"):
        vocabulary = build_vocabulary(subset(pieces, dataset.rows("train")))
    with part("features"):
        bags, _ = corpus_bags(pieces, vocabulary)
    print(f"{len(bags):,} streamers, {len(bags.ids):,} tokens, {len(vocabulary.tokens):,} known")


def main() -> int:
    """Write the data set, then measure in another process."""
    parser = argparse.ArgumentParser(description="Time and memory of training.")
    parser.add_argument("--streamers", type=int, default=1_000_000)
    parser.add_argument("--recipe", help="fit for a few steps")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path, help="keep the data set there, or use it")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.folder, args.recipe, args.set)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "interactions.parquet").exists():
            write(folder, args.streamers)
        again = ["--measure", *sys.argv[1:], "--folder", str(folder)]
        return subprocess.call([sys.executable, "-m", "tests.benchmarks.training_scale", *again])


if __name__ == "__main__":
    sys.exit(main())
