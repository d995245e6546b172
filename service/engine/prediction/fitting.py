"""Gathers what this replica has of a generation's streamers, and fits on it in a thread."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, Established
from service.engine.prediction.fit import Head, Known, audience_of, fit
from service.engine.prediction.fitted import SPARE, FittedGeneration, centroids_of
from service.engine.prediction.graph import NEIGHBOURS
from service.engine.prediction.inner_products import InnerProductIndex
from service.engine.prediction.linear import Ridge
from service.engine.prediction.users import UserIndex
from service.engine.replica.follower import Follower
from service.engine.spaces.generation import Generation
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.streamer_neighbours import StreamerNeighbours
from service.engine.work.give_way import GiveWay
from service.store.base import StreamerStore

_log = logging.getLogger(__name__)
_BLOCK = 128
"""Streamers that are read from the index in one turn of the event loop."""
_EXACT_CONTENTS = 20_000
"""Streamers of whom each is looked at to find the nearest."""
_CONTENT_RECALL = 0.95
"""Of the voters: which of a thousand are missed matters little."""
_HEAD_SAMPLES = 2048
"""Stored streamers whose predicted vectors tell what the bundle's head does."""
_WAIT_S = 0.1


class Stopped(Exception):
    """The service stops; nothing was fitted."""


@dataclass(frozen=True, eq=False)
class _Gathered:
    """Streamers of a generation that have content here, k of them.

    Attributes:
        rows: int64 (k,), of the generation, ascending.
        embeddings: float32 (k, D).
        coverage: float32 (k,).
        modalities: float32 (k,).
        categories: k of them.
    """

    rows: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    coverage: NDArray[np.float32]
    modalities: NDArray[np.float32]
    categories: Sequence[str | None]


class GenerationFitter:
    """Makes a `FittedGeneration` of each generation that is about to serve; a `FitGeneration`."""

    def __init__(
        self,
        follower: Follower,
        store: StreamerStore,
        established: Established | None,
        id_dim: int | None,
        give_way: GiveWay,
    ) -> None:
        """Fit on what the follower's index holds.

        Args:
            follower: of the live index.
            store: that has what the bundle's head predicted for stored streamers.
            established: whom the bundle's teacher knew, None without a teacher.
            id_dim: width of what the head predicts, None without a head.
            give_way: lets those who ask go first while streamers are read.
        """
        self._follower = follower
        self._store = store
        self._taught = established
        self._place = {name: i for i, name in enumerate(established.ids)} if established else {}
        self._id_dim = id_dim
        self._give_way = give_way
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End what is being fitted as soon as possible."""
        self._stopping.set()

    async def __call__(
        self, generation: Generation, neighbours: StreamerNeighbours | None
    ) -> FittedGeneration:
        """Fit; waits until the index is complete.

        Raises:
            Stopped: the service stops.
        """
        begin = time.perf_counter()
        while self._follower.complete is None:
            self._tick()
            await asyncio.sleep(_WAIT_S)
        gathered = await self._gather(generation)
        head = await self._head(generation, gathered)
        gathered_s = time.perf_counter() - begin
        fitted = await asyncio.to_thread(self._fit, generation, neighbours, gathered, head)
        _log.info(
            "fitted generation %s of %s: %d streamers with content, read in %.1f s, fitted in "
            "%.1f s",
            generation.generation,
            generation.space,
            len(gathered.rows),
            gathered_s,
            time.perf_counter() - begin - gathered_s,
        )
        return fitted

    def _tick(self) -> None:
        if self._stopping.is_set():
            raise Stopped("the service stops")

    async def _gather(self, generation: Generation) -> _Gathered:
        index, count = self._follower.index, len(generation.streamer_ids)
        rows: list[int] = []
        embeddings = np.zeros((0, 1), np.float32)
        coverage: list[float] = []
        modalities: list[int] = []
        categories: list[str | None] = []
        for begin in range(0, count, _BLOCK):
            self._tick()
            ids = [generation.streamer_ids[i] for i in range(begin, min(begin + _BLOCK, count))]
            for row, (found, stored) in enumerate(
                zip(await index.get(ids), [await index.vector(i) for i in ids], strict=True), begin
            ):
                if found is None or stored is None or stored.embedding is None:
                    continue
                if not rows:
                    embeddings = np.empty((count, len(stored.embedding)), np.float32)
                embeddings[len(rows)] = stored.embedding
                rows.append(row)
                coverage.append(1.0 if stored.coverage is None else stored.coverage)
                modalities.append(stored.modalities_used or 1)
                category = found.facets.get("category")
                categories.append(category if isinstance(category, str) else None)
            await self._give_way()

        def arrays() -> _Gathered:
            return _Gathered(
                np.array(rows, np.int64),
                embeddings[: len(rows)],
                np.array(coverage, np.float32),
                np.array(modalities, np.float32),
                categories,
            )

        return await asyncio.to_thread(arrays)  # of all at once: too long for the event loop

    async def _head(self, generation: Generation, gathered: _Gathered) -> Head | None:
        """The bundle's head as a map from embeddings, read off what it predicted for the stored.

        It is linear in the whole embedding; where a shorter one is served, it is the nearest map.
        """
        if self._taught is None or self._id_dim is None:
            return None
        ids, shared = await asyncio.to_thread(self._shared, generation, gathered.rows)
        if not shared:
            return None
        rng = np.random.default_rng(0)
        some: list[int] = rng.permutation(len(ids))[:_HEAD_SAMPLES].tolist()
        inputs: list[NDArray[np.float32]] = []
        outputs: list[NDArray[np.float32]] = []
        for begin in range(0, len(some), _BLOCK):
            self._tick()
            for record in await self._store.get([ids[i] for i in some[begin : begin + _BLOCK]]):
                if record is None or not record.embedding:
                    continue
                predicted = np.frombuffer(record.id_embedding, "<f4")
                if len(predicted) == self._id_dim:
                    inputs.append(np.frombuffer(record.embedding, "<f4"))
                    outputs.append(predicted)
            await self._give_way()
        if len(inputs) <= gathered.embeddings.shape[1]:
            return None  # too few to tell the map by
        way = await asyncio.to_thread(lambda: Ridge(np.stack(inputs), np.stack(outputs)).at(1e-6))
        places = np.array(shared, np.int64)  # (r, 2)
        return Head(way, places[:, 0], self._taught.vectors[places[:, 1]])

    def _shared(
        self, generation: Generation, rows: NDArray[np.int64]
    ) -> tuple[list[str], list[tuple[int, int]]]:
        """The ids of rows, and of those that the teacher knew their places here and there."""
        known: list[int] = rows.tolist()
        ids = [generation.streamer_ids[row] for row in known]
        return ids, [(i, self._place[name]) for i, name in enumerate(ids) if name in self._place]

    def _fit(
        self,
        generation: Generation,
        neighbours: StreamerNeighbours | None,
        gathered: _Gathered,
        head: Head | None,
    ) -> FittedGeneration:
        rows = gathered.rows
        taught = self._place
        counts = generation.interactions
        known = Known(
            embeddings=gathered.embeddings,
            vectors=generation.vectors[rows],
            coverage=gathered.coverage,
            modalities=gathered.modalities,
            interactions=None if counts is None else counts[rows],
            unseen=np.array(
                [generation.streamer_ids[row] not in taught for row in rows.tolist()], bool
            ),
            audience=audience_of(generation.user_vectors),
            neighbours=None if neighbours is None else neighbours.among(rows).heaviest(NEIGHBOURS),
        )
        made = fit(known, head, tick=self._tick)
        self._tick()
        contents = None
        if len(rows):
            rng = np.random.default_rng(0)
            probes = gathered.embeddings[rng.permutation(len(rows))[:64]]
            contents = InnerProductIndex(
                RowVectors.of(gathered.embeddings, _EXACT_CONTENTS),
                probes,
                most=VOTERS + SPARE,  # the streamer itself and the erased may be among them
                exact_rows=_EXACT_CONTENTS,
                recall=_CONTENT_RECALL,
                tick=self._tick,
            )
        self._tick()
        users = None
        if len(generation.user_vectors):
            users = UserIndex(
                generation.user_ids,
                generation.user_vectors,
                generation.vectors,
                tick=self._tick,
                attributes=generation.user_attributes,
            )
        centroids = centroids_of(generation, rows, gathered.categories)
        return FittedGeneration(generation, rows, contents, made, users, centroids)
