"""Commands of finding streamers by name and of ratings: given, listed, and what they say."""
