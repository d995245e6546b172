"""Webhooks: events of the feed, sent to other services by Standard Webhooks."""
