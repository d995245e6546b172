"""Spaces of the client: hand-overs of ID-embeddings."""
