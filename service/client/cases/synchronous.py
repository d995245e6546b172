"""Written by `generate.py` from `cases/asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from service.client.transport import Transport
from service.client.cases import calls
from service.client.cases.calls import CaseFormat, CaseVerdict
from service.client.models import (
    CaseDetailOut,
    CaseEventPage,
    CaseMemberOut,
    CaseOut,
    CasePage,
    DecidedOut,
    ExpandIn,
    JobOut,
    RanOut,
    UndoneOut,
    VerdictPage,
)


class Cases:
    """Cases of anti-fraud.

    Each change takes the `revision` of the case as the caller read it, and fails with `Conflict`
    where somebody else changed it meanwhile.
    """

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def create(
        self,
        title: str,
        seeds: Sequence[str],
        exclude: Sequence[str] = (),
        *,
        deadline_s: float | None = None,
    ) -> CaseOut:
        """Begin a case with seeds that are stored; it has no members before it is expanded."""
        return self._transport.call(calls.create(title, seeds, exclude), deadline_s)

    def page(
        self, *, limit: int = 100, cursor: str | None = None, deadline_s: float | None = None
    ) -> CasePage:
        """A page of cases."""
        return self._transport.call(calls.page(limit, cursor), deadline_s)

    def get(
        self,
        case_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> CaseDetailOut:
        """A case with up to `limit` members; `next_cursor`, given as `cursor`, fetches more."""
        return self._transport.call(calls.case(case_id, limit, cursor), deadline_s)

    def members(
        self, case_id: str, *, page_size: int = 200, deadline_s: float | None = None
    ) -> Generator[CaseMemberOut, None, None]:
        """All members, the surest first; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self.get(case_id, limit=page_size, cursor=cursor, deadline_s=deadline_s)
            for member in page.members:
                yield member
            cursor = page.next_cursor
            if cursor is None:
                return

    def expand(
        self,
        case_id: str,
        revision: int,
        query: ExpandIn | Mapping[str, Any] | None = None,
        *,
        deadline_s: float | None = None,
    ) -> RanOut | JobOut:
        """Expand it; a job where that takes more than a second, see `jobs.wait`."""
        return self._transport.call(calls.expand(case_id, revision, query), deadline_s)

    def rerun(
        self, case_id: str, revision: int, *, deadline_s: float | None = None
    ) -> RanOut | JobOut:
        """Expand it as before: who joined and left since, and why."""
        return self._transport.call(calls.rerun(case_id, revision), deadline_s)

    def decide(
        self,
        case_id: str,
        streamer_id: str,
        verdict: CaseVerdict,
        revision: int,
        note: str = "",
        *,
        deadline_s: float | None = None,
    ) -> DecidedOut:
        """Decide on a member; `revision` of the answer is that for the next change."""
        call = calls.decide(case_id, streamer_id, verdict, note, revision)
        return self._transport.call(call, deadline_s)

    def undo(
        self, case_id: str, revision: int, *, deadline_s: float | None = None
    ) -> UndoneOut:
        """Take the last change back that was not taken back."""
        return self._transport.call(calls.undo(case_id, revision), deadline_s)

    def verdicts(
        self,
        case_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> VerdictPage:
        """A page of what was decided, also of those who are no members any more."""
        return self._transport.call(calls.verdicts(case_id, limit, cursor), deadline_s)

    def events(
        self,
        case_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> CaseEventPage:
        """A page of the changes of a case, the oldest first."""
        return self._transport.call(calls.events(case_id, limit, cursor), deadline_s)

    def export(
        self, case_id: str, file_format: CaseFormat = "zip", *, deadline_s: float | None = None
    ) -> bytes:
        """A file with the case; `python -m service verify-case FILE` checks a zip."""
        return self._transport.call(calls.export(case_id, file_format), deadline_s)

    def delete(self, case_id: str, revision: int, *, deadline_s: float | None = None) -> None:
        """Delete a case with its verdicts and events."""
        self._transport.call(calls.delete(case_id, revision), deadline_s)
