"""`examples/recommender_hook.py`, as a recommender's engineer runs it."""

import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import numpy as np

from tests.bundles import TOPICS
from tests.service.features.spaces.hand_overs import NPZ, HandOver
from tests.service.process import ROOT, Service, environment


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
    done = subprocess.run(
        [sys.executable, "examples/recommender_hook.py", service.url],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        input="new\nnobody\ns3\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (streamer_id, audience), *more = map(json.loads, done.stdout.splitlines())
    assert (streamer_id, more) == ("new", [])  # s3 has a vector of its own
    assert len(audience) == 100
    # The newcomer shows what streamers 0, 4, 8 … show, whose audience the users 0, 4, 8 … are.
    assert sum(int(user[1:]) % 4 == 0 for user in audience[:50]) > 45
    assert "nobody" in done.stderr
