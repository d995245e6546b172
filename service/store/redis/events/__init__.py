"""The feed of events on Valkey or Redis."""
