"""Models of the client: changing the model of a running service."""
