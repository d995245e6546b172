"""Processes of a low priority for long work in Python, which would keep threads from the lock.

They serve one task and end with it. Who uses them has another way to do the work: they may be
killed, as by a limit of memory.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")
_log = logging.getLogger(__name__)
NICENESS = 10
"""Of the processes, above that of this one."""


class WorkersLost(Exception):
    """A process ended before its work was done; none is left."""


class Workers:
    """Some processes that begin with their first task. For one event loop."""

    def __init__(self, count: int, begin: Callable[[], None]) -> None:
        """Start nothing yet.

        Args:
            count: of processes.
            begin: is called once in each of them; like all that is given to them, it has to be
                picklable.
        """
        self.count = count
        self._begin = begin
        self._pool: ProcessPoolExecutor | None = None
        self._starting = asyncio.Lock()
        self._is_over = False

    async def run(
        self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What a function of a module returns in one of the processes.

        Raises:
            WorkersLost: a process was killed, or could not be started; or they were closed.
            Exception: whatever the function raises.
        """
        try:
            async with self._starting:
                if self._pool is None and not self._is_over:
                    self._pool = await asyncio.to_thread(self._start)
            if self._is_over:  # perhaps since it began to start
                self.close()
            if self._pool is None:
                raise WorkersLost
            return await asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        except (BrokenProcessPool, OSError) as error:
            if not self._is_over:
                _log.warning("worker processes are lost, threads go on: %s", error)
            self.close()
            raise WorkersLost from error

    def close(self) -> None:
        """End the processes, for good; what they do at the moment is lost."""
        self._is_over = True
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            self.count,
            # A fork of a process with threads may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begun,
            initargs=(self._begin, NICENESS),
        )
        for future in [pool.submit(os.getpid) for _ in range(self.count)]:
            future.result()  # here, since the start of a process takes a while
        return pool


def _begun(begin: Callable[[], None], niceness: int) -> None:
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, it comes to all of a group
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
