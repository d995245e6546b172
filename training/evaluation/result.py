"""What was measured of one method on one data set, and its files.

metrics.json             who was measured on what, and the summary
metrics.per_query.npz    beside it: the values of every query, for paired comparisons
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import EvaluationError
from training.models.checkpoint import write_atomically

_FIELDS = ("data", "digest", "subject", "seed", "split", "summary")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measured values; a task for which the data set has no truth is absent.

    Attributes:
        data: name of the data set folder.
        digest: of the data set.
        subject: recipe or baseline that was measured.
        seed: of its fit.
        split: "test" or "val", the streamers that asked.
        summary: task -> metric -> value.
        per_query: task -> metric -> float64 (Q,), NaN-free; and "query" -> int64 (Q,), the rows of
            the data set that asked, ascending. Metrics of a whole ranking have no entry here.
    """

    data: str
    digest: str
    subject: str
    seed: int
    split: str
    summary: dict[str, dict[str, float]]
    per_query: dict[str, dict[str, NDArray[Any]]]

    def save(self, path: Path) -> None:
        """Write both files; `path` is that of `metrics.json`, which is written last.

        Raises:
            OutputError: the place can't be written to.
        """
        arrays = io.BytesIO()
        flat = {f"{task}/{name}": v for task, m in self.per_query.items() for name, v in m.items()}
        np.savez_compressed(arrays, **flat)  # pyright: ignore[reportArgumentType]
        write_atomically(per_query_path(path), arrays.getvalue())
        head = {name: getattr(self, name) for name in _FIELDS}
        text = json.dumps(head, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write_atomically(path, text.encode())

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read what `save` wrote.

        Raises:
            EvaluationError: one of the files is missing or damaged.
        """
        per_query: dict[str, dict[str, NDArray[Any]]] = {}
        try:
            head = json.loads(path.read_text(encoding="utf-8"))
            content = io.BytesIO(per_query_path(path).read_bytes())
            with np.load(content, allow_pickle=False) as blob:
                for key in blob.files:
                    task, _, name = key.partition("/")
                    per_query.setdefault(task, {})[name] = blob[key]
            return cls(**{name: head[name] for name in _FIELDS}, per_query=per_query)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise EvaluationError(
                f"{path} can't be read ({error}); run `python -m training evaluate` again"
            ) from error


def per_query_path(path: Path) -> Path:
    """Where the values per query of a `metrics.json` are."""
    return path.with_suffix(".per_query.npz")
