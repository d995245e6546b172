"""Ways to ask a service which streamers are duplicates.

`dedup` of a list, `compare` of a pair, or `duplicates`: the groups that it keeps up to date.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, islice
from typing import Any, Protocol

from tests.benchmarks.duplicates.corpora import Corpus, Pair, Profile, pair_of
from tests.support.service import Service

_LINES = 500
_TIMEOUT_S = 600


class Adapter(Protocol):
    """A way to ask; one per corpus.

    Attributes:
        thresholds: thresholds to choose from, ascending.
    """

    thresholds: tuple[float, ...]

    def joined(self, threshold: float) -> set[Pair]:
        """Pairs that are duplicates at a threshold."""
        ...

    def weight(self, pair: Pair) -> float:
        """How many pairs a joined pair stands for, 1 unless pairs were sampled."""
        ...


class Dedup:
    """`POST /v1/dedup` with all ids: groups of the content cosine, closed over chains."""

    thresholds = tuple(round(0.2 + 0.025 * i, 3) for i in range(29))

    def __init__(self, service: Service, corpus: Corpus, seed: int) -> None:
        self._service = service
        self._ids = [profile["streamer_id"] for profile in corpus.profiles]
        self._known: dict[float, set[Pair]] = {}

    def joined(self, threshold: float) -> set[Pair]:
        if threshold not in self._known:
            body = {"ids": self._ids, "threshold": threshold}
            answer = self._service.api.post("/v1/dedup", json=body, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            self._known[threshold] = {
                pair_of(a["streamer_id"], b["streamer_id"])
                for cluster in answer.json()["clusters"]
                for a, b in combinations(cluster["members"], 2)
            }
        return self._known[threshold]

    def weight(self, pair: Pair) -> float:
        return 1.0


class Compare:
    """`POST /v1/compare` for true pairs, look-alikes, near ones, and a sample of all others.

    A joined pair of the sample stands for as many as were left out.
    """

    thresholds = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
    sampled = 5000
    neighbours = 5

    def __init__(self, service: Service, corpus: Corpus, seed: int) -> None:
        self._service = service
        rng = random.Random(f"compare/{seed}")
        ids = [profile["streamer_id"] for profile in corpus.profiles]
        certain = corpus.true | corpus.look_alikes | self._near(ids)
        drawn = {pair_of(*rng.sample(ids, 2)) for _ in range(self.sampled)} - certain
        others = len(ids) * (len(ids) - 1) // 2 - len(certain)
        self._stands_for = {pair: others / max(len(drawn), 1) for pair in drawn}
        with ThreadPoolExecutor(4) as pool:
            pairs = [*sorted(certain), *sorted(drawn)]
            self._probability = dict(zip(pairs, pool.map(self._ask, pairs), strict=True))

    def joined(self, threshold: float) -> set[Pair]:
        return {pair for pair, probability in self._probability.items() if probability >= threshold}

    def weight(self, pair: Pair) -> float:
        return self._stands_for.get(pair, 1.0)

    def _near(self, ids: list[str]) -> set[Pair]:
        """Nearest streamers of each by embedding, the hardest others."""

        def near(i: str) -> list[Pair]:
            answer = self._service.api.get(
                f"/v1/streamers/{i}/similar", params={"k": self.neighbours}, timeout=_TIMEOUT_S
            )
            if answer.status_code != 200:  # without usable content
                return []
            return [pair_of(i, hit["streamer_id"]) for hit in answer.json()["hits"]]

        with ThreadPoolExecutor(4) as pool:
            return {pair for found in pool.map(near, ids) for pair in found}

    def _ask(self, pair: Pair) -> float:
        body = {"a": {"streamer_id": pair[0]}, "b": {"streamer_id": pair[1]}}
        answer = self._service.api.post("/v1/compare", json=body, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()["probability"]


class Duplicates:
    """`GET /v1/duplicates`: the groups over the corpus, once every write is evaluated.

    Evidence and judgements make them, so there is no threshold to choose.
    """

    thresholds = (0.0,)

    def __init__(self, service: Service, corpus: Corpus, seed: int) -> None:
        self._get = service.api.get
        last = self._get(f"/v1/streamers/{corpus.profiles[-1]['streamer_id']}", timeout=_TIMEOUT_S)
        newest = last.raise_for_status().json()["version"]  # a sequence number; /readyz may lag
        began = time.monotonic()
        while (self._page({"limit": 1})["evaluated_sequence"] or 0) < newest:
            if time.monotonic() - began > _TIMEOUT_S:
                raise TimeoutError(f"write {newest} is not evaluated after {_TIMEOUT_S} s")
            time.sleep(0.5)
        groups = self._all("/v1/duplicates", "groups")
        self._joined = {
            pair_of(a, b)
            for group in groups
            for a, b in combinations(self._all(f"/v1/duplicates/{group['group_id']}", "members"), 2)
        }

    def joined(self, threshold: float) -> set[Pair]:
        return self._joined

    def weight(self, pair: Pair) -> float:
        return 1.0

    def _page(self, params: dict[str, Any], path: str = "/v1/duplicates") -> dict[str, Any]:
        answer = self._get(path, params=params, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def _all(self, path: str, what: str) -> list[Any]:
        page = self._page({"limit": 1000}, path)
        found = page[what]
        while page["next_cursor"] is not None:
            page = self._page({"limit": 1000, "cursor": page["next_cursor"]}, path)
            found += page[what]
        return found


ADAPTERS: dict[str, Callable[[Service, Corpus, int], Adapter]] = {
    "dedup": Dedup,
    "compare": Compare,
    "duplicates": Duplicates,
}


def write(service: Service, profiles: list[Profile]) -> None:
    """Write profiles, and wait until they are found."""
    rest, sequence = iter(profiles), 0
    while part := list(islice(rest, _LINES)):
        outcomes = service.api.bulk(part)
        wrong = [one for one in outcomes if one.get("outcome") != "created"]
        assert not wrong, wrong[:1]
        sequence = outcomes[-1]["sequence"]
    query = {"ids": [profiles[0]["streamer_id"]], "after_sequence": sequence}
    service.api.post("/v1/dedup", json=query, timeout=_TIMEOUT_S).raise_for_status()
