"""Heater: randomised training between latent factors and their transform from content."""

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

_NEGATIVES = 5
_EXPERTS = 5
_WIDTH = 64
_DRAWN = 256


def heater(corpus: Corpus, similarity: float, rate: float, epochs: int) -> Representation:
    """Heater (Zhu et al. 2020).

    A mixture of experts maps content to a latent factor. The towers read, at random, that or the
    pretrained factor, and their inner product is 1 for who watches and 0 for random streamers of
    those that the user does not watch.

    Deviation from the paper: factors are by SVD of normalised audiences.

    Args:
        corpus: the corpus.
        similarity: weight of the squared distance of the mapped content from the factor.
        rate: learning rate.
        epochs: passes over the pairs.
    """
    pairs = Pairs.of(corpus)
    users, streamers = latent_factors(corpus, pairs)
    content = content_inputs(corpus)
    known = content[pairs.rows]
    with seeded(corpus.seed):
        net = _Towers(content.shape[1], users.shape[1])

        def loss(places: Tensor) -> Tensor:
            asked = pairs.streamers[places][:, None]  # (B, 1)
            drawn = torch.randint(len(streamers), (_DRAWN,))
            free = ~pairs.watches(places, drawn)  # (B, drawn)
            has_free = free.any(1, keepdim=True)
            chosen = torch.multinomial((free | ~has_free).float(), _NEGATIVES, replacement=True)
            others = drawn[chosen]
            used, at = torch.cat([asked, others], 1).unique(return_inverse=True)  # at (B, 1 + 5)
            factors, mapped = streamers[used], net.experts(known[used])  # (S, K)
            is_mapped = torch.rand(len(used), 1) < 0.5
            vectors = net.streamer(torch.where(is_mapped, mapped, factors))
            user = net.user(users[pairs.users[places]])[:, None]  # (B, 1, K)
            wanted = torch.zeros(at.shape)
            wanted[:, 0] = 1
            counts = has_free.repeat(1, at.shape[1])  # false for who watches all that are drawn
            counts[:, 0] = True
            errors = ((user * vectors[at]).sum(2) - wanted).square()  # (B, 1 + 5)
            error = (errors * counts).sum(1).mean()
            return error + similarity * (mapped - factors).square().sum(1).mean()

        fit(net, loss, len(pairs.users), epochs=epochs, batch=2048, rate=rate)
        by_content = net.streamer(net.experts(content))
        return represented(corpus, by_content, pairs, net.streamer(streamers))


class _Towers(nn.Module):
    """Experts from content to factors, and the towers on factors."""

    def __init__(self, features: int, rank: int) -> None:
        super().__init__()
        self.experts = _Experts(features, rank)
        self.user = _tower(rank)
        self.streamer = _tower(rank)


class _Experts(nn.Module):
    """Mixture of experts from content (B, F) to factors (B, K)."""

    def __init__(self, features: int, rank: int) -> None:
        super().__init__()
        self.gate = nn.Linear(features, _EXPERTS)
        self.hidden = nn.Linear(features, _EXPERTS * _WIDTH)
        self.output = nn.Parameter(torch.randn(_EXPERTS, _WIDTH, rank) / _WIDTH**0.5)

    def forward(self, content: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(content)).unflatten(1, (_EXPERTS, -1))  # (B, E, K)
        shares = torch.softmax(self.gate(content), 1)
        return torch.einsum("be,bek,ekl->bl", shares, hidden, self.output)


def _tower(rank: int) -> nn.Module:
    return nn.Sequential(nn.Linear(rank, rank), nn.Tanh(), nn.Linear(rank, rank))
