"""What is stored of a profile that was encoded."""

import hashlib
import json
import time
from typing import Any

import numpy as np

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile
from service.store.base import Record


def record_of(item: EncodedProfile, model_version: str) -> Record:
    """The record of an encoded profile; the store gives the version."""
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
        digest=hashlib.sha256(body).hexdigest(),
        model_version=model_version,
        status="insufficient_content" if encoded is None else "indexed",
        modalities=_json_bytes(item.features.status),
        id_embedding=b"" if ids is None else np.asarray(ids, "<f4").tobytes(),
        updated_at=time.time(),
        tower_vectors=item.tower_vectors,
    )


def digest_of_profile(profile: StreamerProfile) -> str:
    """SHA-256 hex of a profile as it is stored."""
    return hashlib.sha256(_profile_bytes(profile)).hexdigest()


def _profile_bytes(profile: StreamerProfile) -> bytes:
    return _json_bytes(profile.dump())


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
