"""Records, log entries and writes, as the server's hashes, streams and scripts hold them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from service.store.base import (
    Delete,
    DoneBefore,
    IndexEntry,
    LogEntry,
    Outcome,
    Record,
    Refused,
    StoredProfile,
    Upsert,
    Written,
)
from service.store.jobs import JobStep
from service.store.once import Once
from service.store.redis.client import Argument
from service.store.redis.models.second import made_by_model

ENTRY_FIELDS = ("version", "embedding", "content", "facets", "model_version")
PROFILE_FIELDS = ("version", "model_version", "profile", "status", "modalities", "updated_at")
RECORD_FIELDS = (
    *ENTRY_FIELDS,
    "profile",
    "digest",
    "status",
    "modalities",
    "id_embedding",
    "updated_at",
    "tower_vectors",
)
"""Fields of the hash that holds a record."""


_MOST_IDS = 1000


def outcome_of(answer: list[int]) -> Outcome:
    """What write.lua says of one operation."""
    accepted, number, created = answer
    return Written(number, created=bool(created)) if accepted else Refused(number)


def progress_of(step: JobStep | None) -> tuple[Argument, ...]:
    """What write.lua takes for a job's step; empty for any other write."""
    if step is None:
        return ("", "", 0, 0)
    return (step.lease.token, step.checkpoint, step.after, step.done)


def terms_of(once: Once | None) -> tuple[Argument, Argument]:
    """What write.lua takes for a write that is done once; empty for any other."""
    return ("", "") if once is None else (once.fingerprint, once.answer)


def done_before_of(value: bytes) -> DoneBefore:
    """What write.lua remembers of a write that is done once."""
    did, _, fingerprint, answer = value.split(b"\n", 3)
    _, sequence, created = did.split()
    outcome = Written(int(sequence), created=created == b"1")
    return DoneBefore(fingerprint.decode(), outcome, answer)


def model_of(operations: Sequence[Upsert | Delete]) -> str:
    """The model of all records of a write; empty where there are only deletes."""
    models = {o.record.model_version for o in operations if isinstance(o, Upsert)}
    if len(models) > 1:
        raise ValueError(f"one write has records of several models: {sorted(models)}")
    return models.pop() if models else ""


def second_of(operations: Sequence[Upsert | Delete]) -> str:
    """The second model that all records of a write were encoded for; empty without one."""
    upserts = [o for o in operations if isinstance(o, Upsert)]
    models = {"" if o.second is None else o.second.model_version for o in upserts}
    if len(models) > 1:
        raise ValueError(f"one write has second records of several models: {sorted(models)}")
    return models.pop() if models else ""


def id_of(operation: Upsert | Delete) -> str:
    """The streamer that an operation writes or deletes."""
    return operation.record.streamer_id if isinstance(operation, Upsert) else operation.streamer_id


def arguments_of(operation: Upsert | Delete) -> list[Argument]:
    """What write.lua takes for one operation."""
    expected = "" if operation.expected_version is None else operation.expected_version
    if isinstance(operation, Delete):
        return ["delete", operation.streamer_id, expected]
    record = operation.record
    return [
        "upsert",
        record.streamer_id,
        expected,
        record.embedding,
        record.content,
        record.facets,
        record.profile,
        record.digest,
        record.model_version,
        record.status,
        record.modalities,
        record.id_embedding,
        repr(record.updated_at),
        record.tower_vectors,
        *(() if operation.second is None else made_by_model(operation.second)),
    ]


def fitting(sizes: Sequence[int], max_bytes: int) -> int:
    """How many values, from the first on, have at most so many bytes together; at least one."""
    total = 0
    for place, size in enumerate(sizes):
        total += size
        if place and total > max_bytes:
            return place
    return len(sizes)


def parts_of(ids: Sequence[str], sizes: Sequence[int], max_bytes: int) -> list[list[str]]:
    """Ids in parts, in order, each of at most so many bytes or of a single id.

    A part has a bounded number of ids too: packed values are short, and long once they are read.
    """
    parts: list[list[str]] = []
    total = 0
    for streamer_id, size in zip(ids, sizes, strict=True):
        total += size
        if not parts or total > max_bytes or len(parts[-1]) == _MOST_IDS:
            parts.append([])
            total = size
        parts[-1].append(streamer_id)
    return parts


def to_entry(streamer_id: str, row: Sequence[bytes | None]) -> IndexEntry:
    """An entry of a record's hash; a missing or unreadable field becomes empty, or 0."""
    version, embedding, content, facets, model = (value or b"" for value in row)
    return IndexEntry(
        streamer_id, _number(version), embedding, content, facets, model.decode(errors="replace")
    )


def to_record(streamer_id: str, row: Sequence[bytes | None]) -> Record:
    """A whole record; a missing or unreadable field becomes empty, or 0."""
    entry = to_entry(streamer_id, row[: len(ENTRY_FIELDS)])
    profile, digest, status, modalities, id_embedding, updated_at, tower_vectors = (
        value or b"" for value in row[len(ENTRY_FIELDS) :]
    )
    return Record(
        **vars(entry),
        profile=profile,
        digest=digest.decode(errors="replace"),
        status=_status(status),
        modalities=modalities,
        id_embedding=id_embedding,
        updated_at=float(updated_at or 0),
        tower_vectors=tower_vectors,
    )


def to_profile(streamer_id: str, row: Sequence[bytes | None]) -> StoredProfile:
    """Decode a record without its vectors."""
    version, model, profile, status, modalities, updated_at = (value or b"" for value in row)
    return StoredProfile(
        streamer_id,
        _number(version),
        model.decode(errors="replace"),
        profile,
        _status(status),
        modalities,
        float(updated_at or 0),
    )


def _status(value: bytes) -> Literal["indexed", "insufficient_content"]:
    return "indexed" if value == b"indexed" else "insufficient_content"


def to_log_entry(key: bytes, fields: Mapping[bytes, bytes], model: str | None = None) -> LogEntry:
    """Decode an entry of the log, by its key; with the vectors of `model`, where it has two."""
    sequence = int(key.split(b"-")[0])
    streamer_id = fields.get(b"id", b"").decode(errors="replace")
    mark = fields.get(b"mark", b"").decode(errors="replace")
    if fields.get(b"op") == b"delete":
        return LogEntry(sequence, streamer_id, None, mark)
    second = fields.get(b"next_model")
    prefix = b"next_" if model is not None and second == model.encode() else b""
    embedding, content, facets, made_by = (
        fields.get(prefix + name, b"") for name in (b"embedding", b"content", b"facets", b"model")
    )
    entry = IndexEntry(
        streamer_id, sequence, embedding, content, facets, made_by.decode(errors="replace")
    )
    return LogEntry(sequence, streamer_id, entry, mark)


def _number(version: bytes) -> int:
    """A version; 0, which no write has, where it is not a number."""
    return int(version) if version.isdigit() else 0
