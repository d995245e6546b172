"""The store's interface: records, an ordered log of writes, and positions in it.

Every write gets the next number of one contiguous sequence; that number is also the streamer's new
version, so a version never comes back, not even after a delete. The log holds one entry per number;
none are skipped but where another epoch begins behind numbers that were lost.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from service.store.jobs import JobStep
from service.store.once import Once

INCOMPLETE = "incomplete:"
"""A store's model version begins so while its records are re-encoded or restored; what follows is
the model that may write meanwhile."""


@dataclass(frozen=True)
class IndexEntry:
    """The part of a record that an index holds.

    Attributes:
        streamer_id: whose it is.
        version: sequence number of the write that made it.
        embedding: float32 little-endian bytes; empty for a streamer without usable content.
        content: float16 little-endian bytes of the content sketch; empty likewise.
        facets: JSON bytes, what filters and answers read (name, language, category, tags, ...).
        model_version: the model that made the vectors; empty in log entries of older releases.
    """

    streamer_id: str
    version: int
    embedding: bytes
    content: bytes
    facets: bytes
    model_version: str


@dataclass(frozen=True)
class Record(IndexEntry):
    """A stored streamer: profile, vectors and their state.

    Attributes:
        profile: JSON bytes of the profile as it was written.
        digest: SHA-256 hex of `profile`; equal profiles need no second encoding.
        status: whether the streamer has vectors.
        modalities: JSON bytes, per modality what became of it.
        id_embedding: float32 bytes, predicted for the recommender's space; empty without one.
        updated_at: seconds since 1970, by the service's clock; for people, never for order.
        tower_vectors: what towers made of the profile's pieces
            (`service.engine.encoding.tower_vectors`); empty without towers, and in records of
            releases that had none.
    """

    profile: bytes
    digest: str
    status: Literal["indexed", "insufficient_content"]
    modalities: bytes
    id_embedding: bytes
    updated_at: float
    tower_vectors: bytes = b""


ANY_STORED = -1
"""Expected version of a streamer that must be stored, at whatever version."""


@dataclass(frozen=True)
class StoredProfile:
    """A record without its vectors; the fields are those of `Record`."""

    streamer_id: str
    version: int
    model_version: str
    profile: bytes
    status: Literal["indexed", "insufficient_content"]
    modalities: bytes
    updated_at: float


@dataclass(frozen=True)
class ProfilePage:
    """Profiles in byte order of their ids; `next_after` continues, None on the last page."""

    profiles: Sequence[StoredProfile]
    next_after: str | None


@dataclass(frozen=True)
class Upsert:
    """Write a record (its `version` is ignored and given by the store).

    `expected_version`: None = whatever is there, 0 = nothing may be there, n = exactly version n,
    ANY_STORED = any version. `second` is the same profile as a second model encoded it, while two
    are kept; all upserts of a write have one or none has.
    """

    record: Record
    expected_version: int | None = None
    second: Record | None = None


@dataclass(frozen=True)
class Delete:
    """Remove a streamer; `expected_version` as in `Upsert`."""

    streamer_id: str
    expected_version: int | None = None


@dataclass(frozen=True)
class Written:
    """The operation is on disk under this sequence number."""

    sequence: int
    created: bool


@dataclass(frozen=True)
class Refused:
    """The expectation did not hold, or there was nothing to delete; nothing was changed.

    `current_version` is 0 when the streamer is not stored.
    """

    current_version: int


Outcome = Written | Refused


class DoneBefore(Exception):
    """The write was done already, by an earlier request; nothing was changed now.

    Attributes:
        fingerprint: of the earlier request.
        outcome: of the write.
        answer: as `Once.answer` of the earlier request.
    """

    def __init__(self, fingerprint: str, outcome: Written, answer: bytes) -> None:
        super().__init__(f"done before, as {outcome.sequence}")
        self.fingerprint = fingerprint
        self.outcome = outcome
        self.answer = answer


@dataclass(frozen=True)
class Position:
    """A place in the log. Another epoch means another history: throw the index away.

    `mark` is that of the log's entry there. Another mark means the same: the store went back to an
    older state and then counted on. It is empty where nothing was written, or by an older release.
    """

    epoch: str
    sequence: int
    mark: str = ""


@dataclass(frozen=True)
class LogEntry:
    """One number of the sequence: an entry to index, or None for a delete.

    `mark` is drawn at random for each write, so that no two histories share one.
    """

    sequence: int
    streamer_id: str
    entry: IndexEntry | None
    mark: str = ""


class LogGap(Exception):
    """The log does not go on at the wanted number (trimmed, or another history): resync fully."""


class WentBack(LogGap):
    """The store lost what was at the wanted number: it has another history from before that on."""


class StreamerStore(Protocol):
    """A durable store. All methods raise StoreUnavailable when it does not answer."""

    async def write(
        self,
        operations: Sequence[Upsert | Delete],
        *,
        once: Once | None = None,
        step: JobStep | None = None,
    ) -> list[Outcome]:
        """Apply operations in order, as one atomic script; on disk when this returns.

        An operation that is refused does not stop the others. When the answer is lost, the store is
        asked again what became of them; nothing is applied twice. All records are of one model, all
        seconds of another, and the script compares them with the store's (`service.store.models`);
        an empty store takes the model of its first write.

        Args:
            operations: what to write; a single one with `once`.
            once: remembered in the same script, unless the operation is refused.
            step: of a job, whose progress the script records too: either both are done or none.

        Raises:
            DoneBefore: a write of the same name was done in the last `REMEMBERED_S`.
            LeaseLost: the job of the step is run by somebody else, or further; nothing was written.
            ModelChanged: the store holds another model's vectors by now; nothing was written.
            StoreFull: nothing was written, since disk or memory is full.
            StoreUnavailable: no answer; the operations may or may not have been applied, and if
                not, the store won't do it any more once its time for an answer is over.
        """
        ...

    async def done_before(self, key: str) -> DoneBefore | None:
        """What was done once under a key; None if nothing was, or too long ago."""
        ...

    async def get(self, ids: Sequence[str]) -> list[Record | None]:
        """Records by id, None where there is none."""
        ...

    async def entries(self, ids: Sequence[str]) -> list[IndexEntry | None]:
        """What indexes hold of records by id, None where there is none."""
        ...

    async def profiles(self, ids: Sequence[str]) -> list[StoredProfile | None]:
        """Profiles by id, None where there is none; `chunks` tells how many are few enough."""
        ...

    async def digests(
        self, ids: Sequence[str], *, confirmed: bool = ...
    ) -> list[tuple[int, str] | None]:
        """(version, profile digest) by id, None where there is none.

        Args:
            ids: of streamers.
            confirmed: what is found is as safe as a write that was acknowledged.
        """
        ...

    def of_model(self, model: str) -> Self:
        """A view that reads of records with two models' vectors what this one made."""
        ...

    async def tower_vectors(self, ids: Sequence[str]) -> list[bytes]:
        """Tower vectors by id, empty where there are none."""
        ...

    async def model_versions(self, ids: Sequence[str]) -> list[str | None]:
        """Model versions by id, None where there is no record."""
        ...

    async def chunks(self, ids: Sequence[str], max_bytes: int = ...) -> list[list[str]]:
        """Ids in parts, in order, each small enough to read or write its records in one step.

        Profiles and tower vectors of a part have up to `max_bytes` together, as they are stored, or
        it is a single id.
        """
        ...

    async def list_ids(self, after: str, limit: int) -> list[str]:
        """Up to `limit` ids in byte order, strictly after `after` ("" = from the start)."""
        ...

    async def page(self, after: str, limit: int, max_bytes: int) -> ProfilePage:
        """Profiles strictly after an id, in byte order of the ids.

        Args:
            after: the id; "" = from the start.
            limit: most ids that are looked at.
            max_bytes: most bytes of profiles that are read, but for the first one.
        """
        ...

    async def count(self) -> int:
        """Number of streamers stored."""
        ...

    async def position(self, *, confirmed: bool = ...) -> Position:
        """Where the log ends now; with `confirmed` all of it is as safe as what is acknowledged."""
        ...

    def scan(self, chunk: int = 1000) -> AsyncGenerator[list[IndexEntry], None]:
        """All entries, in chunks.

        Follow the log from the position taken *before* the scan: every write during it is either
        seen by the scan or in the log, and versions tell which is newer.
        """
        ...

    def follow(
        self, after: int, epoch: str | None = None, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        """Log entries from `after + 1` on, contiguous, as they become durable; never ends.

        Close it (`contextlib.aclosing`) when done: it holds a connection. With the `epoch` and the
        `mark` of the position that is being continued, a store that was replaced or went back
        meanwhile is noticed even when its sequence has already passed `after`.

        Raises:
            LogGap: number `after + 1` is no longer in the log, or this is another history.
            StoreUnavailable: the connection was lost; follow again from the last entry applied.
        """
        ...

    async def check_continues(self, place: Position) -> None:
        """Return if the log goes on behind a place.

        Raises:
            WentBack: what was there is lost, or the place is of another history.
            LogGap: the log no longer goes back so far, so that nobody can tell.
        """
        ...

    async def forget(self, streamer_id: str, before: int) -> int:
        """Remove the log entries that have a streamer's vectors, up to a sequence number.

        The log has gaps then: who has not read so far, or starts from a snapshot that is older,
        resyncs fully.

        Returns:
            How many entries were removed.
        """
        ...

    async def rewrite_files(self) -> bool:
        """Begin to drop what was removed from the store's files, too; False if that can't begin."""
        ...

    async def model_version(self) -> str | None:
        """The model whose vectors are stored; None for an empty store."""
        ...

    async def kept_models(self) -> tuple[str | None, str | None]:
        """The model that serves, and the other one whose vectors are written too; or None."""
        ...

    async def set_model_version(self, version: str) -> None:
        """Record which model the stored vectors belong to."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
