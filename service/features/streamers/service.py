"""Profiles in: read for the encoder, encode, write, read back."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.replica.follower import Follower
from service.errors import ServiceError, StreamerNotFound, VersionConflict
from service.store.base import Delete, Record, Refused, StreamerStore, Upsert, Written


@dataclass(frozen=True, eq=False)
class Acknowledged:
    """A write that is on disk: its record as stored, its sequence number, and what was encoded."""

    record: Record
    sequence: int
    created: bool
    encoded: Encoded | None


@dataclass(frozen=True)
class Unchanged:
    """A write that was skipped, since the same profile is stored already."""

    streamer_id: str
    version: int


class Profiles:
    """The use-cases around a single streamer, and around many at once."""

    def __init__(
        self,
        store: StreamerStore,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        follower: Follower | None = None,
    ) -> None:
        """Write to `store` what `pipeline` makes of profiles; `follower` takes it to the index."""
        self._store = store
        self._pipeline = pipeline
        self._stored = stored
        self._follower = follower
        self.model_version = pipeline.model_version

    async def put(self, profile: StreamerProfile, expected_version: int | None) -> Acknowledged:
        """Store a profile; encoded and on disk when this returns.

        Raises:
            InvalidRequest: as `encode`.
            VersionConflict: `expected_version` is not the stored one (0 = not stored).
        """
        (tower_vectors,) = await self._stored.tower_vectors([profile.streamer_id])
        return await self._put(ToRead(profile, tower_vectors=tower_vectors), expected_version)

    async def _put(self, item: ToRead, expected_version: int | None) -> Acknowledged:
        encoded = await self._pipeline.encode(item)
        record = self.record(encoded)
        (outcome,) = await self._store.write([Upsert(record, expected_version)])
        if isinstance(outcome, Refused):
            raise conflict(record.streamer_id, expected_version, outcome)
        return Acknowledged(record, outcome.sequence, outcome.created, encoded.encoded)

    async def patch(
        self, streamer_id: str, changes: dict[str, Any], expected_version: int | None
    ) -> Acknowledged:
        """Apply a JSON merge patch (RFC 7396) to a stored profile.

        Raises:
            StreamerNotFound: it is not stored.
            pydantic.ValidationError: the result is not a valid profile.
            VersionConflict: it is not at `expected_version`, or changes all the time.
        """
        for _ in range(5):
            (stored,) = await self._store.get([streamer_id])
            if stored is None:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
            if expected_version not in (None, stored.version):
                raise conflict(streamer_id, expected_version, Refused(stored.version))
            merged = merge_patch(json.loads(stored.profile), changes)
            profile = StreamerProfile.model_validate({**merged, "streamer_id": streamer_id})
            item = ToRead(profile, tower_vectors=stored.tower_vectors, stored=stored.profile)
            try:
                return await self._put(item, stored.version)
            except VersionConflict:
                if expected_version is not None:
                    raise
        raise VersionConflict(f"streamer {streamer_id!r} is being changed by others; try again")

    async def delete(self, streamer_id: str, expected_version: int | None) -> int:
        """Remove a streamer; its sequence number.

        Raises:
            StreamerNotFound: it is not stored.
            VersionConflict: it is not at `expected_version`.
        """
        (outcome,) = await self._store.write([Delete(streamer_id, expected_version)])
        if isinstance(outcome, Refused):
            if outcome.current_version == 0:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
            raise conflict(streamer_id, expected_version, outcome)
        return outcome.sequence

    async def get(self, streamer_id: str) -> Record:
        """The stored record; raises StreamerNotFound if it is not stored."""
        return await self._stored.get(streamer_id)

    async def show(self, sequence: int) -> None:
        """Let the index take in an acknowledged write, if it is up to date."""
        if self._follower is not None:
            await self._follower.show(sequence)

    async def page(self, after: str, limit: int) -> list[Record]:
        """Up to `limit` records in byte order of their ids, after `after`."""
        records = await self._store.get(await self._store.list_ids(after, limit))
        return [record for record in records if record is not None]

    async def write_many(
        self, profiles: Sequence[StreamerProfile], *, skip_unchanged: bool
    ) -> list[Acknowledged | Unchanged | ServiceError]:
        """Encode and store many profiles in one script; in order, the last of an id wins.

        In place of one that the model can't read, what is wrong with it.
        """
        ids = [profile.streamer_id for profile in profiles]
        known: dict[str, tuple[int, str]] = {}
        if skip_unchanged:
            found = await self._store.digests(ids)
            known = {i: entry for i, entry in zip(ids, found, strict=True) if entry is not None}
        results: list[Acknowledged | Unchanged | ServiceError | None] = [None] * len(profiles)
        changed: list[int] = []
        for i, profile in enumerate(profiles):
            digest = _digest(_profile_bytes(profile))
            version, stored = known.get(profile.streamer_id, (0, ""))
            if skip_unchanged and digest == stored and version:
                results[i] = Unchanged(profile.streamer_id, version)
            else:
                known[profile.streamer_id] = (0, digest)  # a later line sees this one
                changed.append(i)
        stored_vectors = await self._stored.tower_vectors([ids[i] for i in changed])
        to_read = [
            ToRead(profiles[i], tower_vectors=packed)
            for i, packed in zip(changed, stored_vectors, strict=True)
        ]
        written: list[tuple[int, EncodedProfile, Record]] = []
        for i, encoded in zip(changed, await self._pipeline.encode_many(to_read), strict=True):
            if isinstance(encoded, ServiceError):
                results[i] = encoded
            else:
                written.append((i, encoded, self.record(encoded)))
        upserts = [Upsert(record) for _, _, record in written]
        outcomes = await self._store.write(upserts) if upserts else []
        for (i, encoded, record), outcome in zip(written, outcomes, strict=True):
            done = cast(Written, outcome)  # nothing was expected, so nothing is refused
            results[i] = Acknowledged(record, done.sequence, done.created, encoded.encoded)
        return [result for result in results if result is not None]

    def record(self, item: EncodedProfile) -> Record:
        """What is stored of an encoded profile; the store gives the version."""
        profile, encoded = item.profile, item.encoded
        body = _profile_bytes(profile)
        facets = {
            "name": profile.name,
            "language": profile.language,
            "category": profile.category,
            "tags": profile.tags,
            "attributes": profile.attributes,
            "modalities_used": item.features.modalities_used,
        }
        ids = None if encoded is None else encoded.id_embedding
        return Record(
            streamer_id=profile.streamer_id,
            version=0,
            embedding=b"" if encoded is None else encoded.embedding.astype("<f4").tobytes(),
            content=b"" if encoded is None else encoded.content.astype("<f2").tobytes(),
            facets=_json_bytes({k: v for k, v in facets.items() if v not in (None, [], {})}),
            profile=body,
            digest=_digest(body),
            model_version=self.model_version,
            status="insufficient_content" if encoded is None else "indexed",
            modalities=_json_bytes(item.features.status),
            id_embedding=b"" if ids is None else np.asarray(ids, "<f4").tobytes(),
            updated_at=time.time(),
            tower_vectors=item.tower_vectors,
        )


def conflict(streamer_id: str, expected: int | None, outcome: Refused) -> VersionConflict:
    """The error for a write whose expectation did not hold."""
    if outcome.current_version == 0:
        return VersionConflict(f"streamer {streamer_id!r} is not stored, so no version matches")
    if expected == 0:
        return VersionConflict(
            f"streamer {streamer_id!r} exists already, at version {outcome.current_version}"
        )
    return VersionConflict(
        f"streamer {streamer_id!r} is at version {outcome.current_version}, not {expected}; "
        "read it again and repeat the change"
    )


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396): null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    changes = cast(dict[str, Any], patch)
    merged: dict[str, Any] = dict(cast(dict[str, Any], target)) if isinstance(target, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _profile_bytes(profile: StreamerProfile) -> bytes:
    return _json_bytes(profile.dump())


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
