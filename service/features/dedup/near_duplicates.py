"""Near-duplicates of one streamer among those that are stored: a quick look after each write."""

from collections.abc import Sequence

import numpy as np

from model_export.contract.evidence import VERDICTS, Side
from model_export.contract.streamer import StreamerContent
from service.engine.candidates.corpus import Entry
from service.engine.candidates.kept import Candidates
from service.engine.candidates.keys import asked_keys
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.engine import Compared, Evidence
from service.engine.evidence.media_copies import (
    NEAREST_COMPARED,
    SHARED_COPIES,
    Look,
    count_copies,
    look_in,
)
from service.engine.evidence.stored_sides import StoredSides
from service.engine.replica.follower import Follower
from service.engine.work.lanes import Lane, Lanes, run_to_end
from service.features.dedup.answers import NearDuplicate
from service.index.base import Row
from service.index.query import Query, ScoringSpec

_CANDIDATES = 50
"""Nearest by embedding whose content sketches are compared."""
_BY_EVIDENCE = 16
"""Streamers whose evidence is compared."""
_LIKELY = 10
"""Of them, by candidates over the whole corpus. The others are the first of the nearest by
embedding: the corpus may not have yet who was written just now."""


class NearDuplicates:
    """The use-case behind the near-duplicates of a write."""

    def __init__(
        self,
        follower: Follower,
        stored: StoredProfiles,
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
        threshold: float,
        candidates: Candidates,
    ) -> None:
        """Look among the streamers of an index.

        Args:
            follower: of the index.
            stored: what towers made of stored streamers.
            evidence: of the model.
            sides: what evidence compares of stored streamers.
            lanes: where they are compared.
            threshold: content cosine of near-duplicates, the bundle's.
            candidates: over the whole corpus, where this process knows them.
        """
        self._follower = follower
        self._stored = stored
        self._evidence = evidence
        self._sides = sides
        self._lanes = lanes
        self._threshold = threshold
        self._candidates = candidates

    async def of(
        self,
        streamer_id: str,
        encoded: Encoded,
        tower_vectors: bytes = b"",
        profile: StreamerContent | None = None,
    ) -> list[NearDuplicate]:
        """Stored streamers that are the same as this one, the most probable first.

        Candidates are the nearest by embedding: all are compared by their content sketches, the
        first of them for copied pictures and sounds. By evidence those are compared that share
        most keys, text or meaning with it in the whole corpus, if this process keeps one, and the
        first of the nearest.

        Args:
            streamer_id: this one, which is left out.
            encoded: what was made of it.
            tower_vectors: what is stored of its pictures and sounds.
            profile: its content; without it there is no evidence.

        Raises:
            NotReady: there is no index yet.
            Unavailable: the index or the store can't answer at the moment.
        """
        index = self._follower.index
        found = await index.search(
            Query(ScoringSpec.nearest(encoded.embedding), _CANDIDATES, exclude={streamer_id})
        )
        nearest = [hit.streamer_id for hit in found.hits]
        content = encoded.content.astype(np.float32)

        def look() -> tuple[Side | None, Sequence[str], Look]:
            """What is compared, and who is likely: in one turn of a thread, which costs as much."""
            shown = look_in(tower_vectors)
            if profile is None:
                return None, (), shown
            side = self._evidence.side(profile, encoded.embedding)
            asked = asked_keys(side)
            entry = Entry(content, encoded.embedding, asked, asked)
            return side, self._candidates.nearest(streamer_id, entry, _LIKELY) or (), shown

        own, likely, shown = await self._lanes.run(look)
        names = dict.fromkeys([*likely, *nearest])
        rows = [row for row in await index.get(list(names)) if row is not None]
        copies = await self._copies(shown, nearest[:NEAREST_COMPARED])
        by_id: dict[str, NearDuplicate] = {}
        for row in rows:
            if row.content is not None:
                score = min(1.0, float(content @ row.content.astype(np.float32)))
                count = copies.get(row.streamer_id, 0)
                by_id[row.streamer_id] = NearDuplicate(row.streamer_id, score, count)
        joined: set[str] = set()
        if own is not None:
            compared = [row for row in rows if row.streamer_id in by_id][:_BY_EVIDENCE]
            joined = await self._weigh(by_id, compared, own)
        near = [
            each
            for each in by_id.values()
            if each.score >= self._threshold
            or each.copies >= SHARED_COPIES
            or each.streamer_id in joined
        ]
        return sorted(near, key=lambda n: (-(n.probability or 0), -n.score, n.streamer_id))

    async def _weigh(
        self,
        by_id: dict[str, NearDuplicate],
        rows: Sequence[Row],
        own: Side,
    ) -> set[str]:
        """Fill in the evidence of these rows; the ids of those that it joins."""
        ids = [row.streamer_id for row in rows]
        if not ids:
            return set()
        sides = await self._sides.get(ids, [row.version for row in rows], Lane.INTERACTIVE)
        copies = np.array([by_id[name].copies or -1 for name in ids])

        def compare() -> Compared:
            others = [side or Side({}) for side in sides]
            places = np.arange(1, len(others) + 1)
            pairs = np.zeros_like(places), places
            return run_to_end(self._evidence.compare([own, *others], *pairs, {"pictures": copies}))

        compared = await self._lanes.run(compare, Lane.INTERACTIVE)
        matches = compared.matches
        joined: set[str] = set()
        for place, name in enumerate(ids):
            each = by_id[name]
            each.weight = float(matches.weights[place])
            each.probability = float(matches.probabilities[place])
            if matches.joined[place]:
                each.kind = VERDICTS[int(matches.verdicts[place])]
                joined.add(name)
        return joined

    async def _copies(self, own: Look, ids: Sequence[str]) -> dict[str, int]:
        """How many pictures and sounds these stored streamers share with this one."""
        if not ids or not own.may_share:
            return {}
        stored = await self._stored.tower_vectors(ids)

        def compare() -> dict[str, int]:
            looks = [look_in(one) for one in stored]
            return dict(zip(ids, count_copies(own, looks), strict=True))

        return await self._lanes.run(compare)
