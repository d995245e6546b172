"""Hands over what a recommender learned last night: vectors, and neighbours by audiences in common.

python examples/nightly_hand_over.py http://127.0.0.1:8000 nightly < interactions.csv

Each line of interactions begins with a user and a streamer; a header as in a data set folder is
left out. Needs `implicit`, which the extra training has.
"""

import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

from service.client import Client

FACTORS, NEIGHBOURS = 64, 20
HEADER = ("user_id", "streamer_id")


def write(path: Path, watched: Iterable[tuple[str, str]]) -> None:
    """Learn from pairs of a user and a streamer, and write an archive."""
    users, streamers = zip(*watched, strict=True)
    (user_ids, rows), (ids, columns) = (
        np.unique(x, return_inverse=True) for x in (users, streamers)
    )
    seen = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))  # (users, streamers)
    seen.data[:] = 1  # whoever came twice counts once
    learned = AlternatingLeastSquares(min(FACTORS, len(ids) - 1))
    learned.fit(seen, show_progress=False)
    near = CosineRecommender(NEIGHBOURS + 1)
    near.fit(seen, show_progress=False)
    others, cosines = near.similar_items(np.arange(len(ids)), NEIGHBOURS + 1)
    others[(others == np.arange(len(ids))[:, None]) | (cosines <= 0)] = -1  # itself, and nobody
    np.savez(
        path,
        ids=ids,
        vectors=learned.item_factors,
        interactions=np.bincount(columns),
        neighbour_rows=others,
        neighbour_weights=cosines,
        user_ids=user_ids,
        user_vectors=learned.user_factors,
    )


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(sys.argv[1], os.environ.get("STREAMER_API_KEY")) as service,
    ):
        archive = Path(folder) / "hand-over.npz"
        told = ((line[0], line[1]) for line in csv.reader(sys.stdin))
        write(archive, (pair for pair in told if pair != HEADER))
        today = time.strftime("%Y-%m-%d-%H%M")
        print(service.spaces.hand_over(sys.argv[2], today, archive, promote=True).counts)
