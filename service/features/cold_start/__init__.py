"""New streamers: established neighbours and a predicted ID-embedding."""
