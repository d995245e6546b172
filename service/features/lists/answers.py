"""Answers of `/v1/lists`."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from service.features.lists.schemas import EXAMPLE_NAME, EXAMPLE_QUESTION, KEPT_RUNS, ListQuestionIn
from service.features.similar.schemas import ReasonsOut, SeedIn
from service.http.schemas import Complete, Coverage, Response, with_nulls

_MODEL = "transfer-plus-b0f4bd6f18c4"
EXAMPLE_ROW: dict[str, Any] = {
    "rank": 1,
    "streamer_id": "w2522",
    "score": 0.96,
    "precision": 0.813,
    "fields": {"name": "Cat tree radio", "category": "music", "followers": 5200},
    "group": None,
    "copies": ["w2610"],
    "more_copies": 0,
    "why": "共同标签：cat tree。",
    "reasons": None,
    "beyond_stop": False,
    "is_new": None,
}
_PROVENANCE: dict[str, Any] = {
    "asked_at": 1862438400.1,
    "key_id": "3f9c1a2b7d04",
    "key_name": "campaigns",
    "request_id": "5e1c0f4ab7d34c0c9d2f7c1be0a51b7a",
    "list_name": None,
    "run": None,
    "previous_run": None,
}
EXAMPLE_SUMMARY: dict[str, Any] = {
    "groups": [],
    "stop": {"at_precision": 0.3, "min_score": 0.7, "at_least": 0.31, "rows_within": 1},
    "reached": None,
    "left_out": {"excluded": 2, "copies": 1, "over_max_per_value": 0},
    "complete": True,
    "incomplete_because": None,
    "model_version": _MODEL,
    "index_sequence": 5000,
    "warnings": [],
    "coverage": 0.668,
    "provenance": _PROVENANCE,
    "took_ms": 41.7,
}
_RUN: dict[str, Any] = {
    "run": 3,
    "at": 1862438400.1,
    "key_id": "3f9c1a2b7d04",
    "key_name": "campaigns",
    "request_id": "5e1c0f4ab7d34c0c9d2f7c1be0a51b7a",
    "rows": 200,
    "new": 12,
    "model_version": _MODEL,
    "index_sequence": 5000,
}
_LIST: dict[str, Any] = {
    "name": EXAMPLE_NAME,
    "title": "Spring",
    "revision": 18,
    "created_at": 1862438400.1,
    "updated_at": 1862438400.1,
    "key_id": "3f9c1a2b7d04",
    "key_name": "campaigns",
    "question": EXAMPLE_QUESTION,
}


class ListRowOut(Response):
    """A row of a list."""

    rank: Annotated[int, Field(description="By what was asked for, from 1 on.")]
    streamer_id: str
    score: Annotated[float, Field(description="Cosine, or what strategy makes of several.")]
    precision: Annotated[
        float | None,
        Field(description="Estimated share of right hits among all with at least this score."),
    ]
    fields: Annotated[
        dict[str, Any],
        Field(
            description="Those that were asked for; tags always as a list; null where it lacks one."
        ),
    ]
    group: Annotated[str | None, Field(description="Its value of `group_by`.")]
    copies: Annotated[
        list[str],
        Field(description="Others of its group of duplicates, with `without_copies`; 20 at most."),
    ]
    more_copies: Annotated[int, Field(description="How many of that group are not named.")]
    why: Annotated[str | None, Field(description="What it has in common with a seed, in words.")]
    reasons: ReasonsOut | None
    beyond_stop: Annotated[bool, Field(description="It scores less than `stop` promises.")]
    is_new: Annotated[bool | None, Field(description="The run before did not have it.")]


class ListGroupOut(Response):
    """Rows with the same value."""

    value: Annotated[str | None, Field(description="null: those that lack the field.")]
    rows: int


class StopOut(Response):
    """Where it stops being similar."""

    at_precision: float
    min_score: Annotated[
        float | None, Field(description="The lowest score; null where nothing is promised.")
    ]
    at_least: Annotated[float | None, Field(description="The precision promised from there up.")]
    rows_within: Annotated[int, Field(description="Rows of the list that reach it.")]


class LeftOutOut(Response):
    """Who is not on the list though similar enough, as far as was looked."""

    excluded: Annotated[int, Field(description="How many `exclude` names, all in all.")]
    copies: Annotated[int, Field(description="Copies of rows, seeds and excluded ones.")]
    over_max_per_value: int


class ProvenanceOut(Response):
    """Whose list it is, and of when."""

    asked_at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    key_id: str
    key_name: str
    request_id: str
    list_name: Annotated[str | None, Field(description="The saved list that was run.")]
    run: Annotated[int | None, Field(description="The number of this run of it.")]
    previous_run: Annotated[int | None, Field(description="The run that `is_new` compares with.")]


class ListSummaryOut(Response):
    """All of a list but its rows; the last line of NDJSON."""

    groups: Annotated[list[ListGroupOut], Field(description="With `group_by`, in order.")]
    stop: StopOut | None
    reached: Annotated[
        int | None,
        Field(
            description="How many streamers reach the score that ends the list (`min_score`, "
            "`min_precision`, `stop` without `mark_only`), copies and those over `max_per_value` "
            "included; null where none does."
        ),
    ] = None
    left_out: LeftOutOut
    complete: Complete
    incomplete_because: str | None
    model_version: str
    index_sequence: Annotated[int, Field(description="Last write that the index has applied.")]
    warnings: list[str]
    coverage: Annotated[Coverage | None, Field(description="The lowest of the seeds'.")]
    provenance: ProvenanceOut
    took_ms: Annotated[float, Field(description="Time in the service, in milliseconds.")]


class ListAnswerOut(ListSummaryOut):
    """A list."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"rows": [EXAMPLE_ROW], **EXAMPLE_SUMMARY})]}
    )

    rows: list[ListRowOut]


class RunOut(Response):
    """A run of a saved list; times are seconds since 1970, UTC."""

    run: Annotated[int, Field(description="Runs of a list are counted from 1.")]
    at: float
    key_id: str
    key_name: str
    request_id: str
    rows: int
    new: Annotated[int, Field(description="Rows that the run before did not have.")]
    model_version: str
    index_sequence: int


class RunDetailOut(RunOut):
    """A run, and whom it held."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_RUN, "ids": ["w2522"]}]})

    ids: Annotated[list[str], Field(description="By rank.")]


class ListSeedOut(SeedIn):
    """A seed as it is told: without its vector for keys that may not read any."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        return self


class ListQuestionOut(ListQuestionIn):
    """A question as it is told."""

    positive: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]
        list[ListSeedOut], Field(description="Find streamers like these.")
    ]
    negative: list[ListSeedOut] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=list[ListSeedOut], description="Unlike these."
    )

    @property
    def has_vectors(self) -> bool:
        """Whether a seed was given as a vector."""
        return any(seed.vector is not None for seed in (*self.positive, *self.negative))

    @property
    def shows_vectors(self) -> bool:
        """Whether the profile of a seed was given vectors of its media."""
        seeds = (*self.positive, *self.negative)
        profiles = (seed.profile for seed in seeds if seed.profile is not None)
        return any('"vector":' in one.model_dump_json(exclude_none=True) for one in profiles)

    def without_vectors(self) -> Self:
        """The question with null for vectors."""

        def bare(seeds: Sequence[ListSeedOut]) -> list[ListSeedOut]:
            gone: dict[str, None] = {"vector": None}
            return [s if s.vector is None else s.model_copy(update=gone) for s in seeds]

        seeds = {"positive": bare(self.positive), "negative": bare(self.negative)}
        return self.model_copy(update=seeds)


class ListOut(Response):
    """A saved list, without its runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LIST]})

    name: str
    title: str
    revision: Annotated[int, Field(description="Of the question; also the ETag.")]
    created_at: float
    updated_at: float
    key_id: Annotated[str, Field(description="Of the API key that saved it last.")]
    key_name: str
    question: ListQuestionOut
    vectors_unavailable_because: Annotated[
        str | None, Field(description="Why seeds that are vectors are told as null.")
    ] = None


class ListDetailOut(ListOut):
    """A saved list with its runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_LIST, "runs": [_RUN]}]})

    runs: Annotated[list[RunOut], Field(description=f"The last {KEPT_RUNS}, the newest first.")]


class ListPage(Response):
    """Saved lists in order of their names."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"lists": [_LIST], "next_cursor": None})]}
    )

    lists: list[ListOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ] = None


class ListDeletedOut(Response):
    """The list is deleted, with its runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": EXAMPLE_NAME}]})

    name: str
