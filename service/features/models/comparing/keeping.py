"""Comparisons in the store of documents.

model_comparisons     a document a model: its last report
model_flips           a document a flip: MODEL/JOB/KIND/NUMBER
"""

from collections.abc import Sequence
from dataclasses import replace

from service.features.jobs.runner import persist
from service.features.models.comparing.records import COMPARISON, FLIP, Comparison, Flip, Kind
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

COMPARISONS, FLIPS = "model_comparisons", "model_flips"
_AT_ONCE = 500


class Comparisons:
    """Reads and writes reports."""

    def __init__(self, documents: DocumentStore) -> None:
        """Keep them in `documents`."""
        self._documents = documents

    async def get(self, model_version: str) -> Comparison | None:
        """The last report of a model; None without one."""
        (found,) = await self._documents.get(COMPARISONS, [model_version])
        return None if found is None else COMPARISON.validate_json(found.body)

    async def put(self, report: Comparison) -> None:
        """Keep a report in place of the one before, whose flips go."""
        body = COMPARISON.dump_json(report)
        put = Put(COMPARISONS, report.model_version, body)
        await persist(lambda: self._documents.change([put]))
        await self.tidy(report.model_version, report.job_id)

    async def put_flips(
        self, model_version: str, job_id: str, kind: Kind, flips: Sequence[Flip]
    ) -> None:
        """Keep the flips of a report; once more, they take the place of the ones before."""
        for start in range(0, len(flips), _AT_ONCE):
            puts = [
                Put(FLIPS, f"{_of(model_version, job_id, kind)}{place:08d}", FLIP.dump_json(flip))
                for place, flip in enumerate(flips[start : start + _AT_ONCE], start)
            ]
            await persist(lambda: self._documents.change(puts))  # noqa: B023

    async def flips(
        self, report: Comparison, kind: Kind, after: str, limit: int
    ) -> tuple[list[Flip], str | None]:
        """Flips of a kind, the lost ones first; and what continues them."""
        begin, count = _of(report.model_version, report.job_id, kind), report.flips[kind]
        found = await self._documents.page(FLIPS, begin + after, limit)
        # An attempt that was interrupted may have found more.
        own = [each for each in found if each.document_id.startswith(begin)]
        own = [each for each in own if int(each.document_id.removeprefix(begin)) < count]
        last = own[-1].document_id.removeprefix(begin) if own else None
        has_more = last is not None and len(own) == limit and int(last) + 1 < count
        return [FLIP.validate_json(each.body) for each in own], last if has_more else None

    async def tidy(self, model_version: str, job_id: str) -> None:
        """Forget flips of a model's other comparisons."""
        begin = after = f"{model_version}/"
        kept = f"{begin}{job_id}/"
        while True:
            start = after
            found = await persist(lambda: self._documents.page(FLIPS, start, _AT_ONCE))  # noqa: B023
            own = [each.document_id for each in found if each.document_id.startswith(begin)]
            gone = [Put(FLIPS, name, None) for name in own if not name.startswith(kept)]
            if gone:
                await persist(lambda: self._documents.change(gone))  # noqa: B023
            if len(own) < _AT_ONCE:
                return
            after = own[-1]

    async def erase(self, streamer_id: str) -> int:
        """Forget a streamer in all reports; how many places there were."""
        erased, after = 0, ""
        while found := await self._documents.page(FLIPS, after or None, _AT_ONCE):
            named = [d.document_id for d in found if streamer_id in FLIP.validate_json(d.body).ids]
            if named:
                await self._documents.change([Put(FLIPS, name, None) for name in named])
            erased += len(named)
            after = found[-1].document_id
        return erased + await self._erase_in_reports(streamer_id)

    async def _erase_in_reports(self, streamer_id: str) -> int:
        erased = 0
        after = ""
        while found := await self._documents.page(COMPARISONS, after or None, _AT_ONCE):
            for document in found:
                after = document.document_id
                erased += await self._erase_in(document, streamer_id)
        return erased

    async def _erase_in(self, document: Document | None, streamer_id: str) -> bool:
        """Forget a streamer in a report, and in one that takes its place meanwhile."""
        while document is not None:
            report = COMPARISON.validate_json(document.body)
            without = _without(report, streamer_id)
            if without is report:
                return False
            name, body = document.document_id, COMPARISON.dump_json(without)
            try:
                await self._documents.change([Put(COMPARISONS, name, body, document.revision)])
            except RevisionConflict:
                (document,) = await self._documents.get(COMPARISONS, [name])
                continue
            return True
        return False


def _of(model_version: str, job_id: str, kind: Kind) -> str:
    return f"{model_version}/{job_id}/{kind}/"


def _without(report: Comparison, streamer_id: str) -> Comparison:
    known = report.neighbours
    if known is None or all(each.streamer_id != streamer_id for each in known.changed):
        return report
    changed = [each for each in known.changed if each.streamer_id != streamer_id]
    return replace(report, neighbours=replace(known, changed=changed))
