"""Reports of shadows in the store of documents: `model_shadows`, one a model."""

import time
from collections.abc import Callable

from service.features.models.live.counting import COUNTS, ShadowCounts
from service.store.documents import DocumentStore, Put, RevisionConflict

SHADOWS = "model_shadows"
_PAGE = 100


class ShadowReports:
    """Reads and writes what shadows have found; several replicas add to one report."""

    def __init__(self, documents: DocumentStore) -> None:
        """Keep them in `documents`."""
        self._documents = documents

    async def get(self, model_version: str) -> ShadowCounts | None:
        """The last report of a model; None without one."""
        (found,) = await self._documents.get(SHADOWS, [model_version])
        return None if found is None else COUNTS.validate_json(found.body)

    async def begin(self, report: ShadowCounts) -> None:
        """Keep a report in place of the one before."""
        put = Put(SHADOWS, report.model_version, COUNTS.dump_json(report))
        await self._documents.change([put])

    async def add(self, part: ShadowCounts, replica: str, number: int) -> None:
        """Add what a replica has counted; sent again with its number, it is added once.

        What belongs to another run than the report does is left out.
        """

        def add_to(report: ShadowCounts) -> bool:
            return report.run == part.run and report.add(part, replica, number, time.time())

        await self._change(part.model_version, add_to)

    async def erase(self, streamer_id: str) -> int:
        """Forget a streamer in all reports; in how many it was."""
        erased, after = 0, ""
        while found := await self._documents.page(SHADOWS, after or None, _PAGE):
            for document in found:
                after = document.document_id
                erased += await self._change(after, lambda report: report.without(streamer_id))
        return erased

    async def _change(self, model_version: str, change: Callable[[ShadowCounts], bool]) -> bool:
        """Change a report; `change` may be called again, and tells whether it did anything."""
        while True:
            (found,) = await self._documents.get(SHADOWS, [model_version])
            if found is None:
                return False
            report = COUNTS.validate_json(found.body)
            if not change(report):
                return False
            try:
                put = Put(SHADOWS, model_version, COUNTS.dump_json(report), found.revision)
                await self._documents.change([put])
            except RevisionConflict:
                continue
            return True
