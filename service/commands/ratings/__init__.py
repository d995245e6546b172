"""Commands of ratings: given and listed, and what they say of answers."""
