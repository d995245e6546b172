"""CLCRec: contrastive learning of content and collaborative embeddings."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from training.baselines.corpus import Corpus
from training.baselines.peers.learning import (
    Pairs,
    centred,
    content_inputs,
    embedding,
    fit,
    represented,
    seeded,
)
from training.evaluation.subject import Representation

_RANK = 64
_NEGATIVES = 512
"""Random streamers that all pairs of a step are contrasted with."""
_SWAPPED = 0.5
"""Probability that the content's embedding stands for the collaborative one."""


def clcrec(corpus: Corpus, temperature: float, rate: float, epochs: int) -> Representation:
    """CLCRec (Wei et al. 2021).

    InfoNCE between a streamer's own embedding and that of its content, and between a user and a
    streamer, whose embedding is at random its own or its content's.

    Deviation from the paper: users and streamers are compared by cosine as well, and all pairs of a
    step share their negatives, of which neither the pair's streamer nor others that its user
    watches count.

    Args:
        corpus: the corpus.
        temperature: of both contrasts.
        rate: learning rate.
        epochs: passes over the pairs.
    """
    pairs = Pairs.of(corpus)
    content = content_inputs(corpus)
    known = content[pairs.rows]
    with seeded(corpus.seed):
        net = _Net(content.shape[1], *pairs.watched.get_shape())

        def loss(places: Tensor) -> Tensor:
            wanted, others = pairs.streamers[places], torch.randint(len(known), (_NEGATIVES,))
            both = torch.cat([wanted, others])  # (B + n,)
            used, at = both.unique(return_inverse=True)
            by_content, own = net.encoder(known[used]), net.streamers(used)  # (S, K)
            swapped = torch.rand(len(used), 1) < _SWAPPED
            hybrid = torch.where(swapped, by_content, own)
            asked, drawn = at[: len(places)], at[len(places) :]
            unit = normalize(by_content)
            own, is_own = normalize(own), wanted[:, None] == others  # (B, n)
            alike = _info_nce(own[asked], unit[asked], unit[drawn], is_own, temperature)
            user = normalize(net.users(pairs.users[places]))
            hybrid, is_watched = normalize(hybrid), pairs.watches(places, others)  # (B, n)
            watched = _info_nce(user, hybrid[asked], hybrid[drawn], is_watched, temperature)
            return (alike + watched) / 2

        fit(net, loss, len(pairs.users), epochs=epochs, batch=2048, rate=rate)
        vectors, own = normalize(net.encoder(content)), normalize(net.streamers.weight)
        by_content = centred(vectors, vectors[pairs.rows])
        return represented(corpus, by_content, pairs, centred(own, own))


class _Net(nn.Module):
    """Embeddings of users and streamers, and the encoder of content."""

    def __init__(self, features: int, users: int, streamers: int) -> None:
        super().__init__()
        self.users = embedding(users, _RANK)
        self.streamers = embedding(streamers, _RANK)
        self.encoder = nn.Sequential(
            nn.Linear(features, 256), nn.LeakyReLU(), nn.Linear(256, _RANK)
        )


def _info_nce(
    anchor: Tensor, positive: Tensor, negatives: Tensor, excluded: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of anchors and positives (B, K) against shared negatives (n, K).

    Those that are excluded (B, n) do not count; an anchor without any other has a loss of 0.
    """
    against = (anchor @ negatives.T).masked_fill(excluded, -torch.inf)
    scores = torch.cat([(anchor * positive).sum(1, keepdim=True), against], 1)
    return cross_entropy(scores / temperature, torch.zeros(len(anchor), dtype=torch.int64))
