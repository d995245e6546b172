"""Questions without pause while streamers are written, deleted, and bases are built and swapped."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.bundles import TOPICS
from tests.support.service import STOP_S, Service, wait_until

pytestmark = pytest.mark.slow

WORDS = " ".join(TOPICS.values()).split()
KIND = "IVF8,SQfp16"
STEADY, CHANGING, DOOMED = 300, 200, 150
REBUILDS = 3
QUERIES = 150


def profile(choices: random.Random) -> dict[str, Any]:
    """Hardly anybody else shows the same words."""
    return {"bio": " ".join(choices.sample(WORDS, len(WORDS) // 2))}


class Crowd:
    """Who is stored, and who surely is not any more.

    Attributes:
        steady: profiles that stay as they are.
        gone: whose deletion was acknowledged.
        last: the sequence number of the last deletion, or of the first writes.
    """

    def __init__(self, service: Service) -> None:
        choices = random.Random(1)
        self.steady = {f"steady-{i}": profile(choices) for i in range(STEADY)}
        self.gone: set[str] = set()
        self.asked = 0
        self._service = service
        self._stop = threading.Event()
        others = [f"changing-{i}" for i in range(CHANGING)] + [f"doomed-{i}" for i in range(DOOMED)]
        first = {**self.steady, **{name: profile(choices) for name in others}}
        profiles = [{"streamer_id": name, **each} for name, each in first.items()]
        choices.shuffle(profiles)  # the first base, which may be of some of them, has of each kind
        self.last = max(result["sequence"] for result in service.bulk(profiles))

    def run(self) -> None:
        """Ends once enough was asked while enough bases were built."""
        url = self._service.url
        work: list[Callable[[httpx.Client, random.Random], None]] = [
            *[self._ask] * 3,
            self._change,
            self._delete,
        ]
        with ThreadPoolExecutor(len(work)) as pool:
            running = [pool.submit(self._repeat, one, url, i) for i, one in enumerate(work)]
            try:
                wait_until(
                    lambda: any(one.done() for one in running) or self._is_enough(),
                    "enough was asked, and enough bases were built",
                    600,
                )
            finally:
                self._stop.set()
        for one in running:
            one.result()

    def _is_enough(self) -> bool:
        built = self._service.output.count(f" rows are in ANN segment {KIND}")
        return built >= REBUILDS and self.asked >= QUERIES and len(self.gone) >= DOOMED // 2

    def _repeat(
        self, act: Callable[[httpx.Client, random.Random], None], url: str, number: int
    ) -> None:
        choices = random.Random(number)
        with httpx.Client(base_url=url, timeout=STOP_S, trust_env=False) as client:
            while not self._stop.is_set():
                act(client, choices)

    def _ask(self, client: httpx.Client, choices: random.Random) -> None:
        """Who shows what a streamer shows is that streamer; nobody is there who is gone."""
        name = choices.choice(list(self.steady))
        gone = set(self.gone)
        after = {"after_sequence": self.last}  # read after `gone`: it has them all
        query = {"positive": [{"profile": self.steady[name]}], "exact": choices.random() < 0.3}
        answer = client.post("/v1/similar", json={**query, **after, "k": choices.choice([1, 50])})
        answer.raise_for_status()
        hits = [hit["streamer_id"] for hit in answer.json()["hits"]]
        assert hits[0] == name
        assert gone.isdisjoint(hits)
        if gone:
            one = choices.choice(sorted(gone))
            answer = client.get(f"/v1/streamers/{one}/similar", params=after)
            assert answer.status_code == 404
        self.asked += 1

    def _change(self, client: httpx.Client, choices: random.Random) -> None:
        """Who asks after the write finds them; soon so many are new that a base is built."""
        for i in choices.sample(range(CHANGING), 20):
            name, new = f"changing-{i}", profile(choices)
            answer = client.put(f"/v1/streamers/{name}", json=new)
            answer.raise_for_status()
            after = {"after_sequence": answer.json()["sequence"]}
            query = {"positive": [{"profile": new}], "k": 1, **after}
            found = client.post("/v1/similar", json=query).json()
            assert [hit["streamer_id"] for hit in found["hits"]] == [name]

    def _delete(self, client: httpx.Client, _: random.Random) -> None:
        if len(self.gone) < DOOMED:
            name = f"doomed-{len(self.gone)}"
            answer = client.delete(f"/v1/streamers/{name}").raise_for_status()
            self.last = answer.json()["sequence"]
            self.gone.add(name)
        time.sleep(0.02)


def test_nobody_is_missed_and_nobody_comes_back(bundle: Path, tmp_path: Path) -> None:
    with Service(
        bundle,
        tmp_path / "data",
        STREAMER_INDEX__KIND=KIND,
        STREAMER_INDEX__FROM_ROWS="100",
        STREAMER_INDEX__RECALL="0.5",
        STREAMER_LIMITS__VISIBLE_TIMEOUT_MS="20000",
    ) as service:
        service.wait_until_ready()
        crowd = Crowd(service)
        crowd.run()
        service.similar(crowd.last, bio=WORDS[0])  # the index has it
        ready = service.client.get("/readyz").json()
        assert ready["index"]["kind"] == KIND
        assert ready["index_rows"] == STEADY + CHANGING + DOOMED - len(crowd.gone)
