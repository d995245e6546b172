"""Which streamers of a list are the same content, and a list with those kept apart."""

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import MEDIA, VERDICTS, Side
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.engine import Evidence
from service.engine.evidence.media_copies import Look, SameMedia, look_in, who_shares
from service.engine.evidence.stored_sides import StoredSides
from service.engine.replica.follower import Follower
from service.engine.scoring.precision import Precision
from service.engine.spaces.geometry import unit_rows
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.turns import Turns
from service.errors import ServiceError
from service.features.dedup.answers import Cluster, DedupAnswer, FeedAnswer, NearDuplicate
from service.features.dedup.edges import Edges, compare_list
from service.features.dedup.feed import spread
from service.features.dedup.given import Shown, refuse_repeated, shown_of
from service.features.dedup.grouping import Components, components, groups_of, join_pairs
from service.index.query import EQUAL

_PROFILES_PER_TURN = 64
"""So many are encoded before others get their turn: writes wait for the same encoder."""
_SIDES_AT_ONCE = 1000
"""Sides in memory that are looked up before others get their turn: a millisecond."""


@dataclass(frozen=True, eq=False)
class _Compared:
    """A list that was compared.

    Attributes:
        names: ids, by place in the list.
        comparable: whether each has content to compare.
        found: who is joined with whom.
        groups: places of each component.
        copies: int64 (N,), the most that each shares with another one.
        edges: what evidence says; None where it was not asked.
        not_stored: ids of the list that are unknown.
        behind: why the newest writes may be missing; None when they are not.
    """

    names: Sequence[str]
    comparable: Sequence[bool]
    found: Components
    groups: Sequence[Sequence[int]]
    copies: NDArray[np.int64]
    edges: Edges | None
    not_stored: Sequence[str]
    behind: str | None


class Dedup:
    """The use-cases behind `POST /v1/dedup`."""

    def __init__(
        self,
        follower: Follower,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
        turns: Turns,
        content_dim: int,
        threshold: float,
        precision: Precision,
        visible_timeout_ms: int,
    ) -> None:
        """Compare content sketches of `content_dim` numbers, and evidence.

        Args:
            follower: the index with the sketches of stored streamers.
            pipeline: encodes profiles.
            stored: what towers made of stored streamers.
            evidence: of the model.
            sides: what evidence compares of stored streamers.
            lanes: where lists are compared.
            turns: a few at a time.
            content_dim: numbers of a sketch.
            threshold: content cosine of near-duplicates, the bundle's.
            precision: of content cosines.
            visible_timeout_ms: how long a question waits for a write.
        """
        self._follower = follower
        self._pipeline = pipeline
        self._stored = stored
        self._evidence = evidence
        self._sides = sides
        self._lanes = lanes
        self._turns = turns
        self.model_version = pipeline.model_version
        self._content_dim = content_dim
        self.threshold = threshold
        self._precision = precision
        self._visible_timeout_ms = visible_timeout_ms

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
        share `SHARED_COPIES` pictures or sounds. By default evidence joins pairs too, without
        pictures, sounds and their vectors where `pictures` is False.

        Raises:
            StreamerNotFound: no id is stored. Where some are, the answer names the others.
            PrecisionNotPromised: the model's calibration can't promise `min_precision`.
            InvalidRequest: an id is given twice, or a profile can't be read.
            NotYetVisible: `after_sequence` was not reached in time.
            Overloaded: too many lists wait already, or this one did not have its turn in time.
        """
        limit = self._limit(threshold, min_precision)
        by_evidence = threshold is None and min_precision is None
        with_pictures = by_evidence if pictures is None else pictures
        compared = await self._compare(
            ids, profiles, limit, by_evidence, with_pictures, after_sequence
        )
        names, comparable = compared.names, compared.comparable

        def answer() -> DedupAnswer:
            alone = [group[0] for group in compared.groups if len(group) == 1]
            return DedupAnswer(
                limit,
                _clusters(compared),
                [names[place] for place in alone if comparable[place]],
                [names[place] for place in alone if not comparable[place]],
                compared.not_stored,
                compared.behind,
            )

        return await self._lanes.run(answer, Lane.HEAVY)

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
        by_evidence = threshold is None and min_precision is None
        with_pictures = by_evidence if pictures is None else pictures
        compared = await self._compare(
            ids, profiles, limit, by_evidence, with_pictures, after_sequence
        )
        names = compared.names

        def answer() -> FeedAnswer:
            result = spread(compared.groups, window, max_per_cluster)
            return FeedAnswer(
                limit,
                [names[place] for place in result.order],
                [names[place] for place in result.held_back],
                result.too_close,
                _clusters(compared),
                compared.not_stored,
                compared.behind,
            )

        return await self._lanes.run(answer, Lane.HEAVY)

    def _limit(self, threshold: float | None, min_precision: float | None) -> float:
        if min_precision is not None:
            return self._precision.threshold(min_precision, self._precision.curves()).min_score
        return min(self.threshold if threshold is None else threshold, EQUAL)

    async def _compare(
        self,
        ids: Sequence[str],
        profiles: Sequence[StreamerProfile],
        threshold: float,
        by_evidence: bool,
        with_pictures: bool,
        after_sequence: int,
    ) -> _Compared:
        names = [*ids, *(profile.streamer_id for profile in profiles)]
        refuse = partial(refuse_repeated, names, "/ids" if ids else "/profiles")
        await self._lanes.run(refuse, Lane.HEAVY)
        await self._follower.wait_for(after_sequence, self._visible_timeout_ms)
        async with self._turns.turn():
            if profiles:
                shown = await self._shown_by(profiles, by_evidence)
                return await self._compare_shown(names, shown, [], threshold, with_pictures)
            rows = await self._follower.index.get(ids)
            look = partial(shown_of, ids, rows)  # ten thousand would keep the event loop
            names, shown, unknown = await self._lanes.run(look, Lane.HEAVY)
            if by_evidence:
                shown = await self._with_sides(names, shown)
            return await self._compare_shown(names, shown, unknown, threshold, with_pictures)

    async def _compare_shown(
        self,
        names: Sequence[str],
        shown: Sequence[Shown],
        not_stored: Sequence[str],
        threshold: float,
        with_pictures: bool,
    ) -> _Compared:
        is_stored = any(one.version is not None for one in shown)
        behind = self._follower.behind_because if is_stored else None
        alike: Sequence[SameMedia] = ()
        if with_pictures:
            alike = await self._same_media(names, shown, stored=is_stored)
        sides = [one.side for one in shown if one.side is not None]

        def compare() -> Generator[None, None, _Compared]:
            matrix = np.zeros((len(names), self._content_dim), np.float32)  # (N, C)
            for place, one in enumerate(shown):
                if one.content is not None:
                    matrix[place] = one.content
            matrix = unit_rows(matrix)  # they were rounded; a row of zeros reaches no threshold
            yield
            found = yield from components(matrix, threshold)
            copies = join_pairs(found, matrix, alike)
            edges = None
            if len(sides) == len(names):
                edges = yield from compare_list(
                    self._evidence,
                    sides,
                    found.partner.copy(),
                    alike,
                    () if with_pictures else MEDIA,
                )
                one, other = edges.one[edges.joined], edges.other[edges.joined]
                found.join(one, other, np.einsum("pc,pc->p", matrix[one], matrix[other]))
            comparable = [one.content is not None for one in shown]
            groups = groups_of(found)
            return _Compared(names, comparable, found, groups, copies, edges, not_stored, behind)

        return await self._lanes.run_in_slices(compare())

    async def _with_sides(self, names: Sequence[str], shown: Sequence[Shown]) -> list[Shown]:
        """With what evidence compares of stored streamers; nothing of those deleted meanwhile."""
        sides: list[Side | None] = []
        for start in range(0, len(names), _SIDES_AT_ONCE):
            part = slice(start, start + _SIDES_AT_ONCE)
            sides += await self._sides.get(names[part], [one.version for one in shown[part]])
            await asyncio.sleep(0)  # sides that are in memory come at once

        def together() -> list[Shown]:
            return [
                Shown(one.content, side=side or Side({}), version=one.version)
                for one, side in zip(shown, sides, strict=True)
            ]

        return await self._lanes.run(together, Lane.HEAVY)

    async def _same_media(
        self, names: Sequence[str], shown: Sequence[Shown], *, stored: bool
    ) -> list[SameMedia]:
        """Who shares pictures and sounds with whom, by places in the list."""
        if not self._pipeline.has_towers:  # nobody has a thumbnail or a fingerprint
            return []
        looks: list[Look] = []
        for start in range(0, len(names), _PROFILES_PER_TURN):
            part = slice(start, start + _PROFILES_PER_TURN)
            packed = [one.tower_vectors for one in shown[part]]
            if stored:
                packed = await self._stored.tower_vectors(names[part])
            looks += await self._lanes.run_in_slices(_looks(packed))
        return await self._lanes.run_in_slices(who_shares(looks))

    async def _shown_by(
        self, profiles: Sequence[StreamerProfile], by_evidence: bool
    ) -> list[Shown]:
        shown: list[Shown] = []
        for start in range(0, len(profiles), _PROFILES_PER_TURN):
            part = profiles[start : start + _PROFILES_PER_TURN]
            items = [ToRead(profile, f"/profiles/{i}") for i, profile in enumerate(part, start)]
            encoded = await self._pipeline.encode_many(items)
            found: list[Shown] = []
            vectors: list[NDArray[np.float32] | None] = []
            for item in encoded:
                if isinstance(item, ServiceError):
                    raise item
                made = item.encoded
                vectors.append(None if made is None else made.embedding)
                content = None if made is None else made.content
                found.append(Shown(content, b"" if made is None else item.tower_vectors))
            if by_evidence:
                sides = await self._lanes.run_in_slices(_sides(self._evidence, part, vectors))
                found = [
                    Shown(one.content, one.tower_vectors, side)
                    for one, side in zip(found, sides, strict=True)
                ]
            shown += found
        return shown


def _sides(
    evidence: Evidence,
    profiles: Sequence[StreamerProfile],
    embeddings: Sequence[NDArray[np.float32] | None],
) -> Generator[None, None, list[Side]]:
    sides: list[Side] = []
    for profile, embedding in zip(profiles, embeddings, strict=True):
        sides.append(evidence.side(profile, embedding))
        yield
    return sides


def _looks(packed: Sequence[bytes]) -> Generator[None, None, list[Look]]:
    looks: list[Look] = []
    for one in packed:
        looks.append(look_in(one))
        yield
    return looks


def _clusters(compared: _Compared) -> list[Cluster]:
    return [
        Cluster(compared.names[group[0]], [_member(compared, place) for place in group])
        for group in compared.groups
        if len(group) > 1
    ]


def _member(compared: _Compared, place: int) -> NearDuplicate:
    names, edges = compared.names, compared.edges
    member = NearDuplicate(
        names[place],
        min(1.0, float(compared.found.best[place])),
        int(compared.copies[place]),
    )
    edge = -1 if edges is None else int(edges.strongest[place])
    if edges is None or edge < 0:
        partner = int(compared.found.partner[place])
        member.joined_with = None if partner < 0 else names[partner]
        return member
    ends = int(edges.one[edge]), int(edges.other[edge])
    member.joined_with = names[ends[0] if ends[1] == place else ends[1]]
    member.weight = float(edges.weights[edge])
    member.probability = float(edges.probabilities[edge])
    if edges.joined[edge]:
        member.kind = VERDICTS[int(edges.verdicts[edge])]
    return member
