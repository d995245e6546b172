"""The graph of a generation's own neighbours, for the vote of the established."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, BehaviourGraph
from service.engine.prediction.inner_products import nearest_of_all
from service.engine.prediction.linear import unit
from service.engine.prediction.neighbours import Near, nearest

NEIGHBOURS = 20
"""Edges per streamer before they are made mutual; the depth of the task that is chosen by."""
_TEMPERATURES = (0.03, 0.015, 0.06, 0.12, 0.25)
_OWN_SHARES = (0.2, 0.05, 0.5, 1.5)
_QUERIES = 200


def neighbour_graph(vectors: NDArray[np.float32], tick: Callable[[], None]) -> BehaviourGraph:
    """Graph of the nearest by vector (n, E), mutual; weights of each row sum to 1.

    An edge weighs as much as its cosine is of the row's best one.
    """
    count = len(vectors)
    k = min(NEIGHBOURS, count - 1)
    if k < 1:
        return _graph_of(np.zeros(0, np.int64), np.zeros(0, np.float32), count)
    near, scores = nearest_of_all(unit(vectors), k, tick)
    share = (scores.clip(0) / np.maximum(scores[:, :1], 1e-9)).astype(np.float32)  # (n, k)
    used = ((near >= 0) & (share > 0)).ravel()
    rows = np.repeat(np.arange(count, dtype=np.int64), k)[used]
    columns, weights = near.ravel()[used].astype(np.int64), share.ravel()[used]
    keys = np.concatenate([rows * count + columns, columns * count + rows])
    both = np.concatenate([weights, weights])
    order = np.argsort(keys, kind="stable")
    keys, both = keys[order], both[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    tick()
    return _graph_of(keys[first], np.maximum.reduceat(both, first), count)


def _graph_of(keys: NDArray[np.int64], weights: NDArray[np.float32], count: int) -> BehaviourGraph:
    """A graph of edges by ascending row * count + column (A,)."""
    rows, columns = np.divmod(keys, max(count, 1))
    total = np.bincount(rows, weights, count)
    shares = weights / np.maximum(total[rows], 1e-12)
    indptr = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=indptr[1:])
    return BehaviourGraph(
        indptr,
        columns.astype(np.int32),
        shares.astype(np.float32),
        _TEMPERATURES[0],
        _OWN_SHARES[0],
    )


def choose_vote(
    graph: BehaviourGraph,
    near: Near,
    targets: NDArray[np.float32],
    vectors: NDArray[np.float32],
) -> BehaviourGraph:
    """The graph with the temperature and own share that find most of the held-out.

    Args:
        graph: of n streamers.
        near: the voters of Q held-out streamers, among the n.
        targets: (Q, E) own vectors of the held-out.
        vectors: (n, E) own vectors.
    """
    near = Near(near.places[:_QUERIES], near.scores[:_QUERIES])
    truth = nearest(unit(targets[:_QUERIES]), unit(vectors), NEIGHBOURS).places  # (Q, 20)
    if not len(truth):
        return graph

    def best(tried: Iterable[BehaviourGraph]) -> BehaviourGraph:
        return max(tried, key=lambda one: _ndcg(one, near, truth))  # the first of equals

    graph = best(replace(graph, temperature=t) for t in _TEMPERATURES)
    return best(replace(graph, own_share=share) for share in _OWN_SHARES)


def _ndcg(graph: BehaviourGraph, near: Near, truth: NDArray[np.int64]) -> float:
    """Mean NDCG of the vote with binary gains."""
    discounts = 1 / np.log2(np.arange(2, 2 + NEIGHBOURS))
    values: list[float] = []
    for voters, cosines, right in zip(near.places, near.scores, truth, strict=True):
        scores = graph.count(voters[:VOTERS], graph.shares(cosines[:VOTERS])).scores()
        found = np.argpartition(-scores, len(right) - 1)[: len(right)]
        found = found[np.argsort(-scores[found], kind="stable")]
        gains = np.isin(found, right) & (scores[found] > 0)
        values.append(float(discounts[: len(found)][gains].sum() / discounts[: len(right)].sum()))
    return float(np.mean(values))
