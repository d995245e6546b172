"""Requests and responses of `/v1/models`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.features.jobs.schemas import JobOut
from service.features.models.comparing.schemas import GateOut
from service.http.schemas import Request, Response, with_nulls

EXAMPLE: dict[str, Any] = {
    "model_version": "transfer-plus-a931f7997f06",
    "state": "active",
    "folder": "2026-11-26",
    "sha256": "c5f3a2e8" * 8,
    "recipe": "transfer-plus",
    "dim": 128,
    "registered_at": 1862438400.1,
    "backfill": None,
    "replicas": [
        {
            "replica": "host-1-0f3c9a1b-5e7d",
            "has_bundle": True,
            "problem": None,
            "encodes": True,
            "is_indexed": True,
            "serves": True,
        }
    ],
    "gate": None,
    "warnings": [],
    "canary_share": 0.0,
    "shadow_sample": 0.0,
}


class RegisterIn(Request):
    """A bundle that may serve."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"folder": "2026-11-26"}]})

    folder: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
            description="Of the bundle, below the folder of models; the same on all replicas.",
        ),
    ]


class ReplicaOut(Response):
    """What a replica holds of a model."""

    replica: str
    has_bundle: Annotated[bool, Field(description="The same bundle, by its SHA-256.")]
    problem: Annotated[str | None, Field(description="Why it has not, or can't load it.")]
    encodes: Annotated[bool, Field(description="Writes are encoded for the model here.")]
    is_indexed: Annotated[
        bool,
        Field(description="It may serve at once: its index and what spaces serve are complete."),
    ]
    serves: Annotated[bool, Field(description="The replica answers by the model.")]


class ModelVersionOut(Response):
    """A model; times are seconds since 1970, UTC."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(EXAMPLE)]})

    model_version: str
    state: Annotated[
        Literal["registered", "backfilling", "ready", "shadow", "canary", "active", "retired"],
        Field(
            description="ready: every stored streamer and every write has its vectors, so that it "
            "can be promoted; the model that was active before a promotion is ready too. shadow "
            "and canary are ready, and get live questions."
        ),
    ]
    folder: Annotated[
        str | None, Field(description="null of a model that only the settings of replicas name.")
    ]
    sha256: Annotated[str | None, Field(description="Of the bundle's manifest.")]
    recipe: str | None
    dim: int | None
    registered_at: float | None
    backfill: Annotated[JobOut | None, Field(description="The last one, with pace and time left.")]
    replicas: Annotated[
        list[ReplicaOut], Field(description="Those that were heard of in the last seconds.")
    ]
    gate: Annotated[
        GateOut | None,
        Field(description="Of a model that is ready: whether what people decided lets it through."),
    ]
    warnings: Annotated[
        list[str],
        Field(
            description="Of a promotion: what the gate could not check. Of that and of a "
            "roll-back: replicas that did not follow within 5 seconds, or do not serve yet."
        ),
    ]
    canary_share: Annotated[float, Field(description="Of the callers; 0 without a canary.")]
    shadow_sample: Annotated[float, Field(description="Of the questions; 0 without a shadow.")]


class ModelVersionsOut(Response):
    """All models, in order of their registration."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"models": [with_nulls(EXAMPLE)]}]})

    models: list[ModelVersionOut]
