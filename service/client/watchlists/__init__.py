"""Watchlists and their alerts, of the client."""
