"""Watchlists: seeds that every stored streamer and every write is matched with, and their alerts.

records    what is stored of a list and of an alert
seeds      examples of a request, as they are stored and compared
service    lists as those who ask for them see them
watched    the lists of the store, ready to be matched
matching   streamers of the store, matched
cursor     up to where the log is matched, and by whom
following  matches every write
sweeping   matches all that is stored, as a job
alerts     alerts: raised once, listed, decided
counts     metrics
"""
