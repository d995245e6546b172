"""A process that ends, as the service does, while a thread that can't be stopped builds a base."""

import sys
import threading

import numpy as np

from service.commands.serve import leave
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from tests.benchmarks.clustered import clustered
from tests.service.index.asked import put

DIM, ROWS = 32, 4000


def main(seed: int) -> int:
    """End with status 3, at a moment of a build that the seed chooses."""
    index = FaissIndex(DIM, DIM, (), Plan("IVF64,SQfp16", from_rows=100, recall=0.9))
    for i, vector in enumerate(clustered(ROWS, DIM)):
        put(index, f"s{i}", 1, vector.tobytes(), vector.astype("<f2").tobytes(), b"{}")

    def build() -> None:
        while True:
            index.rebuild()

    threading.Thread(target=build, daemon=True).start()
    threading.Event().wait(float(np.random.default_rng(seed).uniform(0.1, 0.5)))
    return leave(3)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
