"""Which streamers of a list are the same content, and a list with those kept apart."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from service.engine.work.search_pool import Searches
from service.errors import FieldError, InvalidRequest, ServiceError, StreamerNotFound
from service.features.dedup.feed import spread
from service.features.dedup.grouping import Components, components, groups_of
from service.index.base import VectorIndex

_CANDIDATES = 50
"""Nearest by embedding whose content is compared when a single streamer is checked."""
_PROFILES_PER_TURN = 64
"""So many are encoded before others get their turn: writes wait for the same encoder."""


@dataclass(frozen=True)
class NearDuplicate:
    """A stored streamer whose content is alike.

    Attributes:
        streamer_id: who.
        score: cosine of the content sketches.
        copies: how many pictures of both are copies, if it is one of the nearest by embedding.
    """

    streamer_id: str
    score: float
    copies: int = 0


@dataclass(frozen=True)
class Member:
    """A streamer of a cluster.

    Attributes:
        streamer_id: who.
        score: highest content cosine to another one that it is joined with.
        copies: the most pictures that it shares with another one, where pictures were compared.
    """

    streamer_id: str
    score: float
    copies: int = 0


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
    """A list: its names, who can be compared, who is alike, copies, and why it may be old."""

    names: Sequence[str]
    comparable: Sequence[bool]
    found: Components
    copies: Mapping[int, int]
    behind: str | None


class Dedup:
    """The use-cases behind `POST /v1/dedup` and the near-duplicates of a write."""

    def __init__(
        self,
        follower: Follower,
        searches: Searches,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        content_dim: int,
        threshold: float,
        precision: Precision,
        visible_timeout_ms: int,
    ) -> None:
        """Compare content sketches of `content_dim` numbers; `threshold` is the bundle's."""
        self._follower = follower
        self._searches = searches
        self._pipeline = pipeline
        self._stored = stored
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
        found = await self._searches.search(
            index,
            encoded.embedding[None, :],
            None,
            _CANDIDATES,
            exclude={streamer_id},
            queued=False,  # the write is on disk, so its answer must not be refused
        )
        nearest = [hit.streamer_id for hit in found.hits]
        copies = await self._copies(tower_vectors, nearest[:NEAREST_COMPARED])
        content = encoded.content.astype(np.float32)
        near: list[NearDuplicate] = []
        for row in index.get(nearest):
            if row is not None and row.content is not None:
                score = float(content @ row.content.astype(np.float32))
                count = copies.get(row.streamer_id, 0)
                if score >= self.threshold or count >= SHARED_COPIES:
                    near.append(NearDuplicate(row.streamer_id, score, count))
        return sorted(near, key=lambda n: (-n.score, n.streamer_id))

    async def _copies(self, tower_vectors: bytes, ids: Sequence[str]) -> dict[str, int]:
        """How many pictures and sounds these stored streamers share with what is stored here."""
        own = await asyncio.to_thread(look_in, tower_vectors)
        if not ids or not own.may_share:
            return {}
        stored = await self._stored.tower_vectors(ids)

        def compare() -> dict[str, int]:
            return dict(zip(ids, count_copies(own, _looks(stored)), strict=True))

        return await asyncio.to_thread(compare)

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
        """
        limit = self._limit(threshold, min_precision)
        with_pictures = _by_default(pictures, threshold, min_precision)
        compared = await self._compare(ids, profiles, limit, with_pictures, after_sequence)
        names, comparable = compared.names, compared.comparable
        groups = groups_of(compared.found.label)
        alone = [group[0] for group in groups if len(group) == 1]
        return DedupAnswer(
            limit,
            _clusters(groups, compared),
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
        """The same list with near-duplicates `window` places apart; raises as `clusters`."""
        limit = self._limit(threshold, min_precision)
        with_pictures = _by_default(pictures, threshold, min_precision)
        compared = await self._compare(ids, profiles, limit, with_pictures, after_sequence)
        names, groups = compared.names, groups_of(compared.found.label)
        result = spread(groups, window, max_per_cluster)
        return FeedAnswer(
            limit,
            [names[place] for place in result.order],
            [names[place] for place in result.held_back],
            result.too_close,
            _clusters(groups, compared),
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
        behind = None
        if profiles:
            shown = await self._shown_by(profiles)
        else:
            behind = self._follower.behind_because
            shown = await asyncio.to_thread(_stored, self._follower.index, ids)

        def compare() -> Components:
            matrix = np.zeros((len(names), self._content_dim), np.float32)  # (N, C)
            for place, one in enumerate(shown):
                if one.content is not None:
                    matrix[place] = one.content  # a row of zeros reaches no threshold
            return components(matrix, threshold)

        found = await asyncio.to_thread(compare)
        copies: dict[int, int] = {}
        if with_pictures:
            for pair in await self._same_media(names, shown, stored=not profiles):
                found.join(pair.one, pair.other, _cosine(shown[pair.one], shown[pair.other]))
                for place in (pair.one, pair.other):
                    copies[place] = max(copies.get(place, 0), pair.copies)
        return _Compared(names, [one.content is not None for one in shown], found, copies, behind)

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
            looks += await asyncio.to_thread(_looks, packed)
        return await asyncio.to_thread(who_shares, looks)

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


def _looks(packed: Sequence[bytes]) -> list[Look]:
    return [look_in(one) for one in packed]


def _by_default(pictures: bool | None, threshold: float | None, precision: float | None) -> bool:
    return threshold is None and precision is None if pictures is None else pictures


def _stored(index: VectorIndex, ids: Sequence[str]) -> list[_Shown]:
    rows = index.get(ids)
    missing = [(i, name) for i, (name, row) in enumerate(zip(ids, rows, strict=True)) if not row]
    if missing:
        raise StreamerNotFound(
            "not stored: " + ", ".join(repr(name) for _, name in missing),
            [FieldError(f"/ids/{i}", f"streamer {name!r} is not stored") for i, name in missing],
        )
    return [_Shown(row.content) for row in rows if row is not None]


def _cosine(one: _Shown, other: _Shown) -> float:
    if one.content is None or other.content is None:
        return 0.0
    return float(one.content.astype(np.float32) @ other.content.astype(np.float32))


def _refuse_repeated(names: Sequence[str], pointer: str) -> None:
    seen: dict[str, int] = {}
    errors: list[FieldError] = []
    for place, name in enumerate(names):
        if name in seen:
            errors.append(FieldError(f"{pointer}/{place}", f"{name!r} is at {seen[name]} already"))
        seen.setdefault(name, place)
    if errors:
        raise InvalidRequest(f"{len(errors)} streamers are given twice", errors)


def _clusters(groups: Sequence[Sequence[int]], compared: _Compared) -> list[Cluster]:
    names, best = compared.names, compared.found.best
    return [
        Cluster(
            names[group[0]],
            [Member(names[p], min(1.0, float(best[p])), compared.copies.get(p, 0)) for p in group],
        )
        for group in groups
        if len(group) > 1
    ]
