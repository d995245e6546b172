"""Requests and responses of `/v1/cases`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from model_export.contract.streamer import StreamerId
from service.engine.expansion.edges import EdgeKind
from service.features.cases.examples import (
    CASE,
    DIFFERENCES,
    EDGE,
    EVENT,
    MEMBER,
    VERDICT,
)
from service.features.cases.records import (
    ALL_KINDS,
    BUDGET,
    FAN_OUT,
    HOPS,
    MIN_PROBABILITY,
    Cause,
    Verdict,
)
from service.http.schemas import FilterIn, Request, Response, ShowsSomething, with_nulls

CASE_PATTERN = "^case-[0-9a-f]{16}$"
MOST_SEEDS, MOST_EXCLUDED = 100, 1000
MOST_BUDGET = 20_000
SHOWN_DIFFERENCES = 1000


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [with_nulls(each) for each in examples]})


NextCursor = Annotated[
    str | None, Field(description="Fetches the next page; null on the last page.")
]


class CaseIn(Request):
    """A case to begin."""

    model_config = _examples({"title": "gift scam, July", "seeds": ["w0087"], "exclude": []})

    title: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
        ShowsSomething,
        Field(description="For people."),
    ]
    seeds: Annotated[
        list[StreamerId],
        Field(
            min_length=1,
            max_length=MOST_SEEDS,
            fail_fast=True,
            description="Stored streamers to begin with.",
        ),
    ]
    exclude: list[StreamerId] = Field(
        default_factory=list[StreamerId],
        max_length=MOST_EXCLUDED,
        fail_fast=True,
        description="Who does not belong to it; no path goes through them.",
    )


class ExpandIn(Request):
    """How far to expand."""

    model_config = _examples({"hops": 3, "kinds": ["contacts", "media", "text"], "budget": 500})

    hops: Annotated[int, Field(ge=1, le=5, description="Most hops from a seed.")] = HOPS
    kinds: Annotated[
        list[EdgeKind],
        Field(
            min_length=1,
            max_length=len(ALL_KINDS),
            fail_fast=True,
            description="Evidence that edges are made of; all of it by default.",
        ),
    ] = list(ALL_KINDS)  # noqa: RUF012
    min_probability: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            description="Least value of a member's best path: the product of the probabilities of "
            "its edges, less 5 % for each hop after the first.",
        ),
    ] = MIN_PROBABILITY
    fan_out: Annotated[
        int, Field(ge=1, le=256, description="Most edges that are kept around one profile.")
    ] = FAN_OUT
    budget: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_BUDGET,
            description="Most profiles that are visited: read and compared with another one.",
        ),
    ] = BUDGET
    filter: FilterIn = FilterIn()


class VerdictIn(Request):
    """What somebody decides."""

    model_config = _examples({"verdict": "confirmed", "note": "same voice"})

    verdict: Annotated[
        Verdict,
        Field(
            description="confirmed: the next expansion begins there too. cleared: no member, and "
            "no path goes through it. unsure: changes nothing but what is shown."
        ),
    ]
    note: Annotated[str, Field(max_length=1000, description="For people.")] = ""


class VerdictOut(Response):
    """What somebody decided; `at` in seconds since 1970, UTC."""

    verdict: Verdict
    note: str
    key_id: Annotated[str, Field(description="Of the API key that decided.")]
    key_name: str
    at: float
    profile_changed: Annotated[
        bool | None,
        Field(
            description="Whether another profile is stored by now than was decided on, such as "
            "that of somebody who has the id since: look, and decide anew once the case is run "
            "again. null: it is not known which one was decided on."
        ),
    ]


class QueryOut(Response):
    """What was asked of a run."""

    hops: int
    kinds: list[EdgeKind]
    min_probability: float
    fan_out: int
    budget: int
    filter: dict[str, Any]
    decay: Annotated[float, Field(description="Factor of each hop after the first.")]


class CaseRunOut(Response):
    """An expansion: `returned` members of `total_known` are on the page that shows it."""

    run_id: str
    at: float
    query: QueryOut
    members: int
    edges: int
    visited: Annotated[int, Field(description="Profiles that were read and compared.")]
    stopped_because: Annotated[
        Literal["exhausted", "hops", "budget", "members"],
        Field(
            description="exhausted: nothing was left to look at. hops: members at the last hop "
            "were not looked around. budget: candidates were not compared. members: 10,000 are "
            "enough."
        ),
    ]
    complete: Annotated[bool, Field(description="Whether candidates came from the whole corpus.")]
    incomplete_because: str | None
    model_version: str
    index_sequence: Annotated[int, Field(description="The last write that it considers.")]


class CaseOut(Response):
    """A case."""

    model_config = _examples(CASE)

    case_id: str
    title: str
    seeds: list[str]
    exclude: list[str]
    created_at: float
    key_id: Annotated[str, Field(description="Of the API key that began it.")]
    key_name: str
    events: Annotated[int, Field(description="Number of the last event.")]
    revision: Annotated[int, Field(description="The ETag, which changes with each event.")]
    run: Annotated[CaseRunOut | None, Field(description="null before the first expansion.")]


class CasePage(Response):
    """A page of cases, in order of their ids."""

    model_config = _examples({"cases": [CASE], "next_cursor": None})

    cases: list[CaseOut]
    next_cursor: NextCursor


class LeavesIfOut(Response):
    """What a membership hangs on: without any one of these the streamer is no member."""

    edges: list[tuple[str, str]]
    verdicts: Annotated[
        list[str], Field(description="Seeds and confirmed members that would be no more.")
    ]
    members: Annotated[list[str], Field(description="Members that would be cleared.")]


class CaseMemberOut(Response):
    """A member, the surest first."""

    streamer_id: str
    state: Annotated[
        Literal["stored", "deleted"], Field(description="deleted: a tombstone, by a verdict.")
    ]
    hop: Annotated[int, Field(description="Hops of the best path; 0 of seeds and confirmed.")]
    probability: Annotated[float, Field(description="Value of the best path.")]
    path: list[str]
    weakest_link: tuple[str, str] | None
    leaves_if: LeavesIfOut
    verdict: VerdictOut | None


class EdgeChannelOut(Response):
    """What a channel of evidence says of an edge, in bits."""

    channel: str
    weight: float
    level: str


class CaseEdgeOut(Response):
    """Evidence that one operator has both; `weight` is the sum of the channels, in bits."""

    a: str
    b: str
    probability: float
    weight: float
    channels: list[EdgeChannelOut]


class CaseDetailOut(CaseOut):
    """A case with a page of its members, and their edges with members before them."""

    model_config = _examples(
        {
            **CASE,
            "outdated": False,
            "members": [MEMBER],
            "edges": [EDGE],
            "returned": 1,
            "total_known": 2,
            "next_cursor": None,
            "job_id": None,
        }
    )

    outdated: Annotated[
        bool | None,
        Field(
            description="Whether other verdicts hold than those by which it was expanded: members "
            "may be reached through somebody who was cleared since. Expand it again. null: not "
            "told, on pages after the first."
        ),
    ]
    members: list[CaseMemberOut]
    edges: list[CaseEdgeOut]
    returned: Annotated[int, Field(description="Members on this page.")]
    total_known: Annotated[int, Field(description="Members that the expansion found.")]
    next_cursor: NextCursor
    job_id: Annotated[
        str | None,
        Field(
            description="Of the expansion that is queued or running, whoever asked for it; "
            "`GET /v1/jobs/{job_id}` follows it. null: there is none."
        ),
    ]


class DifferenceOut(Response):
    """Who joined, left or is shown otherwise, why, and because of whom."""

    streamer_id: str
    cause: Annotated[
        Cause,
        Field(
            description="verdict: somebody decided. threshold: something else was asked. deleted: "
            "a streamer is no more. model: another model weighs the evidence. joined: a streamer "
            "was written that no earlier expansion looked at. profile_changed: a profile was."
        ),
    ]
    because: Annotated[
        list[str],
        Field(
            description="Whom the cause is about: on its path, by its edges, or else in the case."
        ),
    ]


class RanOut(CaseOut):
    """A case after an expansion, and what that changed; the first 1,000 of each."""

    model_config = _examples({**CASE, "differences": DIFFERENCES})

    differences: Annotated["DifferencesOut", Field(description="Empty where nothing changed.")]


class DifferencesOut(Response):
    """Who joined, who left, and of whom anything that is shown of a member changed.

    `changed` has the cleared, too, whose profile is another one than was decided on, each time
    until they are decided on anew.
    """

    joined: list[DifferenceOut]
    left: list[DifferenceOut]
    changed: list[DifferenceOut]
    joined_total: int
    left_total: int
    changed_total: int


class DecidedOut(VerdictOut):
    """What was decided, of whom, and the revision of the case with it."""

    model_config = _examples({**VERDICT, "streamer_id": "w0412", "revision": 19})

    streamer_id: str
    revision: int


class VerdictPage(Response):
    """Verdicts of a case in order of the streamers' ids."""

    model_config = _examples(
        {"verdicts": [{**VERDICT, "streamer_id": "w0412"}], "next_cursor": None}
    )

    verdicts: list["NamedVerdictOut"]
    next_cursor: NextCursor


class NamedVerdictOut(VerdictOut):
    """A verdict, and of whom; also of those who are no members, or not stored any more."""

    streamer_id: str


class CaseEventOut(Response):
    """A change of a case: what was and what is, by whom; `at` in seconds since 1970, UTC."""

    number: int
    at: float
    kind: Literal["created", "expanded", "rerun", "verdict", "undone"]
    key_id: str
    key_name: str
    streamer_id: Annotated[str | None, Field(description="Whose verdict.")]
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    undoes: Annotated[int | None, Field(description="Number of the event that was taken back.")]


class CaseEventPage(Response):
    """Events of a case, the oldest first; none is ever changed, and the last 10,000 are kept."""

    model_config = _examples({"events": [EVENT], "next_cursor": None})

    events: list[CaseEventOut]
    next_cursor: NextCursor


class UndoneOut(CaseOut):
    """A case after its last change was taken back, and that change."""

    model_config = _examples({**CASE, "undone": {**EVENT}})

    undone: CaseEventOut
