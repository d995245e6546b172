"""How well a service finds duplicates behind their disguises.

    python -m tests.benchmarks.duplicates --bundle BUNDLE --ask dedup

Three corpora: a world with rings and honest look-alikes; copies in each disguise alone among a
world's streamers; and, with `--data`, real profiles disguised. Thresholds are chosen on another
seed: by the best F1 for the first corpus, and for the others, where no threshold reaches a
precision of 0.98; else the lowest one that does. Each figure is a
mean over seeds with its 95 % interval.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.duplicates.adapters import ADAPTERS, Adapter, write
from tests.benchmarks.duplicates.corpora import (
    Corpus,
    disguise_by_disguise,
    real_profiles,
    world_with_rings,
)
from tests.benchmarks.duplicates.scores import Scores, at_precision, best_f1, interval, score
from tests.support.service import Service
from training.disguises import KINDS

PRECISION = 0.98
CHOSEN_ON = 1000
"""Seed on which thresholds are chosen."""

T = TypeVar("T")
Choice = Callable[[Corpus, Adapter], float]


def asked(bundle: Path, ask: str, corpus: Corpus, seed: int, then: Callable[[Adapter], T]) -> T:
    """Write a corpus into a service of its own, and ask it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(bundle, Path(folder) / "data") as service,
    ):
        began = time.monotonic()
        write(service.wait_until_ready(), corpus.profiles)
        found = then(ADAPTERS[ask](service, corpus, seed))
        took = time.monotonic() - began
        print(f"  {corpus.name}, seed {seed}: {len(corpus.profiles)} profiles, "
              f"{len(corpus.true)} true pairs, {took:.0f} s", flush=True)  # fmt: skip
        return found


def measured(
    bundle: Path, ask: str, make: Callable[[int], Corpus], choice: Choice, seeds: range
) -> None:
    """Choose a threshold on a seed of its own, score the other seeds at it, and print that."""
    other = make(CHOSEN_ON)
    threshold = asked(bundle, ask, other, CHOSEN_ON, lambda adapter: choice(other, adapter))
    found: list[Scores] = []
    for seed in seeds:
        corpus = make(seed)
        found.append(asked(bundle, ask, corpus, seed, lambda a, c=corpus: score(c, a, threshold)))
    report(other.name, f"threshold {threshold:g} of another seed", found)


def report(name: str, threshold: str, found: list[Scores]) -> None:
    """Print a corpus's figures."""
    print(f"\n{name}, {threshold}")
    for what in ("precision", "recall", "f1"):
        print(f"  {what:<24} {interval(getattr(s.whole, what) for s in found)}")
    if not all(math.isnan(s.look_alikes) for s in found):
        print(f"  {'look-alikes joined':<24} {interval(s.look_alikes for s in found)}")
    if any(s.by_disguise for s in found):
        print(f"  {'one disguise alone':<24} {'recall':<16} precision")
    for kind in KINDS:
        of_kind = [s.by_disguise[kind] for s in found if kind in s.by_disguise]
        if of_kind:
            recall, precision = ([getattr(q, x) for q in of_kind] for x in ("recall", "precision"))
            print(f"    {kind:<22} {interval(recall):<16} {interval(precision)}")
    print(flush=True)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.duplicates", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--ask", choices=[*ADAPTERS], default="dedup")
    parser.add_argument("--streamers", type=int, default=2000)
    parser.add_argument("--rings", type=float, default=0.05, help="share of accounts in rings")
    parser.add_argument("--copies", type=int, default=25, help="copies in each disguise alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders of real profiles")
    args = parser.parse_args()

    def at(corpus: Corpus, adapter: Adapter) -> float:
        return at_precision(corpus, adapter, PRECISION)

    corpora: list[tuple[Callable[[int], Corpus], Choice]] = [
        (lambda seed: world_with_rings(args.streamers, seed, args.rings), best_f1),
        (lambda seed: disguise_by_disguise(args.streamers, seed, args.copies), at),
        *(
            (lambda seed, f=folder: real_profiles(f, seed, args.streamers, 8 * args.copies), at)
            for folder in args.data
        ),
    ]
    for make, choice in corpora:
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        measured(args.bundle, args.ask, make, choice, seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
