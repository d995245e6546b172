"""Towers at work in the lanes: for callers who wait, and for those who write many."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.towers import Decoded, Payload, Prepared, TowerSpec
from service.engine.encoding.tower_vectors import Vector
from service.engine.work.lanes import Lane, Lanes, Queue
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
        """Prepare a picture or sound for its tower, with what tells copies."""
        ...

    def run(self, name: str, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        """Vectors (N, width) of N decoded payloads."""
        ...


class TowerPool:
    """Queues of pieces for the towers, and of pictures and sounds to be decoded.

    Attributes:
        specs: the towers that there are.
        encoded: by tower, how many pieces were encoded since the start.
        decoded: by tower, how many pictures or sounds were decoded since the start, or could not.
    """

    def __init__(self, towers: Encoders, settings: Towers, lanes: Lanes) -> None:
        """Run `towers` in `lanes`."""
        self.specs = towers.specs
        self.encoded = {spec.name: 0 for spec in self.specs}
        self.decoded = {spec.name: 0 for spec in self.specs}
        self._towers = towers
        both = (Lane.INTERACTIVE, Lane.BULK)
        self._to_encode: dict[tuple[str, Lane], Queue[Input, Vector]] = {
            (spec.name, lane): lanes.queue(
                partial(self._encode, spec.name),
                lane,
                what="pieces",
                stage="towers",
                max_batch=settings.max_batch,
                at_once=1,
            )
            for spec in self.specs
            for lane in both
        }
        self._to_decode: dict[Lane, Queue[Callable[[], Any], Any]] = {
            lane: lanes.queue(
                _each,
                lane,
                what="pictures and sounds",
                stage="decode",
                at_once=settings.decode_threads,
            )
            for lane in both
        }

    async def decode(self, job: Callable[[], Result], lane: Lane) -> Result:
        """What a job comes to, in a thread.

        Raises:
            Overloaded: as `Queue.submit_all`.
            Exception: whatever the job raises.
        """
        return cast(Result, await self._to_decode[lane].submit(job))

    async def prepare(self, name: str, payload: Callable[[], Payload], lane: Lane) -> Decoded:
        """A picture or sound decoded for the tower of this name.

        Raises:
            UnreadableContent: it is not what it says, or over a limit; SilentContent for a sound in
                which nothing is heard.
            Overloaded: as `decode`.
        """
        self.decoded[name] += 1
        return await self.decode(lambda: self._towers.decode(name, payload()), lane)

    async def encode(self, name: str, inputs: Sequence[Input], lane: Lane) -> Sequence[Vector]:
        """Vectors of at most `PART` pieces by the tower of this name.

        Raises:
            Overloaded: as `decode`.
        """
        vectors = await self._to_encode[name, lane].submit_all(inputs)
        self.encoded[name] += len(vectors)
        return vectors

    def _encode(self, name: str, inputs: Sequence[Input]) -> Sequence[Vector]:
        towers = self._towers
        prepared = [towers.prepare(name, x) if isinstance(x, Payload) else x for x in inputs]
        return list(towers.run(name, prepared).astype(np.float16))


def _each(jobs: Sequence[Callable[[], Any]]) -> Sequence[Any]:
    return [job() for job in jobs]
