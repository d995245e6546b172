"""Varied rankings: maximal marginal relevance, and greedy inference of determinantal processes.

Both have one polarity: a relevance of 1 is the order of the scores, of 0 variety alone.
"""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

OWN_SHARE = 0.01
"""Of each candidate: shared with nobody, so that more may be chosen than vectors are wide."""
_AT_ONCE = 8192
"""Candidates that are looked at in one slice."""


def marginally_relevant(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], k: int, relevance: float
) -> Generator[None, None, list[int]]:
    """Places of `k` candidates by maximal marginal relevance, in slices.

    Each next one has the highest `relevance * score - (1 - relevance) * nearest`, where `nearest`
    is the highest cosine with those before it (Carbonell and Goldstein 1998, "The use of MMR,
    diversity-based reranking"); the first is the best by score.

    Args:
        scores: of the candidates (N,).
        vectors: of the candidates (N, D), of unit length.
        k: how many are chosen.
        relevance: from 0, variety alone, to 1, score alone.
    """
    left = np.ones(len(scores), bool)
    nearest = np.full(len(scores), -1.0, np.float32)
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        worth = scores if not chosen else relevance * scores - (1 - relevance) * nearest
        best = int(np.where(left, worth, -np.inf).argmax())
        left[best] = False
        chosen.append(best)
        for some in _blocks(len(scores)):
            np.maximum(nearest[some], vectors[some] @ vectors[best], out=nearest[some])
            yield
    return chosen


def determinantal(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], k: int, relevance: float
) -> Generator[None, None, list[int]]:
    """Places of `k` candidates by greedy MAP inference of a determinantal point process, in slices.

    Each next one makes `relevance * (sum of scores) + (1 - relevance) * log det S` of all chosen so
    far the highest (Chen, Zhang and Zhou 2018, "Fast Greedy MAP Inference for Determinantal Point
    Process to Improve Recommendation Diversity"). `S` is half of 1 + cosine, less a share that is
    each one's own: opposite vectors have nothing in common that way, where the determinant of
    cosines would take them for the same. By the determinant a candidate is compared with all chosen
    ones together, not with the nearest alone: what several of them cover between them adds nothing.

    That paper keeps a row of the Cholesky factor of `S` per candidate, which costs N k² in all. `S`
    is linear in features of D + 1 numbers; so the variance that the chosen ones leave (the same
    number) follows from one matrix of that width: N k D in all, as for marginal relevance, and N
    numbers kept, however many are chosen.

    Args:
        scores: of the candidates (N,).
        vectors: of the candidates (N, D), of unit length.
        k: how many are chosen.
        relevance: from 0, variety alone, to 1, score alone.
    """
    count, width = vectors.shape
    left = np.ones(count, bool)
    # What the chosen ones leave of each candidate's variance: d² of the paper.
    remaining = np.ones(count, np.float64)  # (N,)
    # Covariance of the features' weights, given the chosen ones.
    covariance = np.eye(width + 1) * (1 - OWN_SHARE)  # (D + 1, D + 1)
    chosen: list[int] = []
    while len(chosen) < min(k, count):
        worth = relevance * scores + (1 - relevance) * np.log(remaining)
        best = int(np.where(left, worth, -np.inf).argmax())
        left[best] = False
        chosen.append(best)
        feature = np.append(vectors[best], 1.0) / np.sqrt(2.0)  # (D + 1,)
        shared = covariance @ feature  # (D + 1,)
        variance = OWN_SHARE + float(feature @ shared)
        covariance -= np.outer(shared, shared / variance)
        weights = (shared / np.sqrt(2.0 * variance)).astype(np.float32)
        yield
        for some in _blocks(count):
            seen = vectors[some] @ weights[:-1] + weights[-1]  # (B,)
            remaining[some] -= np.square(seen, dtype=np.float64)
            np.maximum(remaining[some], OWN_SHARE, out=remaining[some])
            yield
    return chosen


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]
