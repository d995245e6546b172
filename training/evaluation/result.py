"""Evaluation of one method on one data set, and its files.

metrics.json             method, data set, and the summary
metrics.per_query.npz    values per query, for paired comparisons
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
    """Metrics of one method; tasks without ground truth are absent.

    Attributes:
        data: name of the data set folder.
        digest: digest of the data set.
        subject: recipe or baseline.
        seed: of the fit.
        split: "test" or "val", the split of the queries.
        summary: task -> metric -> value.
        per_query: task -> metric -> float64 (Q,), NaN-free; and "query" -> int64 (Q,), ascending
            data set rows of the queries. Metrics of a whole ranking have no entry.
    """

    data: str
    digest: str
    subject: str
    seed: int
    split: str
    summary: dict[str, dict[str, float]]
    per_query: dict[str, dict[str, NDArray[Any]]]

    def save(self, path: Path) -> None:
        """Write both files; `path` is `metrics.json`, which is written last.

        Raises:
            OutputError: the folder is not writable.
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
        """Read the files written by `save`.

        Raises:
            EvaluationError: a file is missing or damaged.
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
    """Path of the per-query values beside a `metrics.json`."""
    return path.with_suffix(".per_query.npz")
