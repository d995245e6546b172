"""Which streamers of a list are the same content, and a list with those kept apart."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from service.encoder import Encoded
from service.errors import FieldError, InvalidRequest, ServiceError, StreamerNotFound
from service.index.base import VectorIndex
from service.retrieval.clusters import Components, components, groups_of, spread
from service.retrieval.follower import Follower
from service.retrieval.precision import Precision
from service.retrieval.profiles import Profiles
from service.retrieval.reader import ToRead
from service.retrieval.searches import Searches

_CANDIDATES = 50
"""Nearest by embedding whose content is compared when a single streamer is checked."""
_PROFILES_PER_TURN = 64
"""So many are encoded before others get their turn: writes wait for the same encoder."""


@dataclass(frozen=True)
class NearDuplicate:
    """A stored streamer whose content is alike; the score is the cosine of the content sketches."""

    streamer_id: str
    score: float


@dataclass(frozen=True)
class Member:
    """A streamer of a cluster, with its highest content cosine to another one of it."""

    streamer_id: str
    score: float


@dataclass(frozen=True)
class Cluster:
    """Near-duplicates of each other; the representative is the first of the list."""

    representative: str
    members: Sequence[Member]


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
    """The list re-ordered; see `clusters.spread`."""

    threshold: float
    order: Sequence[str]
    held_back: Sequence[str]
    too_close: int
    clusters: Sequence[Cluster]
    incomplete_because: str | None


class Dedup:
    """The use-cases behind `POST /v1/dedup` and the near-duplicates of a write."""

    def __init__(
        self,
        follower: Follower,
        searches: Searches,
        profiles: Profiles,
        content_dim: int,
        threshold: float,
        precision: Precision,
        visible_timeout_ms: int,
    ) -> None:
        """Compare content sketches of `content_dim` numbers; `threshold` is the bundle's."""
        self._follower = follower
        self._searches = searches
        self._profiles = profiles
        self._content_dim = content_dim
        self.threshold = threshold
        self._precision = precision
        self._visible_timeout_ms = visible_timeout_ms

    async def near_duplicates(self, streamer_id: str, encoded: Encoded) -> list[NearDuplicate]:
        """Stored streamers with nearly the same content as this one, nearest first.

        Candidates are the nearest by embedding: what has nearly the same content is among them.
        Empty while the index is not ready; a write never waits for it.
        """
        if not self._follower.is_ready:
            return []
        index = self._follower.index
        found = await self._searches.search(
            index,
            encoded.embedding[None, :],
            None,
            _CANDIDATES,
            exclude={streamer_id},
            queued=False,  # the write is on disk, so its answer must not be refused
        )
        content = encoded.content.astype(np.float32)
        near: list[NearDuplicate] = []
        for row in index.get([hit.streamer_id for hit in found.hits]):
            if row is not None and row.content is not None:
                score = float(content @ row.content.astype(np.float32))
                if score >= self.threshold:
                    near.append(NearDuplicate(row.streamer_id, score))
        return sorted(near, key=lambda n: (-n.score, n.streamer_id))

    async def clusters(
        self,
        *,
        ids: Sequence[str] = (),
        profiles: Sequence[StreamerProfile] = (),
        threshold: float | None = None,
        min_precision: float | None = None,
        after_sequence: int = 0,
    ) -> DedupAnswer:
        """Near-duplicate clusters of a list of stored streamers, or of profiles.

        Pairs are joined from `threshold` on, or from where the calibration promises
        `min_precision`: the share of pairs that are duplicates, among those that reach it.

        Raises:
            StreamerNotFound: names every id that is not stored.
            PrecisionNotPromised: the model's calibration can't promise `min_precision`.
            InvalidRequest: an id is given twice, or a profile can't be read.
            NotYetVisible: `after_sequence` was not reached in time.
        """
        limit = self._limit(threshold, min_precision)
        names, comparable, found, behind = await self._compare(ids, profiles, limit, after_sequence)
        groups = groups_of(found.label)
        alone = [group[0] for group in groups if len(group) == 1]
        return DedupAnswer(
            limit,
            _clusters(names, groups, found),
            [names[place] for place in alone if comparable[place]],
            [names[place] for place in alone if not comparable[place]],
            behind,
        )

    async def feed(
        self,
        *,
        ids: Sequence[str] = (),
        profiles: Sequence[StreamerProfile] = (),
        threshold: float | None = None,
        min_precision: float | None = None,
        window: int = 3,
        max_per_cluster: int | None = None,
        after_sequence: int = 0,
    ) -> FeedAnswer:
        """The same list with near-duplicates `window` places apart; raises as `clusters`."""
        limit = self._limit(threshold, min_precision)
        names, _, found, behind = await self._compare(ids, profiles, limit, after_sequence)
        groups = groups_of(found.label)
        result = spread(groups, window, max_per_cluster)
        return FeedAnswer(
            limit,
            [names[place] for place in result.order],
            [names[place] for place in result.held_back],
            result.too_close,
            _clusters(names, groups, found),
            behind,
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
        after_sequence: int,
    ) -> tuple[list[str], list[bool], Components, str | None]:
        """Names, which of them have content to compare, who is alike, and why that may be old."""
        await self._follower.wait_for(after_sequence, self._visible_timeout_ms)
        names = [*ids, *(profile.streamer_id for profile in profiles)]
        _refuse_repeated(names, "/ids" if ids else "/profiles")
        behind = None
        if profiles:
            contents = await self._contents_of(profiles)
        else:
            behind = self._follower.behind_because
            contents = await asyncio.to_thread(_stored_contents, self._follower.index, ids)

        def compare() -> Components:
            matrix = np.zeros((len(names), self._content_dim), np.float32)  # (N, C)
            for place, content in enumerate(contents):
                if content is not None:
                    matrix[place] = content  # a row of zeros reaches no threshold
            return components(matrix, threshold)

        found = await asyncio.to_thread(compare)
        return names, [content is not None for content in contents], found, behind

    async def _contents_of(
        self, profiles: Sequence[StreamerProfile]
    ) -> list[NDArray[np.float16] | None]:
        contents: list[NDArray[np.float16] | None] = []
        for start in range(0, len(profiles), _PROFILES_PER_TURN):
            part = profiles[start : start + _PROFILES_PER_TURN]
            items = [ToRead(profile, f"/profiles/{i}") for i, profile in enumerate(part, start)]
            for encoded in await self._profiles.encode_many(items):
                if isinstance(encoded, ServiceError):
                    raise encoded
                contents.append(None if encoded.encoded is None else encoded.encoded.content)
        return contents


def _stored_contents(index: VectorIndex, ids: Sequence[str]) -> list[NDArray[np.float16] | None]:
    rows = index.get(ids)
    missing = [(i, name) for i, (name, row) in enumerate(zip(ids, rows, strict=True)) if not row]
    if missing:
        raise StreamerNotFound(
            "not stored: " + ", ".join(repr(name) for _, name in missing),
            [FieldError(f"/ids/{i}", f"streamer {name!r} is not stored") for i, name in missing],
        )
    return [None if row is None else row.content for row in rows]


def _refuse_repeated(names: Sequence[str], pointer: str) -> None:
    seen: dict[str, int] = {}
    errors: list[FieldError] = []
    for place, name in enumerate(names):
        if name in seen:
            errors.append(FieldError(f"{pointer}/{place}", f"{name!r} is at {seen[name]} already"))
        seen.setdefault(name, place)
    if errors:
        raise InvalidRequest(f"{len(errors)} streamers are given twice", errors)


def _clusters(
    names: Sequence[str], groups: Sequence[Sequence[int]], found: Components
) -> list[Cluster]:
    return [
        Cluster(
            names[group[0]],
            [Member(names[place], min(1.0, float(found.best[place]))) for place in group],
        )
        for group in groups
        if len(group) > 1
    ]
