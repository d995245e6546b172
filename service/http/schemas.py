"""Bases and fields that several requests and responses share."""

import json
from itertools import accumulate
from types import UnionType
from typing import Annotated, Any, Self, Union, cast, get_args, get_origin
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from model_export.contract.streamer import AttributeValue, FiniteFloat, has_few_fields
from service.index import filters

SHOWN_ERRORS = 20
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs that look like nothing."""
NULL = "\0null"
"""Stands for null in an example until the OpenAPI document is made: the framework drops nulls."""


def with_nulls(example: Any) -> Any:
    """An example of which the OpenAPI document keeps the nulls."""
    if isinstance(example, dict):
        return {name: with_nulls(value) for name, value in cast(dict[str, Any], example).items()}
    if isinstance(example, list):
        return [with_nulls(value) for value in cast(list[Any], example)]
    return NULL if example is None else example


def _takes(annotation: Any, *kinds: type) -> bool:
    """Whether a field of this type takes one of these, as one of a union too."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(parts[0], *kinds)
    if origin in (Union, UnionType):
        return any(_takes(part, *kinds) for part in parts)
    return annotation in kinds


class Request(BaseModel):
    """Base of request bodies: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _few_fields = model_validator(mode="before")(has_few_fields)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where only numbers are taken, which Python reads as 1 and 0."""
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if _takes(annotation, int, float) and not _takes(annotation, bool):
                raise PydanticCustomError("number", "must be a number, not true or false")
        return value


def _shows_something(text: str) -> str:
    if text and not any(category(c)[0] in "LNPS" and c not in _BLANKS for c in text):
        raise PydanticCustomError("blank", "shows nothing; give it a sign that can be seen")
    return text


ShowsSomething = AfterValidator(_shows_something)
"""Of a name or a title: it is empty, where it may be, or has a character that can be seen."""


def has_more_bytes(model: BaseModel, most: int, *, compact: bool = True) -> bool:
    """Whether what was given of a body has more bytes than that as JSON.

    No more than that is written: all of a large body would keep others waiting.
    """
    separators = (",", ":") if compact else None
    encoder = json.JSONEncoder(
        ensure_ascii=False, check_circular=False, separators=separators, default=_given
    )
    sizes = accumulate(len(part.encode()) for part in encoder.iterencode(model))
    return any(size > most for size in sizes)


def _given(model: BaseModel) -> dict[str, Any]:
    names = {name: field.alias or name for name, field in type(model).model_fields.items()}
    return {names[name]: getattr(model, name) for name in names if name in model.model_fields_set}


class Response(BaseModel):
    """Base of responses."""

    # Where one does not fit, the log has no text of a streamer.
    model_config = ConfigDict(from_attributes=True, hide_input_in_errors=True)


class FieldProblem(BaseModel):
    """One wrong field, parameter or header; either `pointer` or `parameter` is there."""

    pointer: Annotated[
        str | None, Field(description="JSON pointer (RFC 6901) into the body.", examples=["/nmae"])
    ] = None
    parameter: Annotated[str | None, Field(description="Name of a parameter or a header.")] = None
    detail: Annotated[str, Field(description="What is wrong with it, and the remedy.")]


StoreSequence = Annotated[
    int | None,
    Field(
        description="Of not_yet_visible, where the store ends before after_sequence: its last "
        "write; what is asked for was lost, or is of another store, and will not come."
    ),
]


class Problem(BaseModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: Annotated[str, Field(description="Where this service explains the code.")]
    title: Annotated[str, Field(description="The same text for every problem of this code.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    code: Annotated[str, Field(description="A stable name for programs to decide by.")]
    detail: Annotated[str, Field(description="What went wrong this time, and the remedy.")]
    errors: Annotated[
        list[FieldProblem] | None, Field(description=f"The first {SHOWN_ERRORS} wrong fields.")
    ] = None
    store_sequence: StoreSequence = None
    request_id: Annotated[
        str | None, Field(description="Also the X-Request-Id header, and in the log.")
    ] = None
    trace_id: Annotated[
        str | None,
        Field(description="Of the request's traceparent, or of a trace that begins here."),
    ] = None


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

Coverage = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Share of what the profile shows that the model knows, rare words counting "
        "more. No precision is promised where it is lower than that of the profiles that the "
        "model was measured on.",
    ),
]

Complete = Annotated[
    bool, Field(description="False where something may be missing; see incomplete_because.")
]

Values = Annotated[list[AttributeValue], Field(min_length=1, max_length=1000, fail_fast=True)]


def _bound(value: Any, check: ValidatorFunctionWrapHandler) -> int | float:
    """A whole number that an attribute may have and float64 can't hold stays whole.

    All others are float: cursors and the ids of rated questions are made of them.
    """
    try:
        found: int | float = check(value)
        near = float(found)
        return near if near == found or not -(2**63) <= found < 2**63 else found
    except (ValidationError, OverflowError):  # one error instead of one per type of the union
        raise ValueError("must be a finite number") from None


Bound = Annotated[
    StrictInt | FiniteFloat, WrapValidator(_bound), WithJsonSchema({"type": "number"})
]


class ConditionIn(Request):
    """What one field must be; everything given must hold."""

    field: Annotated[
        str,
        Field(
            min_length=1,
            max_length=80,
            description="language, category, tags, streamer_id, or the name of an attribute "
            "(`attributes.NAME` where it is called like one of these).",
        ),
    ]
    any: Annotated[Values | None, Field(description="One of these values.")] = None
    all: Annotated[Values | None, Field(description="All of these values, of a list.")] = None
    gt: Annotated[Bound | None, Field(description="Above this number.")] = None
    gte: Annotated[Bound | None, Field(description="This number or more.")] = None
    lt: Annotated[Bound | None, Field(description="Below this number.")] = None
    lte: Annotated[Bound | None, Field(description="This number or less.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        told = (self.any, self.all, self.gt, self.gte, self.lt, self.lte)
        if all(one is None for one in told):
            raise ValueError("needs at least one of: any, all, gt, gte, lt, lte")
        return self


class FilterIn(Request):
    """Every condition of `must` holds and none of `must_not`."""

    must: list[ConditionIn] = Field(
        default_factory=list[ConditionIn], max_length=50, description="All of these hold."
    )
    must_not: list[ConditionIn] = Field(
        default_factory=list[ConditionIn], max_length=50, description="None of these holds."
    )

    def domain(self) -> filters.Filter:
        """The filter that the use-cases know; it shares the values, of which there may be many."""
        return filters.Filter(
            [filters.Condition(**vars(c)) for c in self.must],
            [filters.Condition(**vars(c)) for c in self.must_not],
        )
