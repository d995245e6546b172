"""Errors of webhooks."""

from service.errors.base import RequestError


class WebhookNotFound(RequestError):
    """There is no such webhook, or not any more."""

    status, code, title = 404, "webhook_not_found", "Unknown webhook"
    example = "there is no webhook 'wh-0f3c9a1b5e7d2c4a'; GET /v1/webhooks lists all"


class TooManyWebhooks(RequestError):
    """There are as many webhooks as there may be; delete one that nobody needs."""

    status, code, title = 409, "too_many_webhooks", "Too many webhooks"
    example = "there are 50 webhooks already; delete one first"
