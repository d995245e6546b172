"""Looks for near-duplicates of what is written: begun beside the store, and answered after it."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

from model_export.contract.streamer import StreamerProfile
from service.engine.candidates.look_ups import LookUp
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile
from service.errors import ServiceError
from service.features.dedup.answers import Looked
from service.features.streamers.outcomes import Acknowledged, FollowUp
from service.logs.repeats import Repeats

_log = logging.getLogger(__name__)
LONGEST_S = 2.0
_BYTES_LEFT_OUT = b'"sha256"'
Stored = TypeVar("Stored")


class NearDuplicatesOf(Protocol):
    """Finds near-duplicates of streamers that are written."""

    def expect(self, streamer_ids: Sequence[str]) -> None:
        """These are about to be written, and looked up for the answer: `over` follows for each."""
        ...

    async def of(
        self, streamer_id: str, encoded: Encoded, tower_vectors: bytes, profile: StreamerProfile
    ) -> Looked:
        """Those of a streamer, stored or not.

        Args:
            streamer_id: whose they are.
            encoded: its vectors.
            tower_vectors: what towers made of it.
            profile: of it.

        Raises:
            Unavailable: they can't be found at the moment.
        """
        ...

    def over(self, streamer_id: str, version: int | None, found: LookUp | None) -> None:
        """The look-up of a streamer is over.

        Args:
            streamer_id: that was expected.
            version: under which exactly what was looked up is stored; None: under none.
            found: what `of` found; None: nothing.
        """
        ...


class WriteLooks:
    """Looks for near-duplicates of writes, whose answers never fail for it."""

    def __init__(self, near_duplicates: NearDuplicatesOf | None, *, keep_bytes: bool) -> None:
        """Ask `near_duplicates`, if anybody; `keep_bytes` as of `WritePipeline`."""
        self._near_duplicates = near_duplicates
        self._keep_bytes = keep_bytes
        self._repeats = Repeats()

    async def beside(
        self, items: Sequence[EncodedProfile], storing: Coroutine[Any, Any, list[Stored]]
    ) -> list[Stored]:
        """What comes of storing items, whose near-duplicates are asked for then.

        Those of a single one are looked for meanwhile; of several, one may be another's.
        """
        known = [item for item in items if item.encoded is not None]
        near = self._near_duplicates
        if near is None or not known:
            return await storing
        near.expect([item.profile.streamer_id for item in known])
        if len(known) > 1:
            return await storing
        (item,) = known
        looking = asyncio.create_task(_look(near, item.profile, item.encoded, item.tower_vectors))
        looking.add_done_callback(_retrieved)
        done: list[Stored] = []
        try:
            done = await storing
        finally:
            if not any(isinstance(each, Acknowledged) for each in done):
                looking.cancel()
        return [
            cast(Stored, replace(each, looking=looking)) if isinstance(each, Acknowledged) else each
            for each in done
        ]

    async def of(self, done: Acknowledged) -> FollowUp:
        """Near-duplicates of a write; it never fails."""
        record, near, found = done.record, self._near_duplicates, None
        if done.encoded is None or near is None:
            return FollowUp([])
        try:
            async with asyncio.timeout(LONGEST_S):
                looked = await (
                    done.looking or _look(near, done.profile, done.encoded, record.tower_vectors)
                )
            found = looked.found
            return FollowUp(looked.near)
        except ServiceError as error:
            return FollowUp(None, error.detail)
        except TimeoutError:
            return FollowUp(None, f"they were not found within {LONGEST_S:g} s")
        except Exception as error:  # noqa: BLE001 - the write is on disk
            if self._repeats.is_new("near-duplicates", error):  # or each write had a traceback
                _log.exception("near-duplicates of %r can't be found", record.streamer_id)
            return FollowUp(None, "they can't be found: the service's log has the cause")
        finally:
            # Without the bytes of a picture, another digest stands for it.
            is_whole = self._keep_bytes or _BYTES_LEFT_OUT not in record.profile
            near.over(record.streamer_id, done.sequence if is_whole else None, found)


async def _look(
    near: NearDuplicatesOf,
    profile: StreamerProfile,
    encoded: Encoded | None,
    tower_vectors: bytes,
) -> Looked:
    assert encoded is not None
    return await near.of(profile.streamer_id, encoded, tower_vectors, profile)


def _retrieved(looking: "asyncio.Task[Looked]") -> None:
    """Nobody need hear of an error if nobody waits for the answer any more."""
    if not looking.cancelled():
        looking.exception()
