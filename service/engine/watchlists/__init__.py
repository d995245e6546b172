"""Which watchlists a streamer matches: every seed is scored exactly, and most need no comparison.

bounds      what a pair can weigh at most, by what is known of a channel
content     digest of what the evidence reads of a profile
seed_index  which seeds a streamer may reach, by such bounds
matcher     seeds of all lists, and the exact comparison of what may be reached
"""
