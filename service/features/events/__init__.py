"""The one feed of what happened."""
