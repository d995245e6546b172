"""Two replicas add to one report, and begin and end a canary together."""

from pathlib import Path
from typing import Any

import pytest

from tests.bundles import TOPICS
from tests.service.features.models.comparing import BAD, FIRST, fill, ready, write_models
from tests.service.features.models.live.asking import asked, canaried, report, shadowed
from tests.service.features.models.test_life_cycle import everywhere
from tests.service.features.models.test_replicas import beside
from tests.service.process import wait_until
from tests.service.valkey import Server

SEEDS = [f"{topic}-01" for topic in TOPICS]


@pytest.mark.slow
def test_both_do_as_one_is_told(tmp_path: Path, server: Server) -> None:
    folder = write_models(tmp_path / "models")
    with (
        beside(folder, tmp_path / "one", server) as one,
        beside(folder, tmp_path / "other", server) as other,
    ):
        fill(one)
        one.post("/v1/models", json={"folder": "bad"}).raise_for_status()
        wait_until(lambda: everywhere(one, "has_bundle", BAD), "both have found it")
        ready(one, "bad", BAD)
        shadowed(one, BAD, sample=1)
        seen: Any = other.get(f"/v1/models/{BAD}").json()
        assert (seen["state"], seen["shadow_sample"]) == ("shadow", 1)
        for seed in SEEDS:
            asked(one, seed)
            asked(other, seed)
        count = 2 * len(SEEDS)
        for client in (one, other):
            found = report(client, BAD, count)
            assert (found["compared"], found["replicas"]) == (count, 2)
        shadowed(other, BAD, sample=0)

        def models() -> set[str]:
            """Who answers on either replica; nobody is waited for."""
            return {asked(client, SEEDS[0])["model_version"] for client in (one, other)}

        canaried(one, BAD, 1)
        assert models() == {BAD}
        canaried(other, BAD, 0)
        assert models() == {FIRST}
        assert report(one, BAD, count)["sampled"] == count  # the shadow has ended on both
