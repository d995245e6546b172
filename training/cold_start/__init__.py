"""The vote of established streamers for a newcomer, and reports of it."""
