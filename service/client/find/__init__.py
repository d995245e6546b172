"""Finding streamers by name, facet counts and ratings of the client."""
