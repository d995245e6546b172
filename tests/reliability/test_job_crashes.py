"""kill -9 in a job: it ends with the right result, and nothing is done twice.

`python -m tests.benchmarks.job_crashes` does the same twenty times for each kind and victim.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.job_crashes import export_round, import_round, rebuild_round

pytestmark = pytest.mark.slow

Round = Callable[[Path, Path, str, int, int], int]


@pytest.mark.parametrize(
    ("play", "victims"),
    [
        (import_round, "service"),
        (import_round, "store"),
        (export_round, "service and store"),
        (rebuild_round, "service"),
        (rebuild_round, "store"),
    ],
    ids=["import", "import of a store", "export", "rebuild", "rebuild from a store"],
)
def test_a_job_survives(bundle: Path, tmp_path: Path, play: Round, victims: str) -> None:
    attempts = play(bundle, tmp_path / "data", victims, 1, 1)
    if victims != "store" and play is not rebuild_round:  # which may be faster than the kill
        assert attempts == 2
