"""Vector indexes: embeddings by id and by vector, searched in milliseconds."""
