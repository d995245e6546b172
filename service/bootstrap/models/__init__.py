"""Wires models: loading one, what all of them share, and changing the one that serves."""
