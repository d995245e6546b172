"""Requests of the life cycle of models."""

import uuid
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.models import JobOut, ModelVersionOut, ModelVersionsOut

_MODELS = "/v1/models"


def models() -> Call[ModelVersionsOut]:
    """`GET /v1/models`."""
    return Call("GET", _MODELS, reader_of(ModelVersionsOut))


def register(folder: str) -> Call[ModelVersionOut]:
    """`POST /v1/models`."""
    headers = {"Content-Type": "application/json"}
    body = to_json({"folder": folder})
    return Call("POST", _MODELS, reader_of(ModelVersionOut), content=body, headers=headers)


def model(name: str) -> Call[ModelVersionOut]:
    """`GET /v1/models/{model_id}`."""
    return Call("GET", _at(name), reader_of(ModelVersionOut))


def backfill(name: str, streamers_per_s: float | None) -> Call[JobOut]:
    """`POST /v1/models/{model_id}:backfill`."""
    params = params_of(streamers_per_s=streamers_per_s)
    path, statuses = f"{_at(name)}:backfill", frozenset({202})
    return Call("POST", path, reader_of(JobOut), params=params, statuses=statuses)


def act(name: str, action: str) -> Call[ModelVersionOut]:
    """`POST /v1/models/{model_id}:ACTION`; a promotion sent twice would be refused."""
    path = f"{_at(name)}:{action}"
    return Call("POST", path, reader_of(ModelVersionOut), is_repeatable=action == "pause")


def roll_back() -> Call[ModelVersionOut]:
    """`POST /v1/models:rollback`: sent again with its key, it does not undo itself."""
    headers = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    return Call("POST", f"{_MODELS}:rollback", reader_of(ModelVersionOut), headers=headers)


def _at(name: str) -> str:
    return f"{_MODELS}/{quote(name, safe='')}"
