"""Requests and responses of shadows and canaries."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.features.models.comparing.schemas import MeanOut
from service.http.schemas import Request, Response, with_nulls

_HUBS = [{"streamer_id": "w0087", "answers": 41}, {"streamer_id": "w0112", "answers": 37}]
_SIDE: dict[str, Any] = {
    "answered": 1200,
    "empty": 3,
    "failed": 0,
    "p50_ms": 1.345,
    "p99_ms": 5.382,
    "recall": {"mean": 0.998, "low": 0.995, "high": 1.0},
    "recall_questions": 120,
    "largest_hub": 0.034,
    "hub_error": 0.0,
    "hubs": _HUBS,
}
SHADOW: dict[str, Any] = {
    "model_version": "transfer-plus-a931f7997f06",
    "compared_with": "transfer-plus-0f3c9a1b5e7d",
    "begun_at": 1862438400.1,
    "updated_at": 1862442000.4,
    "replicas": 2,
    "sampled": 1215,
    "compared": 1200,
    "dropped": {"unsuitable": 12, "late": 3},
    "k": 10,
    "overlap": {"mean": 0.71, "low": 0.7, "high": 0.72},
    "same_first": 0.64,
    "rank_change": 1.2,
    "active": _SIDE,
    "shadow": _SIDE | {"p50_ms": 1.131, "largest_hub": 0.029},
    "changes": [
        {"seeds": ["w0003"], "overlap": 0.0, "active": ["w0087"], "shadow": ["w0041"]},
    ],
}


class ShadowIn(Request):
    """A shadow; the sample is 0 to end it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sample": 0.05}]})

    sample: Annotated[
        float, Field(ge=0, le=1, description="Share of the questions; 0 ends it, 1 is all.")
    ]
    anew: Annotated[
        bool,
        Field(description="Begin the report anew; a shadow that was ended begins anew anyway."),
    ] = False


class CanaryIn(Request):
    """A canary; the share is 0 to end it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"share": 0.05}]})

    share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Of the callers; who is in a share is in each larger one. 0 ends it at "
            "once, 1 is everybody.",
        ),
    ]


class HubOut(Response):
    """A streamer that is in many answers."""

    streamer_id: str
    answers: int


class ShadowSideOut(Response):
    """What one of the two models answered."""

    answered: int
    empty: Annotated[int, Field(description="Answers without a hit.")]
    failed: Annotated[int, Field(description="Questions to which it had no answer.")]
    p50_ms: Annotated[
        float | None,
        Field(
            description="Of its answers to questions without profiles, one model asked after the "
            "other behind all other work; at most 19 % too high."
        ),
    ]
    p99_ms: float | None
    recall: Annotated[
        MeanOut | None,
        Field(description="Of one question in ten, against an exact search; by question."),
    ]
    recall_questions: int
    largest_hub: Annotated[
        float | None,
        Field(description="Share of the answers that the most frequent streamer is in."),
    ]
    hub_error: Annotated[
        float, Field(description="By how much that may be too low, as 512 streamers are counted.")
    ]
    hubs: Annotated[list[HubOut], Field(description="In most answers.")]


class ChangedAnswerOut(Response):
    """A question whose answers have little in common."""

    seeds: list[str]
    overlap: float
    active: Annotated[list[str], Field(description="Hits of the active model, best first.")]
    shadow: list[str]


class ShadowOut(Response):
    """What the shadow of a model found, on all replicas; times are seconds since 1970, UTC."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(SHADOW)]})

    model_version: str
    compared_with: Annotated[str, Field(description="The model that was active.")]
    begun_at: float
    updated_at: Annotated[float, Field(description="0 before the first question.")]
    replicas: Annotated[int, Field(description="Processes that asked, the last 64.")]
    sampled: Annotated[int, Field(description="Questions that were drawn.")]
    compared: Annotated[int, Field(description="Of these, those that both models answered.")]
    dropped: Annotated[
        dict[str, int],
        Field(
            description="Of these, those that were not compared. unsuitable: vectors as seeds, "
            "addresses of pictures or sounds, a body of unknown size; queue_full; late; busy: "
            "others needed the threads; not_here: a replica has not the model; failed: one had no "
            "answer. Those that wait at the end of a process are in none of them."
        ),
    ]
    k: Annotated[int, Field(description="Hits of an answer that are compared.")]
    overlap: Annotated[
        MeanOut | None,
        Field(
            description="Share of the hits that both have, by question that a model has hits for; "
            "null below two."
        ),
    ]
    same_first: Annotated[
        float | None, Field(description="Share of these questions with the same first hit.")
    ]
    rank_change: Annotated[
        float | None, Field(description="Mean difference of the ranks of hits that both have.")
    ]
    active: ShadowSideOut
    shadow: ShadowSideOut
    changes: Annotated[
        list[ChangedAnswerOut],
        Field(description="Questions with the least overlap, of those whose seeds are stored."),
    ]
