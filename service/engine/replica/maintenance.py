"""Index maintenance: rebuilds and snapshots in one thread, checks of recall in another."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue

from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Snapshots
from service.index.base import VectorIndex
from service.index.maintenance import Maintained

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
_LAST_S = 5.0
"""How long the end of the process waits for a last snapshot, at most."""
_CHECK_S = 1.0
"""Between two checks. An exact search of a million rows takes a fiftieth of that."""
_NICENESS = 10
"""Of these threads: on Linux each has its own, so questions and writes come first."""


def give_way() -> None:
    """Lower the priority of the calling thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


@dataclass(eq=False)
class _Preparation:
    """An index that is not served yet, which the maintenance thread is asked to rebuild."""

    index: Maintained
    loop: asyncio.AbstractEventLoop
    done: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: threading.Event = field(default_factory=threading.Event)


class IndexMaintenance:
    """Rebuilds, saves and checks the index that a follower serves, in threads.

    They are daemons, since FAISS can't be told to stop: the process ends without waiting for them.
    """

    def __init__(self, follower: Follower, snapshots: Snapshots | None = None) -> None:
        """Maintain the follower's live index, whichever that is at the moment."""
        self._follower = follower
        self._snapshots = snapshots
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._rebuild, name="maintenance", daemon=True)
        self._checker = threading.Thread(
            target=self._check_recall, name="recall check", daemon=True
        )
        self._rebuilt = False  # since the last snapshot
        self._asked: SimpleQueue[_Preparation] = SimpleQueue()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._checker.start()

    async def stop(self) -> None:
        """Begin nothing more, and end what can be ended early.

        A snapshot that is due is written first, if that takes a few seconds at most.
        """
        self._stopped.set()
        await asyncio.to_thread(self._save_last)

    async def prepare(self, index: VectorIndex) -> None:
        """Rebuild an index that is not served yet, in the thread; one at a time.

        Where that fails, it is tried again once the index is served.
        """
        if not (isinstance(index, Maintained) and index.is_due()):
            return
        asked = _Preparation(index, asyncio.get_running_loop())
        self._asked.put(asked)
        try:
            await asked.done.wait()
        finally:
            asked.given_up.set()

    def _prepare(self, asked: _Preparation) -> None:
        try:
            asked.index.rebuild(lambda: self._stopped.is_set() or asked.given_up.is_set())
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                asked.loop.call_soon_threadsafe(asked.done.set)

    def _save_last(self) -> None:
        until = time.monotonic() + _LAST_S
        self._thread.join(_LAST_S / 5)
        if not self._thread.is_alive():  # no ANN segment is being built
            self._save(lambda: time.monotonic() > until)

    def _rebuild(self) -> None:
        give_way()
        while not self._stopped.wait(_LOOK_S):
            try:
                while not self._asked.empty():  # nobody else takes any
                    asked = self._asked.get()
                    if not asked.given_up.is_set():
                        self._prepare(asked)
                index = self._follower.index if self._follower.is_ready else None
                if isinstance(index, Maintained) and index.is_due():
                    index.rebuild(self._stopped.is_set)
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

    def _check_recall(self) -> None:
        give_way()
        while not self._stopped.wait(_CHECK_S):
            try:
                index = self._follower.index if self._follower.is_ready else None
                if isinstance(index, Maintained):
                    index.check_recall()
            except Exception:  # noqa: BLE001 - or no recall would be checked any more
                _log.exception("an answer could not be compared with the exact one")
                self._stopped.wait(60)
