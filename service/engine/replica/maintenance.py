"""Prepares faster answers, and snapshots, in a thread of its own, whenever they are due.

Another thread compares answers with exact ones, also while the first is at work.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Snapshots

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
_LAST_S = 5.0
"""The longest that the end of the process waits for a last snapshot."""
_AUDIT_S = 1.0
"""Between two audits. An exact search of a million takes a fiftieth of that."""
_NICENESS = 10
"""On Linux each thread has its own: questions and writes come first."""


def give_way() -> None:
    """Let other threads go before this one, for ever."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class Upkeep:
    """Threads that rebuild and save the index that a follower serves, and audit it.

    Daemons, since FAISS can't be told to stop: the process ends without waiting for them.
    """

    def __init__(self, follower: Follower, snapshots: Snapshots | None = None) -> None:
        """Look after the follower's index, whichever that is."""
        self._follower = follower
        self._snapshots = snapshots
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._rebuild, name="upkeep", daemon=True)
        self._auditor = threading.Thread(target=self._audit, name="audit", daemon=True)
        self._rebuilt = False  # since the last snapshot

    def start(self) -> None:
        """Begin to look after it."""
        self._thread.start()
        self._auditor.start()

    async def stop(self) -> None:
        """Begin nothing more, and let what is under way end early where it can.

        A snapshot that is due is written first, if that takes a few seconds at most.
        """
        self._stopped.set()
        await asyncio.to_thread(self._save_last)

    def _save_last(self) -> None:
        until = time.monotonic() + _LAST_S
        self._thread.join(_LAST_S / 5)
        if not self._thread.is_alive():  # no base is being built
            self._save(lambda: time.monotonic() > until)

    def _rebuild(self) -> None:
        give_way()
        while not self._stopped.wait(_LOOK_S):
            try:
                if self._follower.is_ready and self._follower.index.is_due():
                    self._follower.index.rebuild(self._stopped.is_set)
                    self._rebuilt = True
                self._save(self._stopped.is_set)
            except Exception:  # noqa: BLE001 - or nothing would be rebuilt any more
                _log.exception("the index could not be rebuilt; it answers as before")
                self._stopped.wait(60)

    def _save(self, is_stopped: Callable[[], bool]) -> None:
        complete = self._follower.complete
        if self._snapshots is None or complete is None or self._follower.skipped.count:
            return  # a start from a snapshot could not tell which records were skipped
        index, place = complete
        if self._snapshots.is_due(index, place, rebuilt=self._rebuilt):
            self._rebuilt = False
            self._snapshots.write(index, place, is_stopped)

    def _audit(self) -> None:
        give_way()
        while not self._stopped.wait(_AUDIT_S):
            try:
                if self._follower.is_ready:
                    self._follower.index.audit()
            except Exception:  # noqa: BLE001 - or nothing would be audited any more
                _log.exception("an answer could not be compared with the exact one")
                self._stopped.wait(60)
