"""The searchable side of the service: embeddings in memory, exact answers."""
