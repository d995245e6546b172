"""Requests of imports and exports, and results of imports."""

from typing import Annotated

from pydantic import ConfigDict, Field

from service.http.schemas import FilterIn, Problem, Request, Response

PROFILES = (
    {"streamer_id": "s-1", "language": "en", "tags": ["cooking"]},
    {"streamer_id": "s-2", "language": "en", "tags": ["music"]},
)
"""An example of lines that are imported, or were exported."""


class ImportIn(Request):
    """A file of lines that the service can read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"path": "new/streamers.jsonl"}]})

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="Of a file of profiles, one per line, below the folder that "
            "STREAMER_JOBS__IMPORT_DIR names.",
        ),
    ]

    encoded: Annotated[
        bool,
        Field(
            description="Whether `python -m service encode` wrote the file: profiles and vectors "
            "are taken as they are, if the model is the one that is served. Needs the scope admin."
        ),
    ] = False


class StreamerExportIn(Request):
    """Which stored streamers to export."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filter": {"must": [{"field": "language", "any": ["en"]}]}}]
        }
    )

    filter: FilterIn = FilterIn()


class RefusedLineOut(Response):
    """A line of an import that was not written."""

    line: int
    streamer_id: str | None = None
    error: Problem


class ImportResultOut(Response):
    """Result of an import."""

    lines: int
    created: int
    updated: int
    unchanged: Annotated[int, Field(description="Profiles that were stored like this already.")]
    refused: int
    without_content: Annotated[int, Field(description="Written, and show nothing usable.")]
    refused_lines: Annotated[list[RefusedLineOut], Field(description="The first twenty.")]
    sequence: Annotated[int, Field(description="Of the last write; 0 if there was none.")]
    model_version: str
    sha256: Annotated[str, Field(description="Of the lines.")]
