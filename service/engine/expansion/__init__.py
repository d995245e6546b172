"""From a few seeds to everyone who hangs together with them by evidence.

paths        who is reached over which edges, and how surely
certificate  whose membership ends with which edge, verdict or member
walk         which profiles are looked at next, until a budget is spent
edges        what is kept of the evidence of a pair
evidence_edges  candidates and compared pairs of stored streamers
"""
