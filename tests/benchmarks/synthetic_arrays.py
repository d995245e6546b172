"""The synthetic data set as arrays: neither written, read nor turned into features.

The audiences are those of `synthetic`; a streamer shows about as many tokens as there, drawn by
topic, niche and at large.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.pieces import MODALITIES
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Space, Vocabulary
from tests.benchmarks.synthetic import COVER_WIDTH, interactions, niches_and_topics
from training.data import Dataset
from training.data.passes import Passes
from training.data.tables import Interactions
from training.features.bags import Bags

_TOKENS = 60
"""Per streamer, on average."""
_CHUNK = 50_000


class _Profiles(Passes[StreamerProfile]):
    """Profiles that show next to nothing; they are read for a few streamers only."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def pick(self, places: NDArray[np.int64]) -> Iterator[StreamerProfile]:
        """Implements `Passes`."""
        for place in places.tolist():
            yield StreamerProfile(streamer_id=str(place), name=f"token {place % 1000}")


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set of N streamers, their features, and the vocabulary."""

    dataset: Dataset
    bags: Bags
    vocabulary: Vocabulary


def arrays(streamers: int, known_tokens: int = 65_536) -> Arrays:
    """Make a data set, the same for the same arguments."""
    rng = np.random.default_rng(streamers)
    niche, topic = niches_and_topics(streamers, rng)
    watched, user = interactions(niche, topic, rng)
    split = rng.choice(np.array(["train", "val", "test"]), streamers, p=(0.7, 0.1, 0.2))
    weights = np.ones(len(user), np.float32)
    shape = (streamers, 2 * streamers)
    audience = sp.csr_matrix((weights, (watched, user)), shape)
    dataset = Dataset(
        folder=Path("arrays"),
        profiles=_Profiles(streamers),
        ids=[str(row) for row in range(streamers)],
        split=split,
        split_given=True,
        interactions=Interactions(audience, [f"u{column}" for column in range(shape[1])]),
        relations=None,
        id_embeddings=None,
        duplicates=None,
        labels=None,
        spaces={"cover": COVER_WIDTH},
        digest=f"arrays-{streamers}",
    )
    bags = _bags(niche, topic, known_tokens, rng)
    train = dataset.rows("train")
    shown = np.zeros(1 + known_tokens, np.int64)
    for start in range(0, len(train), _CHUNK):
        part = bags.take(train[start : start + _CHUNK])
        row = np.repeat(np.arange(len(part)), part.lengths)
        keys = np.sort(row * len(shown) + part.ids)
        keys = keys[np.diff(keys, prepend=-1) > 0]  # each token of a streamer once
        shown += np.bincount(keys % len(shown), minlength=len(shown))
    vocabulary = Vocabulary(
        tokens=[f"token{number}" for number in range(known_tokens)],
        document_frequency=shown[1:].tolist(),
        documents=len(train),
        spaces=(Space("cover", COVER_WIDTH),),
    )
    return Arrays(dataset, bags, vocabulary)


def _bags(
    niche: NDArray[np.int64], topic: NDArray[np.int64], known: int, rng: np.random.Generator
) -> Bags:
    lengths = rng.integers(_TOKENS // 2, 3 * _TOKENS // 2, len(niche))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.zeros(indptr[-1], np.int32)
    pooled = np.zeros((len(niche), COVER_WIDTH), np.float32)
    centres = rng.standard_normal((int(topic.max()) + 1, COVER_WIDTH)).astype(np.float32)
    for start in range(0, len(niche), _CHUNK):
        rows = slice(start, start + _CHUNK)
        row = np.repeat(np.arange(len(lengths[rows])) + start, lengths[rows])
        count = len(row)
        share, rank = rng.random(count, np.float32), rng.random(count, np.float32) ** 4
        base = np.where(share < 0.8, topic[row] * 500, niche[row] * 7)
        own = base + (rank * np.where(share < 0.8, 500, 20)).astype(np.int64)
        drawn = np.where(share < 0.5, (rank * known).astype(np.int64), own)
        ids[indptr[start] : indptr[start] + count] = 1 + drawn % known
        noise = rng.standard_normal(pooled[rows].shape, np.float32)
        has_cover = rng.random((len(noise), 1)) < 0.6
        pooled[rows] = (centres[topic[rows]] + noise) / COVER_WIDTH**0.5 * has_cover
    text = np.uint8(1 + MODALITIES.index("bio"))
    modality = np.full(len(ids), text)
    return Bags(indptr, ids, np.ones(len(ids), np.uint16), modality, (pooled,))
