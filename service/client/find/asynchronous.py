"""Finding by name, and ratings, of the client. `generate.py` writes `synchronous.py` from this."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from service.client.async_transport import AsyncTransport
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


class AsyncFind:
    """Streamers by nickname, tag or bio, and what filters can be made of."""

    def __init__(self, transport: AsyncTransport, last: LastWrite) -> None:
        """Ask by `transport`, after the last write of this client."""
        self._transport = transport
        self._last = last

    async def page(
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
        return await self._transport.call(call, deadline_s)

    async def all(
        self,
        q: str,
        *,
        filter: Filter = None,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[FoundOut, None]:
        """All streamers that `q` finds, the best first; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                q, filter=filter, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for found in page.streamers:
                yield found
            cursor = page.next_cursor
            if cursor is None:
                return

    async def facets(
        self,
        fields: Sequence[str] | None = None,
        *,
        filter: Filter = None,
        most: int = 20,
        deadline_s: float | None = None,
    ) -> FacetsOut:
        """The most frequent values of fields; by default of category, language and tags."""
        call = calls.facets(fields, filter, most, self._last.sequence)
        return await self._transport.call(call, deadline_s)


class AsyncRatings:
    """How well streamers fit questions, as people say."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def put(
        self, rating: RatingIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> RatedOut:
        """Rate a streamer for a question, in place of what this key said before."""
        return await self._transport.call(calls.rate(rating), deadline_s)

    async def delete(
        self, question_id: str, streamer_id: str, *, deadline_s: float | None = None
    ) -> RatingOut:
        """Take this key's rating back; what it was."""
        call = calls.take_rating_back(question_id, streamer_id)
        return await self._transport.call(call, deadline_s)

    async def mine(
        self,
        question: Mapping[str, Any],
        streamer_ids: Sequence[str],
        *,
        deadline_s: float | None = None,
    ) -> MineOut:
        """What this key said of up to 500 streamers for a question."""
        return await self._transport.call(calls.my_ratings(question, streamer_ids), deadline_s)

    async def page(
        self,
        question_id: str | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> RatingPage:
        """A page of ratings, of one question or all."""
        call = calls.page_of_ratings(question_id, limit, cursor)
        return await self._transport.call(call, deadline_s)

    async def all(
        self,
        question_id: str | None = None,
        *,
        page_size: int = 100,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[RatingOut, None]:
        """Ratings, those of one question together; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self.page(
                question_id, limit=page_size, cursor=cursor, deadline_s=deadline_s
            )
            for rating in page.ratings:
                yield rating
            cursor = page.next_cursor
            if cursor is None:
                return
