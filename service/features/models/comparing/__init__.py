"""Comparing the next model with the active one: decisions of people, neighbours, the gate."""
