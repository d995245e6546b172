"""Webhooks of the client."""
