"""DropoutNet: towers on latent factors and content that learn to do without the factors."""

import torch
from torch import Tensor, nn

from training.baselines.corpus import Corpus
from training.baselines.peers.learning import (
    Pairs,
    content_inputs,
    fit,
    latent_factors,
    represented,
    seeded,
)
from training.evaluation.subject import Representation

_USERS = 512
"""Users per step."""


def dropoutnet(corpus: Corpus, dropout: float, rate: float, epochs: int) -> Representation:
    """DropoutNet (Volkovs, Yu & Poutanen 2017).

    A streamer's tower reads its factor and its content, a user's tower the user's factor; their
    inner product is to be that of the factors, though streamers' factors are at random zero.

    Deviations from the paper: factors are by SVD of normalised audiences, not by WMF; all pairs of
    a step's streamers and users count, a sum that the paper samples.

    Args:
        corpus: the corpus.
        dropout: share of the streamers of a step whose factor is zero.
        rate: learning rate.
        epochs: passes over the streamers.
    """
    pairs = Pairs.of(corpus)
    users, streamers = latent_factors(corpus, pairs)
    content = content_inputs(corpus)
    known = content[pairs.rows]
    with seeded(corpus.seed):
        net = _Towers(content.shape[1], users.shape[1], width=512)

        def loss(places: Tensor) -> Tensor:
            kept = (torch.rand(len(places), 1) >= dropout).float()
            asked = torch.randint(len(users), (_USERS,))
            predicted = (
                net.user(users[asked])
                @ net.streamer_vectors(streamers[places] * kept, known[places]).T
            )  # (users, B)
            return (predicted - users[asked] @ streamers[places].T).square().mean()

        fit(net, loss, len(streamers), epochs=epochs, batch=256, rate=rate)
        by_content = net.streamer_vectors(torch.zeros(len(content), streamers.shape[1]), content)
        return represented(corpus, by_content, pairs, net.streamer_vectors(streamers, known))


class _Towers(nn.Module):
    """User tower on factors, streamer tower on factors and content."""

    def __init__(self, features: int, rank: int, width: int) -> None:
        super().__init__()
        self.user = _tower(rank, width, rank)
        self.streamer = _tower(rank + features, width, rank)

    def streamer_vectors(self, factors: Tensor, content: Tensor) -> Tensor:
        """Vectors (B, K) of factors (B, K), zero if unknown, and content (B, F)."""
        return self.streamer(torch.cat([factors, content], 1))


def _tower(inputs: int, width: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, outputs)
    )
