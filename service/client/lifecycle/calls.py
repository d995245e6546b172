"""Requests of the life cycle of models."""

import uuid
from dataclasses import replace
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of, start_job
from service.client.models import (
    CanaryIn,
    ComparisonOut,
    FlipPage,
    JobOut,
    ModelVersionOut,
    ModelVersionsOut,
    ShadowIn,
    ShadowOut,
)

SWITCH_S = 90
"""The service waits for its replicas, 60 s as it is set."""
_MODELS = "/v1/models"
_JSON = {"Content-Type": "application/json"}


def models() -> Call[ModelVersionsOut]:
    """`GET /v1/models`."""
    return Call("GET", _MODELS, reader_of(ModelVersionsOut))


def register(folder: str) -> Call[ModelVersionOut]:
    """`POST /v1/models`."""
    body = to_json({"folder": folder})
    return Call("POST", _MODELS, reader_of(ModelVersionOut), content=body, headers=_JSON)


def model(name: str) -> Call[ModelVersionOut]:
    """`GET /v1/models/{model_id}`."""
    return Call("GET", _at(name), reader_of(ModelVersionOut))


def backfill(name: str, streamers_per_s: float | None) -> Call[JobOut]:
    """`POST /v1/models/{model_id}:backfill`: sent again with its key, it queues no other job."""
    call = start_job(f"{_at(name)}:backfill", b"", _JSON["Content-Type"])
    return replace(call, params=params_of(streamers_per_s=streamers_per_s))


def compare(name: str, sample: int | None) -> Call[JobOut]:
    """`POST /v1/models/{model_id}:compare`: sent again with its key, it queues no other job."""
    call = start_job(f"{_at(name)}:compare", b"", _JSON["Content-Type"])
    return replace(call, params=params_of(sample=sample))


def comparison(name: str) -> Call[ComparisonOut]:
    """`GET /v1/models/{model_id}/comparison`."""
    return Call("GET", f"{_at(name)}/comparison", reader_of(ComparisonOut))


def flips(name: str, kind: str, cursor: str | None, limit: int) -> Call[FlipPage]:
    """`GET /v1/models/{model_id}/comparison/flips`."""
    params = params_of(kind=kind, cursor=cursor, limit=limit)
    return Call("GET", f"{_at(name)}/comparison/flips", reader_of(FlipPage), params=params)


def shadow(name: str, sample: float, *, anew: bool) -> Call[ModelVersionOut]:
    """`POST /v1/models/{model_id}:shadow`; sent twice with `anew`, it begins anew twice."""
    body = ShadowIn(sample=sample, anew=anew).model_dump_json().encode()
    path, reader = f"{_at(name)}:shadow", reader_of(ModelVersionOut)
    return Call("POST", path, reader, content=body, headers=_JSON)


def shadow_report(name: str) -> Call[ShadowOut]:
    """`GET /v1/models/{model_id}/shadow`."""
    return Call("GET", f"{_at(name)}/shadow", reader_of(ShadowOut))


def canary(name: str, share: float) -> Call[ModelVersionOut]:
    """`POST /v1/models/{model_id}:canary`."""
    body = CanaryIn(share=share).model_dump_json().encode()
    path, reader = f"{_at(name)}:canary", reader_of(ModelVersionOut)
    return Call("POST", path, reader, content=body, headers=_JSON)


def promote(name: str, *, force: bool) -> Call[ModelVersionOut]:
    """`POST /v1/models/{model_id}:promote`; sent twice, it would be refused."""
    path, params = f"{_at(name)}:promote", params_of(force=force)
    reader = reader_of(ModelVersionOut)
    return Call("POST", path, reader, params=params, is_repeatable=False)


def act(name: str, action: str) -> Call[ModelVersionOut]:
    """`POST /v1/models/{model_id}:ACTION`; sent twice, it may be refused."""
    path = f"{_at(name)}:{action}"
    return Call("POST", path, reader_of(ModelVersionOut), is_repeatable=action == "pause")


def roll_back(leaving: str | None) -> Call[ModelVersionOut]:
    """`POST /v1/models:rollback`: sent again with its key, it does not undo itself."""
    headers, params = {"Idempotency-Key": f'"{uuid.uuid4()}"'}, params_of(**{"from": leaving})
    path, reader = f"{_MODELS}:rollback", reader_of(ModelVersionOut)
    return Call("POST", path, reader, headers=headers, params=params)


def _at(name: str) -> str:
    return f"{_MODELS}/{quote(name, safe='')}"
