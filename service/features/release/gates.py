"""Gates that a model passes before it is served, each with what was measured and why it matters.

A gate that can't be measured for want of data is `not_run`, and says what would be needed.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import ScoreCalibration
from model_export.contract.features import Features, without
from model_export.contract.pieces import MODALITIES
from service.engine.evidence.engine import Evidence
from service.engine.work.lanes import run_to_end
from service.features.release.encoder import ReleaseEncoder as Encoder
from service.features.release.encoder import Vectors, golden_vectors
from service.features.release.held_out import HeldOut
from service.features.release.pairs import PairScores

Status = Literal["passed", "failed", "not_run"]
Floats = NDArray[np.float32]
DEPTH = 20
"""Neighbours that are compared."""
FEWEST = 20
"""Cases below which a share says too little."""
BLOCK_PAIRS = 4 << 20
"""Pairs whose scores are in memory at a time."""
_STRANGERS = 4000


@dataclass(frozen=True)
class Thresholds:
    """What a model must reach.

    Attributes:
        golden_cosine: most mean cosine of golden profiles, which have nothing in common.
        duplicates: least share of copies without a disguise that are found to be the same.
        disguises: least share of disguised copies that are found, for each disguise.
        stranger_joins: most share of strangers that are taken for the same. Where 0.005 of the
            candidates are the same, as evidence takes it, and nearly all are found, four of five
            joins are right at 0.001; at 0.05 one of ten would be.
        false_joins: most share of honest look-alikes that are taken for the same, which are rare.
        kept: least share of its nearest streamers that a profile keeps without one modality.
        relevance: least probability that a relevant streamer scores higher than another one.
        calibration_error: most expected calibration error of the embedding's precision.
    """

    golden_cosine: float = 0.9
    duplicates: float = 0.9
    disguises: float = 0.5
    stranger_joins: float = 0.001
    false_joins: float = 0.05
    kept: float = 0.2
    relevance: float = 0.6
    calibration_error: float = 0.15


@dataclass(frozen=True)
class Gate:
    """The outcome of one gate.

    Attributes:
        name: of the gate; one of several cases of a kind is behind a colon.
        status: what came of it.
        measured: what was found; None if it was not run.
        limit: what it must reach, or may have at most.
        cases: how many it was measured on.
        reason: what was found in words; why it failed, or was not run.
    """

    name: str
    status: Status
    measured: float | None
    limit: float
    cases: int
    reason: str


def golden(encoder: Encoder, limits: Thresholds) -> Gate:
    """Whether vectors of the golden profiles are finite, of unit length, and not all alike."""
    limit, vectors = limits.golden_cosine, golden_vectors(encoder)
    count = len(vectors)
    name = "golden"
    if count < 2:
        return _not_run(name, limit, count, "fewer than two golden profiles have a vector")
    if not np.isfinite(vectors).all():
        return _judged(name, None, limit, count, False, "vectors have numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1)
    if np.abs(lengths - 1).max() > 1e-3:
        return _judged(name, None, limit, count, False, "vectors are not of unit length")
    cosine = float((vectors @ vectors.T)[np.triu_indices(count, 1)].mean())
    said = f"golden profiles, which have nothing in common, have a mean cosine of {cosine:.3f}"
    return _judged(name, cosine, limit, count, cosine <= limit, said)


def copies(data: HeldOut, evidence: Evidence, vectors: Vectors, limits: Thresholds) -> list[Gate]:
    """Whether copies are found to be the same, by disguise, and strangers are not."""
    pairs = np.array([(c.one, c.other) for c in data.copies], np.int64).reshape(-1, 2)
    rng = np.random.default_rng(0)
    strangers = rng.integers(0, len(data.profiles), (_STRANGERS, 2))
    strangers = strangers[data.groups[strangers[:, 0]] != data.groups[strangers[:, 1]]]
    alike = np.array(data.look_alikes, np.int64).reshape(-1, 2)
    joined = _joined(data, evidence, vectors, np.concatenate([pairs, strangers, alike]))
    found = joined[: len(pairs)]
    by_disguise: defaultdict[str, list[bool]] = defaultdict(list)
    for copy, is_found in zip(data.copies, found.tolist(), strict=True):
        for disguise in copy.disguise.split("+"):
            by_disguise[disguise].append(is_found)
    plain = by_disguise.pop("plain", [])
    gates = [_found("duplicates", plain, limits.duplicates, "copies without a disguise")]
    if not by_disguise:
        gates.append(_found("disguises", [], limits.disguises, "disguised copies"))
    for disguise in sorted(by_disguise):
        what = f"copies disguised by {disguise}"
        gates.append(_found(f"disguises:{disguise}", by_disguise[disguise], limits.disguises, what))
    rest = joined[len(pairs) :]
    of_strangers, of_alike = rest[: len(strangers)], rest[len(strangers) :]
    for name, wrong, limit, what in (
        ("strangers", of_strangers, limits.stranger_joins, "pairs of strangers"),
        ("look_alikes", of_alike, limits.false_joins, "pairs of honest look-alikes"),
    ):
        if len(wrong) < FEWEST:
            gates.append(_too_few(f"false_joins:{name}", limit, len(wrong), what))
            continue
        share = float(wrong.mean())
        said = f"{int(wrong.sum())} of {len(wrong)} {what} are taken for the same"
        gates.append(_judged(f"false_joins:{name}", share, limit, len(wrong), share <= limit, said))
    return gates


def absent_modalities(
    data: HeldOut, encoder: Encoder, vectors: Vectors, limits: Thresholds
) -> list[Gate]:
    """Whether profiles keep their neighbours when one modality is not there."""
    gates: list[Gate] = []
    before = nearest(vectors.embedding[: data.queries], vectors, np.arange(data.queries))
    for modality in MODALITIES:
        name = f"absent:{modality}"
        changed: list[tuple[int, Features]] = []
        for place, features in enumerate(vectors.features[: data.queries]):
            if features.status[modality] == "used":
                masked = without(features, {modality})
                if masked.usable:
                    changed.append((place, masked))
        if len(changed) < FEWEST:
            gates.append(
                _too_few(name, limits.kept, len(changed), f"profiles that show {modality} and more")
            )
            continue
        places = np.array([place for place, _ in changed], np.int64)
        after = nearest(encoder.embed([masked for _, masked in changed]), vectors, places)
        kept = [
            len(np.intersect1d(now, then)) / len(then)
            for now, then in zip(after, before[places], strict=True)
        ]
        share = float(np.mean(kept))
        said = f"without {modality}, profiles keep {share:.0%} of their {DEPTH} nearest"
        gates.append(_judged(name, share, limits.kept, len(kept), share >= limits.kept, said))
    return gates


def ranking(
    data: HeldOut, vectors: Vectors, calibration: ScoreCalibration | None, limits: Thresholds
) -> list[Gate]:
    """Whether relevant streamers score higher, and as precisely as the calibration promises."""
    if data.relevant is None:
        why = "the folder has no interactions.csv, relations.csv or labels.csv"
        return [
            _not_run("relevance", limits.relevance, 0, why),
            _not_run("calibration", limits.calibration_error, 0, why),
        ]
    usable = vectors.usable & data.known
    rows = np.flatnonzero(usable[: data.queries])
    gallery = data.queries + np.flatnonzero(usable[data.queries :])  # as in the calibration
    curves = [] if calibration is None else calibration.curves
    pairs = PairScores(curves[0].knots if curves else ())
    shown = vectors.embedding[gallery]
    for some in _blocks(rows, len(gallery)):
        right = data.relevant.rows(some)[:, gallery]
        pairs.add(vectors.embedding[some] @ shown.T, right)
    count = pairs.right + pairs.wrong
    if min(pairs.right, pairs.wrong) < FEWEST:
        why = f"only {pairs.right} of {count} pairs of held-out streamers are relevant"
        return [
            _not_run("relevance", limits.relevance, count, why),
            _not_run("calibration", limits.calibration_error, count, why),
        ]
    auc = pairs.area_under_curve()
    said = f"a relevant streamer scores higher than another one with probability {auc:.3f}"
    gates = [_judged("relevance", auc, limits.relevance, count, auc >= limits.relevance, said)]
    why = None
    if calibration is None or not curves:
        why = "the bundle has no calibration of the embedding"
    elif calibration.right != data.right:
        why = (
            f"the folder tells who has {data.right}, and the bundle was calibrated by another "
            f"relevance: {calibration.right}"
        )
    if why is not None:
        return [*gates, _not_run("calibration", limits.calibration_error, count, why)]
    error, reached = pairs.calibration_error(FEWEST)
    name, limit = "calibration", limits.calibration_error
    if reached < FEWEST:
        said = (
            f"only {reached} of {count} pairs reach the lowest threshold of the calibration, "
            f"{curves[0].knots[-1].score:.3f}: scores are not those it was made with"
        )
        return [*gates, _judged(name, None, limit, count, False, said)]
    said = f"precision promised and precision found differ by {error:.3f} on the mean"
    return [*gates, _judged(name, error, limit, reached, error <= limit, said)]


def _joined(
    data: HeldOut, evidence: Evidence, vectors: Vectors, pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the evidence says that the two of each pair (P, 2) are the same (P,)."""
    found, ends = np.unique(pairs, return_inverse=True)
    places: list[int] = found.tolist()
    sides = [
        evidence.side(data.profiles[i], vectors.embedding[i] if vectors.usable[i] else None)
        for i in places
    ]
    ends = ends.reshape(-1, 2)
    return run_to_end(evidence.compare(sides, ends[:, 0], ends[:, 1])).matches.joined


def _blocks(rows: NDArray[np.int64], others: int) -> list[NDArray[np.int64]]:
    """Rows in blocks that have about `BLOCK_PAIRS` pairs with so many others."""
    size = max(1, BLOCK_PAIRS // max(1, others))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def nearest(query: Floats, vectors: Vectors, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The `DEPTH` nearest of all streamers (Q, DEPTH) in any order, of ties the first ones.

    Args:
        query: (Q, D), unit vectors.
        vectors: of all N streamers.
        places: (Q,), who asks, and is not found.
    """
    count = len(vectors.embedding)
    depth = min(DEPTH, count)
    found = np.empty((len(query), depth), np.int64)
    for some in _blocks(np.arange(len(query)), count):
        scores = query[some] @ vectors.embedding.T  # (b, N)
        scores[:, ~vectors.usable] = -np.inf
        scores[np.arange(len(some)), places[some]] = -np.inf
        least = np.partition(scores, count - depth, axis=1)[:, count - depth]
        for row, each, lowest in zip(some.tolist(), scores, least, strict=True):
            above, tied = np.flatnonzero(each > lowest), np.flatnonzero(each == lowest)
            found[row] = np.concatenate([above, tied[: depth - len(above)]])
    return found


def _found(name: str, found: Sequence[bool], limit: float, what: str) -> Gate:
    if len(found) < FEWEST:
        return _too_few(name, limit, len(found), what)
    share = float(np.mean(found))
    said = f"{sum(found)} of {len(found)} {what} are found to be the same"
    return _judged(name, share, limit, len(found), share >= limit, said)


def _judged(
    name: str, measured: float | None, limit: float, cases: int, good: bool, reason: str
) -> Gate:
    return Gate(name, "passed" if good else "failed", measured, limit, cases, reason)


def _too_few(name: str, limit: float, cases: int, what: str) -> Gate:
    return _not_run(name, limit, cases, f"the folder has {cases} {what}, {FEWEST} are needed")


def _not_run(name: str, limit: float, cases: int, reason: str) -> Gate:
    return Gate(name, "not_run", None, limit, cases, reason)
