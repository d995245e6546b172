"""Written by `generate.py` from `asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

import httpx

from service.client import calls
from service.client.jobs import Exports, Imports, Jobs
from service.client.transport import Transport
from service.client.calls import ExportLine
from service.client.cases.synchronous import Cases
from service.client.duplicates.synchronous import Duplicates, Events, Judgements
from service.client.errors import AnswerCut
from service.client.find.synchronous import Find, Ratings
from service.client.layouts.synchronous import Layouts
from service.client.lifecycle.synchronous import Models
from service.client.lines import Chunk, Profile, chunks_of
from service.client.lists.synchronous import Lists, Outreach
from service.client.models import (
    BulkLineOut,
    ChannelName,
    ColdStartIn,
    ColdStartLineOut,
    ColdStartOut,
    CompareOut,
    DedupClustersOut,
    DedupFeedOut,
    DedupIn,
    DeletedOut,
    EmbeddingOut,
    ExportIn,
    ExportSummaryOut,
    HealthOut,
    SimilarIn,
    SimilarOut,
    StreamerOut,
    WrittenOut,
)
from service.client.parallel import results
from service.client.patience import LastWrite, Patience
from service.client.spaces.synchronous import Spaces
from service.client.watchlists.synchronous import Alerts, Watchlists
from service.client.webhooks.synchronous import Webhooks

CHUNK_LINES = 256
CHUNK_BYTES = 4 << 20


class Client:
    """Client of the REST API, without asyncio.

    Questions see what this client has written before (`after_sequence`), on every replica. Calls
    that meet a passing trouble are made again, as `patience` allows; writes that might be done
    twice are not, unless the service documents `Idempotency-Key`. Profiles and questions are
    models of `service.client.models`, or mappings with the API's fields; the service checks them.
    Methods raise `ClientError`; their `deadline_s` is in place of the one of `patience`.

    Attributes:
        url: of the service.
        jobs: long work: looked at, waited for, cancelled, retried.
        imports: many streamers in, as a job.
        exports: many streamers out, as a job.
        duplicates: groups of duplicates over the whole corpus.
        judgements: what people know of pairs.
        webhooks: who is told what happens.
        find: streamers by nickname, tag or bio.
        ratings: how well streamers fit questions, as people say.
        spaces: ID-embeddings that the recommender hands over.
        models: that of the service, and changing it.
        watchlists: seeds that everybody is matched with.
        alerts: who matched a watchlist.
        lists: campaign lists.
        outreach: who was written to.
        layouts: the map of all streamers.
        cases: from seeds to everyone who hangs together with them.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience: Patience = Patience(),  # noqa: B008 (immutable)
        after_sequence: int = 0,
        http: httpx.Client | None = None,
    ) -> None:
        """Ask the service at `url`; no connection is made yet.

        Args:
            url: such as `http://127.0.0.1:8000`.
            api_key: sent as `Authorization: Bearer`.
            patience: deadlines and retries.
            after_sequence: questions wait for this write, such as one of another process.
            http: for another TLS configuration, proxies or limits; the caller closes it.
        """
        self.url = url.rstrip("/")
        self._last = LastWrite(after_sequence)
        self._transport = Transport(self.url, api_key, patience, http, self._last)
        self.jobs = Jobs(self._transport)
        self.imports = Imports(self._transport, self.jobs, self._last)
        self.exports = Exports(self._transport, self.jobs, self._last)
        self.duplicates = Duplicates(self._transport)
        self.judgements = Judgements(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.find = Find(self._transport, self._last)
        self.ratings = Ratings(self._transport)
        self.spaces = Spaces(self._transport)
        self.models = Models(self._transport)
        self.watchlists = Watchlists(self._transport)
        self.alerts = Alerts(self._transport)
        self.lists = Lists(self._transport, self.jobs, self._last)
        self.outreach = Outreach(self._transport)
        self.layouts = Layouts(self._transport)
        self.cases = Cases(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    @property
    def sequence(self) -> int:
        """Sequence number that questions wait for: that of this client's last write."""
        return self._last.sequence

    def put(
        self,
        streamer_id: str,
        profile: Profile,
        *,
        if_version: int | None = None,
        only_new: bool = False,
        deadline_s: float | None = None,
    ) -> WrittenOut:
        """Write a streamer; it is encoded and on disk when this returns.

        Args:
            streamer_id: 1 to 128 of A-Z a-z 0-9 . _ : - and not dots alone.
            profile: replaces what is stored.
            if_version: write only over this version; else `Conflict`.
            only_new: write only if it is not stored yet; else `Conflict`.
            deadline_s: of this call.
        """
        call = calls.put(streamer_id, profile, if_version, only_new)
        written = self._transport.call(call, deadline_s)
        self._last.note(written.sequence)
        return written

    def patch(
        self,
        streamer_id: str,
        changes: Profile,
        *,
        if_version: int | None = None,
        deadline_s: float | None = None,
    ) -> WrittenOut:
        """Change fields of a streamer; None removes one (JSON merge patch, RFC 7396)."""
        call = calls.patch(streamer_id, changes, if_version)
        written = self._transport.call(call, deadline_s)
        self._last.note(written.sequence)
        return written

    def delete(
        self,
        streamer_id: str,
        *,
        if_version: int | None = None,
        deadline_s: float | None = None,
    ) -> DeletedOut:
        """Delete a streamer.

        Where the answer was lost and the service knows no `Idempotency-Key`, `NotFound` may mean
        that this very call deleted it.
        """
        deleted = self._transport.call(calls.delete(streamer_id, if_version), deadline_s)
        self._last.note(deleted.sequence)
        return deleted

    def load(
        self,
        profiles: Iterable[Profile | bytes | str],
        *,
        at_once: int = 4,
        chunk_lines: int = CHUNK_LINES,
        chunk_bytes: int = CHUNK_BYTES,
        progress: Callable[[int], None] | None = None,
        deadline_s: float | None = None,
    ) -> Generator[BulkLineOut, None, None]:
        """Write many streamers; profiles are read as they are sent, results come as they are there.

        Every profile that is no blank line has one result, by its `line` in the input; a bad one
        stops no other. What is stored like this already is `unchanged`, so that the same load goes
        on where it was cut off. Lines without an answer are sent again, over what others wrote.

        Args:
            profiles: models, mappings, or lines of NDJSON, such as those of an open file.
            at_once: requests under way. Of several profiles with one id the last wins with 1 only.
            chunk_lines: most lines of a request.
            chunk_bytes: most bytes of a request, unless one line is longer.
            progress: is called with the number of lines done, after each request.
            deadline_s: of each request, counted anew whenever some of its lines were answered.
        """

        def write(chunk: Chunk) -> Chunk:
            self._transport.write(chunk, deadline_s)
            return chunk

        done = 0
        chunks = chunks_of(profiles, chunk_lines, chunk_bytes)
        with closing(results(write, chunks, at_once)) as written:
            for chunk in written:
                done += chunk.size
                if progress is not None:
                    progress(done)
                for result in chunk.results:
                    self._last.note(result.sequence)
                    yield result

    # What is stored

    def get(self, streamer_id: str, *, deadline_s: float | None = None) -> StreamerOut:
        """The profile as written, with its version."""
        return self._transport.call(calls.get(streamer_id), deadline_s)

    def embedding(self, streamer_id: str, *, deadline_s: float | None = None) -> EmbeddingOut:
        """The vector of a streamer, which is personal data."""
        return self._transport.call(calls.embedding(streamer_id), deadline_s)

    def streamers(
        self, *, page_size: int = 100, deadline_s: float | None = None
    ) -> Generator[StreamerOut, None, None]:
        """All streamers in byte order of their ids, a page at a time; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self._transport.call(
                calls.page_of_streamers(page_size, cursor), deadline_s
            )
            for streamer in page.streamers:
                yield streamer
            cursor = page.next_cursor
            if cursor is None:
                return

    def health(self, *, deadline_s: float | None = None) -> HealthOut:
        """State of the service, ready or not; asked once. Unavailable: it starts or stops."""
        return self._transport.call(calls.health(), deadline_s, attempts=1)

    # Questions

    def similar(
        self,
        streamer_id: str,
        *,
        k: int = 10,
        min_score: float | None = None,
        min_precision: float | None = None,
        explain: bool = False,
        exact: bool = False,
        deadline_s: float | None = None,
    ) -> SimilarOut:
        """The streamers nearest to a stored one, best first.

        Args:
            streamer_id: the stored one.
            k: most hits.
            min_score: only hits with this score or more.
            min_precision: only hits of which so many are right; see `SimilarIn`.
            explain: give reasons.
            exact: scan every streamer.
            deadline_s: of this call.
        """
        call = calls.similar(
            streamer_id,
            k,
            self.sequence,
            min_score=min_score,
            min_precision=min_precision,
            explain=explain,
            exact=exact,
        )
        return self._transport.call(call, deadline_s)

    def search(
        self, question: SimilarIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> SimilarOut:
        """Streamers similar to seeds: ids, profiles or vectors, wanted and unwanted, filtered."""
        return self._transport.call(calls.search(question, self.sequence), deadline_s)

    def pages(
        self, question: SimilarIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> Generator[SimilarOut, None, None]:
        """Pages of a question that has `pages`, as of the question; the deadline is of a page."""
        page = self._transport.call(calls.search(question, self.sequence), deadline_s)
        yield page
        while page.next_cursor is not None:
            page = self._transport.call(calls.next_page(page.next_cursor), deadline_s)
            yield page

    def export(
        self, question: ExportIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> Generator[ExportLine, None, None]:
        """Every streamer that reaches a score, best first; the last element is the summary.

        Args:
            question: seeds and the lowest score.
            deadline_s: until the first line, and the longest wait for more.

        Raises:
            AnswerCut: it ended without the summary; nothing may be concluded from what is missing.
        """
        call = calls.export(question, self.sequence)
        line: ExportLine | None = None
        with closing(self._transport.lines(call, deadline_s)) as lines:
            for text in lines:
                line = calls.export_line(self.url, text)
                yield line
        if not isinstance(line, ExportSummaryOut):
            raise AnswerCut(f"{self.url} ended the export before its last line; ask again")

    def cold_start(
        self, question: ColdStartIn | Mapping[str, Any] | str, *, deadline_s: float | None = None
    ) -> ColdStartOut:
        """Established neighbours of a new streamer, and its vector in the recommender's space.

        A string is the id of a stored streamer.
        """
        if isinstance(question, str):
            question = {"streamer_id": question}
        return self._transport.call(calls.cold_start(question, self.sequence), deadline_s)

    def cold_starts(
        self,
        questions: Iterable[ColdStartIn | Mapping[str, Any] | str],
        *,
        deadline_s: float | None = None,
    ) -> list[ColdStartLineOut]:
        """Answers to many questions, in order, or what is wrong with a question; see `cold_start`.

        One request holds a few thousand.
        """
        asked = [{"streamer_id": q} if isinstance(q, str) else q for q in questions]
        return self._transport.call(calls.cold_starts(asked, self._last), deadline_s)

    def dedup(
        self,
        question: DedupIn | Mapping[str, Any] | Sequence[str],
        *,
        deadline_s: float | None = None,
    ) -> DedupClustersOut | DedupFeedOut:
        """Near-duplicates in a list, or the list with them apart; strings are ids."""
        if not isinstance(question, DedupIn | Mapping):
            question = {"ids": [question] if isinstance(question, str) else list(question)}
        return self._transport.call(calls.dedup(question, self.sequence), deadline_s)

    def compare(
        self,
        a: str | Profile,
        b: str | Profile,
        *,
        without: Sequence[ChannelName] = (),
        deadline_s: float | None = None,
    ) -> CompareOut:
        """Whether two are the same, with the evidence; strings are ids of stored streamers.

        Args:
            a: one side.
            b: the other one.
            without: channels that are left out.
            deadline_s: of this call.
        """
        return self._transport.call(calls.compare(a, b, without), deadline_s)

    def events(
        self,
        cursor: str | None = None,
        *,
        kinds: Sequence[str] = (),
        page_size: int = 100,
        poll_s: float | None = None,
        deadline_s: float | None = None,
    ) -> Events:
        """The feed of events as an iterator; keep its `cursor`.

        Args:
            cursor: of an earlier iterator; None = from the oldest that is kept.
            kinds: such as `streamer.*`; none = all that the key may read.
            page_size: events that are fetched at once.
            poll_s: the iterator does not end, and asks for new events so often.
            deadline_s: of a page.
        """
        return Events(self._transport, cursor, kinds, page_size, poll_s, deadline_s)
