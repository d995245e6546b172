"""Models of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import Sequence

from service.client.async_transport import AsyncTransport
from service.client.lifecycle import calls
from service.client.models import JobOut, ModelVersionOut

_SWITCH_S = 60.0


class AsyncModels:
    """The model of a running service, and changing it without a stop."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def all(self, *, deadline_s: float | None = None) -> Sequence[ModelVersionOut]:
        """All models that are registered, and the one that serves."""
        return (await self._transport.call(calls.models(), deadline_s)).models

    async def get(self, model: str, *, deadline_s: float | None = None) -> ModelVersionOut:
        """A model: its state, its backfill, and what replicas hold of it."""
        return await self._transport.call(calls.model(model), deadline_s)

    async def register(self, folder: str, *, deadline_s: float = _SWITCH_S) -> ModelVersionOut:
        """Register the bundle in a folder below the service's folder of models."""
        return await self._transport.call(calls.register(folder), deadline_s)

    async def backfill(
        self,
        model: str,
        *,
        streamers_per_s: float | None = None,
        deadline_s: float | None = None,
    ) -> JobOut:
        """Have every stored streamer encoded for a model, or let that go on; the job.

        Args:
            model: its version.
            streamers_per_s: at most so many; None = no limit.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.backfill(model, streamers_per_s), deadline_s)

    async def pause(self, model: str, *, deadline_s: float | None = None) -> ModelVersionOut:
        """Pause the backfill of a model where it stands."""
        return await self._transport.call(calls.act(model, "pause"), deadline_s)

    async def promote(self, model: str, *, deadline_s: float = _SWITCH_S) -> ModelVersionOut:
        """Answer by a model that is ready, on all replicas."""
        return await self._transport.call(calls.act(model, "promote"), deadline_s)

    async def roll_back(self, *, deadline_s: float = _SWITCH_S) -> ModelVersionOut:
        """Answer by the model that was active before."""
        return await self._transport.call(calls.roll_back(), deadline_s)

    async def retire(self, model: str, *, deadline_s: float = _SWITCH_S) -> ModelVersionOut:
        """Keep a model no longer beside the active one."""
        return await self._transport.call(calls.act(model, "retire"), deadline_s)
