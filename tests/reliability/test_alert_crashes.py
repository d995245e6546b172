"""kill -9 under writes with 50 watchlists: each alert is raised, once.

`python -m tests.benchmarks.alert_crashes` does the same two hundred times.
"""

from pathlib import Path

import pytest

from tests.reliability.alert_crashes import play

pytestmark = pytest.mark.slow


def test_alerts_survive(bundle: Path, tmp_path: Path) -> None:
    (done,) = play(bundle, tmp_path / "data", 4, every=4, seed=3)
    rounds, streamers, alerts = done
    assert rounds == 4
    assert streamers > 50
    assert alerts > 20
