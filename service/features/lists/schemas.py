"""Questions for lists, and saved ones: requests of `/v1/lists`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerId
from service.features.outreach.schemas import OutreachTime
from service.features.similar.schemas import SeedsIn
from service.http.schemas import AfterSequence, Request, ShowsSomething

MOST_ROWS = 10_000
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
EXAMPLE_NAME = "spring-campaign"
KEPT_RUNS = 10
Format = Literal["json", "ndjson", "csv", "xlsx"]
Language = Literal["en", "zh"]
ListName = Annotated[
    str,
    Field(pattern=NAME_PATTERN, description="Of a saved list.", examples=[EXAMPLE_NAME]),
]
FieldName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=80,
        description="name, category, language, tags, or the name of an attribute "
        "(`attributes.NAME` where it is called like one of these).",
    ),
]
EXAMPLE_QUESTION: dict[str, Any] = {
    "positive": [{"streamer_id": "w0087"}, {"streamer_id": "w0412"}],
    "strategy": "best_score",
    "k": 200,
    "filter": {"must_not": [{"field": "partner", "any": [True]}]},
    "exclude": {"ids": ["w1667"], "outreach_since": 1862438400},
    "without_copies": True,
    "diversify": {"by": "category", "max_per_value": 20},
    "fields": ["name", "category", "followers"],
    "explain": "short",
    "language": "zh",
    "stop": {"at_precision": 0.3, "mark_only": True},
}


class ExcludeIn(Request):
    """Who is left out, beside the seeds."""

    ids: list[StreamerId] = Field(
        default_factory=list[StreamerId], max_length=MOST_ROWS, description="These."
    )
    held_by: Annotated[
        ListName | None,
        Field(alias="list", description="Whoever was on this saved list when it was last run."),
    ] = None
    outreach_since: Annotated[
        OutreachTime | None,
        Field(
            description="Whoever was written to at this time or later (`POST /v1/outreach`), in "
            "seconds since 1970; 0: ever."
        ),
    ] = None


class DiversifyIn(Request):
    """Variety: a bound for each value of a field, or rows that are unlike each other."""

    by: FieldName | None = None
    max_per_value: Annotated[
        int | None,
        Field(
            ge=1,
            le=MOST_ROWS,
            description="Most rows with the same value of `by`; of a list, such as tags, each "
            "value counts. Those that lack the field count as one value.",
        ),
    ] = None
    method: Annotated[
        Literal["mmr", "dpp"] | None,
        Field(
            description="Each next row is near the seeds and unlike the rows before. mmr: unlike "
            "the nearest of them (maximal marginal relevance). dpp: unlike what all of them cover "
            "together (determinantal point process); spreads more at the same lambda."
        ),
    ] = None
    relevance: Annotated[
        float | None,
        Field(
            alias="lambda",
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Of `method`. 1: relevance alone, the list as it is without; 0: variety "
            "alone. Relevance is the score, with several seeds over the highest that there can be.",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = {name for name in _DIVERSIFY if getattr(self, name) is not None}
        if given not in ({"by", "max_per_value"}, {"method", "relevance"}):
            raise ValueError("give by and max_per_value, or method and lambda")
        return self


_DIVERSIFY = ("by", "max_per_value", "method", "relevance")


class StopIn(Request):
    """Where it stops being similar."""

    at_precision: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="From the score on at which this share of such hits is right, as measured "
            "when the model was trained.",
        ),
    ]
    mark_only: Annotated[
        bool, Field(description="List whoever comes behind as well, marked `beyond_stop`.")
    ] = False


class ListQuestionIn(SeedsIn):
    """A question for a list: seeds, who may be on it, and what is told of each row."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_QUESTION]})

    k: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_ROWS,
            description="Most rows. More than 1000 (STREAMER_LIMITS__MAX_K) are made by a job.",
        ),
    ] = 200
    exclude: ExcludeIn = ExcludeIn()
    without_copies: Annotated[
        bool,
        Field(
            description="Of each group of duplicates the best alone, with the others' ids; none of "
            "the groups of seeds and of excluded ones."
        ),
    ] = False
    diversify: DiversifyIn | None = None
    group_by: Annotated[
        FieldName | None,
        Field(
            description="Rows with the same value together, the best group first; by tags: with "
            "the same ones in whatever order."
        ),
    ] = None
    fields: Annotated[
        list[FieldName], Field(max_length=20, description="What is told of each streamer.")
    ] = Field(default_factory=lambda: ["name", "category", "followers"])
    explain: Annotated[
        Literal["short", "full"] | None,
        Field(
            description="short: why, in words, of what both show. full: also `reasons` as in "
            "`similar`; more than 50 rows (STREAMER_LIMITS__MAX_EXPLAINED) are made by a job. "
            "Needs scope explain too."
        ),
    ] = None
    language: Annotated[
        Language, Field(description="Of reasons, and of the headings of tables.")
    ] = "en"
    stop: StopIn | None = None

    @model_validator(mode="after")
    def _one_precision(self) -> Self:
        if self.stop is not None and self.min_precision is not None:
            raise ValueError("give one of: stop, min_precision")
        if self.stop is not None and self.min_score is not None and not self.stop.mark_only:
            raise ValueError("give one of: min_score, stop; or a stop with mark_only")
        return self


class ListIn(Request):
    """A list to save."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Spring", "question": EXAMPLE_QUESTION}]}
    )

    title: Annotated[
        str, Field(max_length=200, description="For people, in any script."), ShowsSomething
    ] = ""
    question: ListQuestionIn


class RunIn(Request):
    """How a saved list is run."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"new_only": True}]})

    new_only: Annotated[
        bool,
        Field(
            description="Tell only rows that the run before did not have. The run holds all rows "
            "all the same."
        ),
    ] = False
    new_since: Annotated[
        int | None,
        Field(ge=1, le=2**53, description="A kept run to compare with; by default the last one."),
    ] = None
    language: Annotated[Language | None, Field(description="In place of that of the question.")] = (
        None
    )
    after_sequence: AfterSequence = 0
