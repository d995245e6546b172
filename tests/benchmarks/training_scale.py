"""Time and memory of training on very many streamers.

    python -m tests.benchmarks.training_scale --streamers 1000000 --set steps=2000
    python -m tests.benchmarks.training_scale --streamers 100000 --recipe masked-views
    python -m tests.benchmarks.training_scale --arrays

A synthetic data set is written as Parquet, in one row group, by one process; another reads it and
fits as `python -m training fit` does, by default without the refit on train + val, which does all
of it again. With `--arrays` reading and features are left out: both come as arrays. Indented parts
belong to the part below them. Memory is the peak resident memory of the whole process during a
part; time is that of the processor, and elapsed.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.synthetic import write
from tests.benchmarks.synthetic_arrays import arrays
from training.config import override
from training.data import Dataset, load_dataset
from training.mining import positives
from training.numeric.memory_usage import peak_rss_mib
from training.preparation import stage
from training.tasks import transfer_plus
from training.tasks.recipes import find_recipe
from training.trainer import fit

_SHORT = ("steps=20", "evaluate_every=10", "refit=false")
_PARTS: list[tuple[str, Any, str]] = [
    ("teacher", fit, "find_teacher"),
    ("vocabulary", stage, "build_vocabulary"),
    ("features", stage, "corpus_bags"),
    ("start of the table", stage, "start_of_table"),
    ("label noise", stage, "judged"),
    ("kernel layer", stage, "_with_kernel"),
    ("preparation", fit, "prepare"),
    ("leak check", fit, "check_stage"),
    ("neighbours", positives.SharedAudience, "completed"),
    ("neighbours", positives.IdSpace, "candidates"),
    ("label trust", transfer_plus, "trusted_only"),
    ("weights", transfer_plus, "weigh"),
    ("hard negatives", transfer_plus, "find_hard_negatives"),
    ("task", fit, "held_out_task"),
    ("steps", fit, "train"),
    ("calibration", fit, "calibrate_embeddings"),
    ("vote", fit, "choose_vote"),
    ("audience vote", fit, "audience_vote"),
    ("checkpoint", fit, "_checkpoint"),
]
"""Name, module or class, and function."""


class Parts:
    """Prints what each part of a program took, nested."""

    def __init__(self) -> None:
        self.peaks: list[float] = [0]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Print time and peak memory of a part at its end."""
        self._note()
        self.peaks.append(0)
        begin, worked = time.monotonic(), time.process_time()
        yield
        took, worked = time.monotonic() - begin, time.process_time() - worked
        self._note()
        peak = self.peaks.pop()
        self.peaks[-1] = max(self.peaks[-1], peak)
        label = "  " * (len(self.peaks) - 1) + name
        times = f"{worked:>8.1f} s of a core {took:>8.1f} s"
        print(f"{label:<24} {times}   {peak:>7,.0f} MiB", flush=True)

    def measured(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a part."""

        def call(*args: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*args, **named)

        return call

    def _note(self) -> None:
        """Add the peak since the last call to the innermost part, and start anew."""
        self.peaks[-1] = max(self.peaks[-1], peak_rss_mib())
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak


def measure(
    folder: Path | None, streamers: int, recipe: str, settings: list[str], threads: int
) -> None:
    """Read a folder, or make arrays of so many streamers, and fit."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
    parts = Parts()
    config = override(find_recipe(recipe).config(), [*_SHORT, *settings])
    for name, owner, function in _PARTS:
        setattr(owner, function, parts.measured(name, getattr(owner, function)))
    with parts.part("all"):
        with parts.part("read" if folder else "make"):
            dataset = _made(streamers) if folder is None else load_dataset(folder)
        with tempfile.TemporaryDirectory() as out:
            request = fit.Request(recipe, config, 0, threads, Path(out))
            metrics = fit.fit(request, dataset).metrics
    print(metrics)


def _made(streamers: int) -> Dataset:
    """Data set whose features are ready."""
    made = arrays(streamers)
    usable = made.bags.lengths > 0
    ready = {"build_vocabulary": made.vocabulary, "corpus_bags": (made.bags, usable)}
    for function, outcome in ready.items():
        setattr(stage, function, lambda *_, outcome=outcome: outcome)
    return made.dataset


def main() -> int:
    """Write the data set, then measure in another process."""
    parser = argparse.ArgumentParser(description="Time and memory of training.")
    parser.add_argument("--streamers", type=int, default=1_000_000)
    parser.add_argument("--recipe", default="transfer-plus")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep the data set there, or use it")
    parser.add_argument("--arrays", action="store_true", help="neither write nor read a folder")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder = None if args.arrays else args.folder
        measure(folder, args.streamers, args.recipe, args.set, args.threads)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not args.arrays and not (folder / "interactions.parquet").exists():
            write(folder, args.streamers)
        again = ["--measure", *sys.argv[1:], "--folder", str(folder)]
        threads = {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "passive"}
        command = [sys.executable, "-m", "tests.benchmarks.training_scale", *again]
        return subprocess.call(command, env=os.environ | threads)


if __name__ == "__main__":
    sys.exit(main())
