"""Writes of the client through a proxy that delays, cuts and resets: what is lost, what is doubled.

python -m tests.benchmarks.client_faults --writes 10000
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.support.bundles import write_bundle
from tests.service.client.faults import check, is_keyed, write_through_faults
from tests.support.service import Service


def main() -> int:
    """Write and print the counts; 1 when anything is lost, or doubled although it has a key."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--share", type=float, default=0.2, help="of the writes that meet a fault")
    parser.add_argument("--late", type=int, default=20, help="answers after the client gave up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(bundle)
        with Service(bundle, Path(folder) / "data") as service:
            service.wait_until_ready()
            keyed, begun = is_keyed(service), time.perf_counter()
            told, proxy = write_through_faults(
                service, args.writes, args.share, args.late, args.seed
            )
            seconds = time.perf_counter() - begun
            lost, doubled = check(service, told)
    figures = {
        "writes": told.writes,
        "faults": told.faults,
        "answers_cut_after_the_write": proxy.commits_cut,
        "idempotency_keys": keyed,
        "lost": lost,
        "doubled": doubled,
        "seconds": round(seconds, 1),
    }
    print(json.dumps(figures, indent=2))
    return 1 if lost or (keyed and doubled) else 0


if __name__ == "__main__":
    sys.exit(main())
