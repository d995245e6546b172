"""Requests and responses of `/v1/streamers`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from model_export.contract.streamer import StreamerContent, StreamerId, StreamerProfile
from service.features.find.schemas import MatchedBy
from service.http.schemas import Coverage, Problem, Response


class StreamerBody(StreamerContent):
    """A profile; its id is in the path and may be repeated here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "night kitchen",
                    "bio": "Handmade noodles, one recipe every Friday",
                    "tags": ["steamed buns", "flour"],
                    "language": "en",
                    "attributes": {"followers": 1200, "partner": False},
                    "videos": [{"video_id": "v1", "title": "Noodles by hand, 手工面"}],
                }
            ]
        }
    )

    streamer_id: StreamerId | None = None

    def profile(self, streamer_id: str) -> StreamerProfile:
        """The profile under this id."""
        return StreamerProfile.model_construct(
            **{name: getattr(self, name) for name in StreamerContent.model_fields},
            streamer_id=streamer_id,
        )


class NearDuplicateOut(Response):
    """A stored streamer that shows nearly the same."""

    streamer_id: str
    score: Annotated[float, Field(description="Cosine of the content sketches.")]
    copies: Annotated[
        int,
        Field(
            description="Pictures and sounds that both show, as copies; compared with the ten "
            "nearest by embedding only. Two copies make a near-duplicate, whatever the score. "
            "Always 0 where the bundle has no picture and no sound tower."
        ),
    ] = 0
    kind: Annotated[
        Literal["same_media", "near_duplicate", "same_contact"],
        Field(description="By what the two are the same, see /v1/compare."),
    ] = "near_duplicate"
    weight: Annotated[
        float | None,
        Field(
            description="Match weight in bits, see /v1/compare. Compared are 16 candidates: the "
            "nearest by embedding and, in the replica that evaluates duplicates "
            "(`streamer_duplicates_leading`), those that share most keys and text in the whole "
            "corpus."
        ),
    ] = None
    probability: Annotated[float | None, Field(description="That the two are the same.")] = None


_SHOWN: dict[str, Any] = {
    **dict.fromkeys(("name", "bio", "tags", "language", "videos"), "used"),
    **dict.fromkeys(("category", "lives", "avatar", "covers", "frames", "audio"), "absent"),
}
_MODEL = "transfer-plus-a931f7997f06"


class WrittenOut(Response):
    """An acknowledged write: it is on disk."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "streamer_id": "night-kitchen",
                    "version": 5001,
                    "sequence": 5001,
                    "created": True,
                    "model_version": _MODEL,
                    "status": "indexed",
                    "modalities": _SHOWN,
                    "coverage": 0.616,
                    "near_duplicates": [],
                    "near_duplicates_unavailable_because": None,
                }
            ]
        }
    )

    streamer_id: str
    version: Annotated[int, Field(description="Also the ETag; to be sent as If-Match.")]
    sequence: Annotated[int, Field(description="To be sent as after_sequence to see this write.")]
    created: bool
    model_version: str
    status: Literal["indexed", "insufficient_content"]
    modalities: Annotated[
        dict[str, str], Field(description="used, absent, uninformative or unsupported, each.")
    ]
    coverage: Coverage
    near_duplicates: Annotated[
        list[NearDuplicateOut] | None,
        Field(description="null: unknown, and the next field says why; the write is on disk."),
    ]
    near_duplicates_unavailable_because: str | None = None


class DeletedOut(Response):
    """An acknowledged delete: it is on disk."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"streamer_id": "w4999", "sequence": 5001}]}
    )

    streamer_id: str
    sequence: int


class PersistingOut(Response):
    """What is left of a streamer that was erased."""

    where: str
    what: str
    until: Annotated[str, Field(description="How long, or what ends it.")]


class ErasedOut(Response):
    """What an erasure did, and what it could not do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "streamer_id": "w4999",
                    "sequence": 5001,
                    "log_entries": 1,
                    "outreach": 1,
                    "rewriting": True,
                    "persists": [
                        {"where": "backups", "what": "everything", "until": "you delete them"}
                    ],
                }
            ]
        }
    )

    streamer_id: str
    sequence: Annotated[
        int | None, Field(description="Of the delete; null: it was not stored any more.")
    ]
    log_entries: Annotated[
        int, Field(description="Entries of the store's log with its vectors that were removed.")
    ]
    outreach: Annotated[int, Field(description="Records of outreach that it was taken out of.")]
    rewriting: Annotated[
        bool, Field(description="Whether the store has begun to rewrite its file without it.")
    ]
    persists: Annotated[list[PersistingOut], Field(description="For people, and for records.")]


_STREAMER: dict[str, Any] = {
    "streamer_id": "night-kitchen",
    "version": 5001,
    "status": "indexed",
    "modalities": _SHOWN,
    "model_version": _MODEL,
    "updated_at": 1767225600.0,
    "profile": {
        "streamer_id": "night-kitchen",
        "name": "night kitchen",
        "bio": "Handmade noodles, one recipe every Friday",
        "tags": ["steamed buns", "flour"],
        "language": "en",
        "attributes": {"followers": 1200, "partner": False},
        "videos": [{"video_id": "v1", "title": "Noodles by hand, 手工面"}],
    },
}


class StreamerOut(Response):
    """What is stored of a streamer."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STREAMER]})

    streamer_id: str
    version: int
    status: str
    modalities: dict[str, str]
    model_version: str
    updated_at: Annotated[
        float,
        Field(
            description="When it was written last, seconds since 1970, UTC: encoding it again "
            "for another model is no write."
        ),
    ]
    profile: dict[str, Any]


class ListedStreamerOut(StreamerOut):
    """What is stored of a streamer of a list."""

    matched: Annotated[
        MatchedBy | None, Field(description="With `q`: how it was found, see `streamers:find`.")
    ] = None


class StreamerPage(Response):
    """A page of streamers in byte order of their ids; with `q`, the best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"streamers": [_STREAMER], "next_cursor": "bmlnaHQta2l0Y2hlbg=="}]
        }
    )

    streamers: list[ListedStreamerOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]
    complete: Annotated[
        bool,
        Field(description="With `q`: false where some may be missing; see incomplete_because."),
    ] = True
    incomplete_because: str | None = None


class EmbeddingOut(Response):
    """The vector of a streamer; personal data."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "streamer_id": "w0087",
                    "version": 568,
                    "model_version": _MODEL,
                    "embedding": [-0.758, 0.068, -0.288, -0.011],
                }
            ]
        }
    )

    streamer_id: str
    version: int
    model_version: str
    embedding: Annotated[list[float], Field(description="Content embedding, of unit length.")]


class BulkLineOut(Response):
    """The result of one line of a bulk request."""

    line: Annotated[int, Field(description="Number of the line in the request, from 1.")]
    outcome: Literal["created", "updated", "unchanged", "error"]
    streamer_id: str | None = None
    version: Annotated[int | None, Field(description="Also the ETag.")] = None
    sequence: Annotated[int | None, Field(description="To be sent as after_sequence.")] = None
    status: Literal["indexed", "insufficient_content"] | None = None
    coverage: Coverage | None = None
    near_duplicates: Annotated[
        list[NearDuplicateOut] | None,
        Field(description="With near_duplicates=true, as in the answer of a single write."),
    ] = None
    near_duplicates_unavailable_because: str | None = None
    error: Annotated[Problem | None, Field(description="Why the line was not written.")] = None


BULK_ANSWER: list[dict[str, Any]] = [
    {
        "line": line,
        "outcome": "created",
        "streamer_id": f"s-{line}",
        "version": 5000 + line,
        "sequence": 5000 + line,
        "status": "indexed",
        "coverage": coverage,
    }
    for line, coverage in ((1, 1.0), (2, 0.344))
]
"""What a bulk request of two lines gets."""
