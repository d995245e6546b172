"""The state of the service."""

from typing import Annotated, Literal

from pydantic import Field

from service.http.schemas import Response


class TowerOut(Response):
    """A pretrained encoder of single pieces: texts, pictures or sounds."""

    name: str
    reads: str
    encoded: Annotated[int, Field(description="Pieces encoded since the start.")]
    decoded: Annotated[
        int, Field(description="Pictures or sounds decoded since the start, also in vain.")
    ]


class IndexOut(Response):
    """How questions are answered at the moment."""

    kind: Annotated[
        str,
        Field(
            description="exact: every streamer is looked at. Else what FAISS made of them.",
            examples=["exact", "IVF1024,SQfp16"],
        ),
    ]
    scanned: Annotated[
        int, Field(description="Streamers that each question looks at one by one, of `index_rows`.")
    ]
    recall: Annotated[
        float | None,
        Field(description="Share of the 50 nearest that it finds, as measured when it was built."),
    ]
    refused: Annotated[
        str | None, Field(description="Why a faster kind is not used, where it was tried.")
    ]
    device: Annotated[Literal["cpu", "gpu"], Field(description="Where `kind` is searched.")]
    served_recall: Annotated[
        float | None,
        Field(
            description="Share of the nearest that it finds on questions lately asked, a few of "
            "which are asked again exactly. Below a floor every streamer is looked at."
        ),
    ]


class SnapshotOut(Response):
    """What a start of this process would begin with."""

    source: Annotated[
        Literal["snapshot", "store"] | None,
        Field(description="What the index that answers now began with; null before there is one."),
    ]
    sequence: Annotated[
        int | None, Field(description="Up to which the last snapshot is complete; null: none.")
    ]
    written_at: Annotated[float | None, Field(description="Seconds since 1970.")]
    failure: Annotated[
        str | None, Field(description="Why the last attempt to write one failed, if it did.")
    ]


class SkippedRecordsOut(Response):
    """Stored records that the index does not hold, since it can't."""

    count: Annotated[
        int, Field(description="Streamers whose stored record is of another model or unreadable.")
    ]
    examples: Annotated[
        list[str], Field(description="The first few: id, version, and what is wrong.")
    ]


class HealthOut(Response):
    """The state of the service and of what it stands on."""

    status: Literal["ok", "unavailable"]
    model_version: str
    device: str
    index_rows: int
    index_sequence: int
    store_sequence: Annotated[
        int | None, Field(description="Last write in the store, as of half a second ago or so.")
    ]
    lag_s: Annotated[
        float | None,
        Field(description="Upper bound of the index's lag behind the store, in seconds."),
    ]
    index: IndexOut | None
    skipped_records: SkippedRecordsOut
    snapshot: SnapshotOut
    store: str
    towers: list[TowerOut]
    reason: str | None = None
    degraded_because: Annotated[
        str | None,
        Field(description="What is wrong at the moment, also while it is too short to be unready."),
    ] = None
