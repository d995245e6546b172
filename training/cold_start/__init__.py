"""The vote of established streamers for a newcomer."""
