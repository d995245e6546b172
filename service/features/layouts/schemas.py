"""Requests and responses of the map."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import ID_PATTERN, FiniteFloat
from service.engine.layouts import STEPS
from service.http.schemas import Request, Response, with_nulls

LAYOUT_ID = "9c2f4e1ab07d5836"
_LAYOUT: dict[str, Any] = {
    "layout_id": LAYOUT_ID,
    "created_at": 1795734000.0,
    "age_s": 3600.0,
    "model_version": "3f9c1a2b7d04",
    "fitted": 100_000,
    "took_s": 95.2,
    "shared": 98_120,
    "residual": 0.08,
}
MOST_STREAMERS = 5000
MOST_CORNERS = 500

Step = Annotated[FiniteFloat, Field(ge=0, le=STEPS)]


class LayoutOut(Response):
    """A layout."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LAYOUT]})

    layout_id: str
    created_at: Annotated[float, Field(description="Seconds since 1970.")]
    age_s: Annotated[float, Field(description="Seconds since it was fitted.")]
    model_version: Annotated[str, Field(description="Whose vectors it was fitted on.")]
    fitted: Annotated[
        int, Field(description="Streamers that it was fitted on; the others are placed by them.")
    ]
    took_s: Annotated[float, Field(description="The fit, in seconds.")]
    shared: Annotated[
        int, Field(description="Streamers by which it was turned to lie as the one before; 0: none")
    ]
    residual: Annotated[
        float | None,
        Field(
            description="How far these moved, as a share of how far they lie from their centre: 0 "
            "= not at all. Null for the first layout."
        ),
    ]


class LayoutsOut(Response):
    """The state of the map."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "current": _LAYOUT,
                        "served": LAYOUT_ID,
                        "placed": 1_000_000,
                        "waiting": 0,
                        "problem": None,
                    }
                )
            ]
        }
    )

    current: Annotated[
        LayoutOut | None, Field(description="The newest layout; null before the first one.")
    ]
    served: Annotated[
        str | None,
        Field(
            description="The layout that the replica which answers serves: the newest one, or the "
            "one before until everyone is placed on it."
        ),
    ]
    placed: Annotated[int, Field(description="Streamers that are on it.")]
    waiting: Annotated[int, Field(description="Streamers that are not yet.")]
    problem: Annotated[
        str | None, Field(description="Why it is missing, or may lack writes; null = it does not.")
    ]


class CircleIn(Request):
    """What lies so near to a point."""

    x: Step
    y: Step
    radius: Annotated[FiniteFloat, Field(ge=0, le=2 * STEPS)] = 0.0


class SelectIn(Request):
    """A part of the map: what a polygon or a circle holds, or what is near to a streamer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"polygon": [[0, 0], [STEPS, 0], [STEPS, STEPS], [0, STEPS]], "limit": 20},
                {"near": {"x": 32767, "y": 32767, "radius": 2000}},
                {"streamer_id": "w0087", "radius": 500},
            ]
        }
    )

    polygon: Annotated[
        list[tuple[Step, Step]] | None,
        Field(
            min_length=3,
            max_length=MOST_CORNERS,
            fail_fast=True,
            description="Corners [x, y] of a line around it, in steps.",
        ),
    ] = None
    near: Annotated[CircleIn | None, Field(description="A circle, in steps.")] = None
    streamer_id: Annotated[
        str | None,
        Field(
            pattern=ID_PATTERN,
            min_length=1,
            max_length=128,
            description="A streamer on the map: the middle of a circle.",
        ),
    ] = None
    radius: Annotated[
        FiniteFloat, Field(ge=0, le=2 * STEPS, description="Of the circle around `streamer_id`.")
    ] = 0.0
    limit: Annotated[int, Field(ge=1, le=MOST_STREAMERS, description="Most streamers.")] = 100
    layout_id: Annotated[
        str | None,
        Field(
            max_length=64,
            description="The layout that `polygon` or `near` is of: another one is refused.",
        ),
    ] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [self.polygon is not None, self.near is not None, self.streamer_id is not None]
        if sum(given) != 1:
            raise ValueError("needs exactly one of: polygon, near, streamer_id")
        return self


class OnMapOut(Response):
    """A streamer on the map."""

    streamer_id: str
    name: str | None = None
    category: str | None = None
    x: Annotated[int, Field(description=f"In steps from 0 to {STEPS}.")]
    y: Annotated[int, Field(description="Likewise.")]


class SelectedOut(Response):
    """Who is in a part of the map."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "layout_id": LAYOUT_ID,
                        "x": 32767.0,
                        "y": 32767.0,
                        "count": 1,
                        "streamers": [
                            {
                                "streamer_id": "w0087",
                                "name": "night kitchen",
                                "category": None,
                                "x": 32102,
                                "y": 33004,
                            }
                        ],
                    }
                )
            ]
        }
    )

    layout_id: str
    x: Annotated[float, Field(description="The middle of the part.")]
    y: Annotated[float, Field(description="Likewise.")]
    count: Annotated[int, Field(description="How many are in it, shown or not.")]
    streamers: Annotated[list[OnMapOut], Field(description="Those nearest to its middle first.")]
