"""Reads hand-overs, whatever form they come in."""
