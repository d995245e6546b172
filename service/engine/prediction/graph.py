"""The graph of neighbours in a generation, for the vote of the established."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, BehaviourGraph
from service.engine.prediction.inner_products import nearest_of_all
from service.engine.prediction.linear import unit
from service.engine.prediction.neighbours import Near, nearest
from service.engine.spaces.streamer_neighbours import StreamerNeighbours

NEIGHBOURS = 20
"""Of a streamer, before edges are made mutual; the depth of what is chosen by."""
_TEMPERATURES = (0.03, 0.015, 0.06, 0.12, 0.25)
_OWN_SHARES = (0.2, 0.05, 0.5, 1.5)
_QUERIES = 200
_ROWS = 1 << 15
_MOST_EDGES = 200
"""Of a streamer in the graph: whoever is in the lists of thousands would make each vote slow."""


def neighbour_graph(
    vectors: NDArray[np.float32],
    tick: Callable[[], None],
    handed: StreamerNeighbours | None = None,
) -> BehaviourGraph:
    """Graph of neighbours, mutual; weights of each row sum to 1.

    An edge weighs as much as its weight is of the row's largest one, and of the two directions the
    larger counts. Of many in the lists of others the heaviest stay.

    Args:
        vectors: (n, E); who has no neighbours in `handed` has the nearest by cosine.
        tick: called between steps; may raise to end the work.
        handed: neighbours that were handed over, of the n among them.
    """
    lists = _nearest_lists(vectors, tick, None if handed is None else handed.having)
    if handed is not None:
        lists = _either(handed, lists) if len(lists.rows) else handed
    return _mutual(lists, tick)


def _nearest_lists(
    vectors: NDArray[np.float32], tick: Callable[[], None], without: NDArray[np.bool_] | None
) -> StreamerNeighbours:
    """The nearest by cosine of each row, none of those that are left out."""
    count = len(vectors)
    k = min(NEIGHBOURS, count - 1)
    wanted = np.arange(count) if without is None else np.flatnonzero(~without)
    indptr = np.zeros(count + 1, np.int64)
    if k < 1 or not len(wanted):
        return StreamerNeighbours(indptr, np.zeros(0, np.int32), np.zeros(0, np.float32))
    near, scores = nearest_of_all(unit(vectors), k, tick, wanted=wanted)
    share = (scores.clip(0) / np.maximum(scores[:, :1], 1e-9)).astype(np.float32)  # (w, k)
    used = (near >= 0) & (share > 0)
    indptr[1:][wanted] = used.sum(axis=1)
    return StreamerNeighbours(np.cumsum(indptr), near[used], share[used])


def _either(one: StreamerNeighbours, other: StreamerNeighbours) -> StreamerNeighbours:
    """Two sets of lists of the same rows, of which no row has both."""
    sources = np.concatenate([one.sources(), other.sources()])
    order = np.argsort(sources, kind="stable")
    return StreamerNeighbours(
        one.indptr + other.indptr,
        np.concatenate([one.rows, other.rows])[order],
        np.concatenate([one.shares, other.shares])[order],
    )


def _mutual(lists: StreamerNeighbours, tick: Callable[[], None]) -> BehaviourGraph:
    """Each edge in both directions, some rows at a time: the whole takes ten times the memory."""
    count, sources = len(lists.indptr) - 1, lists.sources()
    lengths = np.zeros(count + 1, np.int64)
    columns, weights = list[NDArray[np.int32]](), list[NDArray[np.float32]]()
    for begin in range(0, count, _ROWS):
        tick()
        end = min(begin + _ROWS, count)
        mine = slice(int(lists.indptr[begin]), int(lists.indptr[end]))
        theirs = np.flatnonzero((lists.rows >= begin) & (lists.rows < end))
        rows = np.concatenate([sources[mine], lists.rows[theirs]]) - begin
        to = np.concatenate([lists.rows[mine], sources[theirs]])
        shares = np.concatenate([lists.shares[mine], lists.shares[theirs]])
        keys = rows.astype(np.int64) * count + to
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        best = np.maximum.reduceat(shares[order], first) if len(first) else shares
        rows, to = np.divmod(keys[first], count)
        ends = np.cumsum(np.bincount(rows, minlength=end - begin))
        part = StreamerNeighbours(np.concatenate([[0], ends]), to.astype(np.int32), best)
        part = part.heaviest(_MOST_EDGES)
        rows = part.sources()
        total = np.bincount(rows, part.shares, end - begin)
        lengths[begin + 1 : end + 1] = np.diff(part.indptr)
        columns.append(part.rows)
        weights.append((part.shares / np.maximum(total[rows], 1e-12)).astype(np.float32))
    return BehaviourGraph(
        np.cumsum(lengths),
        np.concatenate([np.zeros(0, np.int32), *columns]),
        np.concatenate([np.zeros(0, np.float32), *weights]),
        _TEMPERATURES[0],
        _OWN_SHARES[0],
    )


def choose_vote(
    graph: BehaviourGraph, near: Near, truth: Sequence[NDArray[np.integer]]
) -> BehaviourGraph:
    """The graph with the temperature and own share that find most of the held-out.

    Args:
        graph: of n streamers.
        near: the voters of Q held-out streamers, among the n.
        truth: (Q,) whom each should find, at most `NEIGHBOURS`.
    """
    asking = [row for row in range(min(len(truth), _QUERIES)) if len(truth[row])]
    if not asking:
        return graph
    near = Near(near.places[asking], near.scores[asking])
    truth = [truth[row] for row in asking]

    def best(tried: Iterable[BehaviourGraph]) -> BehaviourGraph:
        return max(tried, key=lambda one: _ndcg(one, near, truth))  # the first of equals

    graph = best(replace(graph, temperature=t) for t in _TEMPERATURES)
    return best(replace(graph, own_share=share) for share in _OWN_SHARES)


def neighbours_of_held_out(
    known: NDArray[np.float32],
    held: NDArray[np.int64],
    train: NDArray[np.int64],
    handed: StreamerNeighbours | None,
) -> Sequence[NDArray[np.integer]]:
    """Whom each of the held-out (Q,) should find: places among those that are not, best first.

    Args:
        known: (n, E) vectors of all; by their cosines where no neighbours were handed over.
        held: (Q,) rows of the held-out.
        train: (t,) rows of the others, ascending.
        handed: neighbours that were handed over, among the n.
    """
    held = held[:_QUERIES]
    truth = list(nearest(unit(known[held]), unit(known[train]), NEIGHBOURS).places)
    if handed is None:
        return truth
    place = np.full(len(known), -1, np.int64)
    place[train] = np.arange(len(train))
    for number, row in enumerate(held.tolist()):
        rows, shares = handed.of(row)
        if len(rows):
            best = place[rows[np.argsort(-shares, kind="stable")]]
            truth[number] = best[best >= 0][:NEIGHBOURS]
    return truth


def _ndcg(graph: BehaviourGraph, near: Near, truth: Sequence[NDArray[np.integer]]) -> float:
    """Mean NDCG of the vote with binary gains."""
    discounts = 1 / np.log2(np.arange(2, 2 + NEIGHBOURS))
    values: list[float] = []
    for voters, cosines, right in zip(near.places, near.scores, truth, strict=True):
        scores = graph.count(voters[:VOTERS], graph.shares(cosines[:VOTERS])).scores()
        named = np.flatnonzero(scores > 0)  # few of all
        if len(named) > NEIGHBOURS:
            named = named[np.argpartition(-scores[named], NEIGHBOURS - 1)[:NEIGHBOURS]]
        found = named[np.argsort(-scores[named], kind="stable")]
        gains = np.isin(found, right)
        values.append(float(discounts[: len(found)][gains].sum() / discounts[: len(right)].sum()))
    return float(np.mean(values))
