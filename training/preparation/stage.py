"""Stage: the training state of one set of streamers, from vocabulary to initialised encoder.

All statistics (counts, decompositions, means) are computed on the stage's own streamers only; other
streamers are merely featurised, so that they can be evaluated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.config import RecipeConfig, TeacherConfig, TransferPlusConfig
from training.data import Dataset
from training.data.passes import subset
from training.errors import DataError
from training.features.bags import Bags, corpus_bags, tf_idf
from training.features.vocabulary import build_vocabulary
from training.models.distributed import Compute
from training.models.encoder import StreamerEncoder
from training.models.kernel_layer import KernelShape
from training.preparation.kernel import behaviour_width, fit_kernel
from training.teachers.id_embeddings import Teacher, judged

_CHUNK = 4096
MOST_ASKED, MOST_SEARCHED = 10_000, 200_000
"""Most queries, and most gallery streamers, in validations during a fit."""
_TABLE_NUMBERS = 2**24
"""Numbers in the kernel layer's token table, from which it gets narrower."""
_DRAWN_LANDMARKS = 4096
"""Most landmarks of the kernel layer if not all streamers are: predictions of landmarks recall
their own behaviour, those of others do not, and most newcomers are nearest to the latter."""
_AXES_ROWS = 10_000
"""Most streamers that principal axes are computed from."""
_START_ROWS = 100_000
"""Most streamers that the initialisation of an encoder is computed from."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Input of a task; N streamers in the data set.

    Attributes:
        dataset: the data set.
        pieces: pieces of all N streamers; recomputed at every pass over a large data set (see
            `training.data.passes`).
        known: int64, rows that may be learned from.
        usable: bool (N,), whether each streamer has usable content.
        vocabulary: counted on the known streamers.
        bags: features of all N streamers.
        encoder: initialised encoder.
        teacher: of the known streamers; None for recipes without one.
        left_out: float16 (T, K), behaviour that the kernel layer predicts of the teacher's
            streamers if each of them were new; None without a kernel layer.
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
    left_out: NDArray[np.float16] | None
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
    compute: Compute | None = None,
) -> Stage:
    """Prepare a stage: count the vocabulary, featurise, initialise the encoder, estimate noise.

    Raises:
        DataError: fewer than two known streamers have usable content.
    """
    vocabulary = build_vocabulary(
        subset(pieces, known), config.max_tokens, config.min_document_frequency
    )
    bags, usable = corpus_bags(pieces, vocabulary)
    if usable[known].sum() < 2:
        raise DataError(f"{dataset.folder} has fewer than two training streamers with content")
    start = bags.take(sample(known, _START_ROWS, seed))
    torch.manual_seed(seed)
    kernel = _kernel_shape(teacher, usable, vocabulary, config)
    id_dim = None if teacher is None else teacher.vectors.shape[1]
    encoder = StreamerEncoder(vocabulary, config, id_dim, kernel)
    rank = max(config.table_dim, 0 if kernel is None else kernel.table_dim)
    encoder.start_from(
        start_of_table(start, vocabulary, rank, seed),
        [_mean_of_present(pooled) for pooled in start.pooled],
    )
    encoder.move_to(compute or Compute())
    if kernel is None:  # beside a kernel branch nothing is gained
        some = sample(np.arange(len(start)), _AXES_ROWS, seed)
        encoder.align_spaces([pooled[some] for pooled in start.pooled])
        align_output(encoder, bags, usable, known, seed)
    if teacher is not None and isinstance(config, TeacherConfig) and config.denoise:
        shown = usable[teacher.rows]
        content = all_rows(encoder, encoder.fused, bags, usable, teacher.rows[shown])
        teacher = judged(teacher, content, shown, seed)
    left_out = None
    if teacher is not None and encoder.kernel is not None:
        bags, left_out = _with_kernel(encoder, bags, usable, teacher, seed)
    return Stage(
        dataset,
        pieces,
        known,
        usable,
        vocabulary,
        bags,
        encoder,
        teacher,
        left_out,
        config,
        seed,
        threads,
    )


def _kernel_shape(
    teacher: Teacher | None,
    usable: NDArray[np.bool_],
    vocabulary: Vocabulary,
    config: RecipeConfig,
) -> KernelShape | None:
    """Shape of the kernel layer; None for recipes without one, or too few streamers."""
    if teacher is None or not isinstance(config, TransferPlusConfig):
        return None
    if not config.kernel_landmarks:
        return None
    count = int(usable[teacher.rows].sum())
    if count < 2:
        return None
    tokens = 1 + len(vocabulary.tokens)
    most = config.kernel_landmarks
    return KernelShape(
        count if count <= most else min(most, _DRAWN_LANDMARKS),
        behaviour_width(teacher, config.kernel_rank),
        min(config.kernel_table_dim, max(config.table_dim, _TABLE_NUMBERS // tokens)),
        config.kernel_hidden_dim,
        config.kernel_dropout,
    )


def _with_kernel(
    encoder: StreamerEncoder,
    bags: Bags,
    usable: NDArray[np.bool_],
    teacher: Teacher,
    seed: int,
) -> tuple[Bags, NDArray[np.float16]]:
    """Fit the kernel layer to the teacher's streamers, or a random part of very many.

    Returns:
        The bags with the behaviour that it predicts, and `Stage.left_out`.
    """
    assert encoder.kernel is not None
    fitted = sample(np.flatnonzero(usable[teacher.rows]), _START_ROWS, seed)  # (F,)
    rows = teacher.rows[fitted]
    content = all_rows(encoder, encoder.kernel_content, bags, usable, rows)
    left_out = fit_kernel(encoder.kernel.layer, content, teacher.part(fitted), seed)
    encoder.kernel.start(left_out)
    behaviour = all_rows(encoder, encoder.behaviour, bags, usable, dtype=np.float16)
    new = behaviour[teacher.rows]
    new[fitted] = left_out
    return replace(bags, behaviour=behaviour), new


def align_output(
    encoder: StreamerEncoder,
    bags: Bags,
    usable: NDArray[np.bool_],
    known: NDArray[np.int64],
    seed: int,
) -> None:
    """Let the encoder's output keep as much as it can of what the known streamers show."""
    rows = sample(known[usable[known]], _AXES_ROWS, seed)
    encoder.align_output(all_rows(encoder, encoder.fused, bags, usable, rows))


def sample(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` of the rows, drawn at random, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def start_of_table(bags: Bags, vocabulary: Vocabulary, dim: int, seed: int) -> NDArray[np.float32]:
    """Initial token table: right singular vectors of the TF-IDF rows, (1 + V, <= dim)."""
    x = tf_idf(bags, vocabulary)
    width = 1 + len(vocabulary.tokens)
    rank = min(dim, len(bags) - 1, width - 1)
    if rank < 1:
        return np.zeros((width, 1), np.float32)
    _, _, components = randomized_svd(x, rank, random_state=seed)
    return np.ascontiguousarray(np.transpose(components), np.float32)


def _mean_of_present(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean (W,) of the non-zero rows (R, W); zero without any."""
    present = pooled.any(1)
    return (pooled.sum(0) / max(present.sum(), 1)).astype(np.float32)


def embeddings(
    stage: Stage, rows: NDArray[np.int64] | None = None, width: int | None = None
) -> NDArray[np.float32]:
    """Unit embeddings of all N streamers or of R rows, cut to `width` if given (R, D).

    Rows of streamers without usable content are zero.
    """
    found = all_rows(stage.encoder, stage.encoder.embed, stage.bags, stage.usable, rows)
    return found if width is None else np.asarray(normalize(found[:, :width]), np.float32)


@torch.no_grad()
def all_rows(
    encoder: StreamerEncoder,
    compute: Callable[[Bags], Tensor],
    bags: Bags,
    usable: NDArray[np.bool_],
    rows: NDArray[np.int64] | None = None,
    dtype: type[np.floating] = np.float32,
) -> NDArray[Any]:
    """Output of an encoder method (`embed`, `fused`) for all N rows, or for R rows (R, width).

    Rows of streamers without usable content are zero.
    """
    rows = np.arange(len(bags)) if rows is None else rows
    was_training = encoder.training
    encoder.eval()
    width = compute(bags.take(rows[:0])).shape[1]
    found = np.zeros((len(rows), width), dtype)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        found[start : start + _CHUNK] = compute(bags.take(chunk)).cpu().numpy()
    encoder.train(was_training)
    found[~usable[rows]] = 0
    return found
