"""Ranking check: how far other graphs change the ranking of held-out streamers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.errors import SilentContent
from model_export.contract.features import Features, collate
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import (
    VECTOR,
    Prepared,
    TowerSpec,
    payload_key,
    payload_of,
    pieces_for,
    vector_piece,
)
from model_export.errors import GraphError, SourceError

DEPTH = 20
_BATCH = 16
_EMBEDDING, _ID = "embedding", "id_embedding"


@dataclass(frozen=True, eq=False)
class Trial:
    """Queries, a gallery and relevance judgements for a ranking check.

    Graphs are accepted or refused on them, so they must not come from the test split.

    Attributes:
        queries, gallery: profiles, Q and G.
        relevant: per query, places of its relevant streamers in the gallery, at least one.
    """

    queries: Sequence[StreamerProfile]
    gallery: Sequence[StreamerProfile]
    relevant: Sequence[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class TowerVectors:
    """Vectors of a tower's graph for all payloads of a trial.

    Attributes:
        of: payload key -> vector (width,).
        per_s: payloads per second on one core.
    """

    of: Mapping[bytes, NDArray[np.float32]]
    per_s: float


@dataclass(frozen=True, eq=False)
class Ranked:
    """Ranking by one set of graphs.

    Attributes:
        nearest: by kind of vector, places in the gallery per query (Q, DEPTH); -1 for queries
            without usable content.
        ndcg: mean NDCG@20 by embeddings of full width, of queries with usable content; 0 without.
        per_s: profiles per second on one core through the encoder's graph.
    """

    nearest: Mapping[str, NDArray[np.int64]]
    ndcg: float
    per_s: float

    @property
    def queries(self) -> int:
        """Number of queries with usable content."""
        return int((self.nearest[_EMBEDDING][:, 0] >= 0).sum())

    def overlaps(self, full: "Ranked") -> dict[str, float]:
        """By kind of vector, mean share of the nearest neighbours by the full graphs that stay."""
        return {
            name: _shared(nearest, full.nearest[name]) for name, nearest in self.nearest.items()
        }

    def overlap(self, full: "Ranked") -> float:
        """Overlap of the kind of vector that changes most."""
        return min(self.overlaps(full).values())


class RankingCheck:
    """Runs graphs on the streamers of a trial; exact preprocessing is done once."""

    def __init__(self, bundle: Bundle, trial: Trial) -> None:
        """Preprocess the profiles.

        Raises:
            SourceError: the trial has no query, or its gallery is too small.
            ContractError: a profile can't be read.
        """
        if not trial.queries or len(trial.gallery) <= DEPTH:
            raise SourceError(
                f"{len(trial.queries)} queries and {len(trial.gallery)} streamers to search are "
                "too few for a ranking check"
            )
        self._bundle, self._trial = bundle, trial
        profiles = [*trial.queries, *trial.gallery]
        self._pieces = [pieces_of(profile) for profile in profiles]
        self._prepared = {
            spec.name: self._prepare(spec, profiles) for spec in bundle.manifest.towers
        }

    def _prepare(
        self, spec: TowerSpec, profiles: Sequence[StreamerProfile]
    ) -> dict[bytes, Prepared]:
        inputs = self._bundle.tower_inputs(spec.name)
        found: dict[bytes, Prepared] = {}
        silent: set[bytes] = set()
        for profile, pieces in zip(profiles, self._pieces, strict=True):
            for piece in pieces_for(spec, pieces):
                key = payload_key(piece)
                if key not in found and key not in silent:
                    try:
                        found[key] = inputs.prepare(payload_of(piece, profile))
                    except SilentContent:
                        silent.add(key)
        return found

    def read(self, spec: TowerSpec, graph: bytes) -> TowerVectors:
        """Encode all payloads of a tower with a graph.

        Raises:
            GraphError: ONNX Runtime can't load or run the graph.
        """
        session, inputs = _session(graph), self._bundle.tower_inputs(spec.name)
        items = sorted(self._prepared[spec.name].items(), key=lambda item: item[1].size)
        found: dict[bytes, NDArray[np.float32]] = {}
        spent = 0.0
        for start in range(0, len(items), _BATCH):
            part = items[start : start + _BATCH]
            (vectors,), seconds = _run(session, [VECTOR], inputs.batch([p for _, p in part]))
            spent += seconds
            found.update(zip((key for key, _ in part), vectors, strict=True))
        return TowerVectors(found, len(items) / max(spent, 1e-9))

    def rank(self, encoder: bytes, vectors: Mapping[str, TowerVectors]) -> Ranked:
        """Rank the gallery for each query with an encoder graph and tower vectors.

        Raises:
            GraphError: ONNX Runtime can't load or run the graph.
        """
        features = self._features(vectors)
        usable = [i for i, f in enumerate(features) if f.usable]
        usable.sort(key=lambda i: len(features[i].token_ids))
        session, spent = _session(encoder), 0.0
        outputs = [given.name for given in session.get_outputs()]
        found = {
            name: np.zeros((len(features), width), np.float32)
            for name, width in self._widths().items()
        }
        for start in range(0, len(usable), _BATCH):
            rows = usable[start : start + _BATCH]
            made, seconds = _run(session, outputs, collate([features[i] for i in rows]))
            spent += seconds
            for name, output in zip(outputs, made, strict=True):
                if name in found:
                    found[name][rows] = output
        for width in self._bundle.manifest.dims:
            found[f"first {width} numbers of {_EMBEDDING}"] = found[_EMBEDDING][:, :width]
        asked = np.array([f.usable for f in features[: len(self._trial.queries)]], bool)
        nearest = {name: self._nearest(vectors, asked) for name, vectors in found.items()}
        return Ranked(nearest, self._ndcg(nearest[_EMBEDDING]), len(usable) / max(spent, 1e-9))

    def _widths(self) -> dict[str, int]:
        """Widths of the outputs that are ranked by."""
        manifest = self._bundle.manifest
        space = manifest.id_space
        return {_EMBEDDING: manifest.dim} | ({} if space is None else {_ID: space.dim})

    def _nearest(self, vectors: NDArray[np.float32], asked: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Nearest of the gallery by cosine (Q, DEPTH); -1 for queries that are not asked."""
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        queries = len(self._trial.queries)
        found = np.argsort(-(unit[:queries] @ unit[queries:].T), axis=1, kind="stable")[:, :DEPTH]
        return np.where(asked[:, None], found, -1)

    def _features(self, vectors: Mapping[str, TowerVectors]) -> list[Features]:
        features: list[Features] = []
        for pieces in self._pieces:
            made = [
                vector_piece(spec, piece, vectors[spec.name].of[payload_key(piece)])
                for spec in self._bundle.manifest.towers
                for piece in pieces_for(spec, pieces)
                if payload_key(piece) in vectors[spec.name].of
            ]
            features.append(self._bundle.featurizer.from_pieces([*pieces, *made]))
        return features

    def _ndcg(self, nearest: NDArray[np.int64]) -> float:
        """Mean NDCG@20 with binary gains (Järvelin & Kekäläinen 2002)."""
        discount = 1 / np.log2(np.arange(DEPTH) + 2)
        values = [
            discount[np.isin(found, wanted)].sum() / discount[: len(wanted)].sum()
            for found, wanted in zip(nearest, self._trial.relevant, strict=True)
            if found[0] >= 0
        ]
        return float(np.mean(values)) if values else 0.0


def _shared(nearest: NDArray[np.int64], full: NDArray[np.int64]) -> float:
    """Mean share of the places (Q, DEPTH) in common, of queries with any in the full ranking."""
    asked = full[:, 0] >= 0
    pairs = zip(nearest[asked].tolist(), full[asked].tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise GraphError(f"ONNX Runtime can't load the graph: {error}") from error


def _run(
    session: Any, outputs: list[str], batch: Mapping[str, NDArray[np.generic]]
) -> tuple[list[NDArray[np.float32]], float]:
    """Outputs and the processor time of a run, in seconds."""
    feed = {given.name: batch[given.name] for given in session.get_inputs()}
    started = time.process_time()
    try:
        found = session.run(outputs, feed)
    except Exception as error:  # its exceptions share no base but Exception
        raise GraphError(f"ONNX Runtime can't run the graph: {error}") from error
    if not all(np.isfinite(output).all() for output in found):
        raise GraphError("the graph's output is not finite")
    return found, time.process_time() - started
