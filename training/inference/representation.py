"""Representations of a data set by a trained encoder, for evaluation."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.source import ExportSource
from training.cold_start.vote import Ballot, Vote
from training.data import Dataset
from training.data.passes import mapped
from training.errors import CheckpointError
from training.evaluation.setting import Split
from training.evaluation.subject import AudienceVote, Representation, shown
from training.features.bags import corpus_bags
from training.inference.duplicate_threshold import sketches_of
from training.models.encoder import StreamerEncoder
from training.preparation.stage import all_rows
from training.towers import TowerReader, cache_folder

AUDIENCE_VOTE = "validation_audience_"
"""Prefix of the audience vote's parameters in the metrics of a checkpoint."""


def represent(
    source: ExportSource, dataset: Dataset, split: Split = "test", tower_cache: Path | None = None
) -> Representation:
    """Embed all N streamers, and compute content sketches if duplicates are known.

    The duplicate threshold is the calibrated one that is served. It was chosen on train + val, so
    an evaluation on val chooses another one on train.

    Args:
        source: trained encoder.
        dataset: N streamers.
        split: split of the queries.
        tower_cache: folder of cached tower vectors.

    Raises:
        CheckpointError: the source holds another kind of encoder.
        CacheError: the cache folder can't be used.
    """
    with TowerReader(source.towers, tower_cache or cache_folder()) as reader:
        reader.fill(dataset.profiles)
        return _represent(source, dataset, split, reader.over(mapped(pieces_of, dataset.profiles)))


def _represent(
    source: ExportSource, dataset: Dataset, split: Split, pieces: Sequence[Sequence[Piece]]
) -> Representation:
    vectors = embed(source, pieces)
    found = Representation(
        vectors,
        vectors,
        audience_vote=_audience_vote(source),
        cold_start=_voted(source, dataset, vectors),
    )
    if dataset.duplicates is None:
        return found
    content = sketches_of(_encoder(source), source.vocabulary, pieces) * shown(vectors)[:, None]
    threshold = source.duplicate_threshold.value if split == "test" else None
    return replace(found, content=content, duplicate_threshold=threshold)


def _audience_vote(source: ExportSource) -> AudienceVote | None:
    """Audience vote stored in the checkpoint's metrics; None if there is none."""
    named = {
        field.name: source.metrics.get(AUDIENCE_VOTE + field.name) for field in fields(AudienceVote)
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    return AudienceVote(**chosen) if len(chosen) == len(named) else None


def _voted(
    source: ExportSource, dataset: Dataset, vectors: NDArray[np.float32]
) -> Representation | None:
    """Cold-start representation by votes of established streamers, like in the service."""
    if source.established is None or source.established.graph is None:
        return None
    graph = source.established.graph
    row_of = {streamer_id: row for row, streamer_id in enumerate(dataset.ids)}
    there = np.array([streamer_id in row_of for streamer_id in source.established.ids], bool)
    rows = np.array([row_of[s] for s in source.established.ids if s in row_of], np.int64)
    shape = (len(there), len(there))
    edges = sp.csr_matrix((graph.weights, graph.indices, graph.indptr), shape)[there][:, there]
    asking = np.setdiff1d(np.arange(len(vectors)), rows)
    ballot = Ballot.of(Representation.symmetric(vectors), rows, sp.csr_matrix(edges), asking)
    query, gallery = ballot.matrices(Vote(graph.temperature, graph.own_share))
    return Representation(query, gallery, reads_behaviour=True)


def embed(source: ExportSource, profiles: Sequence[Sequence[Piece]]) -> NDArray[np.float32]:
    """Embed R profiles given as pieces, tower vectors included (R, D); zero without content."""
    encoder = _encoder(source)
    bags, usable = corpus_bags(profiles, source.vocabulary)
    return all_rows(encoder, encoder.embed, bags, usable)


def _encoder(source: ExportSource) -> StreamerEncoder:
    if not isinstance(source.module, StreamerEncoder):
        raise CheckpointError(f"the encoder of recipe {source.recipe} can't be evaluated")
    return source.module
