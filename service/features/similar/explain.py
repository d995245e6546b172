"""Why a hit is near a seed: what each modality contributes to their cosine, and what both show."""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features, ModalityStatus
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from service.engine.encoding.onnx_encoder import tokens_of
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
from service.features.similar.contributions import Encoded, Part, contributions, parts_of
from service.index.base import Row

_READ_AT_ONCE = 8
"""Stored profiles in memory together: one may hold as many bytes as a request."""
_ENCODED_AT_ONCE = 64
"""So that whoever is explained beside it has its turn at the encoder."""


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
        shared: what both show: tags, category, language, the same pictures, sounds, titles, and
            pictures that are copies.
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
            parts = await self._parts({s.label: s for pair in both for s in pair}, known)
            alike = await self._lanes.run_in_slices(_copies(both, known))
        return [
            _reasons(seed, hit, known, parts, alike.get((seed.label, hit.label), {}))
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

    async def _parts(
        self, sides: Mapping[str, Side], known: Mapping[str, _Known]
    ) -> dict[str, Encoded]:
        """Each side, encoded in parts, by label."""
        masks = await self._lanes.run_in_slices(_masks(sides, known))
        # Those of a length together: a batch is padded to its longest.
        left = iter(sorted(masks.items(), key=lambda mask: tokens_of(mask[1])))
        vectors: dict[str, dict[Part, NDArray[np.float32]]] = {label: {} for label in sides}
        while together := dict(islice(left, _ENCODED_AT_ONCE)):
            encoded = await self._pipeline.encode_features(list(together.values()), Lane.HEAVY)
            for (label, part), one in zip(together, encoded, strict=True):
                vectors[label][part] = one.embedding
        return {
            label: Encoded(known[label].features, side.embedding, vectors[label])
            for label, side in sides.items()
        }


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


def _masks(
    sides: Iterable[str], known: Mapping[str, _Known]
) -> Generator[None, None, dict[tuple[str, Part], Features]]:
    """What is to be encoded: parts of each side."""
    masks: dict[tuple[str, Part], Features] = {}
    for label in sides:
        masks |= {(label, part): left for part, left in parts_of(known[label].features)}
        yield
    return masks


def _reasons(
    seed: Side,
    hit: Side,
    known: Mapping[str, _Known],
    parts: Mapping[str, Encoded],
    alike: Mapping[str, Sequence[tuple[str, str]]],
) -> Reasons:
    similarity = float(seed.embedding @ hit.embedding)
    content = None
    if seed.content is not None and hit.content is not None:
        cosine = float(seed.content.astype(np.float32) @ hit.content.astype(np.float32))
        content = min(1.0, cosine)  # kept in 16 bits, so rounded
    shared: dict[str, list[str] | list[SameContent]] = {**shared_facets(seed.facets, hit.facets)}
    ours, theirs = known.get(seed.label), known.get(hit.label)
    found, why_not = None, None
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
        shares = contributions(parts[seed.label], parts[hit.label])
        found = {
            modality: Contribution(shares.get(modality), status, other)
            for modality in MODALITIES
            if {status := statuses[0][modality], other := statuses[1][modality]} != {"absent"}
        }
    return Reasons(seed.label, similarity, content, shared, found, why_not)
