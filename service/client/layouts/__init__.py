"""The map of the corpus, of the client."""
