"""Written by `generate.py` from `find/asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from service.client.transport import Transport
from service.client.find import calls
from service.client.find.calls import Filter
from service.client.models import (
    FacetsOut,
    FindOut,
    FoundOut,
    MineOut,
    RatedOut,
    RatingIn,
    RatingOut,
    RatingPage,
)
from service.client.patience import LastWrite


class Find:
    """Streamers by nickname, tag or bio, and what filters can be made of."""

    def __init__(self, transport: Transport, last: LastWrite) -> None:
        """Ask by `transport`, after the last write of this client."""
        self._transport = transport
        self._last = last

    def page(
        self,
        q: str,
        *,
        filter: Filter = None,
        limit: int = 20,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> FindOut:
        """A page of the streamers that `q` finds, the best first."""
        call = calls.find(q, filter, limit, cursor, self._last.sequence)
        return self._transport.call(call, deadline_s)

    def all(
        self,
        q: str,
        *,
        filter: Filter = None,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> Generator[FoundOut, None, None]:
        """All streamers that `q` finds, the best first; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self.page(
                q, filter=filter, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for found in page.streamers:
                yield found
            cursor = page.next_cursor
            if cursor is None:
                return

    def facets(
        self,
        fields: Sequence[str] | None = None,
        *,
        filter: Filter = None,
        most: int = 20,
        deadline_s: float | None = None,
    ) -> FacetsOut:
        """The most frequent values of fields; by default of category, language and tags."""
        call = calls.facets(fields, filter, most, self._last.sequence)
        return self._transport.call(call, deadline_s)


class Ratings:
    """How well streamers fit questions, as people say."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def put(
        self, rating: RatingIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> RatedOut:
        """Rate a streamer for a question, in place of what this key said before."""
        return self._transport.call(calls.rate(rating), deadline_s)

    def delete(
        self, question_id: str, streamer_id: str, *, deadline_s: float | None = None
    ) -> RatingOut:
        """Take this key's rating back; what it was."""
        call = calls.take_rating_back(question_id, streamer_id)
        return self._transport.call(call, deadline_s)

    def mine(
        self,
        question: Mapping[str, Any],
        streamer_ids: Sequence[str],
        *,
        deadline_s: float | None = None,
    ) -> MineOut:
        """What this key said of up to 500 streamers for a question."""
        return self._transport.call(calls.my_ratings(question, streamer_ids), deadline_s)

    def page(
        self,
        question_id: str | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> RatingPage:
        """A page of ratings, of one question or all."""
        call = calls.page_of_ratings(question_id, limit, cursor)
        return self._transport.call(call, deadline_s)

    def all(
        self,
        question_id: str | None = None,
        *,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> Generator[RatingOut, None, None]:
        """Ratings, those of one question together; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self.page(
                question_id, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for rating in page.ratings:
                yield rating
            cursor = page.next_cursor
            if cursor is None:
                return
