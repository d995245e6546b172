"""`/v1/audit`: who asked or changed what, as this replica wrote it down."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator

from model_export.contract.streamer import ID_PATTERN
from service.errors import InvalidRequest
from service.features.audit.schemas import EXAMPLE, AuditEntryOut, AuditLineOut, AuditPage
from service.features.audit.service import AuditPages, Order, Wanted
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import responses
from service.http.ndjson import NdjsonResponse, documented_lines
from service.http.openapi import RUNNING_IT

router = CheckedRouter(prefix="/v1", tags=[RUNNING_IT])


def _is_written_out(value: str) -> str:
    try:
        float(value)
    except ValueError:
        return value
    raise ValueError("must be a time such as 2030-01-31T12:00:00Z")


Moment = Annotated[datetime, BeforeValidator(_is_written_out)]
CurrentPages = Annotated[AuditPages, Depends(service_named("audit_pages", AuditPages))]


async def wanted_entries(
    key_id: Annotated[
        str | None, Query(max_length=128, description="Only what this key did.")
    ] = None,
    streamer_id: Annotated[
        str | None,
        Query(
            pattern=ID_PATTERN,
            max_length=128,
            description="Only entries that name this streamer among their first ids.",
        ),
    ] = None,
    since: Annotated[
        Moment | None, Query(alias="from", description="From this time on; with an offset.")
    ] = None,
    until: Annotated[
        Moment | None, Query(alias="to", description="Before this time; with an offset.")
    ] = None,
) -> Wanted:
    """Which entries are asked for."""
    for name, time in (("from", since), ("to", until)):
        if time is not None and time.tzinfo is None:
            raise InvalidRequest.of_parameter(
                name, "needs an offset: write 2030-01-31T12:00:00Z or +02:00 (as %2B02:00)"
            )
    return Wanted(key_id, streamer_id, since and since.timestamp(), until and until.timestamp())


CurrentWanted = Annotated[Wanted, Depends(wanted_entries)]


@router.get(
    "/audit",
    operation_id="read_audit_log",
    summary="Read the audit log, in pages",
    dependencies=[requires("admin")],
    responses=responses(),
)
async def read_audit(
    pages: CurrentPages,
    wanted: CurrentWanted,
    cursor: Annotated[
        str | None, Query(max_length=128, description="next_cursor of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most entries on a page.")] = 100,
    order: Annotated[
        Order, Query(description="Which come first; each process's own stay together.")
    ] = "oldest",
) -> AuditPage:
    """Entries of this replica alone: others have their own files.

    The newest tenth of a second may be missing. Read on later with `from`.
    """
    found = await pages.page(wanted, cursor, limit, order=order)
    return AuditPage(
        entries=[
            AuditEntryOut.model_validate({**fields, "chain": chain})
            for chain, _, fields in found.lines
        ],
        next_cursor=found.next_cursor,
    )


@router.get(
    "/audit/export",
    operation_id="export_audit_log",
    summary="Export the audit log",
    dependencies=[requires("admin")],
    response_class=NdjsonResponse,
    responses=responses()
    | documented_lines(
        AuditLineOut,
        "NDJSON: lines as they are in the files, with their hashes.",
        [EXAMPLE | {"at": 1861963200.0}],
    ),
)
async def export_audit(pages: CurrentPages, wanted: CurrentWanted) -> NdjsonResponse:
    """All entries of this replica that are in its files; without filters, the whole chains."""
    return NdjsonResponse(_lines(pages, wanted))


async def _lines(pages: AuditPages, wanted: Wanted) -> AsyncGenerator[bytes, None]:
    async for part in pages.export(wanted):
        yield b"".join(line + b"\n" for line in part)
