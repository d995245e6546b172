"""Models of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from service.client.async_transport import AsyncTransport
from service.client.lifecycle import calls
from service.client.models import ComparisonOut, FlipOut, JobOut, ModelVersionOut, ShadowOut


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

    async def register(self, folder: str, *, deadline_s: float = calls.SWITCH_S) -> ModelVersionOut:
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
            streamers_per_s: at most so many; None = no limit, or that from before.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.backfill(model, streamers_per_s), deadline_s)

    async def pause(self, model: str, *, deadline_s: float | None = None) -> ModelVersionOut:
        """Pause the backfill of a model where it stands."""
        return await self._transport.call(calls.act(model, "pause"), deadline_s)

    async def compare(
        self, model: str, *, sample: int | None = None, deadline_s: float | None = None
    ) -> JobOut:
        """Have what people decided replayed against a model that is ready; the job.

        Args:
            model: its version.
            sample: streamers whose neighbours are compared; None = as the service is set.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.compare(model, sample), deadline_s)

    async def comparison(self, model: str, *, deadline_s: float | None = None) -> ComparisonOut:
        """The report of the last comparison of a model."""
        return await self._transport.call(calls.comparison(model), deadline_s)

    async def flips(
        self,
        model: str,
        kind: Literal["judgements", "verdicts", "alerts", "ratings"] = "judgements",
        *,
        limit: int = 100,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[FlipOut, None]:
        """Decisions of a kind that flip with a model, the lost ones first, page by page.

        Args:
            model: its version.
            kind: of the decisions.
            limit: of a page.
            deadline_s: of each page.
        """
        cursor: str | None = None
        while True:
            call = calls.flips(model, kind, cursor, limit)
            page = await self._transport.call(call, deadline_s)
            for flip in page.flips:
                yield flip
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    async def shadow(
        self,
        model: str,
        sample: float,
        *,
        anew: bool = False,
        deadline_s: float = calls.SWITCH_S,
    ) -> ModelVersionOut:
        """Have a model that is ready asked a sample of the live questions.

        Args:
            model: its version.
            sample: share of the questions; 0 ends it.
            anew: begin the report anew.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.shadow(model, sample, anew=anew), deadline_s)

    async def shadow_report(self, model: str, *, deadline_s: float | None = None) -> ShadowOut:
        """What live answers would change with a model."""
        return await self._transport.call(calls.shadow_report(model), deadline_s)

    async def canary(
        self, model: str, share: float, *, deadline_s: float = calls.SWITCH_S
    ) -> ModelVersionOut:
        """Have a share of the callers answered by a model that is ready.

        Args:
            model: its version.
            share: of the callers; 0 ends it.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.canary(model, share), deadline_s)

    async def promote(
        self, model: str, *, force: bool = False, deadline_s: float = calls.SWITCH_S
    ) -> ModelVersionOut:
        """Answer by a model that is ready, on all replicas.

        Args:
            model: its version.
            force: although what people decided stands against it, or was not replayed.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.promote(model, force=force), deadline_s)

    async def roll_back(
        self, *, leaving: str | None = None, deadline_s: float = calls.SWITCH_S
    ) -> ModelVersionOut:
        """Answer by the model that was active before.

        Args:
            leaving: the model that is to be left; refused where another one is active, as after
                somebody else's roll-back, which this one would undo.
            deadline_s: of this call.
        """
        return await self._transport.call(calls.roll_back(leaving), deadline_s)

    async def retire(self, model: str, *, deadline_s: float = calls.SWITCH_S) -> ModelVersionOut:
        """Keep a model no longer beside the active one."""
        return await self._transport.call(calls.act(model, "retire"), deadline_s)
