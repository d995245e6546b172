"""Structured logs: a line of JSON or text for each request and message."""
