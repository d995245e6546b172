"""The use-cases: upsert, delete, similar, cold start, dedup. They know nothing of HTTP."""
