"""Lists of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal, TypeVar

from service.client.async_jobs import AsyncJobs
from service.client.async_transport import AsyncTransport
from service.client.calls import Call, job_result
from service.client.errors import ClientError
from service.client.lines import Profile
from service.client.lists import calls
from service.client.lists.calls import ListFile, Made
from service.client.models import (
    JobOut,
    ListAnswerOut,
    ListDeletedOut,
    ListDetailOut,
    ListOut,
    ListPage,
    OutreachOut,
    OutreachPage,
    RunDetailOut,
)
from service.client.patience import LastWrite

Answer = TypeVar("Answer")
Form = Literal["ndjson", "csv", "xlsx"]
Language = Literal["en", "zh"]


class AsyncLists:
    """Campaign lists: previewed, saved, run.

    What the service makes by a job, such as more than 1,000 rows, is waited for. Questions are
    `ListQuestionIn` of `service.client.models`, or mappings with the fields of the API.
    """

    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs, last: LastWrite) -> None:
        """Ask by `transport`, after the `last` write of the client."""
        self._transport = transport
        self._jobs = jobs
        self._last = last

    async def preview(self, question: Profile, *, deadline_s: float | None = None) -> ListAnswerOut:
        """The list of a question, of which nothing is kept."""
        call = calls.preview(question, self._last.sequence, "json", calls.read_list)
        return await self._made(call, calls.read_list, deadline_s)

    async def download(
        self, question: Profile, form: Form, *, deadline_s: float | None = None
    ) -> ListFile:
        """The list of a question as a file: lines, CSV, or an Excel workbook."""
        call = calls.preview(question, self._last.sequence, form, ListFile)
        return await self._file(call, deadline_s)

    async def save(
        self,
        name: str,
        question: Profile,
        *,
        title: str = "",
        if_revision: int | None = None,
        only_new: bool = False,
        deadline_s: float | None = None,
    ) -> ListOut:
        """Save a question.

        Args:
            name: of the list, 1 to 64 of A-Z a-z 0-9 . _ -
            question: in place of the one before.
            title: for people.
            if_revision: save only over this revision; else `Conflict`.
            only_new: save only if there is none of this name; else `Conflict`.
            deadline_s: of this call.
        """
        call = calls.save(name, question, title, if_revision, only_new)
        return await self._transport.call(call, deadline_s)

    async def get(self, name: str, *, deadline_s: float | None = None) -> ListDetailOut:
        """A saved list and its runs."""
        return await self._transport.call(calls.get(name), deadline_s)

    async def delete(
        self, name: str, *, if_revision: int | None = None, deadline_s: float | None = None
    ) -> ListDeletedOut:
        """Delete a list and its runs."""
        return await self._transport.call(calls.delete(name, if_revision), deadline_s)

    async def page(
        self, *, limit: int = 20, cursor: str | None = None, deadline_s: float | None = None
    ) -> ListPage:
        """A page of saved lists."""
        return await self._transport.call(calls.page_of_lists(limit, cursor), deadline_s)

    async def all(
        self, *, page_size: int = 20, deadline_s: float | None = None
    ) -> AsyncGenerator[ListOut, None]:
        """Saved lists in order of their names; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(limit=page_size, cursor=cursor, deadline_s=deadline_s)
            for found in page.lists:
                yield found
            cursor = page.next_cursor
            if cursor is None:
                return

    async def run(
        self,
        name: str,
        *,
        new_only: bool = False,
        new_since: int | None = None,
        language: Language | None = None,
        deadline_s: float | None = None,
    ) -> ListAnswerOut:
        """Run a saved list; the service keeps whom it holds.

        Args:
            name: of the list.
            new_only: only rows that the run before did not have.
            new_since: a kept run to compare with, in place of the one before.
            language: of reasons, in place of that of the question.
            deadline_s: of each request.
        """
        how = {"new_only": new_only, "new_since": new_since, "language": language}
        call = calls.run(name, how, self._last.sequence, "json", calls.read_list)
        return await self._made(call, calls.read_list, deadline_s)

    async def run_to_file(
        self,
        name: str,
        form: Form,
        *,
        new_only: bool = False,
        new_since: int | None = None,
        language: Language | None = None,
        deadline_s: float | None = None,
    ) -> ListFile:
        """Run a saved list as `run`; the bytes of a file."""
        how = {"new_only": new_only, "new_since": new_since, "language": language}
        call = calls.run(name, how, self._last.sequence, form, ListFile)
        return await self._file(call, deadline_s)

    async def held(
        self, name: str, number: int, *, new_only: bool = False, deadline_s: float | None = None
    ) -> RunDetailOut:
        """Whom a kept run of a list held, by rank; `new_only`: whom the run before did not have."""
        return await self._transport.call(calls.held(name, number, new_only), deadline_s)

    async def held_to_file(
        self,
        name: str,
        number: int,
        form: Form,
        *,
        new_only: bool = False,
        deadline_s: float | None = None,
    ) -> ListFile:
        """A kept run of a list as it was told; the bytes of a file.

        Args:
            name: of the list.
            number: of the run.
            form: of the file.
            new_only: only rows that the run before did not have.
            deadline_s: of this call.
        """
        return await self._file(calls.held_as_file(name, number, form, new_only), deadline_s)

    async def _made(
        self, call: Call[Made[Answer]], read: Callable[[bytes], Answer], deadline_s: float | None
    ) -> Answer:
        """The list, or what the job wrote that makes it."""
        return (await self._with_job(call, read, deadline_s))[0]

    async def _file(self, call: Call[Made[ListFile]], deadline_s: float | None) -> ListFile:
        file, job = await self._with_job(calls.as_file(call), ListFile, deadline_s)
        if job is not None and job.result is not None:
            file.incomplete_because = job.result.get("incomplete_because")
            file.warnings = job.result.get("warnings", ())
        return file

    async def _with_job(
        self, call: Call[Made[Answer]], read: Callable[[bytes], Answer], deadline_s: float | None
    ) -> tuple[Answer, JobOut | None]:
        """The list, and the job that made it if one did."""
        made = await self._transport.call(call, deadline_s)
        if made.answer is not None:
            return made.answer, None
        assert made.job is not None
        try:
            job = await self._jobs.wait(made.job.job_id)
            return read(await self._transport.call(job_result(job.job_id), deadline_s)), job
        except ClientError as error:
            error.is_in_doubt = True  # the job goes on, and may have kept its run
            raise


class AsyncOutreach:
    """Who was written to; lists leave them out."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def record(
        self,
        ids: Sequence[str],
        *,
        at: float | None = None,
        note: str = "",
        deadline_s: float | None = None,
    ) -> OutreachOut:
        """Record who was written to, `at` seconds since 1970, by default now."""
        return await self._transport.call(calls.record_outreach(ids, at, note), deadline_s)

    async def page(
        self,
        streamer_id: str | None = None,
        *,
        since: float | None = None,
        limit: int = 20,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> OutreachPage:
        """A page of records, of one streamer or all, since a time or ever."""
        call = calls.page_of_outreach(streamer_id, since, limit, cursor)
        return await self._transport.call(call, deadline_s)

    async def all(
        self,
        streamer_id: str | None = None,
        *,
        since: float | None = None,
        page_size: int = 20,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[OutreachOut, None]:
        """Records in the order in which they were made; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                streamer_id, since=since, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for record in page.outreach:
                yield record
            cursor = page.next_cursor
            if cursor is None:
                return

    async def delete(self, outreach_id: str, *, deadline_s: float | None = None) -> OutreachOut:
        """Delete a record; what it was."""
        return await self._transport.call(calls.delete_outreach(outreach_id), deadline_s)
