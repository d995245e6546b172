"""A recommender refits its vectors every night: what is served of newcomers before and after.

    python -m tests.benchmarks.nightly_rotation --data DIR [--checkpoint DIR] [--seeds 3]
        [--neighbours 20 50]

Implicit ALS is fitted on the interactions of train + val; the test streamers are the newcomers. The
next night it is fitted with another seed and turned at random. Told are, of the newcomers, NDCG@50
and recall@100 of their users, and the AUC of the served vector by inner product, beside the two
simple ways (ridge, neighbours) and TF-IDF neighbours that lend their vectors or their audiences.
Without a checkpoint, embeddings are the data set's TF-IDF in 256 dimensions. Real data.

The vote of the established is measured by the graph of the hand-over's own vectors, and by those of
neighbours that come with it: so many of each streamer, by cosine of audiences of train + val.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model_export.contract.pieces import pieces_of
from service.engine.prediction.fit import Known, audience_of, fit
from service.engine.prediction.linear import unit
from service.engine.prediction.neighbours import Near, nearest
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import StreamerNeighbours, shares_of
from training.api import embed
from training.baselines.corpus import Corpus
from training.cold_start.vote import Ballot, Vote, choose_vote, edges_of, weighed
from training.config import TeacherConfig
from training.data import Dataset, load_dataset
from training.evaluation.audience import choose_audience_vote, measure_audience
from training.evaluation.metrics import ndcg, recall
from training.evaluation.setting import Setting, setting_of
from training.evaluation.statistics import bootstrap_means, percentiles
from training.evaluation.subject import Representation
from training.mining.positives import SharedAudience
from training.teachers.id_embeddings import find_teacher

FACTORS, REGULARIZATION, CONFIDENCE, ITERATIONS = 64, 0.05, 20.0, 20
LENDERS = 20


def als(watched: sp.csr_matrix, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of streamers (G, E) and users (U, E) by their interactions (G, U)."""
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=REGULARIZATION,
            alpha=CONFIDENCE,
            iterations=ITERATIONS,
            random_state=seed,
            num_threads=1,
        )
        model.fit(watched.T.tocsr(), show_progress=False)
    return np.asarray(model.item_factors, np.float32), np.asarray(model.user_factors, np.float32)


def auc(scores: NDArray[np.float32], relevant: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Probability per query (Q,) that a user of the audience scores above another."""
    values = []
    for row, wanted in zip(scores, relevant, strict=True):
        ranks = np.empty(len(row))
        ranks[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
        positive, others = len(wanted), len(row) - len(wanted)
        values.append((ranks[wanted].sum() - positive * (positive + 1) / 2) / (positive * others))
    return np.array(values)


class Night:
    """One hand-over, and what is predicted of the newcomers by it."""

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        setting: Setting,
        cold: NDArray[np.int64],
        vectors: NDArray[np.float32],
        users: NDArray[np.float32],
        counts: NDArray[np.float32],
        *,
        was_trained: bool,
    ) -> None:
        gallery = setting.gallery
        learned = (np.linalg.norm(vectors, axis=1) > 1e-6) & (
            np.linalg.norm(embeddings[gallery], axis=1) > 0
        )
        rows = gallery[learned]
        known = Known(
            embeddings=embeddings[rows],
            vectors=vectors[learned],
            coverage=np.ones(len(rows), np.float32),
            modalities=np.full(len(rows), 2, np.float32),
            interactions=counts[learned],
            unseen=np.full(len(rows), not was_trained),
            audience=audience_of(RowVectors.of(users)),
        )
        self.known, self.learned = known, np.flatnonzero(learned)
        self.fit = fit(known)
        predictor = self.fit.predictor
        assert predictor is not None
        near = nearest(embeddings[cold], embeddings[rows])
        ones = np.ones(len(cold), np.float32)
        served = predictor.predict(embeddings[cold], near, known.vectors, ones, 2 * ones)
        ridge = next(way for way in predictor.ways if way.name == "ridge")
        self.vectors = {
            "served": served.vectors,
            "ridge": ridge.map(embeddings[cold]),
            "neighbours": predictor.weights.mean(near, known.vectors),
        }
        self.rows, self.own, self.users = rows, known.vectors, users

    def scores(self, name: str) -> NDArray[np.float32]:
        return self.vectors[name] @ self.users.T


def lent(corpus: Corpus, night: Night, cold: NDArray[np.int64]) -> NDArray[np.float32]:
    """Means of the vectors of the nearest by TF-IDF, weighted by their cosines (Q, E)."""
    products = np.asarray((corpus.lexical[cold] @ corpus.lexical[night.rows].T).todense())
    places = np.argsort(-products, axis=1, kind="stable")[:, :LENDERS]
    near = Near(places, np.take_along_axis(products, places, 1).astype(np.float32))
    return np.einsum("qk,qke->qe", near.scores, unit(night.own[places])).astype(np.float32)


def neighbours_of(watched: sp.csr_matrix, depth: int) -> StreamerNeighbours:
    """Those with the largest cosines of audiences (G, U), where they share enough users."""
    near, weights = SharedAudience(watched, 1.0).candidates(depth)
    there = weights > 0
    lengths = there.sum(1)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    rows = near[there].astype(np.int32)
    return StreamerNeighbours(ends, rows, shares_of(weights[there], lengths))


def measure(
    data: Path, checkpoint: Path | None, seeds: int, depths: Sequence[int]
) -> dict[str, object]:
    dataset = load_dataset(data)
    setting = setting_of(dataset, "test")
    pieces = [pieces_of(profile) for profile in dataset.profiles]
    corpus = Corpus(dataset, pieces, np.sort(setting.gallery), 0)
    embeddings = corpus.content if checkpoint is None else embed(checkpoint, dataset.profiles)
    embeddings = unit(np.asarray(embeddings, np.float32))
    assert setting.audience is not None
    watched = sp.csr_matrix(setting.audience[setting.gallery])
    counts = np.asarray(watched.sum(1), np.float32).ravel()
    active = np.flatnonzero(np.asarray(watched.sum(0)).ravel() > 0)
    truth = sp.csr_matrix(setting.audience[setting.queries][:, active])
    has = (np.diff(truth.indptr) > 0) & (np.linalg.norm(embeddings[setting.queries], axis=1) > 0)
    cold = setting.queries[has]
    truth = sp.csr_matrix(truth[np.flatnonzero(has)])
    relevant = [
        truth.indices[a:b].astype(np.int64)
        for a, b in zip(truth.indptr[:-1], truth.indptr[1:], strict=True)
    ]
    per_query: dict[str, list[NDArray[np.float64]]] = {}
    told: dict[str, object] = {"data": data.name, "real_data": data.name != "world"}

    def note(name: str, scores: NDArray[np.float32]) -> None:
        best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
        per_query.setdefault(f"{name} NDCG@50", []).append(ndcg(best, relevant, 50))
        per_query.setdefault(f"{name} recall@100", []).append(recall(best, relevant, 100))
        per_query.setdefault(f"{name} AUC", []).append(auc(scores, relevant))

    nights: list[Night] = []
    for seed in range(seeds):
        for kind, turned in (("first", False), ("next", True)):
            own, users = als(watched[:, active], 2 * seed + turned)
            if turned:
                random = np.random.default_rng(seed).standard_normal((own.shape[1],) * 2)
                turn = np.linalg.qr(random)[0].astype(np.float32)
                own, users = own @ turn, users @ turn
            night = Night(
                embeddings,
                setting,
                cold,
                own,
                users,
                counts,
                was_trained=checkpoint is not None,
            )
            nights.append(night)
            for name in night.vectors:
                note(f"{kind} {name}", night.scores(name))
            if not turned:
                note("borrowed by TF-IDF", lent(corpus, night, cold) @ users.T)
    popular = np.tile(np.asarray(watched[:, active].sum(0), np.float32), (len(cold), 1))
    note("popularity", popular)
    for name, made in (("TF-IDF", corpus.lexical), ("embedding", embeddings)):
        told[f"vote of {name} NDCG@50"] = _vote(dataset, setting, Representation.symmetric(made))
    means = {name: np.mean(each, axis=0) for name, each in per_query.items()}
    told["values"] = {name: round(float(value.mean()), 4) for name, value in means.items()}
    told["queries"] = len(cold)
    told["ratios"] = {
        "next / first recall@100": _ratio(
            means["next served recall@100"], means["first served recall@100"]
        ),
        "served / borrowed NDCG@50": _ratio(
            means["first served NDCG@50"], means["borrowed by TF-IDF NDCG@50"]
        ),
    }
    watched.data[:] = 1
    handed = {depth: neighbours_of(watched, depth) for depth in depths}
    told["vote NDCG@20"] = graphs(dataset, setting, nights[0], embeddings, handed)
    first = nights[0].fit
    assert first.predictor is not None
    told["fit"] = {
        "method": first.predictor.method,
        "values": {name: round(value, 4) for name, value in first.values.items()},
        "calibration error": [
            round(each.fit.predictor.confidence.error, 4) for each in nights if each.fit.predictor
        ],
        "half": round(first.shrinkage.half, 2),
    }
    return told


def graphs(
    dataset: Dataset,
    setting: Setting,
    night: Night,
    embeddings: NDArray[np.float32],
    handed: Mapping[int, StreamerNeighbours],
) -> dict[str, dict[str, object]]:
    """NDCG@20 of the established that newcomers share users with, by the vote of several graphs.

    One is of shared audiences, as a bundle has it, with a vote chosen on val; one of the
    hand-over's own vectors; the others of neighbours that come with it, by how many.
    """
    task, own = setting.seen, night.fit.graph
    assert task is not None
    assert own is not None
    content = Representation.symmetric(embeddings)
    known = np.sort(setting.gallery)
    teacher = find_teacher(dataset, known, TeacherConfig(), 0, 1)
    trial = find_teacher(dataset, np.sort(dataset.rows("train")), TeacherConfig(), 0, 1)
    val = setting_of(dataset, "val").seen
    assert val is not None
    vote = choose_vote(content, trial, edges_of(trial), val, 0)
    edges = weighed(edges_of(teacher), teacher, vote)
    ballot = Ballot.of(content, teacher.rows, edges, task.queries)
    shared = task.ndcg(*ballot.matrices(vote))
    told: dict[str, dict[str, object]] = {
        "shared audiences": {"value": round(float(shared.mean()), 4)}
    }
    voting = {"own vectors": own}
    for depth, neighbours in handed.items():
        among = replace(night.known, neighbours=neighbours.among(night.learned))
        graph = fit(among).graph
        assert graph is not None
        voting[f"{depth} neighbours handed over"] = graph
    size = len(night.rows)
    order = np.argsort(night.rows)
    for name, graph in voting.items():
        whole = sp.csr_matrix((graph.weights, graph.indices, graph.indptr), (size, size))
        ballot = Ballot.of(
            content, night.rows[order], sp.csr_matrix(whole[order][:, order]), task.queries
        )
        found = task.ndcg(*ballot.matrices(Vote(graph.temperature, graph.own_share)))
        told[name] = {
            "value": round(float(found.mean()), 4),
            "ratio": _ratio(found, shared),
            "edges of each": round(len(graph.indices) / size, 1),
            "temperature, own share": [graph.temperature, graph.own_share],
        }
    return told


def _vote(dataset: Dataset, setting: Setting, made: Representation) -> float:
    chosen = choose_audience_vote(setting_of(dataset, "val"), made)
    found = measure_audience(
        setting, Representation(made.query, made.gallery, audience_vote=chosen)
    )
    assert found is not None
    return round(found.summary["NDCG@50"], 4)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> list[float]:
    """Ratio of means, with its 95 % interval over queries."""
    drawn = bootstrap_means(np.stack([above, below], 1), 2000)
    low, high = percentiles(drawn[:, 0] / drawn[:, 1])
    return [round(float(value), 4) for value in (above.mean() / below.mean(), low, high)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--neighbours", type=int, nargs="*", default=[20, 50], metavar="COUNT")
    args = parser.parse_args()
    found = measure(args.data, args.checkpoint, args.seeds, args.neighbours)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
