"""A Valkey server of our own: start, supervision, recovery of a torn log."""
