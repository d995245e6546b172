"""A report on the service's GPU path: parity, recall, speed, memory, and a CUDA error.

    make gpu-report                                                   # with an NVIDIA GPU
    python -m tests.benchmarks.gpu_report --device cpu --rows 20000   # every step, on the cores

Writes a text file. The exit status is 2 where the device is not there. Not yet run on a GPU: the
steps themselves are tested on the CPU, where a device that fails takes the place of a CUDA error.
"""

import argparse
import ctypes
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import psutil

from model_export.contract.bundle import GOLDEN, Bundle
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers.golden import golden_payloads
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.encoding.onnx_session import Device as DeviceName
from service.engine.encoding.onnx_towers import OnnxTowers
from service.index.faiss.ann.device import Device, NoDevice, device_of
from service.index.faiss.ann.segment import AUTOMATIC
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from tests.benchmarks.index_kinds import CONTENT_DIM, DIM, HEADER, measure, set_aside
from tests.support.bundles import write_bundle
from tests.service.index import asked
from tests.service.index.faiss.owned import OwnedDevice

_BATCH, _RUNS, _ROWS_OF_A_FAILURE, _PATIENCE_S = 64, 20, 5000, 300
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "faiss-cpu", "faiss-gpu-cuvs", "numpy")


def machine() -> Iterator[str]:
    """What it ran on."""
    yield f"{platform.platform()}, Python {platform.python_version()}"
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    yield smi("name,driver_version,memory.total") or "no NVIDIA GPU"


def smi(fields: str) -> str:
    """What `nvidia-smi` says of the first GPU; nothing where there is none."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def parity(path: Path, name: DeviceName) -> Iterator[str]:
    """How far the graphs on the device are from those on the CPU, on the bundle's own profiles."""
    lines = (path / GOLDEN).read_text(encoding="utf-8").splitlines()
    profiles = [StreamerProfile.model_validate_json(line) for line in lines if line]
    bundle = Bundle(path)
    features = [bundle.featurizer(profile) for profile in profiles]
    usable = [f for f in features if len(f.token_ids) + sum(map(len, f.vectors))]
    batch = (usable * _BATCH)[:_BATCH]
    on_cpu, there = OnnxEncoder(bundle), OnnxEncoder(Bundle(path), device=name)
    here, other = (
        np.stack([encoded.embedding for encoded in encoder.encode(usable)])
        for encoder in (on_cpu, there)
    )
    yield f"encoder: {len(usable)} profiles, largest difference {np.abs(here - other).max():.1e}"
    for where, encoder in (("cpu", on_cpu), (name, there)):
        begin = time.perf_counter()
        for _ in range(_RUNS):
            encoder.encode(batch)
        rate = _RUNS * _BATCH / (time.perf_counter() - begin)
        yield f"encoder on {where}: {rate:,.0f} profiles/s in batches of {_BATCH}"
    towers = OnnxTowers(Bundle(path)), OnnxTowers(Bundle(path), device=name)
    for spec in towers[0].specs:
        payloads = golden_payloads(spec, profiles)
        here, other = (each.encode(spec.name, payloads) for each in towers)
        difference = np.abs(here - other).max()
        yield f"tower {spec.name}: {len(payloads)} pieces, largest difference {difference:.1e}"


class Memory:
    """MiB in use, looked at ten times a second: of the GPU, or of this process on the CPU."""

    def __init__(self, name: DeviceName) -> None:
        self._is_gpu = name == "gpu"
        self.peak = 0.0

    def now(self) -> float:
        """As much as at the moment."""
        if self._is_gpu:
            return float(smi("memory.used"))
        return psutil.Process().memory_info().rss / 2**20

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the most that is in use meanwhile in `peak`."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.1):
                self.peak = max(self.peak, self.now())

        self.peak = self.now()
        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def search(rows: int, device: Device) -> Iterator[str]:
    """Recall and speed of the index that the service makes for the device, and what it takes."""
    measured, memory = set_aside(rows), Memory(device.name)
    before = memory.now()
    with memory.watched():  # a second base is built while the first answers
        row = measure(AUTOMATIC, *measured, device)
    yield f"{rows:,} rows of {DIM} numbers on {device.name}; microseconds\n{HEADER}\n{row}"
    yield f"memory: {before:,.0f} MiB before, {memory.peak:,.0f} at most, with two bases"


def failure(name: DeviceName) -> Iterator[str]:
    """What becomes of a service's process whose device fails: tried in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--device", name, "--fail"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as hung:
        yield bytes(hung.stdout or b"").decode().strip()  # bytes, though text was asked for
        yield f"the process hung, and was killed after {_PATIENCE_S} s"
        return
    yield done.stdout.strip()
    yield f"the process ended with status {done.returncode}"
    yield from done.stderr.strip().splitlines()[-3:]


def fail(name: DeviceName) -> None:
    """Ask an index, break its device, and ask again."""
    broken = OwnedDevice()
    device, break_it = (device_of("gpu"), break_cuda) if name == "gpu" else (broken, broken.fail)
    vectors, queries, best = set_aside(_ROWS_OF_A_FAILURE)
    index = FaissIndex(DIM, CONTENT_DIM, (), Plan(from_rows=1), device=device)
    for i, vector in enumerate(vectors):
        asked.put(index, f"s{i}", 1, vector.tobytes(), bytes(2 * CONTENT_DIM), b"{}")
    index.rebuild()

    def ask() -> str:
        found = {hit.streamer_id for hit in asked.search(index, queries[0]).hits}
        return f"{len(found & best[0])} of the ten nearest are found, by {index.state().kind}"

    print(f"before: {ask()}", flush=True)
    break_it()
    print(f"after: {ask()}", flush=True)
    print(f"the index says: {index.state().refused}", flush=True)


def break_cuda() -> None:
    """Have a kernel of cuBLAS write where there is no memory: CUDA fails from then on.

    CUDA reports it from every later call of the process, as after a fault of the hardware.
    """
    cublas, cuda = ctypes.CDLL("libcublas.so.13"), ctypes.CDLL("libcudart.so.13")
    handle, factor, nowhere = ctypes.c_void_p(), ctypes.c_float(2), ctypes.c_void_p(1 << 46)
    cublas.cublasCreate_v2(ctypes.byref(handle))
    cublas.cublasSscal_v2(handle, 1024, ctypes.byref(factor), nowhere, 1)
    print(f"CUDA error {cuda.cudaDeviceSynchronize()} was provoked", flush=True)


def sections(args: argparse.Namespace, device: Device) -> Iterator[tuple[str, Iterator[str]]]:
    """The report's parts, each measured while it is read."""
    yield "Machine", machine()
    with tempfile.TemporaryDirectory() as folder:
        if args.bundle is None:
            write_bundle(Path(folder) / "bundle", tower=True)
        yield "Parity with the CPU", parity(args.bundle or Path(folder) / "bundle", args.device)
    for rows in args.rows:
        yield "Search", search(rows, device)
    yield "After an error of the device", failure(args.device)


def main() -> int:
    """Write the report and show it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu_report", description=__doc__
    )
    parser.add_argument("--device", choices=["cpu", "gpu"], default="gpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--bundle", type=Path, help="yours; by default the tests' small one")
    parser.add_argument("--out", type=Path, default=Path("build/gpu-report.txt"))
    parser.add_argument("--fail", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        device = device_of(args.device)
    except NoDevice as error:
        print(f"no report: {error}", file=sys.stderr)
        return 2
    if args.fail:
        fail(args.device)
        return 0
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8") as out:
        for title, lines in sections(args, device):
            for line in (f"\n{title}\n{'-' * len(title)}", *lines):
                print(line, flush=True)
                print(line, file=out, flush=True)
    print(f"\nwritten to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
