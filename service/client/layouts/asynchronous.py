"""The map, of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import Mapping
from typing import Any

from service.client.async_transport import AsyncTransport
from service.client.layouts import calls
from service.client.models import JobOut, LayoutsOut, SelectedOut, SelectIn


class AsyncLayouts:
    """The map of all streamers."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def state(self, *, deadline_s: float | None = None) -> LayoutsOut:
        """The layout that is current, and how many streamers are on it."""
        return await self._transport.call(calls.state(), deadline_s)

    async def fit(self, *, deadline_s: float | None = None) -> JobOut:
        """Have a new layout fitted; the job, which is queued."""
        return await self._transport.call(calls.fit(), deadline_s)

    async def select(
        self, part: SelectIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> SelectedOut:
        """Who is in a part of the map: a polygon, a circle, or what is near to a streamer."""
        return await self._transport.call(calls.select(part), deadline_s)
