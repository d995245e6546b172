"""The state of the service."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Response


class TowerOut(Response):
    """A pretrained encoder of single pieces: texts, pictures or sounds."""

    name: str
    reads: str
    encoded: Annotated[int, Field(description="Pieces encoded since the start.")]
    decoded: Annotated[
        int, Field(description="Pictures or sounds decoded since the start, also in vain.")
    ]


class HealthOut(Response):
    """The state of the service and of what it stands on."""

    status: Literal["ok", "unavailable"]
    model_version: str
    device: str
    index_rows: int
    index_sequence: int
    store: str
    towers: list[TowerOut]
    reason: str | None = None
