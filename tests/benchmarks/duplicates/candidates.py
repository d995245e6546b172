"""Which of the pairs that evidence joins are candidates, when all pairs of a world are compared.

python -m tests.benchmarks.duplicates.candidates --bundle BUNDLE --streamers 5000
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import NAMES_OF_CHANNELS
from model_export.contract.streamer import StreamerProfile
from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.keys import asked_keys, kept_keys
from service.engine.evidence.engine import Evidence
from service.engine.work.lanes import run_to_end
from tests.benchmarks.duplicates.corpora import world_with_rings
from tests.benchmarks.duplicates.grouping import records

_PAIRS = 20_000
_ASKED = 16
_SHOWN = 20


def main() -> int:
    """Print the recall, and what pairs that are missed have in common."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.duplicates.candidates",
        description=str(__doc__).splitlines()[0],
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--streamers", type=int, default=5000)
    parser.add_argument("--rings", type=float, default=0.05, help="share of accounts in rings")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    bundle = Bundle(args.bundle)
    evidence, manifest = Evidence(bundle), bundle.manifest
    world = world_with_rings(args.streamers, args.seed, args.rings)
    corpus = Corpus(manifest.content_dim, manifest.dim)
    ids, sides, entries = [], [], []
    for record in (record for part in records(bundle, world.profiles) for record in part):
        content = np.frombuffer(record.content, "<f2").astype(np.float32)
        embedding = np.frombuffer(record.embedding, "<f4") if record.embedding else None
        side = evidence.side(StreamerProfile.model_validate_json(record.profile), embedding)
        entry = Entry(
            content if len(content) else None, embedding, kept_keys(side), asked_keys(side)
        )
        corpus.load(record.streamer_id, entry)
        ids.append(record.streamer_id)
        sides.append(side)
        entries.append(entry)
    corpus.settle()
    place = {name: i for i, name in enumerate(ids)}
    began = time.process_time()
    found: set[tuple[int, int]] = set()
    for start in range(0, len(ids), _ASKED):
        asked = [entry.asked for entry in entries[start : start + _ASKED]]
        near = run_to_end(corpus.candidates(ids[start : start + _ASKED], asked))
        for i, others in enumerate(near, start):
            found |= {(min(i, place[o]), max(i, place[o])) for o in others}
    took_ms = (time.process_time() - began) / len(ids) * 1000
    one, other = np.triu_indices(len(ids), 1)
    missed, joined = [], 0
    for start in range(0, len(one), _PAIRS):
        a, b = one[start : start + _PAIRS], other[start : start + _PAIRS]
        compared = run_to_end(evidence.compare(sides, a, b))
        for row in np.flatnonzero(compared.matches.joined).tolist():
            joined += 1
            if (int(a[row]), int(b[row])) not in found:
                missed.append((ids[a[row]], ids[b[row]], compared.levels[row].tolist()))
    print(
        f"{len(ids)} streamers, seed {args.seed}: {joined} pairs are joined, {len(missed)} of them"
    )
    print(f"are no candidates: recall {1 - len(missed) / max(joined, 1):.4f}")
    print(f"{len(found) / len(ids):.1f} candidates a streamer, {took_ms:.2f} ms of CPU")
    for a_id, b_id, levels in missed[:_SHOWN]:
        shown = {name: n for name, n in zip(NAMES_OF_CHANNELS, levels, strict=True) if n >= 0}
        print(f"  {a_id} {b_id} levels {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
