"""Checks of a hand-over before it may serve: each has a name, a verdict and the reason for it."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.fit import audience_of
from service.engine.replica.follower import Follower
from service.engine.spaces.geometry import (
    POOL,
    agreement_with_content,
    agreement_with_neighbours,
    audience_agreement,
    neighbourhood_overlap,
    rotation_residual,
)
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.row_vectors import RowVectors
from service.engine.work.lanes import Lanes
from service.features.spaces.patient_work import in_slices
from service.features.spaces.readers.rows import HandOver
from service.settings.spaces import Spaces as Settings

_KNOWN_SAMPLE = 20_000
_CONTENT_SAMPLE = 1500
_LEAST_COMMON = 20
_LEAST_USERS = 50
_TURNED = 3.0
"""Deviations: users turned against streamers at random agree by 0, give or take 1 / width."""
_MOST_LOOKED_UP = 100_000
"""Ids that are looked up to find those that are in both of two hand-overs."""
_LEAST_CONTENT = 30
_LEAST_NEIGHBOURS = 30
_CLEARLY = 0.1
_USERS = 20_000
"""Drawn at random, by whose scores streamers are compared."""
_IDS_AT_ONCE = 256
_MERE_ROTATION = 0.05
_LONGEST = 1000.0
"""A vector so many times as long as the median's one would be first in every list."""
_SAME_SHARE = 0.5
_LEAST_SIZE = 0.5


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: of it.
        passed: whether it passed; None where it could not be made, or only informs.
        detail: for people, with the remedy where it failed.
        value: what was measured.
        limit: what is asked for.
    """

    name: str
    passed: bool | None
    detail: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, eq=False)
class Before:
    """Vectors that were served before, of the same space.

    Attributes:
        name: of them, for people.
        ids: of the rows.
        vectors: (n, d).
        user_ids: of the rows of `user_vectors`; none where there are no users.
        user_vectors: (m, d).
    """

    name: str
    ids: Sequence[str]
    vectors: NDArray[np.float32]
    user_ids: Sequence[str] = ()
    user_vectors: RowVectors | None = None


@dataclass
class _Checks:
    made: list[Check] = field(default_factory=list[Check])

    def add(
        self,
        name: str,
        passed: bool | None,
        detail: str,
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        verdict = None if passed is None else bool(passed)  # NumPy's own is no JSON
        rounded = None if value is None else round(float(value), 4)
        self.made.append(Check(name, verdict, detail, rounded, limit))


class Checker:
    """Checks hand-overs against what is stored, and what was served before."""

    def __init__(self, follower: Follower, lanes: Lanes, settings: Settings) -> None:
        """Look up streamers in the index of `follower`."""
        self._follower = follower
        self._lanes = lanes
        self._settings = settings

    async def check(self, given: HandOver, before: Before | None) -> list[dict[str, Any]]:
        """All checks of a hand-over, for JSON; each row of it is usable by itself already.

        Raises:
            Overloaded: there was no turn for it.
        """
        checks = _Checks()
        await in_slices(self._lanes, self._shape(given, before, checks))
        rows, embeddings = await self._known(given, checks)
        is_compared = before is not None and await in_slices(
            self._lanes, self._compare(given, before, checks)
        )
        if is_compared:
            checks.add("content", None, "not looked at: the generation before tells more")
        elif len(rows) < _LEAST_CONTENT:
            checks.add(
                "content",
                None,
                f"{len(rows)} streamers have content here, {_LEAST_CONTENT} are needed to tell "
                "whether the rows belong to their ids",
            )
        else:
            vectors = np.array(given.streamers.vectors()[rows])
            found = await in_slices(self._lanes, agreement_with_content(embeddings, vectors))
            passed = found.auc >= found.least
            checks.add(
                "content",
                passed,
                f"a streamer's vector is nearer to what its content predicts than another's in "
                f"{found.auc:.1%} of {found.rows} streamers' comparisons"
                + ("" if passed else ": do the rows still belong to their ids?"),
                found.auc,
                round(found.least, 4),
            )
        return [asdict(check) for check in checks.made]

    def _shape(
        self, given: HandOver, before: Before | None, checks: _Checks
    ) -> Generator[None, None, None]:
        dim = given.streamers.dim
        if before is None:
            checks.add("width", True, f"vectors have {dim} numbers", dim)
        else:
            width = before.vectors.shape[1]
            same = width == dim
            remedy = "" if same else "; another width is another space: hand it over under its name"
            checks.add(
                "width", same, f"{dim} numbers, {before.name} has {width}{remedy}", dim, width
            )
        checks.add("finite", True, "every number is finite, and no vector is zero")
        if before is not None:
            _compare_sizes(given, before, checks)
        yield
        norms = np.empty(given.streamers.count, np.float32)
        marks = np.empty(given.streamers.count, np.float64)
        direction = np.random.default_rng(0).normal(size=dim)
        vectors = given.streamers.vectors()
        for start in range(0, len(norms), POOL):
            block = vectors[start : start + POOL]
            norms[start : start + POOL] = np.linalg.norm(block, axis=1)
            marks[start : start + POOL] = block @ direction
            yield
        middle, longest = float(np.median(norms)), float(norms.max())
        checks.add(
            "norms",
            longest <= _LONGEST * middle,
            f"lengths from {norms.min():.3g} over {middle:.3g} (median) to {longest:.3g}",
            longest / middle,
            _LONGEST,
        )
        same_share = 1 - len(np.unique(marks)) / len(marks)
        checks.add(
            "duplicates",
            same_share <= _SAME_SHARE,
            f"{same_share:.1%} of the streamers have the vector of another one; no id comes twice",
            same_share,
            _SAME_SHARE,
        )
        if given.streamers.neighbours.count:
            yield
            _check_neighbours(given, checks)

    async def _known(
        self, given: HandOver, checks: _Checks
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows of streamers with content, and their embeddings; a sample of both."""
        ids, index = given.streamers.ids, self._follower.index
        drawn = np.random.default_rng(0).permutation(len(ids))[:_KNOWN_SAMPLE]
        known = 0
        rows: list[int] = []
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(drawn), _IDS_AT_ONCE):
            part: list[int] = drawn[start : start + _IDS_AT_ONCE].tolist()
            for row, stored in zip(part, await index.get([ids[i] for i in part]), strict=True):
                known += stored is not None
                if len(rows) == _CONTENT_SAMPLE or stored is None or stored.embedding is None:
                    continue
                rows.append(row)
                found.append(stored.embedding)
            await self._lanes.give_way()  # the index may answer at once
        share, least = known / len(drawn), self._settings.min_known
        of = (
            "the streamers" if len(drawn) == len(ids) else f"{len(drawn)} streamers drawn at random"
        )
        remedy = (
            ""
            if share >= least
            else "; are the ids those by which streamers are stored? (STREAMER_SPACES__MIN_KNOWN)"
        )
        checks.add(
            "known_ids",
            share >= least,
            f"{share:.1%} of {of} are stored here{remedy}",
            share,
            least,
        )
        return np.array(rows, np.int64), np.array(found, np.float32)

    def _compare(
        self, given: HandOver, before: Before, checks: _Checks
    ) -> Generator[None, None, bool]:
        """Compare with what was served before; whether enough are in both."""
        ours, theirs = yield from _in_both(given.streamers.ids, before.ids)
        if len(ours) < _LEAST_COMMON:
            why = f"{len(ours)} streamers are in {before.name} as well, {_LEAST_COMMON} are needed"
            checks.add("neighbourhoods", None, why)
            checks.add("rotation", None, why)
            return False
        new, old = np.array(given.streamers.vectors()[ours]), np.array(before.vectors[theirs])
        overlap = yield from neighbourhood_overlap(new, old)
        least = self._settings.min_overlap
        passed = overlap.beyond_chance >= least
        checks.add(
            "neighbourhoods",
            passed,
            f"{overlap.share:.1%} of the {overlap.k} nearest among {len(ours)} streamers are those "
            f"of {before.name}, {overlap.beyond_chance:.1%} beyond chance"
            + ("" if passed else ": do the rows still belong to their ids?"),
            overlap.beyond_chance,
            least,
        )
        yield
        if new.shape[1] != old.shape[1]:
            checks.add("rotation", None, "of another width")
        else:
            residual = rotation_residual(old, new)
            mere = residual <= _MERE_ROTATION
            checks.add(
                "rotation",
                None,
                ("a rotation of" if mere else "more than a rotation away from")
                + f" {before.name}: the best rotation leaves {residual:.1%}",
                residual,
                _MERE_ROTATION,
            )
        yield
        if given.users.count:
            yield from self._compare_audiences(given, before, (new, old), checks)
        return True

    def _compare_audiences(
        self,
        given: HandOver,
        before: Before,
        streamers: tuple[NDArray[np.float32], NDArray[np.float32]],
        checks: _Checks,
    ) -> Generator[None, None, None]:
        """Compare who suits whom, by vectors of streamers in both, now and before."""
        if before.user_vectors is None or not len(before.user_ids):
            checks.add("audiences", None, f"{before.name} has no users to compare with")
            return
        ours, theirs = yield from _in_both(given.users.ids, before.user_ids)
        if len(ours) < _LEAST_USERS:
            why = f"{len(ours)} users are in {before.name} as well, {_LEAST_USERS} are needed"
            checks.add("audiences", None, why)
            return
        users = np.array(given.users.vectors()[ours])
        users_before = before.user_vectors.take(np.array(theirs, np.int64))
        agreement = yield from audience_agreement(streamers[0], users, streamers[1], users_before)
        least = max(self._settings.min_overlap, min(0.5, _TURNED / users.shape[1]))
        passed = agreement >= least
        checks.add(
            "audiences",
            passed,
            f"who suits whom, of {len(streamers[0])} streamers and {len(ours)} users, correlates "
            f"with {before.name} by {agreement:.2f}"
            + (
                ""
                if passed
                else ": do the users' rows still belong to their ids, and are users and streamers "
                "of the same run?"
            ),
            agreement,
            least,
        )


def _check_neighbours(given: HandOver, checks: _Checks) -> None:
    """Neighbours whose rows or ids were mixed up are no nearer than anybody."""
    rows, neighbours = given.streamers.neighbours.some(POOL)
    if len(rows) < _LEAST_NEIGHBOURS:
        why = f"{len(rows)} streamers have neighbours, {_LEAST_NEIGHBOURS} are needed to tell"
        checks.add("neighbours", None, why)
        return
    users = np.random.default_rng(0).permutation(given.users.count)[:_USERS]
    turn = audience_of(RowVectors.of(np.array(given.users.vectors()[np.sort(users)])))
    vectors, others = (np.array(given.streamers.vectors()[each]) for each in (rows, neighbours))
    if turn is not None:  # audiences are alike where scores for users are, more than by vectors
        vectors, others = vectors @ turn, others @ turn
    found = agreement_with_neighbours(vectors, others)
    # Another one's neighbour is one's own as well where lists are long and streamers few.
    best = 1 - given.streamers.neighbours.mean_length / (2 * (given.streamers.count - 1))
    if best < found.least + _CLEARLY:
        checks.add("neighbours", None, "lists are too long for so few streamers to tell")
        return
    passed = found.auc >= found.least
    checks.add(
        "neighbours",
        passed,
        f"a streamer's vector is nearer to that of its neighbour than to that of another's in "
        f"{found.auc:.1%} of {found.rows} comparisons"
        + ("" if passed else ": do the neighbours belong to these streamers?"),
        found.auc,
        round(found.least, 4),
    )


def _compare_sizes(given: HandOver, before: Before, checks: _Checks) -> None:
    """A file that was cut off at the end of a line is whole by itself, and smaller than before."""
    counts = {
        "streamers": (given.streamers.count, len(before.ids)),
        "users": (given.users.count, len(before.user_ids)),
    }
    share = min((now / then for now, then in counts.values() if then), default=1.0)
    told = " and ".join(f"{now} {kind} after {then}" for kind, (now, then) in counts.items())
    passed = share >= _LEAST_SIZE
    remedy = "" if passed else ": was the file written to its end?"
    checks.add("size", passed, f"{told} of {before.name}{remedy}", share, _LEAST_SIZE)


def _in_both(
    ids: PackedIds, before: Sequence[str]
) -> Generator[None, None, tuple[list[int], list[int]]]:
    """Rows of ids that are in both, at most `POOL` drawn at random, and their rows before."""
    known = before if isinstance(before, PackedIds) else PackedIds.of(before)
    draw = np.random.default_rng(1)
    count = min(len(ids), _MOST_LOOKED_UP)
    looked_up: list[int] = draw.choice(len(ids), count, replace=False).tolist()
    ours: list[int] = []
    theirs: list[int] = []
    for number, row in enumerate(looked_up):
        other = known.find(ids[row])
        if other is not None:
            ours.append(row)
            theirs.append(other)
            if len(ours) == POOL:
                break
        if number % 1024 == 0:
            yield
    return ours, theirs
