"""Near-duplicates of one streamer among those that are stored: a quick look after each write."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model_export.contract.evidence import VERDICTS, Side, Verdict
from model_export.contract.streamer import StreamerContent
from service.engine.candidates.corpus import Entry, Ranked
from service.engine.candidates.kept import KeptCorpus
from service.engine.candidates.keys import asked_keys, kept_keys
from service.engine.candidates.look_ups import LookUp
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
from service.engine.evidence.whole_corpus import Joined, joined_of
from service.engine.replica.follower import Follower
from service.engine.spaces.geometry import unit_rows
from service.engine.work.lanes import Lane, Lanes, run_to_end
from service.features.dedup.answers import Looked, NearDuplicate
from service.index.base import Sketch
from service.index.query import EQUAL, Query, ScoringSpec

_CANDIDATES = 50
"""Nearest by embedding whose content sketches are compared."""
_BY_EVIDENCE = 16
"""Streamers whose evidence is compared for the answer."""
_LIKELY = 10
"""Of them, by candidates over the whole corpus. The others are the first of the nearest by
embedding: the corpus may not have yet who was written just now."""
_FOR_GROUPS = 64
"""Other candidates that are compared meanwhile, for who evaluates the write next: to compare one
more costs little beside comparing any."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is looked for.

    Attributes:
        pictures: and sounds.
        side: what is compared; None without a profile.
        entry: likewise, what the corpus is asked by.
        ranked: who is likely; None where this process keeps no corpus.
    """

    pictures: Look
    side: Side | None = None
    entry: Entry | None = None
    ranked: Ranked | None = None


@dataclass(eq=False)
class _Comparison:
    """Streamers that one is compared with: first those of the answer, then those for its group.

    Attributes:
        ids: of them.
        versions: of each, at least; of those that were compared, in the end.
        copies: pictures and sounds that each has in common with it; -1 for none.
        answered: so many of them are for the answer.
        missing: those for the answer that are not at hand.
        compared: None while there are any.
        joined: likewise, which of them are duplicates.
    """

    ids: list[str]
    versions: list[int]
    copies: list[int]
    answered: int
    missing: list[str] = field(default_factory=list[str])
    compared: Compared | None = None
    joined: Joined | None = None


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
        kept: KeptCorpus,
    ) -> None:
        """Look among the streamers of an index.

        Args:
            follower: of the index.
            stored: what towers made of stored streamers.
            evidence: of the model.
            sides: what evidence compares of stored streamers.
            lanes: where they are compared.
            threshold: content cosine of near-duplicates, the bundle's.
            kept: candidates over the whole corpus, where this process knows them; is told what was
                found.
        """
        self._follower = follower
        self._stored = stored
        self._evidence = evidence
        self._sides = sides
        self._lanes = lanes
        self._threshold = threshold
        self._kept = kept

    def expect(self, streamer_ids: Sequence[str]) -> None:
        """These are about to be written, and looked up for the answer: `over` follows for each."""
        self._kept.look_ups.expect(streamer_ids)

    def over(self, streamer_id: str, version: int | None, found: LookUp | None) -> None:
        """The look-up of a streamer is over.

        Args:
            streamer_id: that was expected.
            version: under which exactly what was looked up is stored; None: under none.
            found: what `of` found; None: nothing.
        """
        if found is not None and version is not None:
            found = replace(found, entry=replace(found.entry, version=version))
        self._kept.look_ups.end(streamer_id, None if version is None else found)

    async def of(
        self,
        streamer_id: str,
        encoded: Encoded,
        tower_vectors: bytes = b"",
        profile: StreamerContent | None = None,
    ) -> Looked:
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
        content = encoded.content.astype(np.float32)

        def look() -> _Seen:
            """What is compared, and who is likely: in one turn of a thread, which costs as much."""
            pictures = look_in(tower_vectors)
            if profile is None:
                return _Seen(pictures)
            embedding = encoded.embedding.copy()  # a view would keep its whole batch in memory
            side = self._evidence.side(profile, embedding)
            entry = Entry(content, embedding, kept_keys(side), asked_keys(side), side=side)
            return _Seen(pictures, side, entry, self._kept.ranked(streamer_id, entry))

        nearest = Query(ScoringSpec.nearest(encoded.embedding), _CANDIDATES, exclude={streamer_id})
        hits, seen = await asyncio.gather(index.search(nearest), self._lanes.run(look))
        near_ids = [hit.streamer_id for hit in hits.hits]
        ranked = () if seen.ranked is None else seen.ranked.ids
        names = list(dict.fromkeys([*ranked[:_LIKELY], *near_ids]))
        sketches = await index.sketches(names)
        copies = await self._copies(seen.pictures, near_ids[:NEAREST_COMPARED])
        contents = np.array([each.content for each in sketches], np.float16)
        contents = contents.reshape(-1, len(content)).astype(np.float32)  # (S, C)
        (own,) = unit_rows(content[None, :])  # of unit length but for how they were rounded
        scores: list[float] = np.minimum(unit_rows(contents) @ own, 1.0).tolist()
        by_id = {
            each.streamer_id: NearDuplicate(
                each.streamer_id, score, copies.get(each.streamer_id, 0)
            )
            for each, score in zip(sketches, scores, strict=True)
        }
        joined: set[str] = set()
        found: LookUp | None = None
        if seen.side is not None:
            work = self._to_compare(sketches[:_BY_EVIDENCE], by_id, ranked)
            if work.ids:
                await self._compare(seen.side, work)
            joined = _weigh(by_id, work)
            found = _look_up(seen, work)
        near = [
            each
            for each in by_id.values()
            if each.score >= min(self._threshold, EQUAL)
            or each.copies >= SHARED_COPIES
            or each.streamer_id in joined
        ]
        near.sort(key=lambda n: (-(n.probability or 0), -n.score, n.streamer_id))
        return Looked(near, found)

    def _to_compare(
        self, sketches: Sequence[Sketch], by_id: Mapping[str, NearDuplicate], ranked: Sequence[str]
    ) -> _Comparison:
        ids = [each.streamer_id for each in sketches]
        versions = [each.version for each in sketches]
        copies = [by_id[name].copies or -1 for name in ids]
        corpus, first = self._kept.corpus, set(ids)
        for name in ranked[: _BY_EVIDENCE + _FOR_GROUPS]:
            version = None if corpus is None or name in first else corpus.version(name)
            if version is not None:
                ids.append(name)
                versions.append(version)
                copies.append(-1)
        return _Comparison(ids, versions, copies, len(sketches))

    async def _compare(self, own: Side, work: _Comparison) -> None:
        """Compare a side with those of `work`, in one turn of a thread if all are at hand."""

        def compare(made: Mapping[str, Side]) -> None:
            known = self._sides.at_hand(work.ids, work.versions)
            if not made:
                answered = zip(work.ids, known[: work.answered], strict=False)
                work.missing = [name for name, each in answered if each is None]
                if work.missing:
                    return
            others: list[Side] = []
            kept: list[int] = []
            for place, (name, each) in enumerate(zip(work.ids, known, strict=True)):
                if each is not None:
                    work.versions[place] = each.version
                elif place >= work.answered:
                    continue  # whoever needs it makes it
                others.append(made.get(name, Side({})) if each is None else each.side)
                kept.append(place)
            work.ids = [work.ids[place] for place in kept]
            work.versions = [work.versions[place] for place in kept]
            work.copies = [work.copies[place] for place in kept]
            places = np.arange(1, len(others) + 1)
            pairs = np.zeros_like(places), places
            copies = {"pictures": np.array(work.copies)}
            compared = run_to_end(self._evidence.compare([own, *others], *pairs, copies))
            work.joined = joined_of(self._evidence, compared)
            work.compared = compared

        await self._lanes.run(lambda: compare({}), Lane.INTERACTIVE)
        if work.missing:
            at = [work.versions[work.ids.index(name)] for name in work.missing]
            sides = await self._sides.get(work.missing, at, Lane.INTERACTIVE)
            made = {n: side or Side({}) for n, side in zip(work.missing, sides, strict=True)}
            await self._lanes.run(lambda: compare(made), Lane.INTERACTIVE)

    async def _copies(self, own: Look, ids: Sequence[str]) -> dict[str, int]:
        """How many pictures and sounds these stored streamers share with this one."""
        if not ids or not own.may_share:
            return {}
        stored = await self._stored.tower_vectors(ids)

        def compare() -> dict[str, int]:
            looks = [look_in(one) for one in stored]
            return dict(zip(ids, count_copies(own, looks), strict=True))

        return await self._lanes.run(compare)


def _weigh(by_id: Mapping[str, NearDuplicate], work: _Comparison) -> set[str]:
    """Fill in the evidence of those of the answer; the ids of those that it joins."""
    joined: set[str] = set()
    if work.compared is None:
        return joined
    matches = work.compared.matches
    columns = matches.weights, matches.probabilities, matches.verdicts, matches.joined
    weighed = zip(work.ids[: work.answered], *(c.tolist() for c in columns), strict=False)
    for name, weight, probability, verdict, is_joined in weighed:
        each = by_id[name]
        each.weight, each.probability = weight, probability
        if is_joined:
            each.kind = VERDICTS[verdict]
            joined.add(name)
    return joined


def _look_up(seen: _Seen, work: _Comparison) -> LookUp | None:
    if seen.entry is None or seen.ranked is None:
        return None
    joined = work.joined or Joined([], [], [])
    edges: dict[str, tuple[float, Verdict]] = {
        work.ids[row]: (weight, VERDICTS[verdict])
        for row, weight, verdict in zip(*joined, strict=True)
    }
    # Who evaluates it counts no copies of pictures and sounds.
    compared = {
        name: version
        for name, version, copies in zip(work.ids, work.versions, work.copies, strict=True)
        if copies < 0
    }
    return LookUp(seen.entry, frozenset(seen.ranked.ids), seen.ranked.changes, compared, edges)
