"""How a streamer was found by a text."""

from typing import Literal, get_args

Matched = Literal["id", "name", "name_beginning", "name_part", "tag", "bio"]
MATCHED: tuple[Matched, ...] = get_args(Matched)
"""The best first."""
