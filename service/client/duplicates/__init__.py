"""Groups of duplicates, judgements and events of the client."""
