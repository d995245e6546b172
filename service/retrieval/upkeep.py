"""Prepares faster answers in a thread of its own, whenever the live index is due.

Another thread compares answers with exact ones, also while the first is at work.
"""

import logging
import os
import threading

from service.retrieval.follower import Follower

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
_AUDIT_S = 1.0
"""Between two audits. An exact search of a million takes a fiftieth of that."""
_NICENESS = 10
"""On Linux each thread has its own: questions and writes come first."""


def give_way() -> None:
    """Let other threads go before this one, for ever."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class Upkeep:
    """Threads that rebuild the index that a follower serves, and audit it.

    Daemons, since FAISS can't be told to stop: the process ends without waiting for them.
    """

    def __init__(self, follower: Follower) -> None:
        """Look after the follower's index, whichever that is."""
        self._follower = follower
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._rebuild, name="upkeep", daemon=True),
            threading.Thread(target=self._audit, name="audit", daemon=True),
        ]

    def start(self) -> None:
        """Begin to look after it."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more, and let what is under way end early where it can."""
        self._stopped.set()

    def _rebuild(self) -> None:
        give_way()
        while not self._stopped.wait(_LOOK_S):
            try:
                if self._follower.is_ready and self._follower.index.is_due():
                    self._follower.index.rebuild(self._stopped.is_set)
            except Exception:  # noqa: BLE001 - or nothing would be rebuilt any more
                _log.exception("the index could not be rebuilt; it answers as before")
                self._stopped.wait(60)

    def _audit(self) -> None:
        give_way()
        while not self._stopped.wait(_AUDIT_S):
            try:
                if self._follower.is_ready:
                    self._follower.index.audit()
            except Exception:  # noqa: BLE001 - or nothing would be audited any more
                _log.exception("an answer could not be compared with the exact one")
                self._stopped.wait(60)
