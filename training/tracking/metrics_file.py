"""`metrics.jsonl`: entries of a fit, one JSON object per line."""

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import OutputError
from training.models.checkpoint import METRICS_LOG, write_atomically
from training.tracking.base import Entry, Tracker


class MetricsFile(Tracker):
    """Appends entries to `metrics.jsonl`; each is in the file as soon as it is recorded."""

    def __init__(self, folder: Path, resumed: bool) -> None:
        """Open the file.

        Args:
            folder: checkpoint folder.
            resumed: whether an interrupted fit goes on; otherwise the file starts anew.

        Raises:
            OutputError: the file can't be written.
        """
        self._path = folder / METRICS_LOG
        if not resumed:
            write_atomically(self._path, b"")

    def __exit__(self, *_: object) -> None:
        pass

    def go_on(self, stage: str, step: int) -> None:
        """Cut the file where the entries of the stage pass the step, or where a line is torn."""
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        kept = 0
        for line in lines:
            entry = _parsed(line)
            if entry is None or _is_later(entry, stage, step):
                break
            kept += 1
        if kept < len(lines):
            write_atomically(self._path, b"".join(lines[:kept]))

    def record(self, entry: Entry) -> None:
        """Append a line.

        Raises:
            OutputError: the file can't be written.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps(_finite({"time": time, **asdict(entry)}), allow_nan=False) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise OutputError(
                f"{self._path} can't be written: {error.strerror}; make room or choose another "
                "place"
            ) from error


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if a kill or a power cut tore it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if line.endswith(b"\n") and isinstance(entry, dict) else None


def _is_later(entry: dict[str, Any], stage: str, step: int) -> bool:
    return entry.get("stage") == stage and (entry["event"] == "end" or entry["step"] > step)


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
