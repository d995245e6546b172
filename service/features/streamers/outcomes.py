"""What becomes of profiles on their way into the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile
from service.errors import ServiceError
from service.features.dedup.answers import NearDuplicate
from service.store.base import Record


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
    """

    record: Record
    sequence: int
    created: bool
    encoded: Encoded | None
    coverage: float
    profile: StreamerProfile


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
