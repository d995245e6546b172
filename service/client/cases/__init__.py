"""Cases of the client."""
