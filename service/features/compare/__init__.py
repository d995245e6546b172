"""Comparing two profiles: `POST /v1/compare`."""
