"""kill -9 in a change of the model: it ends right.

`python -m tests.benchmarks.model_crashes` kills at fifty random moments.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.bundles import write_bundle
from tests.reliability.model_changes import bundles_in
from tests.reliability.model_crashes import STEPS, VICTIMS, begun, change_round
from tests.support.valkey import Server

pytestmark = pytest.mark.slow


def test_whoever_is_killed(bundle: Path, tmp_path: Path, server: Server) -> None:
    models = bundles_in(tmp_path / "models", bundle, partial(write_bundle, seed=1))
    moments = [(VICTIMS[i % len(VICTIMS)], step, 0.1 * i) for i, step in enumerate(STEPS)]
    with ExitStack() as running:
        installation = begun(bundle, models, server, running)
        expected = change_round(installation, "quiet", None)
        for number, moment in enumerate(moments[::2]):
            assert change_round(installation, f"round{number}", moment) == expected
