"""Requests that are carried out once, however often they are sent."""

from dataclasses import dataclass

REMEMBERED_S = 24 * 3600
"""So long the store knows what was done `Once`."""


@dataclass(frozen=True)
class Once:
    """Names a write that is done once, however often its request is sent.

    Attributes:
        key: which write it is, in hex digits.
        fingerprint: of its request; the same key with another one is a mistake of the caller's.
        answer: what the request is told beside the outcome, to be told again.
    """

    key: str
    fingerprint: str
    answer: bytes = b""
