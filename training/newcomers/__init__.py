"""Offline report: how well the users of newcomers are foretold, simply and by an encoder."""
