"""Execution of planned runs: each fit in its own process; finished runs are kept.

REPORT_DIR/runs/<data set>/<method>-seed<k>/, or <method>-seed<k>-split<n>/ for n > 0
    run.json                identity, and the cost once finished
    checkpoint/             for recipes
    metrics.json, metrics.per_query.npz
    settings.json           for baselines with settings: those chosen on validation
    log.txt                 output of the fit, or the traceback of a failure
"""

import json
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.compare.plan import Run, source_digest
from training.compare.progress import RunProgress
from training.compare.results import Cost, Failure
from training.errors import OutputError, TrainingError
from training.models.checkpoint import write_atomically
from training.models.folder_lock import LOCK, locked

CHECKPOINT = "checkpoint"
METRICS = "metrics.json"
LOG = "log.txt"
_STATUS = "run.json"
_REPORT_FILES = {"runs", "results.json", "results.md", "charts", "report.html", LOCK}
_POLL_S = 0.05
_STOP_S = 10.0


def cost_of(run: Run) -> Cost | None:
    """Cost of the run; None unless it is finished with the same identity."""
    status = _status(run)
    if status.get("identity") != run.identity or "cost" not in status:
        return None
    return Cost(**status["cost"]) if (run.folder / METRICS).exists() else None


def source_of(run: Run) -> str | None:
    """Source digest of a finished run, see `plan.source_digest`."""
    return _status(run).get("source")


def forget(run: Run) -> None:
    """Mark a finished run to be repeated."""
    (run.folder / _STATUS).unlink(missing_ok=True)


@contextmanager
def report_folder(out: Path) -> Iterator[int]:
    """Create or check the report folder, and lock it.

    Yields the file descriptor of the lock. Fits inherit it, so a second comparison can't start
    while a fit of a killed one is still running.

    Raises:
        OutputError: the folder can't be used, holds other files, or is in use.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        foreign = sorted({path.name for path in out.iterdir()} - _REPORT_FILES)
        if foreign:
            raise OutputError(f"{out} holds other files ({foreign[0]}, ...); take another folder")
    except OSError as error:
        raise OutputError(
            f"{out} can't be used: {error.strerror}; choose another folder"
        ) from error
    in_use = "another comparison, or by the fit of one that was killed; wait until that ends"
    with locked(out, in_use) as lock:
        yield lock


def execute(
    runs: Sequence[Run],
    measure: Callable[[Run], Mapping[str, float]],
    progress: RunProgress,
    *,
    jobs: int,
    threads: int,
    lock: int,
) -> list[Failure]:
    """Execute runs; failures are reported and returned, and the other runs continue.

    Args:
        runs: unfinished runs.
        measure: evaluates and saves a run after its fit; returns metrics by task.
        progress: for reports.
        jobs: parallel fits.
        threads: threads per fit.
        lock: file descriptor that the fits inherit.
    """
    source = source_digest()
    waiting, fits, failures = deque(runs), list[_Fit](), list[Failure]()

    def finish(run: Run, begun: float, problem: str | None) -> None:
        try:
            values = {} if problem else measure(run)
        except TrainingError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a run that fails must not end the others
            problem = f"{type(error).__name__}: {error}; see {run.folder / LOG}"
            (run.folder / LOG).write_text(traceback.format_exc(), encoding="utf-8")
        else:
            if problem is None:
                cost = _cost(run, time.monotonic() - begun)
                _save_status(
                    run, {"identity": run.identity, "source": source, "cost": asdict(cost)}
                )
                progress.finished(run, values, cost.seconds)
                return
        failures.append(Failure(run.name, problem))
        progress.failed(failures[-1])

    # Whoever ends a job ends its fits as well, as with Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or fits:
            while waiting and len(fits) < jobs:
                run = waiting.popleft()
                _begin(run)
                if run.method.recipe:
                    with interrupt_later():
                        fits.append(_Fit(run, threads, lock))
                else:
                    progress.running([run])
                    finish(run, time.monotonic(), None)
            progress.running([fit.run for fit in fits])
            for fit in [fit for fit in fits if fit.has_ended()]:
                fits.remove(fit)
                finish(fit.run, fit.begun, fit.problem())
            time.sleep(_POLL_S if fits else 0)
    finally:
        for fit in fits:  # all of them before the first is waited for, which may be interrupted
            fit.terminate()
        for fit in fits:
            fit.wait()
        signal.signal(signal.SIGTERM, before)
    return failures


@contextmanager
def interrupt_later() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM, so a started process is always registered for stopping."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(signal.Signals(came[0]))


class _Fit:
    """A fit in its own process."""

    def __init__(self, run: Run, threads: int, lock: int) -> None:
        self.run, self.begun = run, time.monotonic()
        settings = [part for each in run.method.settings for part in ("--set", each)]
        command = ["fit", "--data", str(run.data), "--recipe", run.method.recipe]
        command += ["--out", str(run.folder / CHECKPOINT), "--seed", str(run.seed)]
        command += ["--split-number", str(run.split_number)]
        command += ["--threads", str(threads), *settings]
        with (run.folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "training", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
            )

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def problem(self) -> str | None:
        """Reason of a failed fit; None if it succeeded."""
        status = self._process.returncode
        if status == 0:
            return None
        if status < 0:
            return f"killed by signal {-status}; the machine may be short of memory"
        said = (self.run.folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), f"exit status {status}")
        return last.removeprefix("python -m training fit: ")

    def terminate(self) -> None:
        """Ask the process to end; its last saved state is kept."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; one that does not is killed."""
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _begin(run: Run) -> None:
    """Prepare the run's folder, keeping that of an interrupted run with the same identity."""
    try:
        if _status(run).get("identity") != run.identity and run.folder.exists():
            shutil.rmtree(run.folder)
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run.folder} can't be used: {error.strerror}") from error
    _save_status(run, {"identity": run.identity})


def _status(run: Run) -> dict[str, Any]:
    """Content of `run.json`; empty if missing or unreadable."""
    try:
        content = json.loads((run.folder / _STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _save_status(run: Run, content: Mapping[str, Any]) -> None:
    write_atomically(run.folder / _STATUS, (json.dumps(content, indent=2) + "\n").encode())


def _cost(run: Run, seconds: float) -> Cost:
    if not run.method.recipe:
        return Cost(round(seconds, 1))
    metrics = json.loads((run.folder / CHECKPOINT / METRICS).read_text(encoding="utf-8"))
    took = max(seconds, metrics["fit_seconds"])  # a resumed fit counts its earlier sessions as well
    return Cost(round(took, 1), metrics["fit_seconds"], metrics["peak_rss_mb"])
