"""Decides when the embedded store may write."""

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_PROBE_BYTES = 1 << 20


class DiskGuard:
    """No writes while the disk is nearly full, nor for a while after the store could not write.

    The delay doubles each time that the store fails again soon after it was let write: it may
    have limits that neither the free space nor a trial tells.
    """

    def __init__(
        self,
        folder: Path,
        reserve_bytes: int,
        first_delay_s: float,
        longest_delay_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._now_s = now_s
        self._closed_until = -math.inf
        self._delay_s = first_delay_s

    def store_could_not_write(self) -> None:
        """Allow no writes for a while."""
        now = self._now_s()
        if now - self._closed_until > self._longest_delay_s:
            self._delay_s = self._first_delay_s
        self._closed_until = now + self._delay_s
        self._delay_s = min(2 * self._delay_s, self._longest_delay_s)

    def allows_writes(self, *, trial: bool) -> bool:
        """Whether there is room; a disk that can't be asked has none.

        Args:
            trial: don't only ask for the free space but take some, since a quota hides from that.
        """
        if self._now_s() < self._closed_until:
            return False
        try:
            if shutil.disk_usage(self._folder).free < self._reserve_bytes:
                return False
            if trial:
                with tempfile.TemporaryFile(dir=self._folder) as probe:
                    os.posix_fallocate(probe.fileno(), 0, _PROBE_BYTES)
        except OSError:
            return False
        return True
