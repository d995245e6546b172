"""Wires the feed of events and webhooks: documents, the guarded sender, and what delivers."""

import contextlib
from dataclasses import dataclass

from service.bootstrap.models.duties import Duties
from service.features.events.news import News
from service.features.events.service import Events
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


@dataclass(frozen=True)
class OpenedFeed:
    """The feed, and who is told of it."""

    events: Events
    webhooks: Webhooks
    counts: WebhookCounts


def opened_feed(
    store: RedisStore,
    events: EventStore,
    settings: WebhookSettings,
    stack: contextlib.AsyncExitStack,
    duties: Duties,
) -> OpenedFeed:
    """The services of events; `stack` stops what looks at the feed, `duties` what delivers."""
    news = News(events)
    stack.push_async_callback(news.stop)
    resolver = SystemResolver(_LOOKUPS)
    stack.callback(resolver.close)
    targets = Targets(settings, resolver)
    sender = Sender(settings, targets)
    means = Means(RedisDocuments(store.client), events, news, sender)
    dispatcher = Dispatcher(means)
    if settings.deliver:
        duties.add(dispatcher.start, dispatcher.stop)
    webhooks = Webhooks(means, targets, dispatcher.wake)
    return OpenedFeed(Events(events, news), webhooks, WebhookCounts(dispatcher))
