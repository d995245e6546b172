"""Who may ask, and what is written down of it."""
