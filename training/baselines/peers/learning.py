"""What the peers share: pairs of users and streamers, content inputs, and mini-batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.baselines.corpus import Corpus, dense_unit
from training.errors import UsageError
from training.evaluation.subject import Representation

_RANK = 128
"""Of latent factors."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who watches whom; P pairs of M known streamers and U users.

    Attributes:
        rows: int64 (M,), ascending data set rows.
        watched: binary (U, M).
        users: int64 (P,).
        streamers: int64 (P,), places in `rows`.
    """

    rows: NDArray[np.int64]
    watched: sp.csr_matrix
    users: Tensor
    streamers: Tensor

    @classmethod
    def of(cls, corpus: Corpus) -> "Pairs":
        """Pairs of a corpus.

        Raises:
            UsageError: no audiences are known.
        """
        if corpus.audience is None or not corpus.audience.nnz:
            raise UsageError(
                f"{corpus.dataset.folder} has no interactions or relations of training streamers, "
                "or clicks=private hides them; use a baseline that learns from ID-embeddings, such "
                "as kernel"
            )
        rows = corpus.known[np.diff(corpus.audience.indptr)[corpus.known] > 0]
        watched = sp.csr_matrix(corpus.audience[rows].T)
        watched = watched[np.diff(watched.indptr) > 0]
        users, streamers = (torch.from_numpy(each.astype(np.int64)) for each in watched.nonzero())
        return cls(rows, watched, users, streamers)

    def watches(self, places: Tensor, streamers: Tensor) -> Tensor:
        """Whether the users of the pairs at these places (B,) watch streamers (n,), bool (B, n).

        Args:
            places: of pairs (B,).
            streamers: places in `rows` (n,); they may repeat.
        """
        watched = self.watched[self.users[places].numpy()][:, streamers.numpy()]
        return torch.from_numpy(watched.toarray() > 0)


def latent_factors(corpus: Corpus, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Factors of users (U, K) and of streamers (M, K), both with RMS 1.

    A streamer's factor is the direction of its ID vector, by SVD of the normalised audiences. A
    user's is the sum of those of the streamers watched, each axis scaled to RMS 1.
    """
    _, vectors = corpus.identities(_RANK)
    users = pairs.watched @ vectors
    users /= np.sqrt(np.square(users).mean(0)).clip(1e-9)
    return torch.from_numpy(users), torch.from_numpy(vectors) * np.sqrt(vectors.shape[1])


def content_inputs(corpus: Corpus) -> Tensor:
    """Content features of all streamers (N, F), scaled so that those of the known have RMS 1."""
    scale = np.sqrt(np.mean(np.square(corpus.content[corpus.known])))
    return torch.from_numpy(corpus.content / max(float(scale), 1e-9))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let initial weights, batches and dropout depend on a seed alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        yield


def embedding(count: int, rank: int) -> nn.Embedding:
    """Embeddings (count, K), small so that Adam turns them within few epochs."""
    found = nn.Embedding(count, rank)
    nn.init.normal_(found.weight, std=0.03)
    return found


def fit(
    net: nn.Module,
    loss: Callable[[Tensor], Tensor],
    items: int,
    *,
    epochs: int,
    batch: int,
    rate: float,
) -> None:
    """Minimise a loss with Adam, the rate falling linearly to 0, and leave the net in eval mode.

    Args:
        net: what is trained.
        loss: mean loss of the items at these places (B,).
        items: number of items.
        epochs: passes over the items.
        batch: most items per step.
        rate: initial learning rate.
    """
    steps = -(-items // batch)
    optimiser = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, epochs * steps)
    net.train()
    for _ in range(epochs):
        for places in torch.randperm(items).tensor_split(steps):  # none of one item alone
            optimiser.zero_grad()
            loss(places).backward()
            optimiser.step()
            schedule.step()
    net.eval()


def centred(vectors: Tensor, known: Tensor) -> Tensor:
    """Vectors (R, K) without the mean of the known streamers' (M, K).

    A loss that ranks streamers for a user does not determine what all of them have in common, but
    a cosine between streamers depends on it.
    """
    return vectors - known.mean(0)


def represented(
    corpus: Corpus, by_content: Tensor, pairs: Pairs | None = None, known: Tensor | None = None
) -> Representation:
    """Representation of all streamers by content, compared by cosine.

    Args:
        corpus: the corpus.
        by_content: vectors by content (N, K).
        pairs: whose streamers have a vector by behaviour as well.
        known: these vectors (M, K), the gallery of the cold start.
    """
    vectors = dense_unit(by_content.detach().numpy())
    if pairs is None or known is None:
        return Representation.symmetric(vectors)
    gallery = vectors.copy()
    gallery[pairs.rows] = dense_unit(known.detach().numpy())
    warm = Representation(vectors, gallery, reads_behaviour=True)
    return Representation(vectors, vectors, cold_start=warm)
