"""Connections to the servers of a store: where they are, and who has to have a write."""
