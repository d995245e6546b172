"""Imports and exports of streamers, as jobs."""
