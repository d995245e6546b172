"""Webhooks of the client. `generate.py` writes `synchronous.py` from this file."""

from collections.abc import AsyncGenerator, Sequence

from service.client.async_transport import AsyncTransport
from service.client.models import (
    DeliveryPage,
    TestedOut,
    WebhookOut,
    WebhookWithSecretOut,
)
from service.client.webhooks import calls
from service.client.webhooks.calls import DeliveryState


class AsyncWebhooks:
    """Who is told what happens."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    async def create(
        self,
        url: str,
        kinds: Sequence[str],
        description: str = "",
        *,
        deadline_s: float | None = None,
    ) -> WebhookWithSecretOut:
        """Have events of some kinds posted to a URL; with the secret, which is shown this once."""
        return await self._transport.call(calls.create(url, kinds, description), deadline_s)

    async def all(
        self, *, page_size: int = 50, deadline_s: float | None = None
    ) -> AsyncGenerator[WebhookOut, None]:
        """All webhooks, by their ids; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = await self._transport.call(calls.page(page_size, cursor), deadline_s)
            for webhook in page.webhooks:
                yield webhook
            cursor = page.next_cursor
            if cursor is None:
                return

    async def get(self, webhook_id: str, *, deadline_s: float | None = None) -> WebhookOut:
        """A webhook, and how it does."""
        return await self._transport.call(calls.get(webhook_id), deadline_s)

    async def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        if_version: int | None = None,
        deadline_s: float | None = None,
    ) -> WebhookOut:
        """Change what is given; the rest stays."""
        given = {"url": url, "kinds": kinds, "description": description, "enabled": enabled}
        changes = {name: value for name, value in given.items() if value is not None}
        return await self._transport.call(calls.update(webhook_id, changes, if_version), deadline_s)

    async def delete(
        self, webhook_id: str, *, if_version: int | None = None, deadline_s: float | None = None
    ) -> None:
        """Remove a webhook with all that waits for it."""
        await self._transport.call(calls.delete(webhook_id, if_version), deadline_s)

    async def rotate(
        self, webhook_id: str, grace_s: float = 86_400, *, deadline_s: float | None = None
    ) -> WebhookWithSecretOut:
        """Give it another secret; the one before signs too for so many seconds."""
        return await self._transport.call(calls.rotate(webhook_id, grace_s), deadline_s)

    async def test(self, webhook_id: str, *, deadline_s: float | None = None) -> TestedOut:
        """Have a ping sent to it; how that ended."""
        return await self._transport.call(calls.test(webhook_id), deadline_s)

    async def deliveries(
        self,
        webhook_id: str,
        state: DeliveryState = "due",
        *,
        limit: int = 100,
        cursor: str | None = None,
        deadline_s: float | None = None,
    ) -> DeliveryPage:
        """A page of its messages: due, delivered of late, or given up."""
        call = calls.deliveries(webhook_id, state, limit, cursor)
        return await self._transport.call(call, deadline_s)

    async def replay(
        self,
        webhook_id: str,
        delivery_ids: Sequence[str] | None = None,
        *,
        deadline_s: float | None = None,
    ) -> int:
        """Have dead letters sent again, all or some; how many."""
        call = calls.replay(webhook_id, delivery_ids)
        return (await self._transport.call(call, deadline_s)).replayed
