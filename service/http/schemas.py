"""What all requests and responses have in common."""

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
        description="Of all answers that score as high as this asks for, so large a share is "
        "right, as measured when the model was trained. A score is found for it.",
    ),
]

AfterSequence = Annotated[
    int,
    Field(
        ge=0,
        le=2**53,
        description="Wait until the index has applied this sequence number of a write.",
    ),
]
