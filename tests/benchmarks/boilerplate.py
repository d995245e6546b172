"""How well meaningless pieces are found in a simulated world.

    python -m tests.benchmarks.boilerplate --streamers 5000 --seed 7

The vocabulary is counted on train + val, the pieces of the test split are judged. The AUC is the
probability that a boilerplate piece is shown by more streamers of train + val than another piece.
"""

import argparse
import sys
from collections import Counter

import numpy as np
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.uninformative import may_say_nothing, says_nothing
from training.features.vocabulary import build_vocabulary
from training.world import World, generate

Figures = tuple[int, int, float, float, float]
"""Pieces, boilerplate pieces, AUC, precision, recall."""


def figures_of(world: World) -> dict[str, Figures]:
    """Figures per modality, and of all."""
    pieces = [pieces_of(StreamerProfile.model_validate(profile)) for profile in world.profiles]
    learned = [each for each, split in zip(pieces, world.splits, strict=True) if split != "test"]
    shown_by = Counter(
        cluster
        for each in learned
        for cluster in {piece.cluster_hash for piece in each if may_say_nothing(piece)}
    )
    uninformative = build_vocabulary(learned).uninformative
    judged = [
        (
            piece.modality,
            piece.modality not in earnest,
            shown_by[piece.cluster_hash],
            says_nothing(piece, uninformative),
        )
        for each, split, earnest in zip(pieces, world.splits, world.earnest, strict=True)
        if split == "test"
        for piece in each
        if may_say_nothing(piece)
    ]
    modality, true, count, marked = (np.array(column) for column in zip(*judged, strict=True))
    parts = {name: modality == name for name in dict.fromkeys(modality.tolist())}
    return {
        name: (
            int(part.sum()),
            int(true[part].sum()),
            float(roc_auc_score(true[part], count[part])),
            float(precision_score(true[part], marked[part])),
            float(recall_score(true[part], marked[part])),
        )
        for name, part in {**parts, "all": np.ones(len(judged), bool)}.items()
    }


def main() -> int:
    """Print a line per modality."""
    parser = argparse.ArgumentParser(description="Find injected boilerplate.")
    parser.add_argument("--streamers", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print(f"{'':<8} {'pieces':>7} {'boilerplate':>12} {'AUC':>7} {'precision':>10} {'recall':>7}")
    for name, figures in figures_of(generate(args.streamers, args.seed)).items():
        print("{:<8} {:>7,} {:>12,} {:>7.4f} {:>10.4f} {:>7.4f}".format(name, *figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
