"""kill -9 in a job: it ends with the right result, and nothing is done twice.

`python -m tests.benchmarks.job_crashes` does the same twenty times for each kind and victim.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.job_crashes import (
    OPTIONS,
    duplicates_round,
    export_round,
    import_round,
    rebuild_round,
    similar_export_round,
    stock,
)
from tests.reliability.product_job_crashes import (
    backfill_round,
    case_round,
    comparison_round,
    layout_round,
    list_round,
)
from tests.support.service import Service

pytestmark = pytest.mark.slow

Round = Callable[[Path, Path, str, int, int], int]
ON_THOUSANDS = (rebuild_round, similar_export_round)


@pytest.fixture(scope="module")
def stocked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a service that stopped in order, with thousands of streamers."""
    data_dir = tmp_path_factory.mktemp("stocked") / "data"
    with Service(bundle, data_dir, **OPTIONS) as service:
        stock(service.wait_until_ready().client)
    return data_dir


@pytest.mark.parametrize(
    ("play", "victims"),
    [
        (import_round, "service"),
        (import_round, "store"),
        (export_round, "service and store"),
        (rebuild_round, "service"),
        (rebuild_round, "store"),
        (similar_export_round, "service"),
        (duplicates_round, "service"),
        (duplicates_round, "store"),
        (duplicates_round, "service and store"),
        (case_round, "service and store"),
        (list_round, "service"),
        (list_round, "store"),
        (layout_round, "store"),  # test_durability kills the service in a fit
        (backfill_round, "service"),
        (backfill_round, "store"),
        (comparison_round, "service"),
    ],
)
def test_a_job_survives(
    bundle: Path, tmp_path: Path, play: Round, victims: str, request: pytest.FixtureRequest
) -> None:
    for turn in range(1, 6):  # a job may be done before its service is killed
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        if play in ON_THOUSANDS:
            shutil.copytree(request.getfixturevalue("stocked"), folder / "data")
        attempts = play(bundle, folder / "data", victims, 1, turn)
        if victims == "store" or attempts > 1:
            return
    pytest.fail("no job was killed in the middle")
