"""Groups of duplicates and judgements on Valkey or Redis."""
