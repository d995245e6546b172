"""Alerts of watchlists: raised once each, listed, and decided by people."""
