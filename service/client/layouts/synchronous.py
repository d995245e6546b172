"""Written by `generate.py` from `layouts/asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Mapping
from typing import Any

from service.client.transport import Transport
from service.client.layouts import calls
from service.client.models import JobOut, LayoutsOut, SelectedOut, SelectIn


class Layouts:
    """The map of all streamers."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def state(self, *, deadline_s: float | None = None) -> LayoutsOut:
        """The layout that is current, and how many streamers are on it."""
        return self._transport.call(calls.state(), deadline_s)

    def fit(self, *, deadline_s: float | None = None) -> JobOut:
        """Have a new layout fitted; the job, which is queued."""
        return self._transport.call(calls.fit(), deadline_s)

    def select(
        self, part: SelectIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> SelectedOut:
        """Who is in a part of the map: a polygon, a circle, or what is near to a streamer."""
        return self._transport.call(calls.select(part), deadline_s)
