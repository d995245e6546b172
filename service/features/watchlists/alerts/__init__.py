"""Alerts of watchlists: raised once each, listed, and decided by people.

book       raises alerts, each in one step with its event
keeping    how alerts are stored
distinct   matches beyond the open alerts of a list, counted
rooms      room for more open alerts of a list
service    alerts as those who ask for them see them
schemas    requests and responses
endpoints  `/v1/alerts`
"""
