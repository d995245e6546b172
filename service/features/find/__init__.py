"""Streamers by nickname, tag or bio, and how many have which values."""
