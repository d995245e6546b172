"""The index in Milvus: a collection that lags by seconds, and an exact overlay of what is newer."""
