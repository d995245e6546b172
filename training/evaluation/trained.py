"""A trained encoder as a subject."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.source import ExportSource
from training.bags import corpus_bags
from training.data import Dataset
from training.data.passes import mapped
from training.duplicates import sketches_of
from training.encoder import StreamerEncoder
from training.errors import CheckpointError
from training.evaluation.setting import Split
from training.evaluation.subject import Representation, shown
from training.stage import all_rows


def represent(source: ExportSource, dataset: Dataset, split: Split = "test") -> Representation:
    """Embeddings of all N streamers and, where duplicates are known, their content sketches.

    The threshold of the duplicates is the calibrated one that is served. It has seen val, so for
    val another one is chosen on train.

    Raises:
        CheckpointError: the source holds another kind of encoder.
    """
    pieces = mapped(pieces_of, dataset.profiles)
    vectors = embed(source, pieces)
    if dataset.duplicates is None:
        return Representation.symmetric(vectors)
    content = sketches_of(_encoder(source), source.vocabulary, pieces) * shown(vectors)[:, None]
    threshold = source.duplicate_threshold.value if split == "test" else None
    return Representation(vectors, vectors, content, threshold)


def embed(source: ExportSource, profiles: Sequence[Sequence[Piece]]) -> NDArray[np.float32]:
    """Embeddings (R, D) of the pieces of R profiles; zero for who shows nothing to encode."""
    encoder = _encoder(source)
    bags, usable = corpus_bags(profiles, source.vocabulary)
    return all_rows(encoder, encoder.embed, bags, usable)


def _encoder(source: ExportSource) -> StreamerEncoder:
    if not isinstance(source.module, StreamerEncoder):
        raise CheckpointError(f"{source.recipe} has trained no encoder that can be evaluated")
    return source.module
