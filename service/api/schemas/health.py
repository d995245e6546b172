"""The state of the service."""

from typing import Literal

from service.api.schemas.base import Response


class HealthOut(Response):
    """The state of the service and of what it stands on."""

    status: Literal["ok", "unavailable"]
    model_version: str
    device: str
    index_rows: int
    index_sequence: int
    store: str
    reason: str | None = None
