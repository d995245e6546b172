"""Two towers with in-batch softmax, corrected for how often streamers are sampled."""

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

_RANK = 128


def two_tower(corpus: Corpus, temperature: float, rate: float, epochs: int) -> Representation:
    """Two-tower model with sampling-bias-corrected softmax (Yi et al. 2019).

    The streamer tower reads content, a user has an embedding. Sampling probabilities are exact
    shares of the pairs, which the paper estimates from a stream.

    Args:
        corpus: the corpus.
        temperature: of the softmax over cosines.
        rate: learning rate.
        epochs: passes over the pairs.
    """
    pairs = Pairs.of(corpus)
    content = content_inputs(corpus)
    known = content[pairs.rows]
    rarity = -torch.log(torch.bincount(pairs.streamers) / len(pairs.streamers))  # (M,)
    with seeded(corpus.seed):
        users = embedding(pairs.watched.get_shape()[0], _RANK)
        tower = nn.Sequential(nn.Linear(content.shape[1], 256), nn.ReLU(), nn.Linear(256, _RANK))

        def loss(places: Tensor) -> Tensor:
            watched = pairs.streamers[places]  # (B,)
            used, at = watched.unique(return_inverse=True)
            vectors = normalize(tower(known[used]))[at]
            cosines = normalize(users(pairs.users[places])) @ vectors.T  # (B, B)
            logits = cosines / temperature + rarity[watched]
            repeated = (watched[:, None] == watched) & ~torch.eye(len(watched), dtype=torch.bool)
            return cross_entropy(
                logits.masked_fill(repeated, -torch.inf), torch.arange(len(watched))
            )

        net = nn.ModuleList([users, tower])
        fit(net, loss, len(pairs.users), epochs=epochs, batch=1024, rate=rate)
        vectors = normalize(tower(content))
        return represented(corpus, centred(vectors, vectors[pairs.rows]))
