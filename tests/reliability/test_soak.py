"""Some rounds of `make soak`."""

import random
from pathlib import Path

import pytest

from tests.reliability.soak import VICTIMS, Soak

pytestmark = pytest.mark.slow


def test_some_rounds(bundle: Path, tmp_path: Path) -> None:
    said: list[str] = []
    soak = Soak(bundle, tmp_path / "data", random.Random(5), steady=1500)
    soak.run(len(VICTIMS), said.append)
    assert soak.rounds == dict.fromkeys(VICTIMS, 1)
    assert soak.in_a_rebuild > 0
    assert said[-1].endswith(" writes acknowledged, 0 lost, 0 resurrected")
