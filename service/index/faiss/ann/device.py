"""Where a FAISS index is searched: on the CPU by whoever asks, or on a GPU by one thread.

FAISS's GPU resources may be used by one thread at a time, and a GPU answers many queries in the
time of one; so one thread owns it, and what waits for it meanwhile becomes its next call.
"""

import math
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.index.base import DeviceName
from service.index.faiss.ann.pruning import InvertedLists, Reach

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

MIB = 1 << 20
_GPU_NEIGHBOURS = 2048
"""The most that FAISS's GPU indexes answer (with cuVS more; see its `getMaxKSelection`)."""
_Result = TypeVar("_Result")


class NoDevice(Exception):
    """The device that was asked for is not there."""


class Placed(Protocol):
    """An index that does not change any more, where it is searched. Safe from several threads."""

    @property
    def prunes(self) -> bool:
        """Whether it has inverted lists and can choose among them for each query."""
        ...

    def search_many(
        self, queries: NDArray[np.float32], k: int, reach: Reach | None = None
    ) -> list[NDArray[np.int64]]:
        """Places of rows near each query (Q, D), best first; fewer than k where it has no more.

        Without a `reach`, or where it can't prune, the effort is the one that was set.

        Raises:
            RuntimeError: the device failed.
        """
        ...

    def set_effort(self, name: str, value: int) -> None:
        """Set a search parameter by FAISS's name for it, such as `nprobe`."""
        ...


class Device(Protocol):
    """Something that searches indexes."""

    @property
    def name(self) -> DeviceName:
        """The effective device."""
        ...

    def factory_for(self, rows: int) -> str:
        """The FAISS factory string that is best for so many rows there."""
        ...

    def place(self, index: Any) -> Placed:
        """Bring a filled FAISS index there.

        Raises:
            RuntimeError: it does not fit, or FAISS has no such index there.
        """
        ...


class OnCpu:
    """An index that every thread searches by itself, with one core."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self._lists = InvertedLists(index) if InvertedLists.are_in(index) else None

    @property
    def prunes(self) -> bool:
        """Whether it has inverted lists; see `Placed.prunes`."""
        return self._lists is not None

    def search_many(
        self, queries: NDArray[np.float32], k: int, reach: Reach | None = None
    ) -> list[NDArray[np.int64]]:
        """Search in this thread, without the interpreter's lock; see `Placed.search_many`."""
        faiss.omp_set_num_threads(1)  # of this thread
        found: NDArray[np.int64]
        if reach is None or self._lists is None:
            found = self.index.search(queries, k)[1]
        else:
            found = self._lists.search(queries, k, reach)
        return [places if places[-1] >= 0 else places[places >= 0] for places in found]

    def set_effort(self, name: str, value: int) -> None:
        """Set a search parameter; see `Placed.set_effort`."""
        faiss.ParameterSpace().set_index_parameter(self.index, name, value)


class _Waiting(NamedTuple):
    query: NDArray[np.float32]
    k: int
    answer: Future[NDArray[np.int64]]


class Owner:
    """One thread that makes calls for others, one after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=_make_calls, args=(self._calls,), name="gpu", daemon=True).start()
        weakref.finalize(self, self._calls.put, None).atexit = False

    def submit(self, call: Callable[[], _Result]) -> Future[_Result]:
        """Have a call made.

        It takes no lock but the queue's, which may be taken again by the thread that has it: so it
        may come from the garbage collector, in the middle of anything, another `submit` included.
        """
        answer: Future[_Result] = Future()

        def run() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                answer.set_exception(error)

        self._calls.put(run)
        return answer


def _make_calls(calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # what it holds is not kept until the next one


class Owned:
    """An index that one thread searches for all others, as many queries at once as wait."""

    def __init__(self, owner: Owner, index: Any, parameters: Any, most: int) -> None:
        """Search `index` in the thread of `owner`, for at most `most` neighbours.

        `parameters` is the FAISS parameter space that knows the index.
        """
        self._owner = owner
        self._held = [index]
        self._parameters = parameters
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        # The memory of a GPU is given back by the thread that took it.
        weakref.finalize(self, owner.submit, self._held.clear).atexit = False

    @property
    def prunes(self) -> bool:
        """Never: queries that are answered together take the same effort."""
        return False

    def search_many(
        self, queries: NDArray[np.float32], k: int, reach: Reach | None = None
    ) -> list[NDArray[np.int64]]:
        """Wait for the thread that owns it; see `Placed.search_many`."""
        del reach
        mine = [_Waiting(query, min(k, self._most), Future()) for query in queries]
        with self._lock:
            is_first = not self._waiting
            self._waiting += mine
        if is_first:
            self._owner.submit(self._answer_all)
        return [waiting.answer.result() for waiting in mine]

    def set_effort(self, name: str, value: int) -> None:
        """Set a search parameter in the thread that owns it; see `Placed.set_effort`."""
        self._owner.submit(
            lambda: self._parameters.set_index_parameter(self._held[0], name, value)
        ).result()

    def _answer_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            queries = np.stack([w.query for w in waiting]).astype(np.float32)  # (Q, D)
            found: NDArray[np.int64] = self._held[0].search(queries, max(w.k for w in waiting))[1]
        except Exception as error:  # noqa: BLE001 - or those who wait would wait for ever
            for w in waiting:
                w.answer.set_exception(RuntimeError(str(error)))
            return
        for w, places in zip(waiting, found, strict=True):
            best = places[: w.k]
            w.answer.set_result(best[best >= 0])


class Cpu:
    """This machine's cores."""

    name: DeviceName = "cpu"

    def factory_for(self, rows: int) -> str:
        """IVF with 2√N inverted lists in half precision; see docs/performance.md."""
        lists = 1 << round(math.log2(2 * math.sqrt(rows)))
        return f"IVF{lists},SQfp16"

    def place(self, index: Any) -> Placed:
        """Leave it in this process's memory; see `Device.place`."""
        return OnCpu(index)


class Gpu:
    """One NVIDIA GPU, with its own resources and the thread that alone uses them.

    Not yet run on a GPU. Deleted rows are left out by the caller: FAISS's own selectors are
    silently ignored by some of its GPU builds.
    """

    name: DeviceName = "gpu"

    def __init__(self, number: int = 0, *, temp_mib: int = 256) -> None:
        """Take the GPU of this number, with so much scratch memory (FAISS would take 1.5 GiB).

        Raises:
            NoDevice: FAISS has no such GPU here, whatever else there is.
        """
        has_build = hasattr(faiss, "StandardGpuResources")
        # Resources can be made where there is no GPU, and then answer nothing.
        visible = int(faiss.get_num_gpus()) if has_build else 0
        if visible <= number:
            reason = (
                f"FAISS sees {visible} GPUs, number {number} was asked for"
                if has_build
                else "this FAISS is built for the CPU: install the extra gpu in place of cpu"
            )
            raise NoDevice(reason)
        self._number = number
        self._owner = Owner()
        self._resources = self._run(lambda: _resources(temp_mib))

    def factory_for(self, rows: int) -> str:
        """A scan of everything: a GPU reads memory at more than a terabyte a second."""
        del rows
        return "Flat"

    def place(self, index: Any) -> Placed:
        """Copy it to the GPU in half precision, since hits are scored again exactly."""
        return self._run(lambda: self._placed(index))

    def _placed(self, index: Any) -> Placed:
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        options.usePrecomputed = False
        moved = faiss.index_cpu_to_gpu(self._resources, self._number, index, options)
        return Owned(self._owner, moved, faiss.GpuParameterSpace(), _GPU_NEIGHBOURS)

    def _run(self, call: Callable[[], _Result]) -> _Result:
        return self._owner.submit(call).result()


def _resources(temp_mib: int) -> Any:
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(temp_mib * MIB)
    return resources


def device_of(name: DeviceName, *, temp_mib: int = 256) -> Device:
    """The device of that name.

    Raises:
        NoDevice: it is not there.
    """
    return Cpu() if name == "cpu" else Gpu(temp_mib=temp_mib)
