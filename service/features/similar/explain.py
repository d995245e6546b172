"""Why a hit is near a seed: how much of their cosine hangs on each modality, and what both show.

    contribution of m = cos(seed, hit) - cos(seed without m, hit without m)

The second cosine is exact: both profiles are encoded again with m hidden. It is what the modality
adds to all others, so contributions don't add up to the cosine: of two modalities that say the same
neither is missed alone. One that tells the two apart has a negative contribution.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features, ModalityStatus, without
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline, Shown
from service.engine.encoding.profile_reader import Fingerprint, Thumbnail
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.media_copies import (
    Pictures,
    Sounds,
    copies,
    pictures_of,
    sound_copies,
    sounds_of,
)
from service.engine.evidence.shared_content import (
    Contents,
    SameContent,
    Shared,
    contents_of,
    same_contents,
    shared_facets,
    similar,
)
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.turns import Turns
from service.index.base import Row

_READ_AT_ONCE = 8
"""Stored profiles in memory together: one may hold as many bytes as a request."""
_ENCODED_AT_ONCE = 64
"""So that whoever is explained beside it has its turn at the encoder."""

Where = Literal["seed", "hit", "both"]


@dataclass(frozen=True)
class Compared:
    """Both show it; the cosine would be lower by `contribution` if neither did."""

    contribution: float
    state: Literal["compared"] = "compared"


@dataclass(frozen=True)
class NotCompared:
    """Nothing is known of it, which is not the same as unlike; `where` is the side to blame.

    `absent`: not shown; `unsupported`: shown in a form that the model can't read; `uninformative`:
    read, and it says nothing; `nothing_left`: it is all that there is to go by, so that without it
    there is no vector to compare.
    """

    state: Literal["absent", "unsupported", "uninformative", "nothing_left"]
    where: Where


ByModality = Mapping[str, Compared | NotCompared]


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
        shared: what both show: tags, category, language, the same pictures, sounds, titles, and
            pictures that are copies.
        by_modality: for each modality what it contributes to `similarity`, or why that can't be
            said; None when it is known of no modality.
        unexplained_because: why `by_modality` is None.
    """

    nearest_seed: str
    similarity: float
    content_similarity: float | None
    shared: Shared
    by_modality: ByModality | None
    unexplained_because: str | None


@dataclass(frozen=True, eq=False)
class _Known:
    """What a side shows."""

    features: Features
    contents: Contents
    pictures: Pictures
    sounds: Sounds


class Explainer:
    """Reasons, by encoding again; heavy work, a few answers at a time."""

    def __init__(
        self,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        uninformative: Set[str],
        lanes: Lanes,
        turns: Turns,
    ) -> None:
        """Explain what `pipeline` encodes.

        Args:
            pipeline: of the model that is explained.
            stored: what stored streamers show.
            uninformative: what is no evidence.
            lanes: where the work is done.
            turns: of answers that are explained at a time.
        """
        self._pipeline = pipeline
        self._stored = stored
        self._uninformative = uninformative
        self._lanes = lanes
        self._turns = turns

    async def reasons(self, pairs: Sequence[tuple[Side, Side]]) -> list[Reasons]:
        """One for each seed and hit.

        Raises:
            Overloaded: too many answers wait already, or this one did not have its turn in time.
        """
        async with self._turns.turn():
            known = await self._known({side.label: side for pair in pairs for side in pair})
            both = [(s, h) for s, h in pairs if s.label in known and h.label in known]
            masks = await self._lanes.run_in_slices(_masks(both, known))
            vectors = await self._encode(masks)
            alike = await self._lanes.run_in_slices(_copies(both, known))
        return [
            _reasons(seed, hit, known, vectors, alike.get((seed.label, hit.label), {}))
            for seed, hit in pairs
        ]

    async def _known(self, sides: Mapping[str, Side]) -> dict[str, _Known]:
        """What each side shows, by label; nothing of bare vectors and of what was changed since."""
        found: dict[str, _Known] = {}
        for label, side in sides.items():
            if side.profile is not None:
                found[label] = await self._lanes.run(
                    partial(self._of_request, side.profile), Lane.HEAVY
                )
        stored = iter([side for side in sides.values() if side.version is not None])
        while part := list(islice(stored, _READ_AT_ONCE)):
            shown = await self._stored.shown_by([side.label for side in part])
            found |= await self._lanes.run_in_slices(self._of_stored(part, shown))
        return found

    def _of_request(self, item: EncodedProfile) -> _Known:
        pieces = pieces_of(item.profile)
        thumbnails, fingerprints = (
            self._pipeline.thumbnails(item),
            self._pipeline.fingerprints(item),
        )
        return self._shows(pieces, item.features, thumbnails, fingerprints)

    def _of_stored(
        self, sides: Sequence[Side], shown: Sequence[Shown | None]
    ) -> Generator[None, None, dict[str, _Known]]:
        found: dict[str, _Known] = {}
        for side, shows in zip(sides, shown, strict=True):
            if shows is not None and shows.version == side.version:
                found[side.label] = self._shows(
                    shows.pieces, shows.features, shows.thumbnails, shows.fingerprints
                )
            yield
        return found

    def _shows(
        self,
        pieces: Collection[Piece],
        features: Features,
        thumbnails: Mapping[str, Thumbnail],
        fingerprints: Mapping[str, Fingerprint],
    ) -> _Known:
        contents = contents_of(pieces, self._uninformative)
        return _Known(features, contents, pictures_of(thumbnails), sounds_of(fingerprints))

    async def _encode(
        self, masks: Mapping[tuple[str, str], Features]
    ) -> dict[tuple[str, str], NDArray[np.float32]]:
        """The embeddings (D,) of those that have something left."""
        usable = iter([(key, f) for key, f in masks.items() if f.usable])
        vectors: dict[tuple[str, str], NDArray[np.float32]] = {}
        while part := dict(islice(usable, _ENCODED_AT_ONCE)):
            encoded = await self._pipeline.encode_features(list(part.values()), Lane.HEAVY)
            vectors |= {key: e.embedding for key, e in zip(part, encoded, strict=True)}
        return vectors


def _copies(
    pairs: Sequence[tuple[Side, Side]], known: Mapping[str, _Known]
) -> Generator[None, None, dict[tuple[str, str], dict[str, list[tuple[str, str]]]]]:
    """Where either side of a pair shows what is a copy of the other's, by kind."""
    found: dict[tuple[str, str], dict[str, list[tuple[str, str]]]] = {}
    for seed, hit in pairs:
        ours, theirs = known[seed.label], known[hit.label]
        found[seed.label, hit.label] = {
            "pictures": copies(ours.pictures, theirs.pictures),
            "sounds": sound_copies(ours.sounds, theirs.sounds),
        }
        yield
    return found


def _compared(seed: _Known, hit: _Known) -> Iterator[str]:
    """The modalities that can be read on both sides."""
    for modality in MODALITIES:
        if seed.features.status[modality] == hit.features.status[modality] == "used":
            yield modality


def _masks(
    pairs: Sequence[tuple[Side, Side]], known: Mapping[str, _Known]
) -> Generator[None, None, dict[tuple[str, str], Features]]:
    """What is to be encoded, once each: by label and hidden modality, the features without it."""
    wanted = {
        (side.label, modality): known[side.label].features
        for seed, hit in pairs
        for modality in _compared(known[seed.label], known[hit.label])
        for side in (seed, hit)
    }
    masks: dict[tuple[str, str], Features] = {}
    for key, features in wanted.items():
        masks[key] = without(features, key[1])
        yield
    return masks


def _reasons(
    seed: Side,
    hit: Side,
    known: Mapping[str, _Known],
    vectors: Mapping[tuple[str, str], NDArray[np.float32]],
    alike: Mapping[str, Sequence[tuple[str, str]]],
) -> Reasons:
    similarity = float(seed.embedding @ hit.embedding)
    content = None
    if seed.content is not None and hit.content is not None:
        content = float(seed.content.astype(np.float32) @ hit.content.astype(np.float32))
    shared: dict[str, list[str] | list[SameContent]] = {**shared_facets(seed.facets, hit.facets)}
    ours, theirs = known.get(seed.label), known.get(hit.label)
    by_modality, why_not = None, None
    if ours is None and seed.version is None:
        why_not = f"seed {seed.label} is a vector, and nothing tells which modalities it stands for"
    elif ours is None or theirs is None:
        changed = seed if ours is None else hit
        why_not = f"streamer {changed.label!r} was changed while this was answered; ask again"
    else:
        shared.update(same_contents(ours.contents, theirs.contents))
        for kind, places in alike.items():
            shared.update(similar(kind, ours.contents, theirs.contents, places))
        statuses = ours.features.status, theirs.features.status
        by_modality = {
            modality: _not_compared(statuses[0][modality], statuses[1][modality])
            or _contribution(
                similarity,
                vectors.get((seed.label, modality)),
                vectors.get((hit.label, modality)),
            )
            for modality in MODALITIES
        }
    return Reasons(seed.label, similarity, content, shared, by_modality, why_not)


def _where(seed: bool, hit: bool) -> Where | None:
    if seed and hit:
        return "both"
    return "seed" if seed else "hit" if hit else None


def _not_compared(seed: ModalityStatus, hit: ModalityStatus) -> NotCompared | None:
    """Why a modality can't be compared, by its statuses on both sides; None when it can."""
    for state in ("absent", "unsupported", "uninformative"):
        where = _where(seed == state, hit == state)
        if where is not None:
            return NotCompared(state, where)
    return None


def _contribution(
    similarity: float, seed: NDArray[np.float32] | None, hit: NDArray[np.float32] | None
) -> Compared | NotCompared:
    """By the embeddings (D,) without a modality, None where nothing was left to encode."""
    if seed is not None and hit is not None:
        return Compared(similarity - float(seed @ hit))
    return NotCompared("nothing_left", _where(seed is None, hit is None) or "both")
