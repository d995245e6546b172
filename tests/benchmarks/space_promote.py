"""From the end of an upload to serving: a hand-over checked, stored, loaded and switched to.

python -m tests.benchmarks.space_promote --streamers 100000 --users 1000000 --neighbours 50

Vectors follow from content, so that all checks pass; a second generation, rotated, is
handed over while the first one serves, and then rolled back.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from tests.benchmarks.stored import name_of, prepared, vectors_of
from tests.support.service import Service, wait_until

MIB = 1 << 20
_BLOCK = 1 << 20
"""A machine that others use as well takes its time, and is measured all the same."""


class Memory:
    """The memory of a process, and the most of it, beside what it had at first."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.first = self.now
        self.most = self.first
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self._watch.start()

    @property
    def now(self) -> int:
        """What it has alone in bytes, pages of files that it has read included."""
        return self.process.memory_full_info().uss

    def _run(self) -> None:
        while not self._is_over.wait(0.25):
            self.most = max(self.most, self.now)

    def stop(self) -> None:
        self._is_over.set()
        self._watch.join()


def neighbours_of(vectors: NDArray[np.float32], count: int) -> dict[str, NDArray[Any]]:
    """Arrays of the nearest by vector, and what they weigh: the cosines."""
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    lists = int(2 ** np.round(np.log2(2 * np.sqrt(len(unit)))))
    index: Any = faiss.index_factory(unit.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(unit)
    index.add(unit)
    index.nprobe = max(1, lists // 32)
    cosines, rows = index.search(unit, count + 1)
    rows, cosines = rows[:, 1:].astype(np.int32), cosines[:, 1:]
    return {"neighbour_rows": rows, "neighbour_weights": np.maximum(cosines, np.float32(1e-6))}


def hand_over(path: Path, rows: int, users: int, dim: int, seed: int, neighbours: int) -> int:
    """Write an archive whose vectors follow from content, in directions of their own.

    Returns:
        Bytes of its vectors and neighbours.
    """
    content = vectors_of(rows)
    draw = np.random.default_rng(7)
    moved = content @ draw.normal(size=(content.shape[1], dim)).astype(np.float32)
    crowd = draw.normal(size=(users, dim)).astype(np.float32)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    turn = turn.astype(np.float32)
    near = neighbours_of(moved, neighbours) if neighbours else {}
    with path.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            ids=np.array([name_of(row) for row in range(rows)]),
            vectors=moved @ turn,
            user_ids=np.array([f"user-{row}" for row in range(users)]),
            user_vectors=crowd @ turn,
            **near,
        )
    return moved.nbytes + crowd.nbytes + sum(array.nbytes for array in near.values())


def sent(path: Path, ended: list[float]) -> Iterator[bytes]:
    """The parts of a file; notes when the last one was sent."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
    ended.append(time.perf_counter())


def evaluated(service: Service) -> bool:
    """Whether groups of duplicates are up to date."""
    answer = service.api.get("/v1/duplicates", params={"limit": 1})
    return answer.is_success and answer.json()["evaluated_sequence"] is not None


def main() -> None:
    """Measure, and print a line for each generation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--neighbours", type=int, default=0, help="that come with each streamer")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stored")
    args = parser.parse_args()
    bundle, kept = prepared(args.folder, args.streamers)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # A copy: generations that serve can't be deleted, and would count as memory from before.
        data = shutil.copytree(kept, folder / "data")
        service = stack.enter_context(
            Service(bundle, data, STREAMER_SPACES__PROMOTE_TIMEOUT_S="1200")
        )
        wait_until(service.is_ready, "the index is complete", 900)
        # What goes on after a start takes memory of its own.
        wait_until(lambda: evaluated(service), "everybody is compared for duplicates", 3600)
        memory = Memory(service.process.pid)
        archive, needed = folder / "hand-over.npz", 0
        for seed in range(2):
            needed = hand_over(archive, args.streamers, args.users, args.dim, seed, args.neighbours)
            begin, ended = time.perf_counter(), list[float]()
            used = sum(memory.process.cpu_times()[:2])
            answer = service.api.put(
                f"/v1/spaces/als/generations/g{seed}",
                content=sent(archive, ended),
                headers={"Content-Type": "application/x-npz"},
                params={"promote": "true"},
                timeout=1500,
            )
            took = time.perf_counter() - ended[0]
            used = sum(memory.process.cpu_times()[:2]) - used
            if not answer.is_success:
                sys.exit(answer.text)
            for check in answer.json()["checks"]:
                print(f"    {check['name']}: {check['passed']} {check['value']} {check['detail']}")
            time.sleep(5)  # what was served before is given back, and written to a file
            grown = memory.now - memory.first
            print(
                f"generation {seed}: {archive.stat().st_size / MIB:,.0f} MiB sent in "
                f"{ended[0] - begin:.1f} s, serving {took:.1f} s after that "
                f"({used:.1f} s of a core in all); vectors and neighbours "
                f"{needed / MIB:,.0f} MiB, memory {grown / MIB:,.0f} MiB more "
                f"({grown / needed:.2f}), at most {(memory.most - memory.first) / MIB:,.0f}",
                flush=True,
            )
        begin = time.perf_counter()
        service.api.post("/v1/spaces/als:rollback", timeout=600).raise_for_status()
        print(f"rolled back in {time.perf_counter() - begin:.2f} s", flush=True)
        asked = {"streamer_id": name_of(0), "space": "als", "users": 100}
        for _ in range(100):
            service.api.post("/v1/cold-start", json=asked).raise_for_status()
        grown = memory.now - memory.first
        print(f"memory then {grown / MIB:,.0f} MiB more ({grown / needed:.2f})", flush=True)
        memory.stop()


if __name__ == "__main__":
    main()
