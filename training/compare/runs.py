"""Running what is planned: each fit in a process of its own, what is finished never again.

REPORT_DIR/runs/<data set>/<method>-seed<k>/
    run.json                what is run; with what it took once it is finished
    checkpoint/             of a recipe
    metrics.json, metrics.per_query.npz
    log.txt                 what the fit said, or why the run failed
"""

import fcntl
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

CHECKPOINT = "checkpoint"
METRICS = "metrics.json"
LOG = "log.txt"
_STATUS = "run.json"
_REPORT_FILES = {"runs", "results.json", "results.md", "report.html", ".lock"}
_POLL_S = 0.05
_STOP_S = 10.0


def cost_of(run: Run) -> Cost | None:
    """What the run took; None unless it is finished and is the very one that is planned."""
    status = _status(run)
    if status.get("identity") != run.identity or "cost" not in status:
        return None
    return Cost(**status["cost"]) if (run.folder / METRICS).exists() else None


def source_of(run: Run) -> str | None:
    """The digest of the sources that made the run, see `plan.source_digest`."""
    return _status(run).get("source")


def forget(run: Run) -> None:
    """Have a finished run made again."""
    (run.folder / _STATUS).unlink(missing_ok=True)


@contextmanager
def report_folder(out: Path) -> Iterator[int]:
    """The folder of a report, made or found to be one, and locked.

    Gives the file descriptor of the lock. The fits inherit it, so that no second comparison meets
    a fit that outlived the first.

    Raises:
        OutputError: it can't be used, holds anything else, or is in use.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        foreign = sorted({path.name for path in out.iterdir()} - _REPORT_FILES)
        if foreign:
            raise OutputError(f"{out} holds other files ({foreign[0]}, ...); take another folder")
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise OutputError(f"{out} can't be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{out} is in use by another comparison, or by the fit of one that was killed; "
                "wait until that ends"
            ) from None
        yield lock.fileno()


def execute(
    runs: Sequence[Run],
    measure: Callable[[Run], Mapping[str, float]],
    progress: RunProgress,
    *,
    jobs: int,
    threads: int,
    lock: int,
) -> list[Failure]:
    """Make the runs; those that fail are told and returned, the others go on.

    Args:
        runs: none of them finished.
        measure: evaluates a run whose fit is finished and saves what it found; returns the values
            that are told, by task.
        progress: to report to.
        jobs: how many fits at a time.
        threads: of each.
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
        for fit in fits:
            fit.stop()
    return failures


@contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back, lest it comes between the start of a process and whoever is to stop it."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class _Fit:
    """A fit in a process of its own."""

    def __init__(self, run: Run, threads: int, lock: int) -> None:
        self.run, self.begun = run, time.monotonic()
        settings = [part for each in run.method.settings for part in ("--set", each)]
        command = ["fit", "--data", str(run.data), "--recipe", run.method.recipe]
        command += ["--out", str(run.folder / CHECKPOINT), "--seed", str(run.seed)]
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
        """Why an ended fit failed; None if it didn't."""
        status = self._process.returncode
        if status == 0:
            return None
        if status < 0:
            return f"killed by signal {-status}; the machine may be short of memory"
        said = (self.run.folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), f"exit status {status}")
        return last.removeprefix("python -m training fit: ")

    def stop(self) -> None:
        """End the process; it keeps the state that it saved last."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _begin(run: Run) -> None:
    """A folder for the run: that of an interrupted one of the same identity, or an empty one."""
    try:
        if _status(run).get("identity") != run.identity and run.folder.exists():
            shutil.rmtree(run.folder)
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run.folder} can't be used: {error.strerror}") from error
    _save_status(run, {"identity": run.identity})


def _status(run: Run) -> dict[str, Any]:
    """Content of `run.json`; nothing where there is none that can be read."""
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
    return Cost(round(seconds, 1), metrics["fit_seconds"], metrics["peak_rss_mb"])
