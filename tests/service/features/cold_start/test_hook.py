"""The examples `nightly_hand_over.py` and `recommender_hook.py`, as they are run."""

import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from tests.bundles import TOPICS
from tests.service.features.spaces.hand_overs import NPZ, HandOver
from tests.service.process import ROOT, RUN_S, Service, environment


@pytest.mark.slow
def test_new_streamers_get_an_audience(serve: Callable[..., Service]) -> None:
    service = serve()
    draw = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(80)]
    topics = list(TOPICS)
    for i, name in enumerate([*ids, "new"]):
        service.put(name, bio=TOPICS[topics[i % 4]], tags=[topics[i % 4]])
    vectors = np.eye(4, 8)[np.arange(80) % 4] + 0.1 * draw.standard_normal((80, 8))
    users = np.eye(4, 8)[np.arange(200) % 4] + 0.1 * draw.standard_normal((200, 8))
    given = HandOver(
        ids, vectors.astype(np.float32), [f"u{i}" for i in range(200)], users.astype(np.float32)
    )
    httpx.put(
        f"{service.url}/v1/spaces/test-ids/generations/monday?promote=true",
        content=given.npz(),
        headers={"Content-Type": NPZ},
        timeout=60,
    ).raise_for_status()
    done = run_example("recommender_hook.py", service.url, told="new\nnobody\ns3\n")
    (streamer_id, audience), *more = map(json.loads, done.stdout.splitlines())
    assert (streamer_id, more) == ("new", [])  # s3 has a vector of its own
    assert len(audience) == 100
    # The newcomer shows what streamers 0, 4, 8 … show, whose audience the users 0, 4, 8 … are.
    assert sum(int(user[1:]) % 4 == 0 for user in audience[:50]) > 45
    assert "nobody" in done.stderr


def run_example(name: str, *words: str, told: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, f"examples/{name}", *words],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        input=told,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_a_night_is_handed_over_with_neighbours(serve: Callable[..., Service]) -> None:
    service = serve()
    topics = list(TOPICS)
    ids = [f"s{i}" for i in range(80)]
    for i, name in enumerate([*ids, "new"]):
        service.put(name, bio=TOPICS[topics[i % 4]], tags=[topics[i % 4]])
    draw = np.random.default_rng(0)
    watched = [
        f"u{user},s{4 * streamer + user % 4},1"
        for user in range(200)
        for streamer in draw.permutation(20)[:8].tolist()
    ]
    told = "\n".join(["user_id,streamer_id,weight", *watched])  # as in a data set folder
    done = run_example("nightly_hand_over.py", service.url, "test-night", told=told)
    assert "streamers=80 users=200 with_neighbours=80" in done.stdout
    asked = {"streamer_id": "new", "space": "test-night"}
    answer = httpx.post(f"{service.url}/v1/cold-start", json=asked, timeout=60).json()
    # The newcomer shows what streamers 0, 4, 8 … show, who share no audience with others.
    assert {int(n["streamer_id"][1:]) % 4 for n in answer["neighbours"]} == {0}
