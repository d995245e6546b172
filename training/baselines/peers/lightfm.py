"""LightFM: factorisation with streamers as sums of their features' embeddings."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from training.baselines.corpus import Corpus
from training.baselines.peers.learning import Pairs, centred, embedding, fit, represented, seeded
from training.evaluation.subject import Representation
from training.numeric.sparse import present

_DRAWS = 10
"""Most streamers that are drawn for a pair until one violates the margin; watched ones count."""


def lightfm(corpus: Corpus, rank: int, rate: float, epochs: int) -> Representation:
    """LightFM (Kula 2015) with the WARP loss (Weston, Bengio & Usunier 2011).

    Features are tokens, weighted by TF-IDF; users have an embedding each. A pair is compared with
    the first of the drawn streamers that the user does not watch and that violates the margin.
    Vectors of a tower are features too.

    Deviation from the paper: Adam on mini-batches, not Adagrad pair by pair.

    Args:
        corpus: the corpus.
        rank: of the embeddings.
        rate: learning rate.
        epochs: passes over the pairs.
    """
    pairs = Pairs.of(corpus)
    everyone = _Features.of(corpus, np.arange(len(corpus.dataset.ids)))
    known = _Features.of(corpus, pairs.rows)
    with seeded(corpus.seed):
        net = _Net(everyone, len(pairs.watched.indptr) - 1, rank)

        def loss(places: Tensor) -> Tensor:
            streamers = net(known)  # (M, K + 1)
            user = net.user_vectors(pairs.users[places])[:, None]  # (B, 1, K + 1)
            drawn = torch.randint(len(streamers), (len(places), _DRAWS))
            wanted = (user * streamers[pairs.streamers[places]][:, None]).sum(2)  # (B, 1)
            with torch.no_grad():
                violates = (user * streamers[drawn]).sum(2) > wanted - 1  # (B, draws)
                rows = sp.csr_matrix(pairs.watched[pairs.users[places].numpy()])
                violates &= ~torch.from_numpy(present(rows, drawn.numpy()))
                first = violates.int().argmax(1, keepdim=True)  # (B, 1)
                rank_bound = ((len(streamers) - 1) // (first + 1)).clamp(min=1)
                weight = torch.log(rank_bound) * violates.any(1, True)
            other = (user * streamers[drawn.gather(1, first)]).sum(2)  # (B, 1)
            return (weight * (1 - wanted + other).relu()).mean()

        fit(net, loss, len(pairs.users), epochs=epochs, batch=4096, rate=rate)
        vectors = net(everyone)[:, :rank]
        return represented(corpus, centred(vectors, vectors[pairs.rows]))


@dataclass(frozen=True, eq=False)
class _Features:
    """Weighted tokens of S streamers, and their dense vectors.

    Attributes:
        tokens: int64 (Z,), columns of the vocabulary.
        weights: float32 (Z,).
        starts: int64 (S,), place of each streamer's first token.
        vectors: float32 (S, W).
        size: number of columns.
    """

    tokens: Tensor
    weights: Tensor
    starts: Tensor
    vectors: Tensor
    size: int

    @classmethod
    def of(cls, corpus: Corpus, rows: NDArray[np.int64]) -> "_Features":
        words = sp.csr_matrix(corpus.lexical[rows])
        vectors = corpus.content[rows, corpus.reduced.shape[1] :]
        return cls(
            torch.from_numpy(words.indices.astype(np.int64)),
            torch.from_numpy(words.data),
            torch.from_numpy(words.indptr[:-1].astype(np.int64)),
            torch.from_numpy(vectors),
            words.get_shape()[1],
        )


class _Net(nn.Module):
    """Embeddings (K) and biases of features, and embeddings of users."""

    def __init__(self, features: _Features, users: int, rank: int) -> None:
        super().__init__()
        self.users = embedding(users, rank)
        self.tokens = _embeddings(features.size, rank)
        self.vectors = _embeddings(features.vectors.shape[1], rank)

    def forward(self, features: _Features) -> Tensor:
        """Vectors and bias of streamers (S, K + 1)."""
        words = embedding_bag(
            features.tokens,
            self.tokens,
            features.starts,
            mode="sum",
            per_sample_weights=features.weights,
        )
        return words + features.vectors @ self.vectors

    def user_vectors(self, users: Tensor) -> Tensor:
        """Vectors of users (B, K + 1), with 1 for the streamers' bias."""
        return torch.cat([self.users(users), torch.ones(len(users), 1)], 1)


def _embeddings(features: int, rank: int) -> nn.Parameter:
    """Embeddings and biases (features, K + 1), small so that unseen features say little."""
    return nn.Parameter((torch.rand(features, rank + 1) - 0.5) / rank)
