"""kill -9 in a change of the model, again and again: does each end right?

    python -m tests.benchmarks.model_crashes --rounds 50

A round is a change and the way back, in which one process is killed at a random moment. The exit
status is 1 when one did not end right.
"""

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.bundles import write_bundle
from tests.reliability.model_changes import bundles_in
from tests.reliability.model_crashes import begun, change_round, random_moment
from tests.support.valkey import Server


def main() -> int:
    """Play all rounds, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance, wrong = random.Random(args.seed), 0
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        bundle = folder / "bundle"
        write_bundle(bundle)
        models = bundles_in(folder / "models", bundle, partial(write_bundle, seed=1))
        server = Server(folder / "store")
        server.folder.mkdir()
        server.start()
        running.callback(server.kill)
        installation = begun(bundle, models, server, running)
        expected = change_round(installation, "quiet", None)
        for number in range(args.rounds):
            victim, step, after_s = moment = random_moment(chance)
            began = time.monotonic()
            what = f"{number}: {victim} {after_s:.2f} s into {step!r}"
            try:
                assert change_round(installation, f"round{number}", moment) == expected
            except AssertionError as error:
                wrong += 1
                print(f"{what}: WRONG {str(error)[:2000]}", flush=True)
                break  # what follows begins from somewhere else
            print(f"{what}: right after {time.monotonic() - began:.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
