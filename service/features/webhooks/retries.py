"""When a failed delivery is tried again: the table of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import random

DELAYS_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before each attempt; three days in all."""
_JITTER = 0.1
_LONGEST_S = 86_400.0


def delay_s(attempts: int, retry_after_s: float | None = None) -> float | None:
    """Seconds before the next attempt; None after the last one.

    Args:
        attempts: how many failed.
        retry_after_s: what the target asked for, which counts where it is longer, up to a day.
    """
    if attempts >= len(DELAYS_S):
        return None
    spread = DELAYS_S[attempts] * (1 + random.uniform(0, _JITTER))
    return max(spread, min(retry_after_s or 0.0, _LONGEST_S))


def wait_s(delay: float, next_at: float, now: float) -> float:
    """Seconds until an attempt is due, by a clock that may have been set since the last one.

    Args:
        delay: seconds that were to pass, which is the longest wait.
        next_at: when it is due, in seconds since 1970.
        now: likewise.
    """
    return min(max(0.0, next_at - now), delay)
