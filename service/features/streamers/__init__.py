"""Writing and reading streamers, one at a time or in bulk."""
