"""The thread that owns a GPU, with an index on the CPU in its place."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from service.index.faiss.ann.device import Cpu, Gpu, NoDevice, OnCpu, Owned, Owner, Placed
from tests.benchmarks.clustered import clustered
from tests.service.index.faiss.owned import OwnedDevice

VECTORS = clustered(3000, 16, seed=1)


class Watched:
    """A FAISS index that notes which threads search it, and how many queries at a time."""

    def __init__(self, index: Any, failing: bool = False) -> None:
        self.index = index
        self.threads: set[int] = set()
        self.sizes: list[int] = []
        self.at_once = 0
        self.failing = failing
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def search(self, queries: NDArray[np.float32], k: int) -> Any:
        self.entered.set()
        self.open.wait(30)
        assert self.at_once == 0
        self.at_once += 1
        self.threads.add(threading.get_ident())
        self.sizes.append(len(queries))
        if self.failing:
            raise RuntimeError("CUDA error 719")
        found = self.index.search(queries, k)
        self.at_once -= 1
        return found


def flat() -> Any:
    index = faiss.IndexFlatIP(16)
    index.add(VECTORS)
    return index


def nearest(index: Placed, i: int, k: int) -> list[int]:
    return index.search_many(VECTORS[i : i + 1], k)[0].tolist()


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_many_threads_share_the_one_that_owns_it(owner: Owner) -> None:
    watched = Watched(flat())
    owned = Owned(owner, watched, faiss.ParameterSpace(), most=2048)
    alone = OnCpu(flat())

    def ask(i: int) -> bool:
        k = 1 + i % 20
        return nearest(owned, i, k) == nearest(alone, i, k)

    with ThreadPoolExecutor(8) as askers:
        assert all(askers.map(ask, range(400)))
    assert len(watched.threads) == 1
    assert threading.get_ident() not in watched.threads
    assert sum(watched.sizes) == 400


def test_what_waits_becomes_the_next_call(owner: Owner) -> None:
    watched = Watched(flat())
    watched.open.clear()
    owned = Owned(owner, watched, faiss.ParameterSpace(), most=2048)
    with ThreadPoolExecutor(9) as askers:
        first = askers.submit(nearest, owned, 0, 3)
        assert watched.entered.wait(30)
        others = [askers.submit(nearest, owned, i, i) for i in range(1, 9)]
        while len(owned._waiting) < 8:  # they have asked
            threading.Event().wait(0.001)
        watched.open.set()
        assert len(first.result()) == 3
        assert [len(other.result()) for other in others] == list(range(1, 9))
    assert watched.sizes == [1, 8]


def test_several_that_come_together_are_one_call(owner: Owner) -> None:
    watched = Watched(flat())
    owned = Owned(owner, watched, faiss.ParameterSpace(), most=2048)
    found = owned.search_many(VECTORS[:20], 7)
    assert [f.tolist() for f in found] == [nearest(OnCpu(flat()), i, 7) for i in range(20)]
    assert watched.sizes == [20]


def test_what_is_not_there_is_left_out_and_the_most_is_kept(owner: Owner) -> None:
    small = faiss.IndexFlatIP(16)
    small.add(VECTORS[:5])
    assert len(nearest(Owned(owner, small, None, most=2048), 0, 9)) == 5
    assert len(nearest(Owned(owner, flat(), None, most=7), 0, 9)) == 7


def test_a_failing_device_fails_everyone_who_waits(owner: Owner) -> None:
    owned = Owned(owner, Watched(flat(), failing=True), None, most=2048)
    with pytest.raises(RuntimeError, match="CUDA error 719"):
        nearest(owned, 0, 3)


def test_the_effort_is_set_by_the_owner(owner: Owner) -> None:
    index: Any = faiss.index_factory(16, "IVF32,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    owned = Owned(owner, index, faiss.ParameterSpace(), most=2048)
    owned.set_effort("nprobe", 32)
    assert index.nprobe == 32
    assert nearest(owned, 4, 5) == nearest(OnCpu(flat()), 4, 5)


def test_the_owner_frees_what_nobody_searches_any_more(owner: Owner) -> None:
    freed_by: list[int] = []
    index = Watched(flat())
    weakref.finalize(index, lambda: freed_by.append(threading.get_ident()))
    owned = Owned(owner, index, None, most=2048)
    nearest(owned, 0, 3)
    me = threading.get_ident()
    del index, owned
    gc.collect()
    owner.submit(lambda: None).result()
    assert freed_by
    assert freed_by[0] != me


def test_a_gpu_that_is_not_there_is_not_made_up() -> None:
    if getattr(faiss, "get_num_gpus", lambda: 0)() > 0:
        with pytest.raises(NoDevice, match="number 99"):
            Gpu(99)
    else:
        with pytest.raises(NoDevice, match=r"built for the CPU|sees 0 GPUs"):
            Gpu()


def test_the_automatic_kind_grows_with_the_rows() -> None:
    assert Cpu().factory_for(100_000) == "IVF512,SQfp16"
    assert Cpu().factory_for(1_000_000) == "IVF2048,SQfp16"


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    gpu, cpu = Gpu(), Cpu()
    for factory in ("Flat", "IVF32,Flat"):
        index = faiss.index_factory(16, factory, faiss.METRIC_INNER_PRODUCT)
        index.train(VECTORS)
        index.add(VECTORS)
        here, there = cpu.place(index), gpu.place(index)
        if factory != "Flat":
            here.set_effort("nprobe", 32)
            there.set_effort("nprobe", 32)
        same = [
            len(set(a.tolist()) & set(b.tolist()))
            for a, b in zip(
                here.search_many(VECTORS[:200], 10),
                there.search_many(VECTORS[:200], 10),
                strict=True,
            )
        ]
        assert np.mean(same) > 9.8  # half precision swaps some that are nearly equal


def test_what_the_garbage_collector_finds_is_given_back_whoever_is_interrupted() -> None:
    """Also in the middle of another call's `submit`."""
    device = OwnedDevice()
    index = faiss.IndexFlatIP(4)
    index.add(np.eye(4, dtype=np.float32))
    before = gc.get_threshold()
    gc.set_threshold(1)  # it runs all the time
    try:
        for _ in range(300):
            placed = device.place(index)
            cycle: list[object] = [placed]
            cycle.append(cycle)
            assert placed.search_many(np.eye(4, dtype=np.float32)[2:3], 1)[0].tolist() == [2]
    finally:
        gc.set_threshold(*before)
