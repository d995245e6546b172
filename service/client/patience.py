"""What calls wait for, when one is made again, and when given up; knows no connection."""

import math
import random
import threading
import time
from dataclasses import dataclass

import httpx

from service.client.errors import ClientError, DeadlineExceeded


@dataclass(frozen=True)
class Patience:
    """How long a call may take, and how often it is tried.

    Attributes:
        deadline_s: of a call in all, tries and pauses included; each call can have its own. What
            comes in small pieces without end is given up after twice as long at the latest.
        attempt_s: longest wait for the answer of one try; None = until the deadline.
        connect_s: longest wait for a connection.
        attempts: most tries; None = as many as the deadline allows.
        first_pause_s: before the second try; it doubles with each, up to `longest_pause_s`, less a
            random share of up to half. `Retry-After` of the service makes it longer, never shorter.
        longest_pause_s: see above.
    """

    deadline_s: float = 30
    attempt_s: float | None = None
    connect_s: float = 5
    attempts: int | None = 8
    first_pause_s: float = 0.1
    longest_pause_s: float = 8


class Deadline:
    """When something that takes many calls is given up."""

    def __init__(self, timeout_s: float | None) -> None:
        """Count from now; None = never."""
        self._timeout_s = timeout_s
        self._until = math.inf if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Seconds that are left."""
        return self._until - time.monotonic()

    def check(self, what: str) -> None:
        """Check that time is left.

        Raises:
            DeadlineExceeded: none is; names `what` was waited for.
        """
        if self.left_s() <= 0:
            raise DeadlineExceeded(f"{what} within {self._timeout_s:g} s", is_in_doubt=False)


class Attempts:
    """The tries of one call."""

    def __init__(self, patience: Patience, deadline_s: float | None = None) -> None:
        """Begin; the deadline counts from now.

        Args:
            patience: bounds.
            deadline_s: of this call; by default that of `patience`.
        """
        self._patience = patience
        self._deadline_s = patience.deadline_s if deadline_s is None else deadline_s
        self._is_in_doubt = False
        self._last: ClientError | None = None
        self.start_again()

    def start_again(self) -> None:
        """Count anew, since a part of the work was done."""
        self._failed = 0
        self._until = time.monotonic() + self._deadline_s

    def check(self, received: int = 0) -> None:
        """Check the deadline, with so many bytes of the answer received.

        Raises:
            DeadlineExceeded: it has passed.
        """
        if time.monotonic() >= self._until:
            after = f"{self._deadline_s:g} s"
            if received:
                coming = f"the answer was still coming after {after} ({received:,} bytes)"
                raise DeadlineExceeded(coming)
            why = "" if self._last is None else f": {self._last.detail}"
            detail = f"no answer within {after}{why}"
            raise DeadlineExceeded(detail, is_in_doubt=self._is_in_doubt) from self._last

    def timeout(self) -> httpx.Timeout:
        """The longest waits of the next try.

        Raises:
            DeadlineExceeded: there is no time for one.
        """
        self.check()
        left = max(self._until - time.monotonic(), 1e-3)
        each = min(left, self._patience.attempt_s or left)
        return httpx.Timeout(each, connect=min(each, self._patience.connect_s), pool=left)

    def pause_after(self, error: ClientError) -> float:
        """Seconds to wait before the next try.

        Raises:
            ClientError: `error`, where another try would not help or there is no time for it; in
                place of it `DeadlineExceeded`, where the deadline has passed. It is in doubt where
                that of any try was.
        """
        self._is_in_doubt = error.is_in_doubt = self._is_in_doubt or error.is_in_doubt
        self._last = error
        left = self._until - time.monotonic()
        if left <= 0 and error.is_passing:
            detail = f"no answer within {self._deadline_s:g} s: {error.detail}"
            raise DeadlineExceeded(detail, is_in_doubt=error.is_in_doubt) from error
        self._failed += 1
        patience = self._patience
        longest = min(
            patience.first_pause_s * 2 ** min(self._failed - 1, 30), patience.longest_pause_s
        )
        pause_s = max(longest * random.uniform(0.5, 1), error.retry_after_s or 0)
        is_last = patience.attempts is not None and self._failed >= patience.attempts
        if not error.is_passing or is_last or pause_s >= left:
            raise error
        return pause_s


class LastWrite:
    """The sequence number that a client's questions wait for: mostly that of its last write.

    For several threads.
    """

    def __init__(self, sequence: int) -> None:
        self._lock = threading.Lock()
        self.sequence = sequence

    def note(self, sequence: int | None) -> None:
        """Take in the sequence number of a write; None changes nothing."""
        with self._lock:
            self.sequence = max(self.sequence, sequence or 0)

    def limit(self, end: int | None) -> None:
        """Wait for nothing behind the end of the store, where that is known; it lost what was."""
        if end is not None:
            with self._lock:
                self.sequence = min(self.sequence, end)
