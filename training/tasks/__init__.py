"""Training tasks: what a step learns from."""
