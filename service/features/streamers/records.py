"""What is stored of a profile that was encoded."""

import base64
import hashlib
import time
from typing import Any, cast

import numpy as np
from pydantic_core import to_json

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile
from service.engine.work.large_json import dumps
from service.store.base import Record


def record_of(item: EncodedProfile, model_version: str, *, keep_bytes: bool) -> Record:
    """The record of an encoded profile; the store gives the version.

    Without `keep_bytes`, pictures and sounds are stored as the SHA-256 of their bytes; the digest
    is that of the profile with them.
    """
    profile, encoded = item.profile, item.encoded
    dumped = _by_name(profile.dump())
    body = _json_bytes(dumped)
    facets = {
        "name": profile.name,
        "language": profile.language,
        "category": profile.category,
        "tags": profile.tags,
        "attributes": profile.attributes,
        "modalities_used": item.features.modalities_used,
        "coverage": item.features.coverage,
    }
    ids = None if encoded is None else encoded.id_embedding
    return Record(
        streamer_id=profile.streamer_id,
        version=0,
        embedding=b"" if encoded is None else encoded.embedding.astype("<f4").tobytes(),
        content=b"" if encoded is None else encoded.content.astype("<f2").tobytes(),
        facets=_json_bytes({k: v for k, v in facets.items() if v not in (None, [], {})}),
        profile=body if keep_bytes else _json_bytes(_without_bytes(dumped)),
        digest=hashlib.sha256(body).hexdigest(),
        model_version=model_version,
        status="insufficient_content" if encoded is None else "indexed",
        modalities=_json_bytes(item.features.status),
        id_embedding=b"" if ids is None else np.asarray(ids, "<f4").tobytes(),
        updated_at=time.time(),
        tower_vectors=item.tower_vectors,
    )


def told_of(record: Record, coverage: float) -> bytes:
    """What an answer says of a write beside its outcome; kept for as long as it may be repeated."""
    return b'{"model_version":%b,"status":%b,"coverage":%b,"modalities":%b}' % (
        to_json(record.model_version),
        to_json(record.status),
        to_json(coverage),
        record.modalities,
    )


def has_digest(profile: StreamerProfile, digest: str) -> bool:
    """Whether a stored profile with this digest, SHA-256 hex, is equal.

    Earlier releases stored attributes in the order in which they came: what they stored and comes
    in that order is equal too.
    """
    given = profile.dump()
    if _digest(_by_name(given)) == digest:
        return True
    return list(profile.attributes) != sorted(profile.attributes) and _digest(given) == digest


def _by_name(dumped: dict[str, Any]) -> dict[str, Any]:
    """A profile with its attributes by name, since their order says nothing."""
    if "attributes" not in dumped:
        return dumped
    return {**dumped, "attributes": dict(sorted(dumped["attributes"].items()))}


def _digest(dumped: dict[str, Any]) -> str:
    return hashlib.sha256(_json_bytes(dumped)).hexdigest()


def _without_bytes(part: Any) -> Any:
    """A profile, or a part of it, with digests in the place of pictures and sounds."""
    if isinstance(part, list):
        return [_without_bytes(each) for each in cast(list[Any], part)]
    if not isinstance(part, dict):
        return part
    fields = cast(dict[str, Any], part)
    if fields.keys() == {"data", "content_type"}:
        return {"sha256": hashlib.sha256(base64.b64decode(fields["data"])).hexdigest()}
    return {
        name: each if name == "attributes" else _without_bytes(each)
        for name, each in fields.items()
    }


def _json_bytes(value: Any) -> bytes:
    return dumps(value).encode()
