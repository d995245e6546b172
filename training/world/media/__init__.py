"""Procedural pictures and sounds of the simulated world."""
