"""Requests of imports and exports."""

from typing import Annotated

from pydantic import ConfigDict, Field

from service.http.schemas import FilterIn, Request

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


class StreamerExportIn(Request):
    """Which stored streamers to export."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filter": {"must": [{"field": "language", "any": ["en"]}]}}]
        }
    )

    filter: FilterIn = FilterIn()
