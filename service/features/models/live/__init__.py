"""A model that is ready and live questions: its shadow, and its canary."""
