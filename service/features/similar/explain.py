"""Why a hit is near a seed: what each modality contributes to their cosine, and what both show."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features, ModalityStatus
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline, Shown
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.audience import SharedAudience
from service.engine.evidence.media_copies import Pictures, Sounds, pictures_of, sounds_of
from service.engine.evidence.shared_content import Contents, SameContent, Shared, SharedContent
from service.engine.spaces.geometry import unit_rows
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.turns import Turns
from service.features.similar.contributions import Part, contributions, parts_of
from service.features.similar.encoded_parts import EncodedParts, Entry, encoded
from service.features.similar.topic import (
    Meaning,
    Pieces,
    nearest_modalities,
    parts_of_pieces,
    pieces_by_modality,
    same_topic,
)
from service.index.base import Row

_SAYS_LITTLE = frozenset({"language"})
"""Kinds of which millions share one; a hit that shares no other is explained by its topic."""


@dataclass(frozen=True)
class Contribution:
    """What a modality that either side shows is to the similarity.

    Attributes:
        contribution: its share; None where neither side shows anything that the model reads.
        seed: how the seed's was used.
        hit: likewise.
    """

    contribution: float | None
    seed: ModalityStatus
    hit: ModalityStatus


@dataclass(frozen=True, eq=False)
class Side:
    """A seed or a hit.

    Attributes:
        label: its id, or its pointer in the request.
        embedding: (D,), unit length.
        content: (C,) unit length, None where it has no sketch.
        facets: what filters read.
        version: of the stored streamer `label`; None where it is none.
        profile: what was encoded, of a profile in the request.
    """

    label: str
    embedding: NDArray[np.float32]
    content: NDArray[np.float16] | None
    facets: Mapping[str, object]
    version: int | None = None
    profile: EncodedProfile | None = None

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """A stored streamer as the index knows it; None without a vector."""
        if row.embedding is None:
            return None
        return cls(row.streamer_id, row.embedding, row.content, row.facets, row.version)


@dataclass(frozen=True)
class Reasons:
    """Why a streamer is in the answer.

    Attributes:
        nearest_seed: the wanted seed that is nearest to it: its id, or its pointer in the request.
        similarity: cosine of the embeddings with that seed.
        content_similarity: cosine of the content sketches with that seed, None where it has none.
        shared: what both show, and the audience that both have; where that is a language at most,
            the pieces that mean the same (`topic`).
        contributions: by modality, what adds up to `similarity`; None when that is not known.
        unexplained_because: why `contributions` is None.
    """

    nearest_seed: str
    similarity: float
    content_similarity: float | None
    shared: Shared
    contributions: Mapping[str, Contribution] | None
    unexplained_because: str | None


@dataclass(frozen=True, eq=False)
class _Known:
    """What a side shows."""

    entry: Entry
    contents: Contents


_Found = dict[str, list[str] | list[SameContent]]
_Pair = tuple[Side, Side]


class Explainer:
    """Reasons, by encoding parts of profiles; heavy work, a few answers at a time."""

    def __init__(
        self,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        content: SharedContent,
        audience: SharedAudience,
        lanes: Lanes,
        turns: Turns,
    ) -> None:
        """Explain what `pipeline` encodes.

        Args:
            pipeline: of the model that is explained.
            stored: what stored streamers show.
            content: finds what two profiles both show.
            audience: finds what two established streamers' audiences have in common.
            lanes: where the work is done.
            turns: of answers that are explained at a time.
        """
        self._pipeline = pipeline
        self._stored = stored
        self._content = content
        self._audience = audience
        self._parts = EncodedParts(pipeline, lanes)
        self._lanes = lanes
        self._turns = turns
        self._no_features = pipeline.features_of([])

    async def reasons(self, pairs: Sequence[_Pair]) -> list[Reasons]:
        """One for each seed and hit.

        Raises:
            Overloaded: too many answers wait already, or this one did not have its turn in time.
        """
        async with self._turns.turn():
            known = await self._known({side.label: side for pair in pairs for side in pair})
            shared = await self._lanes.run_in_slices(self._shared(pairs, known))
            entries = {label: one.entry for label, one in known.items()}
            await self._parts.complete(entries, _parts_of(pairs, known))
            await self._add_topics(pairs, known, shared)
            for side in {side.label: side for pair in pairs for side in pair}.values():
                if side.version is not None and side.label in entries:
                    self._parts.keep(side.label, side.version, entries[side.label])
        return [_reasons(*pair, known, found) for pair, found in zip(pairs, shared, strict=True)]

    async def shared(self, pairs: Sequence[_Pair]) -> list[Shared | None]:
        """What the sides of each pair both show; None of a pair of which one was changed since.

        Nothing is encoded, so there is no topic, and it takes a hundredth of the time of `reasons`.

        Raises:
            Overloaded: as `reasons`.
        """
        async with self._turns.turn():
            sides = {side.label: side for pair in pairs for side in pair}
            known = await self._known(sides, reads_features=False)
            found = await self._lanes.run_in_slices(self._shared(pairs, known))
        return [
            both if hit.label in known and (seed.label in known or _is_vector(seed)) else None
            for (seed, hit), both in zip(pairs, found, strict=True)
        ]

    async def _known(
        self, sides: Mapping[str, Side], *, reads_features: bool = True
    ) -> dict[str, _Known]:
        """What each side shows, by label; nothing of bare vectors and of what was changed since.

        Without `reads_features`, those of stored sides have none, and nothing can be encoded.
        """
        found: dict[str, _Known] = {}
        for label, side in sides.items():
            if side.profile is not None:
                found[label] = await self._lanes.run(
                    partial(self._of_request, side.profile), Lane.HEAVY
                )
        kept = {
            (side.label, side.version): entry
            for side in sides.values()
            if side.version is not None
            and (entry := self._parts.known(side.label, side.version)) is not None
        }

        def features(streamer_id: str, version: int) -> Features | None:
            entry = kept.get((streamer_id, version))
            if entry is None:
                return None if reads_features else self._no_features
            return entry.features

        stored = {side.label: side for side in sides.values() if side.version is not None}
        for names in await self._stored.parts([*stored]):
            shown = await self._stored.shown_by(names, features)
            part = [stored[name] for name in names]
            found |= await self._lanes.run_in_slices(self._of_stored(part, shown, kept))
        return found

    def _of_request(self, item: EncodedProfile) -> _Known:
        pictures = pictures_of(self._pipeline.thumbnails(item))
        sounds = sounds_of(self._pipeline.fingerprints(item))
        pieces = pieces_of(item.profile)
        entry = Entry(item.features, self._content.boilerplate(pieces))
        return _known(entry, pieces, pictures, sounds)

    def _of_stored(
        self,
        sides: Sequence[Side],
        shown: Sequence[Shown | None],
        kept: Mapping[tuple[str, int], Entry],
    ) -> Generator[None, None, dict[str, _Known]]:
        found: dict[str, _Known] = {}
        for side, shows in zip(sides, shown, strict=True):
            if shows is not None and shows.version == side.version:
                pictures, sounds = pictures_of(shows.thumbnails), sounds_of(shows.fingerprints)
                entry = kept.get((side.label, shows.version))
                if entry is None:
                    entry = Entry(shows.features, self._content.boilerplate(shows.pieces))
                found[side.label] = _known(entry, shows.pieces, pictures, sounds)
            yield
        return found

    def _shared(
        self, pairs: Sequence[_Pair], known: Mapping[str, _Known]
    ) -> Generator[None, None, list[_Found]]:
        """What the sides of each pair both show, and the audience that they share."""
        found: list[_Found] = []
        for seed, hit in pairs:
            ours, theirs = known.get(seed.label), known.get(hit.label)
            both: _Found = {}
            if ours is not None and theirs is not None:
                both = self._content.shared(ours.contents, theirs.contents)
            told = self._audience.of(seed.label, hit.label) if seed.version is not None else None
            found.append(both if told is None else {**both, "audience": [told]})
            yield
        return found

    async def _add_topics(
        self, pairs: Sequence[_Pair], known: Mapping[str, _Known], shared: Sequence[_Found]
    ) -> None:
        """Add the pieces that mean the same to what shares a language at most."""
        near = [
            (found, *(_Meaning.of(side, known.get(side.label)) for side in pair))
            for pair, found in zip(pairs, shared, strict=True)
            if set(found) <= _SAYS_LITTLE
            and pair[1].label in known
            and (pair[0].label in known or _is_vector(pair[0]))
        ]
        entries = {label: one.entry for label, one in known.items()}
        alone: dict[str, list[Part]] = {}
        for _, *sides in near:
            for side in sides:
                alone[side.label] = [("only", modality) for modality in side.pieces]
        known_alone = {label: parts for label, parts in alone.items() if label in entries}
        await self._parts.complete(entries, known_alone)
        wanted: dict[str, list[Part]] = {}
        pieces: dict[str, dict[str, Piece]] = {}
        for _, *sides in near:
            ours, theirs = sides
            names = nearest_modalities(ours.whole, theirs.whole, ours.pieces, theirs.pieces)
            for side, name in zip(sides, names or (), strict=False):
                side.nearest = side.pieces.get(name, ())
                if len(side.nearest) > 1:  # a single one is its modality
                    wanted.setdefault(side.label, []).extend(parts_of_pieces(side.nearest))
                    known_pieces = pieces.setdefault(side.label, {})
                    known_pieces.update({piece.source: piece for piece in side.nearest})
        await self._parts.complete(entries, wanted, pieces)
        for found, ours, theirs in near:
            told = same_topic(ours.whole, theirs.whole, ours.nearest, theirs.nearest)
            if told:
                found["topic"] = told


@dataclass(eq=False)
class _Meaning:
    """A side whose pieces may mean the same as the other's."""

    label: str
    whole: Meaning
    pieces: Pieces
    nearest: Sequence[Piece] = ()

    @classmethod
    def of(cls, side: Side, known: _Known | None) -> Self:
        if known is None:  # a bare vector
            return cls(side.label, side.embedding, {})
        whole = encoded(known.entry, side.embedding)
        return cls(side.label, whole, pieces_by_modality(known.contents.pieces))


def _known(entry: Entry, pieces: Sequence[Piece], pictures: Pictures, sounds: Sounds) -> _Known:
    telling = [piece for piece in pieces if piece.source not in entry.boilerplate]
    return _Known(entry, Contents(telling, pictures, sounds))


def _is_vector(side: Side) -> bool:
    return side.version is None and side.profile is None


def _parts_of(pairs: Sequence[_Pair], known: Mapping[str, _Known]) -> dict[str, list[Part]]:
    """The parts of each side that are encoded, by label."""
    wanted: dict[str, list[Part]] = {}
    for seed, hit in pairs:
        ours, theirs = known.get(seed.label), known.get(hit.label)
        if ours is not None and theirs is not None:
            a, b = ours.entry.features, theirs.entry.features
            wanted.setdefault(seed.label, []).extend(parts_of(a, b))
            wanted.setdefault(hit.label, []).extend(parts_of(b, a))
    return wanted


def _reasons(seed: Side, hit: Side, known: Mapping[str, _Known], shared: Shared) -> Reasons:
    similarity = float(seed.embedding @ hit.embedding)
    content = None
    if seed.content is not None and hit.content is not None:
        one, other = unit_rows(np.stack([seed.content, hit.content]).astype(np.float32))
        content = min(1.0, float(one @ other))  # they are of unit length but for rounding
    ours, theirs = known.get(seed.label), known.get(hit.label)
    found, why_not = None, None
    if ours is None and _is_vector(seed):
        why_not = f"seed {seed.label} is a vector, and nothing tells which modalities it stands for"
    elif ours is None or theirs is None:
        changed = seed if ours is None else hit
        why_not = f"streamer {changed.label!r} was changed while this was answered; ask again"
    else:
        statuses = ours.entry.features.status, theirs.entry.features.status
        shares = contributions(
            encoded(ours.entry, seed.embedding), encoded(theirs.entry, hit.embedding)
        )
        found = {
            modality: Contribution(shares.get(modality), status, other)
            for modality in MODALITIES
            if {status := statuses[0][modality], other := statuses[1][modality]} != {"absent"}
        }
    return Reasons(seed.label, similarity, content, shared, found, why_not)
