"""Which streamers of a list are the same content, and a list with those kept apart."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.media_copies import (
    NEAREST_COMPARED,
    SHARED_COPIES,
    Look,
    SameMedia,
    count_copies,
    look_in,
    who_shares,
)
from service.engine.replica.follower import Follower
from service.engine.scoring.precision import Precision
from service.engine.work.lanes import Lanes
from service.engine.work.turns import Turns
from service.errors import FieldError, InvalidRequest, ServiceError, StreamerNotFound
from service.features.dedup.feed import spread
from service.features.dedup.grouping import Components, components, groups_of, join_pairs
from service.index.base import Hit, VectorIndex
from service.index.query import Query, ScoringSpec

_CANDIDATES = 50
"""Nearest by embedding whose content is compared when a single streamer is checked."""
_PROFILES_PER_TURN = 64
"""So many are encoded before others get their turn: writes wait for the same encoder."""


@dataclass(slots=True)
class NearDuplicate(Hit):
    """A streamer whose content is nearly that of another one.

    Its score is the cosine of their content sketches; in a cluster, the highest one with a member
    that it is joined with.

    Attributes:
        copies: how many pictures and sounds of both are copies, where these were compared; in a
            cluster, the most with another member.
    """

    copies: int = 0


@dataclass(frozen=True)
class Cluster:
    """Near-duplicates of each other; the representative is the first of the list."""

    representative: str
    members: Sequence[NearDuplicate]


@dataclass(frozen=True)
class DedupAnswer:
    """Clusters of two or more, those that are alone, and those that have no vector to compare.

    `incomplete_because` says why the newest writes may be missing, None when they are not.
    """

    threshold: float
    clusters: Sequence[Cluster]
    unique: Sequence[str]
    not_comparable: Sequence[str]
    incomplete_because: str | None


@dataclass(frozen=True)
class FeedAnswer:
    """The list re-ordered; see `feed.spread`."""

    threshold: float
    order: Sequence[str]
    held_back: Sequence[str]
    too_close: int
    clusters: Sequence[Cluster]
    incomplete_because: str | None


@dataclass(frozen=True, eq=False)
class _Shown:
    """A streamer of the list: its sketch, None without usable content, and what towers made."""

    content: NDArray[np.float16] | None
    tower_vectors: bytes = b""


@dataclass(frozen=True, eq=False)
class _Compared:
    """A list that was compared.

    Attributes:
        names: ids, by place in the list.
        comparable: whether each has content to compare.
        found: who is joined with whom.
        groups: places of each component.
        copies: int64 (N,), the most that each shares with another one.
        behind: why the newest writes may be missing; None when they are not.
    """

    names: Sequence[str]
    comparable: Sequence[bool]
    found: Components
    groups: Sequence[Sequence[int]]
    copies: NDArray[np.int64]
    behind: str | None


class Dedup:
    """The use-cases behind `POST /v1/dedup` and the near-duplicates of a write."""

    def __init__(
        self,
        follower: Follower,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        lanes: Lanes,
        turns: Turns,
        content_dim: int,
        threshold: float,
        precision: Precision,
        visible_timeout_ms: int,
    ) -> None:
        """Compare content sketches of `content_dim` numbers; `threshold` is the bundle's.

        Lists are compared in `lanes`, a few `turns` at a time.
        """
        self._follower = follower
        self._pipeline = pipeline
        self._stored = stored
        self._lanes = lanes
        self._turns = turns
        self.model_version = pipeline.model_version
        self._content_dim = content_dim
        self.threshold = threshold
        self._precision = precision
        self._visible_timeout_ms = visible_timeout_ms

    async def near_duplicates(
        self, streamer_id: str, encoded: Encoded, tower_vectors: bytes = b""
    ) -> list[NearDuplicate]:
        """Stored streamers with nearly the same content as this one, nearest first.

        Candidates are the nearest by embedding: what has nearly the same content is among them, and
        among the first of them who shows copies of the same pictures and sounds.

        Args:
            streamer_id: this one, which is left out.
            encoded: what was made of it.
            tower_vectors: what is stored of its pictures and sounds.

        Raises:
            NotReady: there is no index yet.
            Unavailable: the index or the store can't answer at the moment.
        """
        index = self._follower.index
        found = await index.search(
            Query(ScoringSpec.nearest(encoded.embedding), _CANDIDATES, exclude={streamer_id})
        )
        nearest = [hit.streamer_id for hit in found.hits]
        copies = await self._copies(tower_vectors, nearest[:NEAREST_COMPARED])
        content = encoded.content.astype(np.float32)
        near: list[NearDuplicate] = []
        for row in await index.get(nearest):
            if row is not None and row.content is not None:
                score = float(content @ row.content.astype(np.float32))
                count = copies.get(row.streamer_id, 0)
                if score >= self.threshold or count >= SHARED_COPIES:
                    near.append(NearDuplicate(row.streamer_id, score, count))
        return sorted(near, key=lambda n: (-n.score, n.streamer_id))

    async def _copies(self, tower_vectors: bytes, ids: Sequence[str]) -> dict[str, int]:
        """How many pictures and sounds these stored streamers share with what is stored here."""
        own = await self._lanes.run(partial(look_in, tower_vectors))
        if not ids or not own.may_share:
            return {}
        stored = await self._stored.tower_vectors(ids)

        def compare() -> dict[str, int]:
            looks = [look_in(one) for one in stored]
            return dict(zip(ids, count_copies(own, looks), strict=True))

        return await self._lanes.run(compare)

    async def clusters(
        self,
        *,
        ids: Sequence[str] = (),
        profiles: Sequence[StreamerProfile] = (),
        threshold: float | None = None,
        min_precision: float | None = None,
        pictures: bool | None = None,
        after_sequence: int = 0,
    ) -> DedupAnswer:
        """Near-duplicate clusters of a list of stored streamers, or of profiles.

        Pairs are joined from `threshold` on, or from where the calibration promises
        `min_precision`: the share of pairs that are duplicates, among those that reach it. With
        `pictures`, and by default where neither of these is given, those are joined as well who
        share `SHARED_COPIES` pictures or sounds.

        Raises:
            StreamerNotFound: names every id that is not stored.
            PrecisionNotPromised: the model's calibration can't promise `min_precision`.
            InvalidRequest: an id is given twice, or a profile can't be read.
            NotYetVisible: `after_sequence` was not reached in time.
            Overloaded: too many lists wait already, or this one did not have its turn in time.
        """
        limit = self._limit(threshold, min_precision)
        with_pictures = _by_default(pictures, threshold, min_precision)
        compared = await self._compare(ids, profiles, limit, with_pictures, after_sequence)
        names, comparable = compared.names, compared.comparable
        alone = [group[0] for group in compared.groups if len(group) == 1]
        return DedupAnswer(
            limit,
            _clusters(compared),
            [names[place] for place in alone if comparable[place]],
            [names[place] for place in alone if not comparable[place]],
            compared.behind,
        )

    async def feed(
        self,
        *,
        ids: Sequence[str] = (),
        profiles: Sequence[StreamerProfile] = (),
        threshold: float | None = None,
        min_precision: float | None = None,
        pictures: bool | None = None,
        window: int = 3,
        max_per_cluster: int | None = None,
        after_sequence: int = 0,
    ) -> FeedAnswer:
        """Re-order a list with near-duplicates `window` places apart; raises as `clusters`."""
        limit = self._limit(threshold, min_precision)
        with_pictures = _by_default(pictures, threshold, min_precision)
        compared = await self._compare(ids, profiles, limit, with_pictures, after_sequence)
        names = compared.names
        result = spread(compared.groups, window, max_per_cluster)
        return FeedAnswer(
            limit,
            [names[place] for place in result.order],
            [names[place] for place in result.held_back],
            result.too_close,
            _clusters(compared),
            compared.behind,
        )

    def _limit(self, threshold: float | None, min_precision: float | None) -> float:
        if min_precision is not None:
            return self._precision.threshold(min_precision, self._precision.curves()).min_score
        return self.threshold if threshold is None else threshold

    async def _compare(
        self,
        ids: Sequence[str],
        profiles: Sequence[StreamerProfile],
        threshold: float,
        with_pictures: bool,
        after_sequence: int,
    ) -> _Compared:
        await self._follower.wait_for(after_sequence, self._visible_timeout_ms)
        names = [*ids, *(profile.streamer_id for profile in profiles)]
        _refuse_repeated(names, "/ids" if ids else "/profiles")
        async with self._turns.turn():
            return await self._compare_in_turn(names, ids, profiles, threshold, with_pictures)

    async def _compare_in_turn(
        self,
        names: Sequence[str],
        ids: Sequence[str],
        profiles: Sequence[StreamerProfile],
        threshold: float,
        with_pictures: bool,
    ) -> _Compared:
        behind = None
        if profiles:
            shown = await self._shown_by(profiles)
        else:
            behind = self._follower.behind_because
            shown = await _stored(self._follower.index, ids)

        alike: Sequence[SameMedia] = ()
        if with_pictures:
            alike = await self._same_media(names, shown, stored=not profiles)

        def compare() -> Generator[None, None, _Compared]:
            matrix = np.zeros((len(names), self._content_dim), np.float32)  # (N, C)
            for place, one in enumerate(shown):
                if one.content is not None:
                    matrix[place] = one.content  # a row of zeros reaches no threshold
            found = yield from components(matrix, threshold)
            copies = join_pairs(found, matrix, alike)
            comparable = [one.content is not None for one in shown]
            return _Compared(names, comparable, found, groups_of(found), copies, behind)

        return await self._lanes.run_in_slices(compare())

    async def _same_media(
        self, names: Sequence[str], shown: Sequence[_Shown], *, stored: bool
    ) -> list[SameMedia]:
        """Who shares pictures and sounds with whom, by places in the list."""
        looks: list[Look] = []
        for start in range(0, len(names), _PROFILES_PER_TURN):
            part = slice(start, start + _PROFILES_PER_TURN)
            packed = [one.tower_vectors for one in shown[part]]
            if stored:
                packed = await self._stored.tower_vectors(names[part])
            looks += await self._lanes.run_in_slices(_looks(packed))
        return await self._lanes.run_in_slices(who_shares(looks))

    async def _shown_by(self, profiles: Sequence[StreamerProfile]) -> list[_Shown]:
        shown: list[_Shown] = []
        for start in range(0, len(profiles), _PROFILES_PER_TURN):
            part = profiles[start : start + _PROFILES_PER_TURN]
            items = [ToRead(profile, f"/profiles/{i}") for i, profile in enumerate(part, start)]
            for item in await self._pipeline.encode_many(items):
                if isinstance(item, ServiceError):
                    raise item
                made = item.encoded
                if made is None:
                    shown.append(_Shown(None))
                else:
                    shown.append(_Shown(made.content, item.tower_vectors))
        return shown


def _looks(packed: Sequence[bytes]) -> Generator[None, None, list[Look]]:
    looks: list[Look] = []
    for one in packed:
        looks.append(look_in(one))
        yield
    return looks


def _by_default(pictures: bool | None, threshold: float | None, precision: float | None) -> bool:
    return threshold is None and precision is None if pictures is None else pictures


async def _stored(index: VectorIndex, ids: Sequence[str]) -> list[_Shown]:
    rows = await index.get(ids)
    missing = [(i, name) for i, (name, row) in enumerate(zip(ids, rows, strict=True)) if not row]
    if missing:
        raise StreamerNotFound(
            "not stored: " + ", ".join(repr(name) for _, name in missing),
            [FieldError(f"/ids/{i}", f"streamer {name!r} is not stored") for i, name in missing],
        )
    return [_Shown(row.content) for row in rows if row is not None]


def _refuse_repeated(names: Sequence[str], pointer: str) -> None:
    seen: dict[str, int] = {}
    errors: list[FieldError] = []
    for place, name in enumerate(names):
        if name in seen:
            detail = f"streamer {name!r} is already at {pointer}/{seen[name]}"
            errors.append(FieldError(f"{pointer}/{place}", detail))
        seen.setdefault(name, place)
    if errors:
        first = "; ".join(f"{error.pointer}: {error.detail}" for error in errors[:3])
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        raise InvalidRequest(f"{first}{more}; give each streamer once", errors)


def _clusters(compared: _Compared) -> list[Cluster]:
    names, best = compared.names, compared.found.best
    return [
        Cluster(
            names[group[0]],
            [
                NearDuplicate(names[p], min(1.0, float(best[p])), int(compared.copies[p]))
                for p in group
            ],
        )
        for group in compared.groups
        if len(group) > 1
    ]
