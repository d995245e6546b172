"""Who asks, what they may and how often, and what is written down of it."""
