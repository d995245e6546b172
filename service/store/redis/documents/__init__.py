"""Documents in a Valkey or Redis server."""
