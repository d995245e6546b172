"""kill -9 in jobs of each kind, again and again: does each end right, done once?

    python -m tests.benchmarks.job_crashes --rounds 20

A round is one job that is killed `--kills` times. The exit status is 1 when one did not end right.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.bundles import write_bundle
from tests.reliability.job_crashes import (
    VICTIMS,
    duplicates_round,
    export_round,
    import_round,
    rebuild_round,
    similar_export_round,
)
from tests.reliability.product_job_crashes import (
    backfill_round,
    case_round,
    comparison_round,
    layout_round,
    list_round,
)

_ROUNDS = {
    "import": import_round,
    "export": export_round,
    "similar_export": similar_export_round,
    "rebuild": rebuild_round,
    "duplicates": duplicates_round,
    "cases": case_round,
    "list": list_round,
    "layout": layout_round,
    "model_backfill": backfill_round,
    "model_comparison": comparison_round,
}


def main() -> int:
    """Play all rounds, and print one line for each kind and victim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="jobs of each kind and victim")
    parser.add_argument("--kills", type=int, default=1, help="in each job")
    parser.add_argument("--kind", choices=list(_ROUNDS), action="append")
    parser.add_argument("--victims", choices=VICTIMS, action="append")
    args = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle")
        for kind in args.kind or _ROUNDS:
            for victims in args.victims or VICTIMS:
                wrong += _play(Path(folder), kind, victims, args.rounds, args.kills)
    return 1 if wrong else 0


def _play(folder: Path, kind: str, victims: str, rounds: int, kills: int) -> int:
    """How many rounds did not end right."""
    wrong, attempts, begin = 0, 0, time.monotonic()
    for seed in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as work:
            data_dir = Path(work) / "data"
            try:
                attempts += _ROUNDS[kind](folder / "bundle", data_dir, victims, kills, seed)
            except (AssertionError, subprocess.TimeoutExpired, httpx.HTTPError) as error:
                wrong += 1
                print(f"{kind}, {victims}, round {seed}: {error}", file=sys.stderr, flush=True)
    print(
        f"{kind}: {victims} killed {kills} x in each of {rounds} jobs: {rounds - wrong} ended "
        f"right, begun {attempts} times, {time.monotonic() - begin:.0f} s",
        flush=True,
    )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
