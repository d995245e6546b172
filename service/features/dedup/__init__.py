"""Near-duplicates of a list, as clusters or as a diversified feed."""
