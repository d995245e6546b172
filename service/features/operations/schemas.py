"""Responses of the probes."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls


class TowerOut(Response):
    """A pretrained encoder of single pieces: texts, pictures or sounds."""

    name: str
    reads: str
    encoded: Annotated[int, Field(description="Pieces encoded since the start of the process.")]
    decoded: Annotated[
        int, Field(description="Pictures or sounds decoded since the start, failures included.")
    ]


class ClusterOut(Response):
    """A cluster of Milvus, which can answer without the others."""

    name: Annotated[str, Field(description="As `MILVUS_URI` names it, or its host and port.")]
    serves: Annotated[bool, Field(description="Whether this process asks it.")]
    settled: Annotated[
        int | None,
        Field(
            description="It shows every write up to this one; null while nothing is asked of it. "
            "The cluster that has the lower one is behind."
        ),
    ]
    overlay_rows: Annotated[
        int, Field(description="Streamers that it lacks, which are searched in memory.")
    ]
    trouble: Annotated[str | None, Field(description="Why it can't be asked, if so.")]


class IndexOut(Response):
    """How the index searches at the moment."""

    kind: Annotated[
        str,
        Field(
            description="exact: every streamer is scanned. Otherwise the FAISS factory string, or "
            "the kind of index in Milvus.",
            examples=["exact", "IVF1024,SQfp16", "milvus IVF_FLAT"],
        ),
    ]
    scanned: Annotated[
        int, Field(description="How many of `index_rows` each question scans one by one.")
    ]
    recall: Annotated[
        float | None,
        Field(description="Share of the 50 nearest that it finds, measured when it was built."),
    ]
    refused: Annotated[
        str | None, Field(description="Why a faster kind is not used, if one was tried.")
    ]
    device: Annotated[Literal["cpu", "gpu"], Field(description="Device that searches `kind`.")]
    served_recall: Annotated[
        float | None,
        Field(
            description="Share of the nearest that it finds, on a sample of recent questions that "
            "are repeated exactly. Below a floor every streamer is scanned."
        ),
    ]
    clusters: Annotated[
        list[ClusterOut],
        Field(description="Of Milvus; empty where the index is in this process."),
    ]


class SnapshotOut(Response):
    """The index snapshot from which this process would start."""

    source: Annotated[
        Literal["snapshot", "store"] | None,
        Field(description="What the current index was built from; null before there is one."),
    ]
    sequence: Annotated[
        int | None, Field(description="Last write in the newest snapshot; null: there is none.")
    ]
    written_at: Annotated[float | None, Field(description="Seconds since 1970.")]
    failure: Annotated[
        str | None, Field(description="Why the last attempt to write a snapshot failed, if it did.")
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
    """The state of the service, its index and its store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "status": "ok",
                        "model_version": "transfer-plus-a931f7997f06",
                        "device": "cpu",
                        "index_rows": 4990,
                        "index_sequence": 5000,
                        "store_sequence": 5000,
                        "lag_s": 0.012,
                        "index": {
                            "kind": "exact",
                            "scanned": 4990,
                            "recall": None,
                            "refused": None,
                            "device": "cpu",
                            "served_recall": None,
                            "clusters": [],
                        },
                        "skipped_records": {"count": 0, "examples": []},
                        "snapshot": {
                            "source": "store",
                            "sequence": None,
                            "written_at": None,
                            "failure": None,
                        },
                        "store": "embedded",
                        "towers": [],
                        "reason": None,
                        "degraded_because": None,
                    }
                )
            ]
        }
    )

    status: Literal["ok", "unavailable"]
    model_version: str
    device: str
    index_rows: int
    index_sequence: int
    store_sequence: Annotated[
        int | None,
        Field(description="Last write in the store; of other replicas half a second late."),
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
        Field(description="What is wrong now, even if not yet for long enough to be unready."),
    ] = None


class IndexLineOut(Response):
    """A streamer in the index."""

    streamer_id: str
    version: int
    digest: Annotated[
        str, Field(description="First 16 hex digits of its vector's SHA-256, or empty.")
    ]
