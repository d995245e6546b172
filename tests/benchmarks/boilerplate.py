"""How well meaningless pieces are found in a simulated world.

    python -m tests.benchmarks.boilerplate --streamers 5000 --seed 7

The vocabulary is counted on train + val, the pieces of the test split are judged.
"""

import argparse
import sys

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.evaluation.gate import Gate, measure_gate
from training.world import World, generate
from training.world.streamers import MODALITIES


def gates_of(world: World) -> dict[str, Gate]:
    """Figures per modality, and of all."""
    pieces = [pieces_of(StreamerProfile.model_validate(profile)) for profile in world.profiles]
    cold = [row for row, split in enumerate(world.splits) if split == "test"]
    return measure_gate(
        [pieces[row] for row, split in enumerate(world.splits) if split != "test"],
        [pieces[row] for row in cold],
        [frozenset(MODALITIES) - world.earnest[row] for row in cold],
    )


def main() -> int:
    """Print a line per modality."""
    parser = argparse.ArgumentParser(description="Find injected boilerplate.")
    parser.add_argument("--streamers", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print(f"{'':<8} {'pieces':>7} {'boilerplate':>12} {'AUC':>7} {'precision':>10} {'recall':>7}")
    for name, gate in gates_of(generate(args.streamers, args.seed)).items():
        print(
            f"{name:<8} {gate.pieces:>7,} {gate.boilerplate:>12,} {gate.auc:>7.4f} "
            f"{gate.precision:>10.4f} {gate.recall:>7.4f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
