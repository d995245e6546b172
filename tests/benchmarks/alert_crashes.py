"""kill -9 of service and store under writes with 50 watchlists: is each alert raised, once?

    python -m tests.benchmarks.alert_crashes --rounds 200

After every ten rounds the alerts are compared with those of all pairs. The exit status is 1 when
they differ.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.support.bundles import write_bundle
from tests.reliability.alert_crashes import play


def main() -> int:
    """Play all rounds, and print one line for each comparison."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.alert_crashes")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="rounds between two comparisons")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle")
        played = play(
            Path(folder) / "bundle",
            Path(folder) / "data",
            args.rounds,
            every=args.every,
            seed=args.seed,
        )
        try:
            for rounds, streamers, alerts in played:
                print(
                    f"{rounds} rounds: {streamers} streamers, {alerts} alerts, each once and as "
                    f"by all pairs; {time.monotonic() - begin:.0f} s",
                    flush=True,
                )
        except AssertionError as error:
            print(f"wrong: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
