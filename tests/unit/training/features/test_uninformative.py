import pytest

from tests.benchmarks.boilerplate import figures_of
from training.world import generate


@pytest.mark.slow
def test_injected_boilerplate_of_streamers_that_were_never_seen_is_found():
    found = figures_of(generate(2000, seed=7))
    assert found.keys() == {"bio", "videos", "lives", "covers", "all"}
    for pieces, boilerplate, auc, precision, recall in found.values():
        assert 0.15 < boilerplate / pieces < 0.35
        # Numbered ones (`video 12`) are as many texts, and counted together.
        assert min(auc, precision, recall) > 0.99
