"""Pieces of profiles that towers read, from bytes, texts or addresses to vectors."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model_export.contract.errors import SilentContent, UnreadableContent
from model_export.contract.media import FINGERPRINT_BANDS, FINGERPRINT_MOMENTS, THUMBNAIL_SIDE
from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import (
    KINDS,
    Payload,
    TowerSpec,
    media_at,
    payload_key,
    payload_of,
    pieces_for,
)
from service.engine.encoding.tower_pool import PART, Input, TowerPool
from service.engine.encoding.tower_vectors import (
    FINGERPRINT,
    THUMBNAIL,
    Key,
    Seen,
    TowerCache,
    Vector,
    as_vector,
)
from service.engine.work.lanes import Lane
from service.errors import InvalidRequest, ServiceError, Unavailable
from service.media.fetch import Fetched
from service.media.sniff import Kind

Fetch = Callable[[str, Kind, str], Awaitable[Fetched]]
"""The bytes at a URL: see `Fetcher.fetch`."""

_BYTES, _ADDRESS, _DROPPED = "data:", "url:", "sha256:"
"""How digests of bytes, of addresses and of bytes that were not kept begin."""


def pointer_to(source: str) -> str:
    """A part of a profile as a JSON pointer: `/videos/0/cover` for `videos[0].cover`."""
    return "/" + source.replace("[", "/").replace("]", "").replace(".", "/")


def key_of(spec: TowerSpec, piece: Piece) -> Key:
    """By what a vector is known."""
    return bytes.fromhex(spec.version), payload_key(piece)


def thumbnail_key(piece: Piece) -> Key:
    """By what the thumbnail of a picture or the fingerprint of a sound is known."""
    return FINGERPRINT if piece.modality in KINDS["audio"] else THUMBNAIL, payload_key(piece)


NO_THUMBNAIL = as_vector(np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8))
"""Of a picture of one colour, or one that many show: nothing to know it again by."""
NO_FINGERPRINT = as_vector(np.zeros((FINGERPRINT_MOMENTS, FINGERPRINT_BANDS), np.uint8))
"""Of silence, or a sound that many play."""


def no_thumbnail(spec: TowerSpec) -> Vector:
    """Of what says nothing, for what this tower reads."""
    return NO_THUMBNAIL if spec.image is not None else NO_FINGERPRINT


@dataclass(eq=False)
class TowerJob:
    """One text, picture or sound that towers read, wherever it is shown.

    Attributes:
        profile: where it is shown.
        pointer: where that profile stands in its request.
        piece: the part that shows it. Of an address, once its bytes are known, it is as if they
            had been in the profile.
        stored: what towers saw in that profile before.
        specs: the towers that read it.
        vectors: what they made of it, by their name.
        thumbnail: packed thumbnail of a picture, or fingerprint of a sound; None until known.
        is_dropped: whether its bytes were not kept, so that no tower can read it any more.
        is_news: whether it is worth decoding for its thumbnail alone.
        error: why they can't.
    """

    profile: StreamerProfile
    pointer: str
    piece: Piece
    stored: Seen
    specs: list[TowerSpec] = field(default_factory=list[TowerSpec])
    vectors: dict[str, Vector] = field(default_factory=dict[str, Vector])
    thumbnail: Vector | None = None
    is_dropped: bool = False
    is_news: bool = False
    error: ServiceError | UnreadableContent | None = None

    @property
    def is_address(self) -> bool:
        """Whether nobody knows yet what is there."""
        return self.piece.payload_digest.startswith(_BYTES + _ADDRESS)

    @property
    def missing(self) -> list[TowerSpec]:
        """The towers that have still to read it."""
        return [] if self.error else [s for s in self.specs if s.name not in self.vectors]

    @property
    def to_decode(self) -> list[TowerSpec]:
        """Towers that it has to be decoded for; one of them if only its thumbnail is missing."""
        media = [s for s in self.specs if s.text is None]
        lacks_thumbnail = self.is_news and self.thumbnail is None and not self.error
        return self.missing or (media[:1] if lacks_thumbnail else [])

    def has_bytes(self, digest: str) -> None:
        """What lies at the address is known: SHA-256 as hex."""
        self.piece = of_bytes(self.piece, digest)


def of_bytes(piece: Piece, digest: str) -> Piece:
    """A piece as if the bytes with this SHA-256, as hex, had been in the profile."""
    return replace(piece, payload_digest=_BYTES + digest)


def shown(piece: Piece) -> Piece:
    """A piece, an address or dropped bytes as if they were bytes: a tower may have read them."""
    if piece.payload_digest.startswith(_DROPPED):
        return of_bytes(piece, piece.payload_digest.removeprefix(_DROPPED))
    if not piece.payload_digest.startswith(_ADDRESS):
        return piece
    return replace(piece, payload_digest=_BYTES + piece.payload_digest)


def seen_by(spec: TowerSpec, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces that a tower reads, as `shown`."""
    return pieces_for(spec, map(shown, pieces))


class TowerJobs:
    """Makes the vectors of jobs, a part at a time."""

    def __init__(self, work: TowerPool, recent: TowerCache, fetch: Fetch) -> None:
        """Vectors come from `recent` before they are made; `fetch` asks for what has an address."""
        self._work = work
        self._recent = recent
        self._fetch = fetch

    def recall(self, job: TowerJob, stored: Seen) -> None:
        """Fill in what need not be made.

        Dropped bytes are known from what is stored of the profile alone: others' that were read of
        late are not the same in each process.
        """

        def known(key: Key) -> Vector | None:
            found = stored.vectors.get(key)
            return self._recent.get(key) if found is None and not job.is_dropped else found

        for spec in job.missing:
            vector = known(key_of(spec, job.piece))
            if vector is not None:
                job.vectors[spec.name] = vector
        if job.thumbnail is None:
            job.thumbnail = known(thumbnail_key(job.piece))

    async def make(self, jobs: Sequence[TowerJob], lane: Lane) -> None:
        """Let the towers read what they have not; what can't be read gets its error.

        Raises:
            Unavailable: in the interactive lane something can't be had at the moment.
            Overloaded: too much waits already.
        """
        waiting = [s for s in jobs if s.to_decode]
        for start in range(0, len(waiting), PART):
            part = waiting[start : start + PART]
            prepared = await asyncio.gather(*(self._prepare(s, lane) for s in part))
            for s in part:
                if lane is Lane.INTERACTIVE and isinstance(s.error, Unavailable):
                    raise s.error
            for spec in self._work.specs:
                inputs = {
                    s: p[spec.name] for s, p in zip(part, prepared, strict=True) if spec.name in p
                }
                if inputs:
                    vectors = await self._work.encode(spec.name, list(inputs.values()), lane)
                    for s, vector in zip(inputs, vectors, strict=True):
                        self._keep(s, spec, vector)

    async def _prepare(self, job: TowerJob, lane: Lane) -> dict[str, Input]:
        """What the missing towers take in, by their name."""
        profile, piece = job.profile, job.piece
        prepared: dict[str, Input] = {}
        try:
            fetched = None
            if job.is_address:
                fetched = await self._fetched(job, lane)
            for spec in job.to_decode:
                if spec.text is not None:
                    prepared[spec.name] = payload_of(piece, profile)
                    continue
                thumbnail = no_thumbnail(spec)
                try:
                    decoded = await self._work.prepare(
                        spec.name, lambda: fetched or payload_of(piece, profile), lane
                    )
                except SilentContent:  # well formed, and as good as absent
                    self._keep(job, spec, np.zeros(spec.width, np.float16))
                else:
                    if decoded.levels is not None:
                        thumbnail = as_vector(decoded.levels)
                    if spec in job.missing:
                        prepared[spec.name] = decoded.prepared
                job.thumbnail = thumbnail
                self._recent.put(thumbnail_key(job.piece), thumbnail)
        except (ServiceError, UnreadableContent) as error:
            job.error = error
            return {}
        return prepared

    async def _fetched(self, job: TowerJob, lane: Lane) -> Payload:
        source = job.piece.source
        url = media_at(job.profile, source).url
        assert url is not None
        spec = job.specs[0]  # all of one kind
        kind: Kind = "audio" if spec.audio is not None else "image"
        found = await self._fetch(url, kind, f"{job.pointer}{pointer_to(source)}/url")
        data = found.data
        job.has_bytes(await self._work.decode(lambda: hashlib.sha256(data).hexdigest(), lane))
        self.recall(job, job.stored)
        return Payload(source, data=data, content_type=found.content_type)

    def _keep(self, job: TowerJob, spec: TowerSpec, vector: Vector) -> None:
        job.vectors[spec.name] = vector
        self._recent.put(key_of(spec, job.piece), vector)


def error_of(errors: Sequence[ServiceError]) -> ServiceError:
    """One error for several parts of a profile that can't be read, each named."""
    wrong = [e for e in errors if isinstance(e, InvalidRequest)]
    if len(wrong) < 2:
        return (wrong or errors)[0]
    kind = type(wrong[0]) if len({type(e) for e in wrong}) == 1 else InvalidRequest
    return kind("; ".join(e.detail for e in wrong), [one for e in wrong for one in e.errors])
