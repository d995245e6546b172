"""Hard maxima of requests: their schemas have them, and no limit of the settings can be above."""

MOST_SEEDS = 1000
MOST_DEDUP_ITEMS = 100_000
MOST_EXCLUDED_USERS = 100_000
MOST_UNITS = 100_000_000
"""Of a rate limit."""
MOST_USER_ID_CHARS = 256
