"""Streamers by name, tag and words of the bio: an inverted index in a file of its own."""
