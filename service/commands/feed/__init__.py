"""Commands about what happens in a running service."""
