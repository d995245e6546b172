"""From a profile to its vectors: pieces, towers, features, encoder."""
