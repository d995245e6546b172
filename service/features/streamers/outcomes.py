"""What becomes of profiles on their way into the store."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile
from service.errors import ServiceError, VersionConflict
from service.features.dedup.answers import Looked, NearDuplicate
from service.store.base import Record, Refused


@dataclass(frozen=True, eq=False)
class Acknowledged:
    """A write that is on disk.

    Attributes:
        record: as it is stored.
        sequence: number of the write, and the record's version.
        created: whether the streamer was not stored before.
        encoded: its vectors; None without usable content.
        coverage: share of what it shows that the model knows.
        profile: as it was given.
        looking: for near-duplicates, since before it was on disk; None: nobody is yet.
    """

    record: Record
    sequence: int
    created: bool
    encoded: Encoded | None
    coverage: float
    profile: StreamerProfile
    looking: "asyncio.Task[Looked] | None" = None


@dataclass(frozen=True)
class Unchanged:
    """A write that was skipped, since the same profile is stored already."""

    streamer_id: str
    version: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """Profiles that are encoded and not written yet, by their places in what was given.

    Attributes:
        encoded: what is to be written.
        settled: what need not be, or can't.
        compared: versions that were found different; see `WritePipeline.write_many`.
    """

    encoded: dict[int, EncodedProfile]
    settled: dict[int, Unchanged | ServiceError]
    compared: dict[int, int]

    def without(self, errors: Mapping[int, ServiceError]) -> "Prepared":
        """All but some of what is to be written, by place in it: what is wrong with them."""
        places = list(self.encoded)
        refused = {places[i]: error for i, error in errors.items()}
        encoded = {at: item for at, item in self.encoded.items() if at not in refused}
        return Prepared(encoded, {**self.settled, **refused}, self.compared)


@dataclass(frozen=True)
class FollowUp:
    """What became of the steps after a commit.

    Attributes:
        near_duplicates: stored streamers that show nearly the same; None when unknown.
        unavailable_because: why they are unknown; None when they are known.
    """

    near_duplicates: Sequence[NearDuplicate] | None
    unavailable_because: str | None = None


def conflict_of(streamer_id: str, expected: int | None, outcome: Refused) -> VersionConflict:
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
