"""Towers at work: in threads of their own, for callers who wait and for those who write many.

Both kinds of callers share the threads part by part. Who waits for an answer comes through queues
that batch across requests, have a deadline and are bounded; who writes many hands over one part
after the other, so that between two of them the queues have their turn.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_export.contract.towers import Decoded, Payload, Prepared, TowerSpec
from service.engine.encoding.tower_vectors import Vector
from service.engine.work.batcher import Batcher, queue_of_calls
from service.settings import Towers

PART = 16
"""Payloads that a caller has under way at once."""

Result = TypeVar("Result")
Input = Payload | Prepared
"""A text, which is prepared in a moment, or what was prepared of a picture or a sound."""


class Encoders(Protocol):
    """`OnnxTowers`, or anything of its shape; safe to call from several threads."""

    @property
    def specs(self) -> list[TowerSpec]:
        """What there is."""
        ...

    def prepare(self, name: str, payload: Payload) -> Prepared:
        """A payload decoded; raises UnreadableContent."""
        ...

    def decode(self, name: str, payload: Payload) -> Decoded:
        """The same, and what tells copies of a picture or sound."""
        ...

    def run(self, name: str, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        """Vectors (N, width) of N decoded payloads."""
        ...


class TowerWork:
    """Owns the threads and the queues.

    Attributes:
        specs: the towers that there are.
        encoded: by tower, how many pieces were encoded since the start.
        decoded: by tower, how many pictures or sounds were decoded since the start, or could not.
    """

    def __init__(self, towers: Encoders, settings: Towers) -> None:
        """Nothing runs before `start`."""
        self.specs = towers.specs
        self.encoded = {spec.name: 0 for spec in self.specs}
        self.decoded = {spec.name: 0 for spec in self.specs}
        self._towers = towers
        self._encoders = ThreadPoolExecutor(settings.threads, thread_name_prefix="tower")
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._to_encode = {
            spec.name: Batcher[Input, Vector](
                partial(self._encode, spec.name),
                self._encoders,
                max_batch=settings.max_batch,
                max_wait_ms=settings.max_wait_ms,
                max_queue=settings.max_queue,
                deadline_ms=settings.deadline_ms,
                what="pieces",
            )
            for spec in self.specs
        }
        self._to_decode = queue_of_calls(
            self._decoders,
            workers=settings.decode_threads,
            max_queue=settings.max_queue,
            deadline_ms=settings.deadline_ms,
            what="pictures and sounds",
        )
        self._few_at_once = asyncio.Semaphore(settings.decode_threads)

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        for queue in (*self._to_encode.values(), self._to_decode):
            queue.start()

    async def stop(self) -> None:
        """Stop; whoever still waits gets Overloaded."""
        for queue in (*self._to_encode.values(), self._to_decode):
            await queue.stop()
        for threads in (self._decoders, self._encoders):
            threads.shutdown(wait=True, cancel_futures=True)

    async def decode(self, job: Callable[[], Result], *, queued: bool) -> Result:
        """What a job comes to, in a thread for decoding.

        Raises:
            Overloaded: `queued`, and too many wait already or the deadline passed.
            Exception: whatever the job raises.
        """
        if queued:
            return await self._to_decode.submit(job)
        async with self._few_at_once:  # or a long list would be before all others in the threads
            return await asyncio.get_running_loop().run_in_executor(self._decoders, job)

    async def prepare(self, name: str, payload: Callable[[], Payload], *, queued: bool) -> Decoded:
        """A picture or sound decoded for the tower of this name.

        Raises:
            UnreadableContent: it is not what it says, or over a limit; SilentContent for a sound in
                which nothing is heard.
            Overloaded: as `decode`.
        """
        self.decoded[name] += 1
        return await self.decode(lambda: self._towers.decode(name, payload()), queued=queued)

    async def encode(self, name: str, inputs: Sequence[Input], *, queued: bool) -> Sequence[Vector]:
        """Vectors of at most `PART` pieces by the tower of this name.

        Raises:
            Overloaded: `queued`, and too many wait already or the deadline passed.
        """
        if queued:
            vectors = await _all([self._to_encode[name].submit(one) for one in inputs])
        else:
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._encoders, self._encode, name, inputs)
        self.encoded[name] += len(vectors)
        return vectors

    def _encode(self, name: str, inputs: Sequence[Input]) -> Sequence[Vector]:
        towers = self._towers
        prepared = [towers.prepare(name, x) if isinstance(x, Payload) else x for x in inputs]
        return list(towers.run(name, prepared).astype(np.float16))


async def _all(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results; what one raises takes the others out of the queue, as does who leaves."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
