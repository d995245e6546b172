"""Keeps a collection of Milvus equal to the store's log, a few seconds behind it."""
