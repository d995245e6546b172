"""Bases and fields that several requests and responses share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """Base of request bodies: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Response(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(from_attributes=True)


MinPrecision = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        description="Only hits whose score is so high that at least this share of such hits is "
        "right, as measured when the model was trained. The service finds the score.",
    ),
]

AfterSequence = Annotated[
    int,
    Field(
        ge=0,
        le=2**53,
        description="Wait until the index has applied the write with this sequence number.",
    ),
]

Complete = Annotated[
    bool, Field(description="False where something may be missing; see incomplete_because.")
]
