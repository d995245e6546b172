"""The one way into the store: encode, commit in one atomic script, acknowledge, then follow up.

PUT, PATCH, bulk writes and re-encoding all pass through here. What follows the commit may fail and
never fails the write: the record is on disk by then.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.large_profiles import beside_if_large
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES, loads
from service.errors import ServiceError, StreamerNotFound, WriteContended
from service.features.streamers.both_models import NoOtherModel, OtherModel, write_for_both
from service.features.streamers.merge_patch import patched_profile
from service.features.streamers.near_duplicates import NearDuplicatesOf, WriteLooks
from service.features.streamers.outcomes import (
    Acknowledged,
    FollowUp,
    Prepared,
    Unchanged,
    conflict_of,
)
from service.features.streamers.records import has_digest, record_of, told_of
from service.features.streamers.repeats import Repeats
from service.store.base import Delete, Record, Refused, StreamerStore, Upsert, Written
from service.store.jobs import JobStep
from service.store.once import Once

_log = logging.getLogger(__name__)
_ATTEMPTS = 5
_PATCH_PAUSE_S = 0.02

Show = Callable[[int], Awaitable[None]]
"""Wait, briefly, until the index has applied a sequence number."""


class WritePipeline:
    """Writes and deletes streamers.

    Attributes:
        repeats: tells which requests were answered before.
        other_model: that writes are encoded for as well.
    """

    def __init__(
        self,
        store: StreamerStore,
        encoding: EncodingPipeline,
        stored: StoredProfiles,
        near_duplicates: NearDuplicatesOf | None = None,
        show: Show | None = None,
        lanes: Lanes | None = None,
        *,
        keep_bytes: bool = True,
    ) -> None:
        """Write to `store` what `encoding` makes of profiles.

        Args:
            store: takes the records.
            encoding: from profiles to vectors.
            stored: what is stored of the same streamers, so that towers need not run again.
            near_duplicates: of a streamer that was written; None where nobody asks.
            show: lets the index take in a write; None without an index.
            lanes: threads for large profiles.
            keep_bytes: store pictures and sounds; otherwise the SHA-256 of each alone.
        """
        self._store = store
        self._encoding = encoding
        self._stored = stored
        self._looks = WriteLooks(near_duplicates, keep_bytes=keep_bytes)
        self._show = show
        self._lanes = lanes
        self._keep_bytes = keep_bytes
        self.repeats = Repeats(store)
        self.other_model: OtherModel = NoOtherModel()

    async def put(
        self, profile: StreamerProfile, expected_version: int | None, once: Once | None = None
    ) -> Acknowledged:
        """Store a profile; encoded and on disk when this returns.

        Raises:
            DoneBefore: an earlier request did `once`, as in all writes that take it.
            InvalidRequest: the model can't read a part of it.
            VersionConflict: `expected_version` is not the stored one (0 = not stored).
            Unavailable: it can't be encoded or stored at the moment.
        """
        (tower_vectors,) = await self._stored.tower_vectors([profile.streamer_id])
        item = ToRead(profile, tower_vectors=tower_vectors)
        done = await self._put(item, expected_version, once)
        if isinstance(done, Refused):
            raise conflict_of(profile.streamer_id, expected_version, done)
        return done

    async def patch(
        self,
        streamer_id: str,
        changes: dict[str, Any],
        expected_version: int | None,
        once: Once | None = None,
    ) -> Acknowledged:
        """Apply a JSON merge patch (RFC 7396) to a stored profile.

        Raises:
            StreamerNotFound: it is not stored.
            pydantic.ValidationError: the result is not a valid profile.
            VersionConflict: it is not at `expected_version`.
            WriteContended: no version was expected, and others wrote it at each attempt.
            Unavailable: it can't be encoded or stored at the moment.
        """
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(random.uniform(0, attempt * _PATCH_PAUSE_S))
            stored = await self._stored.get(streamer_id)
            if expected_version not in (None, stored.version):
                raise conflict_of(streamer_id, expected_version, Refused(stored.version))
            profile = await self._patched(stored, changes)
            item = ToRead(profile, tower_vectors=stored.tower_vectors, stored=stored.profile)
            done = await self._put(item, stored.version, once)
            if isinstance(done, Acknowledged):
                return done
            if expected_version is not None:
                raise conflict_of(streamer_id, expected_version, done)
        raise WriteContended(
            f"streamer {streamer_id!r} was written by others during each of {_ATTEMPTS} "
            "attempts, and nothing was changed: send the patch again"
        )

    async def write_many(
        self,
        profiles: Sequence[StreamerProfile],
        *,
        skip_unchanged: bool,
        near_follow: bool = False,
    ) -> list[Acknowledged | Unchanged | ServiceError]:
        """Encode and store many profiles in one script; in order, the last of an id wins.

        In place of one that the model can't read, or that can't be stored after others were, what
        is wrong with it. With `skip_unchanged` a
        profile that others store meanwhile is compared again, so that the same lines sent twice,
        even at once, are written once. With `near_follow`, `near` is called for each that is
        acknowledged.

        Raises:
            Unavailable: none of them can be encoded or stored at the moment.
        """
        results: dict[int, Acknowledged | Unchanged | ServiceError] = {}
        waiting = list(range(len(profiles)))
        for attempt in range(_ATTEMPTS):
            try:
                prepared = await self.prepare(
                    [profiles[i] for i in waiting],
                    skip_unchanged=skip_unchanged and attempt < _ATTEMPTS - 1,
                )
                looked_up = list(prepared.encoded.values()) if near_follow else []
                storing = self._store_prepared(prepared, prepared.compared)
                done = await self._looks.beside(looked_up, storing)
            except ServiceError as error:
                if not attempt:
                    raise
                results |= dict.fromkeys(waiting, error)  # the others are on disk
                break
            again: list[int] = []
            for i, result in zip(waiting, done, strict=True):
                if isinstance(result, Refused):
                    again.append(i)
                else:
                    results[i] = result
            waiting = again
            if not waiting:
                break
        return [results[i] for i in range(len(profiles))]

    async def prepare(
        self, profiles: Sequence[StreamerProfile], *, skip_unchanged: bool
    ) -> Prepared:
        """Encode many profiles, but for those that are stored like this already.

        Raises:
            Unavailable: none of them can be encoded at the moment.
        """
        unchanged: dict[int, Unchanged] = {}
        compared: dict[int, int] = {}
        if skip_unchanged:
            unchanged, compared = await self._compared(profiles)
        changed = [i for i in range(len(profiles)) if i not in unchanged]
        packed = await self._stored.tower_vectors([profiles[i].streamer_id for i in changed])
        items = [
            ToRead(profiles[i], tower_vectors=vectors)
            for i, vectors in zip(changed, packed, strict=True)
        ]
        encoded = dict(zip(changed, await self._encoding.encode_many(items), strict=True))
        return Prepared(
            {i: item for i, item in encoded.items() if isinstance(item, EncodedProfile)},
            {**unchanged, **{i: e for i, e in encoded.items() if isinstance(e, ServiceError)}},
            compared,
        )

    async def prepare_encoded(
        self, items: Sequence[EncodedProfile], *, skip_unchanged: bool
    ) -> Prepared:
        """Take profiles that this model encoded elsewhere, but for those stored like this already.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        unchanged: dict[int, Unchanged | ServiceError] = {}
        compared: dict[int, int] = {}
        if skip_unchanged:
            same, compared = await self._compared([item.profile for item in items])
            unchanged.update(same)
        changed = {i: item for i, item in enumerate(items) if i not in unchanged}
        return Prepared(changed, unchanged, compared)

    async def commit(
        self, prepared: Prepared, step: JobStep
    ) -> list[Acknowledged | Unchanged | ServiceError]:
        """Store what was prepared, and the progress of a job whose step it is, in one script.

        Profiles replace what others stored meanwhile: a step is done as a whole.

        Raises:
            LeaseLost: somebody else runs the job; nothing was written.
            NotForBoth: the other model can't read some of them; nothing was written.
            Unavailable: nothing can be stored at the moment.
        """
        done = await self._store_prepared(prepared, {}, step)
        return cast(list[Acknowledged | Unchanged | ServiceError], done)  # nothing was expected

    async def rewrite(
        self, items: Sequence[ToRead], stored: Sequence[Record]
    ) -> list[Acknowledged | Refused | ServiceError]:
        """Encode stored profiles again, and store those that are at their version still.

        `updated_at` and `digest` stay: nobody wrote them, and of some no bytes were kept.
        """
        encoded = await self._encoding.encode_many(items)
        good = [
            (e, r) for e, r in zip(encoded, stored, strict=True) if isinstance(e, EncodedProfile)
        ]
        versions, kept = [r.version for _, r in good], [r for _, r in good]
        done = iter(await self._commit([e for e, _ in good], versions, Lane.BULK, stored=kept))
        return [next(done) if isinstance(e, EncodedProfile) else e for e in encoded]

    async def delete(
        self, streamer_id: str, expected_version: int | None, once: Once | None = None
    ) -> int:
        """Remove a streamer; its sequence number.

        Raises:
            StreamerNotFound: it is not stored.
            VersionConflict: it is not at `expected_version`.
            Unavailable: the store can't delete at the moment.
        """
        (outcome,) = await self._store.write([Delete(streamer_id, expected_version)], once=once)
        if isinstance(outcome, Refused):
            if outcome.current_version == 0:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
            raise conflict_of(streamer_id, expected_version, outcome)
        await self.show(outcome.sequence)
        return outcome.sequence

    async def follow_up(self, done: Acknowledged) -> FollowUp:
        """Find near-duplicates of a write, and let the index take it in; it never fails."""
        near = await self.near(done)
        await self.show(done.sequence)
        return near

    async def show(self, sequence: int) -> None:
        """Let the index take in a write, if it is up to date; it never fails."""
        if self._show is not None:
            try:
                await self._show(sequence)
            except Exception:  # noqa: BLE001 - the write is on disk
                _log.exception("the index can't be asked for sequence %d", sequence)

    async def near(self, done: Acknowledged) -> FollowUp:
        """Find near-duplicates of a write; it never fails."""
        return await self._looks.of(done)

    async def _patched(self, stored: Record, changes: dict[str, Any]) -> StreamerProfile:
        def patch() -> StreamerProfile:
            merged = patched_profile(loads(stored.profile.decode()), changes)
            return StreamerProfile.model_validate({**merged, "streamer_id": stored.streamer_id})

        if self._lanes is None or len(stored.profile) < LARGE_BYTES:
            return patch()
        return await self._lanes.run(patch)

    async def _put(
        self, item: ToRead, expected_version: int | None, once: Once | None
    ) -> Acknowledged | Refused:
        encoded = await self._encoding.encode(item)
        storing = self._commit([encoded], [expected_version], Lane.INTERACTIVE, once=once)
        (done,) = await self._looks.beside([encoded], storing)
        if isinstance(done, ServiceError):
            raise done
        return done

    async def _commit(
        self,
        encoded: Sequence[EncodedProfile],
        expected: Sequence[int | None],
        lane: Lane,
        *,
        once: Once | None = None,
        step: JobStep | None = None,
        stored: Sequence[Record] | None = None,
    ) -> list[Acknowledged | Refused | ServiceError]:
        """Store encoded profiles in one script; on disk when this returns."""
        if not encoded:
            return []
        records: list[Record] = []
        for item in encoded:
            make = partial(
                record_of, item, self._encoding.model_version, keep_bytes=self._keep_bytes
            )
            records.append(await beside_if_large(self._lanes, item.profile, make, lane))
            if len(encoded) > 1:
                await asyncio.sleep(0)  # a profile may be large, and others wait
        if stored is not None:
            records = [
                replace(record, updated_at=before.updated_at, digest=before.digest)
                for record, before in zip(records, stored, strict=True)
            ]
        upserts = [Upsert(r, version) for r, version in zip(records, expected, strict=True)]
        if once is not None:
            once = replace(once, answer=told_of(records[0], encoded[0].features.coverage))
        known = (self._store, self.other_model, self._lanes, self._keep_bytes)
        outcomes = await write_for_both(*known, upserts, encoded, lane, once, step)
        return [
            Acknowledged(
                record,
                outcome.sequence,
                outcome.created,
                item.encoded,
                item.features.coverage,
                item.profile,
            )
            if isinstance(outcome, Written)
            else outcome
            for item, record, outcome in zip(encoded, records, outcomes, strict=True)
        ]

    async def _store_prepared(
        self, prepared: Prepared, expected: Mapping[int, int], step: JobStep | None = None
    ) -> list[Acknowledged | Unchanged | ServiceError | Refused]:
        """Refused are profiles of streamers that are not at their expected version any more."""
        encoded = prepared.encoded
        versions = [expected.get(i) for i in encoded]
        done = await self._commit(list(encoded.values()), versions, Lane.BULK, step=step)
        results = {**prepared.settled, **dict(zip(encoded, done, strict=True))}
        return [results[i] for i in sorted(results)]

    async def _compared(
        self, profiles: Sequence[StreamerProfile]
    ) -> tuple[dict[int, Unchanged], dict[int, int]]:
        """By place: which are stored like this already, and the versions that the others replace.

        Of several profiles with one id the versions are not known.
        """
        ids = [profile.streamer_id for profile in profiles]
        counts = Counter(ids)
        found = await self._store.digests(ids, confirmed=True)  # "unchanged" acknowledges
        known = {i: entry for i, entry in zip(ids, found, strict=True) if entry is not None}
        unchanged: dict[int, Unchanged] = {}
        expected: dict[int, int] = {}
        for i, profile in enumerate(profiles):
            version, digest = known.get(profile.streamer_id, (0, ""))
            is_same = partial(has_digest, profile, digest)
            if version and await beside_if_large(self._lanes, profile, is_same, Lane.BULK):
                unchanged[i] = Unchanged(profile.streamer_id, version)
                continue
            if counts[profile.streamer_id] == 1:
                expected[i] = version
            known.pop(profile.streamer_id, None)  # a later line comes after this one
        return unchanged, expected
