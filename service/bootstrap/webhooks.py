"""Wires webhooks: their documents, the guarded sender, and what delivers."""

import contextlib

from service.features.events.news import News
from service.features.webhooks.counts import WebhookCounts
from service.features.webhooks.dispatcher import Dispatcher
from service.features.webhooks.sending import Sender
from service.features.webhooks.service import Webhooks
from service.features.webhooks.targets import Targets
from service.features.webhooks.worker import Means
from service.media.addresses import SystemResolver
from service.settings.webhooks import Webhooks as WebhookSettings
from service.store.events import EventStore
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.store import RedisStore

_LOOKUPS = 4
"""Names that are resolved at once."""


def opened_webhooks(
    store: RedisStore,
    events: EventStore,
    news: News,
    settings: WebhookSettings,
    stack: contextlib.AsyncExitStack,
) -> tuple[Webhooks, WebhookCounts]:
    """The service and its counts; `stack` stops what delivers."""
    resolver = SystemResolver(_LOOKUPS)
    stack.callback(resolver.close)
    targets = Targets(settings, resolver)
    sender = Sender(settings, targets)
    means = Means(RedisDocuments(store.client), events, news, sender)
    dispatcher = Dispatcher(means)
    if settings.deliver:
        dispatcher.start()
        stack.push_async_callback(dispatcher.stop)
    return Webhooks(means, targets, dispatcher.wake), WebhookCounts(dispatcher)
