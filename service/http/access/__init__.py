"""What callers may do, and how much of it."""
