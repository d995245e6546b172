import itertools
import math

import pytest

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.benchmarks.boilerplate import gates_of
from training.evaluation.gate import Gate, measure_gate
from training.world import World, generate

pytestmark = pytest.mark.slow

MODALITIES = {"bio", "videos", "lives", "covers"}


def bios(*texts: str) -> list[list[Piece]]:
    return [
        pieces_of(
            StreamerProfile.model_validate({"streamer_id": f"s{i}", "name": "A", "bio": text})
        )
        for i, text in enumerate(texts)
    ]


def test_equals_what_is_counted_by_hand():
    learned = ["hi there"] * 6 + ["subscribe"] * 6 + ["follow me"] * 3 + ["my own soup"]
    shown = {"hi there": False, "Subscribe!": True, "follow me": True, "new to all": False}
    truth = [frozenset({"bio"}) if wrong else frozenset() for wrong in shown.values()]
    found = measure_gate(bios(*learned), bios(*shown), truth)
    assert [learned.count(text.lower().strip("!")) for text in shown] == [6, 6, 3, 0]
    pairs = list(itertools.product((6, 3), (6, 0)))
    auc = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    assert found == {"bio": Gate(4, 2, auc, 0.5, 0.5), "all": Gate(4, 2, auc, 0.5, 0.5)}


def test_nothing_to_find_and_nothing_found():
    gate = measure_gate(bios("a", "b"), bios("c", "d"), [frozenset()] * 2)["bio"]
    assert math.isnan(gate.auc)
    assert (gate.boilerplate, gate.precision, gate.recall) == (0, 1, 1)


@pytest.fixture(scope="module")
def simulated() -> World:
    return generate(2000, seed=7)


def test_injected_boilerplate_of_streamers_that_were_never_seen_is_found(simulated: World):
    gates = gates_of(simulated)
    assert gates.keys() == {*MODALITIES, "all"}
    assert all(0.15 < gate.boilerplate / gate.pieces < 0.35 for gate in gates.values())
    assert gates["all"].auc > 0.99
    assert gates["all"].precision > 0.99
    # Numbered ones (`video 12`) are as many texts, and counted together.
    assert all(gate.recall > 0.99 for gate in gates.values())
