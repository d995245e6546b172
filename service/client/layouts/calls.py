"""Requests of the map of the corpus."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from service.client.calls import Call, reader_of, start_job
from service.client.lines import fields_of
from service.client.models import JobOut, LayoutsOut, SelectedOut, SelectIn

_JSON = {"Content-Type": "application/json"}


def state() -> Call[LayoutsOut]:
    """`GET /v1/layouts`."""
    return Call("GET", "/v1/layouts", reader_of(LayoutsOut))


def fit() -> Call[JobOut]:
    """`POST /v1/layouts:fit`."""
    return start_job("/v1/layouts:fit", b"", _JSON["Content-Type"])


def select(part: SelectIn | Mapping[str, Any]) -> Call[SelectedOut]:
    """`POST /v1/layouts/current:select`."""
    content = to_json(fields_of(part))
    path = "/v1/layouts/current:select"
    return Call("POST", path, reader_of(SelectedOut), content=content, headers=_JSON)
