"""Commands of watchlists and their alerts."""
