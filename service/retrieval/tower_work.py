"""Towers at work: in threads of their own, for callers who wait and for those who write many.

Both kinds of callers share the threads part by part. Who waits for an answer comes through a queue
that batches across requests, has a deadline and is bounded; who writes many hands over one part
after the other, so that between two of them the queue has its turn.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_export.contract.towers import Payload, TowerSpec
from service.batcher import Batcher
from service.settings import Towers
from service.vectors import Vector

Result = TypeVar("Result")

PART = 16
"""Payloads that a caller has under way at once."""


class Encoders(Protocol):
    """`OnnxTowers`, or anything of its shape."""

    @property
    def specs(self) -> list[TowerSpec]:
        """What there is."""
        ...

    def encode(self, name: str, payloads: Sequence[Payload]) -> NDArray[np.float32]:
        """Vectors (N, width) of N payloads; safe to call from several threads."""
        ...


class TowerWork:
    """Owns the threads and the queues.

    Attributes:
        specs: the towers that there are.
        encoded: by tower, how many pieces were encoded since the start.
    """

    def __init__(self, towers: Encoders, settings: Towers) -> None:
        """Nothing runs before `start`."""
        self.specs = towers.specs
        self.encoded = {spec.name: 0 for spec in self.specs}
        self._towers = towers
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="tower")
        self._queues: dict[str, Batcher[Payload, Vector]] = {
            spec.name: Batcher(
                partial(self._encode, spec.name),
                self._executor,
                max_batch=settings.max_batch,
                max_wait_ms=settings.max_wait_ms,
                max_queue=settings.max_queue,
                deadline_ms=settings.deadline_ms,
                what="pieces",
            )
            for spec in self.specs
        }

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        for queue in self._queues.values():
            queue.start()

    async def stop(self) -> None:
        """Stop; whoever still waits gets Overloaded."""
        for queue in self._queues.values():
            await queue.stop()
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def encode(
        self, name: str, payloads: Sequence[Payload], *, queued: bool
    ) -> Sequence[Vector]:
        """Vectors of at most `PART` payloads by the tower of this name.

        Raises:
            Overloaded: `queued`, and too many wait already or the deadline passed.
        """
        if queued:
            vectors = await self._wait_for_all([self._queues[name].submit(p) for p in payloads])
        else:
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._executor, self._encode, name, payloads)
        self.encoded[name] += len(vectors)
        return vectors

    async def _wait_for_all(self, work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
        """All results; what one raises takes the others out of the queue, as does who leaves."""
        tasks = [asyncio.create_task(one) for one in work]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _encode(self, name: str, payloads: Sequence[Payload]) -> Sequence[Vector]:
        return list(self._towers.encode(name, payloads).astype(np.float16))
