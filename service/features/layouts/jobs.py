"""The job that fits a layout, and has it served when everyone is placed."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.folders import OwnFolders
from service.engine.layouts.anchors import MOST_ANCHORS, Anchors, Frame, Placer, keys_of
from service.engine.layouts.fitting import FEWEST, FilesFailed, LibraryMissing, fit
from service.engine.layouts.registering import registered
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.workers import WorkersLost
from service.errors import LayoutNotFitted
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.layouts.following import LayoutFollower
from service.features.layouts.storing import LayoutGone, LayoutRecord, StoredLayouts
from service.index.slots import Slotted
from service.scopes import Scope

KIND = "layout"
_LOOK_S = 0.5
_KEYS_AT_ONCE = 512
_ROWS_AT_ONCE = 256
_ROUNDING = 1e-3
"""Of a component: what 16-bit numbers and another batch of the encoder can't tell apart."""


class Sample(NamedTuple):
    """Streamers that a layout is fitted on, by their keys.

    Attributes:
        ids: of them.
        keys: uint64 (n,), ascending.
        vectors: float32 (n, D).
    """

    ids: list[str]
    keys: NDArray[np.uint64]
    vectors: NDArray[np.float32]


class LayoutJobs(Kind):
    """The kind of job behind `POST /v1/layouts:fit`.

    The fit itself is done in a process of a low priority. One that was interrupted begins anew;
    once its anchors are stored, it is not done again.
    """

    is_alone = True
    scope: Scope = "search"

    def __init__(
        self,
        layouts: StoredLayouts,
        follower: LayoutFollower,
        ready: Callable[[], Awaitable[None]],
        caught_up: Callable[[], Awaitable[None]],
        model_version: str,
        lanes: Lanes,
        folders: OwnFolders,
    ) -> None:
        """Fit on the index that `follower` places.

        Args:
            layouts: in the store.
            follower: of this replica's map.
            ready: returns when the index is complete.
            caught_up: returns when it has all that was written before the call.
            model_version: of its vectors.
            lanes: where streamers are read.
            folders: for temporary files.
        """
        self._layouts = layouts
        self._follower = follower
        self._ready = ready
        self._caught_up = caught_up
        self._model_version = model_version
        self._lanes = lanes
        self._folders = folders

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Fit, store, publish, and wait until this replica has everyone on the map."""
        await self._ready()
        index = self._follower.indexed()
        layout_id = job.checkpoint.get("layout_id")
        record = await self._stored(str(layout_id)) if layout_id else None
        if record is not None and record.model_version != self._model_version:
            record = None  # another model was promoted meanwhile
        if record is None:
            record = await self._fitted(job, index)
            done = record.fitted
            await job.advance({"layout_id": record.layout_id}, done, done + index.count)
        kept = record
        try:
            await persist(lambda: self._layouts.publish(kept))
        except LayoutGone as error:
            raise LayoutNotFitted("another layout was fitted and served meanwhile") from error
        await self._placed(job, kept)
        count, shared = index.count, kept.registration
        done = kept.fitted + count
        await job.advance({"layout_id": kept.layout_id}, done, done)
        return {
            "layout_id": kept.layout_id,
            "fitted": kept.fitted,
            "streamers": count,
            "took_s": kept.took_s,
            "shared": 0 if shared is None else shared.shared,
            "residual": None if shared is None else shared.residual,
        }

    async def _stored(self, layout_id: str) -> LayoutRecord | None:
        return await persist(lambda: self._layouts.get(layout_id))

    async def _fitted(self, job: RunningJob, index: Slotted) -> LayoutRecord:
        """Fit a layout and store it.

        Raises:
            LayoutNotFitted: with what is missing.
        """
        begin = time.perf_counter()
        sample = await persist(lambda: self._lanes.run_in_slices(sampled(index), Lane.BULK))
        count = len(sample.ids)
        if count < FEWEST:
            raise LayoutNotFitted(
                f"{count} streamers have a vector, {FEWEST} are needed for a layout"
            )
        before = await persist(self._layouts.current)
        known = None
        if before is not None:
            with contextlib.suppress(LayoutGone):  # it lies as none did before
                known = await persist(lambda: self._layouts.load(before))
        start = None
        if before is not None and known is not None and before.model_version == self._model_version:
            vectors = sample.vectors
            start = await asyncio.to_thread(lambda: Placer(known).place(vectors))
        total = count + index.count

        async def tell(share: float) -> None:
            await job.advance({}, int(share * count), total)

        folder = self._folders.new(job.job.job_id)
        try:
            await asyncio.to_thread(folder.make)
            places = await fit(folder.path, sample.vectors, start, tell)
        except LibraryMissing as error:
            raise LayoutNotFitted(str(error)) from error
        except (FilesFailed, OSError) as error:
            raise LayoutNotFitted(
                f"files of the fit can't be written or read in {folder.path} ({error}): it needs "
                f"some {_files_mib(sample)} MiB there. Make room, or let the service's user write "
                "there, and retry the job"
            ) from error
        except WorkersLost as error:
            raise LayoutNotFitted(
                "the process that fits was ended, perhaps for lack of memory: it takes about "
                f"{_needed_mib(sample)} MiB. See the kernel's log, and retry the job"
            ) from error
        finally:
            await asyncio.to_thread(folder.remove)
        record, anchors = self._made(sample, places, before, known, time.perf_counter() - begin)
        still_there = partial(self._still_there, sample)
        kept, stored = await self._layouts.put(record, anchors, still_there)
        if stored < FEWEST:
            raise LayoutNotFitted(
                f"only {stored} of {count} streamers were not deleted or changed while the layout "
                f"was fitted on them, {FEWEST} are needed: fit it again"
            )
        return kept

    async def _still_there(self, sample: Sample, rows: slice) -> NDArray[np.bool_]:
        """Which rows of a sample are stored with the same vector at this moment.

        Who has another one may have been erased, and written anew, since the sample was taken.
        """
        await self._caught_up()
        looking = still_alike(self._follower.indexed(), sample.ids[rows], sample.vectors[rows])
        return await self._lanes.run_in_slices(looking, Lane.BULK)

    def _made(
        self,
        sample: Sample,
        places: NDArray[np.float32],
        before: LayoutRecord | None,
        known: Anchors | None,
        took_s: float,
    ) -> tuple[LayoutRecord, Anchors]:
        """What is stored of a fit, which lies as the layout before did."""
        frame, shared = Frame.around(places), None
        if before is not None and known is not None:
            _, ours, theirs = np.intersect1d(sample.keys, known.keys, True, return_indices=True)
            turned = registered(places, ours, known.places[theirs])
            if turned is not None:
                places, shared = turned
                frame = Frame.around(places, before.frame)
        record = LayoutRecord(
            layout_id=secrets.token_hex(8),
            created_at=round(time.time(), 3),
            model_version=self._model_version,
            fitted=len(sample.ids),
            took_s=round(took_s, 3),
            frame=frame,
            first_keys=[],
            registration=shared,
        )
        return record, Anchors(sample.keys, sample.vectors.astype(np.float16), places, frame)

    async def _placed(self, job: RunningJob, record: LayoutRecord) -> None:
        """Return when this replica serves the layout, or another one that has replaced it."""
        fitted, checkpoint = record.fitted, {"layout_id": record.layout_id}
        self._follower.wake()
        while True:
            served, coming = self._follower.served, self._follower.coming
            if coming is None and served is not None and served.layout_id == record.layout_id:
                return
            known = self._follower.record
            if known is not None and known.created_at > record.created_at:
                return
            if coming is not None and coming.layout_id == record.layout_id:
                done = fitted + coming.placed
                await job.advance(checkpoint, done, done + coming.waiting)
            await asyncio.sleep(_LOOK_S)


def sampled(index: Slotted, most: int = MOST_ANCHORS) -> Generator[None, None, Sample]:
    """The streamers with the smallest keys, `most` of them; pauses every few milliseconds."""
    slots = index.live_slots().slots
    yield
    keys = np.empty(len(slots), np.uint64)
    for start in range(0, len(slots), _KEYS_AT_ONCE):
        part = slice(start, start + _KEYS_AT_ONCE)
        keys[part] = keys_of(index.ids_in(slots[part]))
        yield
    chosen = slots[np.argsort(keys, kind="stable")[:most]]
    ids: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        yield
        block = index.read_slots(chosen[start : start + _ROWS_AT_ONCE])
        ids += block.ids
        vectors.append(block.embeddings)
    yield
    keys = keys_of(ids)
    yield
    order = np.argsort(keys, kind="stable")
    made = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
    return Sample([ids[row] for row in order.tolist()], keys[order], made[order])


def still_alike(
    index: Slotted, ids: Sequence[str], vectors: NDArray[np.float32]
) -> Generator[None, None, NDArray[np.bool_]]:
    """Which streamers an index has with the same vectors (B, D); pauses every few milliseconds."""
    alike = np.zeros(len(ids), np.bool_)
    row_of = {name: row for row, name in enumerate(ids)}
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        slots = index.slots_of(ids[start : start + _ROWS_AT_ONCE])
        block = index.read_slots(np.array([s for s in slots if s is not None], np.uint32))
        for name, embedding in zip(block.ids, block.embeddings, strict=True):
            row = row_of.get(name)  # None: the slot was given to another one meanwhile
            if row is not None:
                alike[row] = np.abs(embedding - vectors[row]).max() <= _ROUNDING
        yield
    return alike


def _needed_mib(sample: Sample) -> int:
    """Measured: 400 MiB of the process itself, and twice the vectors with 2 KiB of each one."""
    return 400 + (2 * sample.vectors.nbytes + 2048 * len(sample.ids) >> 20)


def _files_mib(sample: Sample) -> int:
    """The vectors, and where each begins and ends."""
    return 1 + (sample.vectors.nbytes + 16 * len(sample.ids) >> 20)
