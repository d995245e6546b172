"""One stage of a fit: everything that is learned from a given set of streamers, ready to train.

Whatever is counted, decomposed or averaged here sees the stage's own streamers only; the others are
merely turned into features, so that they can be evaluated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.bags import Bags, corpus_bags, tf_idf
from training.config import RecipeConfig
from training.data import Dataset
from training.encoder import StreamerEncoder
from training.errors import DataError
from training.teacher import Teacher
from training.vocabulary import build_vocabulary

_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Stage:
    """What a task is built from; N streamers in the data set.

    Attributes:
        dataset: the data set.
        pieces: the pieces of every streamer, N of them.
        known: int64 rows that may be learned from.
        usable: bool (N,), who shows anything to encode.
        vocabulary: counted on the known streamers.
        bags: features of all N.
        encoder: at the frozen start.
        teacher: of the known streamers; None for recipes without one.
        config, seed, threads: of the fit.
    """

    dataset: Dataset
    pieces: Sequence[Sequence[Piece]]
    known: NDArray[np.int64]
    usable: NDArray[np.bool_]
    vocabulary: Vocabulary
    bags: Bags
    encoder: StreamerEncoder
    teacher: Teacher | None
    config: RecipeConfig
    seed: int
    threads: int


def prepare(
    dataset: Dataset,
    pieces: Sequence[Sequence[Piece]],
    known: NDArray[np.int64],
    teacher: Teacher | None,
    config: RecipeConfig,
    seed: int,
    threads: int,
) -> Stage:
    """Vocabulary, features and the frozen start of an encoder.

    Raises:
        DataError: too few streamers show anything.
    """
    vocabulary = build_vocabulary(
        [pieces[row] for row in known], config.max_tokens, config.min_document_frequency
    )
    bags, usable = corpus_bags(pieces, vocabulary)
    if usable[known].sum() < 2:
        raise DataError(f"{dataset.folder} has fewer than two training streamers with content")
    torch.manual_seed(seed)
    encoder = StreamerEncoder(
        vocabulary, config, None if teacher is None else teacher.vectors.shape[1]
    )
    encoder.start_from(
        start_of_table(bags.take(known), vocabulary, config.table_dim, seed),
        [_mean_of_present(pooled[known]) for pooled in bags.pooled],
    )
    return Stage(
        dataset, pieces, known, usable, vocabulary, bags, encoder, teacher, config, seed, threads
    )


def start_of_table(bags: Bags, vocabulary: Vocabulary, dim: int, seed: int) -> NDArray[np.float32]:
    """Right singular vectors of the TF-IDF rows, (1 + V, <= dim)."""
    x = tf_idf(bags, vocabulary)
    width = 1 + len(vocabulary.tokens)
    rank = min(dim, len(bags) - 1, width - 1)
    if rank < 1:
        return np.zeros((width, 1), np.float32)
    _, _, components = randomized_svd(x, rank, random_state=seed)
    return np.ascontiguousarray(np.transpose(components), np.float32)


def _mean_of_present(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean (W,) of the rows (R, W) that are not zero; zero when there are none."""
    present = pooled.any(1)
    return (pooled.sum(0) / max(present.sum(), 1)).astype(np.float32)


@torch.no_grad()
def all_rows(
    encoder: StreamerEncoder,
    compute: Callable[[Bags], Tensor],
    bags: Bags,
    usable: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """What a method of the encoder (`embed`, `sketch`, `fused`) makes of all rows (N, width).

    Rows of those who show nothing to encode are zero.
    """
    was_training = encoder.training
    encoder.eval()
    chunks = [
        compute(bags.take(np.arange(start, min(start + _CHUNK, len(bags))))).numpy()
        for start in range(0, len(bags), _CHUNK)
    ]
    encoder.train(was_training)
    return np.concatenate(chunks) * usable[:, None]
