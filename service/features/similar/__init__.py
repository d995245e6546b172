"""Similar streamers of seeds: search, explanations, pages, export."""
