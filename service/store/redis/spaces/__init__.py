"""Spaces on Valkey or Redis."""
