"""Any history of writes, against a dictionary and a brute-force scan."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.api import Api
from tests.support.bundles import SPACE, TOPICS

IDS = [f"s{i}" for i in range(12)]
WORDS = [word for text in TOPICS.values() for word in text.split()]
_random = np.random.default_rng(0)
CONTENTS: list[dict[str, Any]] = [
    {},  # it shows nothing
    *({"bio": " ".join(_random.choice(WORDS, 4, replace=False))} for _ in range(6)),
    *(
        {"avatar": {"vector": _random.normal(size=4).round(3).tolist(), "space": SPACE}}
        for _ in range(3)
    ),
]

ids = st.sampled_from(IDS)
contents = st.integers(0, len(CONTENTS) - 1)
groups = st.integers(0, 2)
filters = st.none() | st.tuples(st.sampled_from(["must", "must_not"]), groups)


@dataclass(frozen=True)
class Stored:
    """What a streamer is known to be."""

    version: int
    content: int
    group: int

    @property
    def profile(self) -> dict[str, Any]:
        return {**CONTENTS[self.content], "attributes": {"group": self.group}}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "10000"}


def vectors_of(api: Api) -> list[np.ndarray | None]:
    """The vector of each content."""
    found: list[np.ndarray | None] = [None]
    for content in CONTENTS[1:]:
        api.put("/v1/streamers/learned", json=content)
        found.append(np.array(api.embedding("learned")))
    api.wait_until_indexed(api.ok("DELETE", "/v1/streamers/learned")["sequence"])
    return found


class AnyHistory(RuleBasedStateMachine):
    """What is written is known here too, and questions are answered from that."""

    api: Api
    vectors: list[np.ndarray | None]

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Stored] = {}
        self.last = 0

    def teardown(self) -> None:
        for name in [*self.known]:
            self.delete(name)
        self.api.wait_until_indexed(self.last)

    def _written(self, name: str, answer: dict[str, Any], content: int, group: int) -> None:
        assert answer["version"] > (self.known[name].version if name in self.known else 0)
        assert answer["sequence"] > self.last
        self.last = answer["sequence"]
        self.known[name] = Stored(answer["version"], content, group)

    # Writes

    @rule(name=ids, content=contents, group=groups)
    def put(self, name: str, content: int, group: int) -> None:
        is_new = name not in self.known
        profile = Stored(0, content, group).profile
        status = 201 if is_new else 200
        answer = self.api.ok("PUT", f"/v1/streamers/{name}", profile, status)
        assert answer["created"] is is_new
        self._written(name, answer, content, group)

    @rule(name=ids, group=groups)
    def patch(self, name: str, group: int) -> None:
        """Another group, the same content."""
        path, change = f"/v1/streamers/{name}", {"attributes": {"group": group}}
        if name not in self.known:
            self.api.refused("PATCH", path, change, status=404, code="streamer_not_found")
        else:
            content = self.known[name].content
            self._written(name, self.api.ok("PATCH", path, change), content, group)

    @rule(name=ids)
    def delete(self, name: str) -> None:
        path = f"/v1/streamers/{name}"
        if self.known.pop(name, None) is None:
            self.api.refused("DELETE", path, status=404, code="streamer_not_found")
        else:
            self.last = self.api.ok("DELETE", path)["sequence"]

    @rule(changes=st.lists(st.tuples(ids, contents, groups), min_size=1, max_size=8))
    def bulk(self, changes: list[tuple[str, int, int]]) -> None:
        """Also of one streamer several times: the last one counts."""
        lines = self.api.bulk(
            {"streamer_id": name, **Stored(0, content, group).profile}
            for name, content, group in changes
        )
        for line, (name, content, group) in zip(lines, changes, strict=True):
            assert line["streamer_id"] == name
            assert line["outcome"] == ("updated" if name in self.known else "created")
            self._written(name, line, content, group)

    @rule()
    def rebuild(self) -> None:
        self.api.finished(self.api.ok("POST", "/v1/index:rebuild", status=202))

    # Reads

    @rule(name=ids)
    def get(self, name: str) -> None:
        stored = self.known.get(name)
        path = f"/v1/streamers/{name}"
        if stored is None:
            self.api.refused("GET", path, status=404, code="streamer_not_found")
            return
        found = self.api.ok("GET", path)
        assert found["version"] == stored.version
        shown = {key: value for key, value in found["profile"].items() if value}
        assert shown == {"streamer_id": name, **stored.profile}
        vector = self.vectors[stored.content]
        assert found["status"] == ("insufficient_content" if vector is None else "indexed")
        if vector is not None:
            np.testing.assert_allclose(self.api.embedding(name), vector, atol=1e-6)

    @rule(limit=st.integers(1, 15))
    def list_all(self, limit: int) -> None:
        found = self.api.all("/v1/streamers", "streamers", limit=limit)
        assert [(one["streamer_id"], one["version"]) for one in found] == [
            (name, self.known[name].version) for name in sorted(self.known)
        ]

    # Questions

    def _scores(self, query: np.ndarray, wanted: tuple[str, int] | None) -> dict[str, float]:
        return {
            name: float(query @ vector)
            for name, stored in self.known.items()
            if (vector := self.vectors[stored.content]) is not None
            if wanted is None or (stored.group == wanted[1]) == (wanted[0] == "must")
        }

    @rule(content=st.integers(1, len(CONTENTS) - 1), k=st.integers(1, 14), wanted=filters)
    def nearest(self, content: int, k: int, wanted: tuple[str, int] | None) -> None:
        query = self.vectors[content]
        assert query is not None
        body: dict[str, Any] = {
            "positive": [{"vector": query.tolist()}],
            "k": k,
            "after_sequence": self.last,
        }
        if wanted is not None:
            body["filter"] = {wanted[0]: [{"field": "group", "any": [wanted[1]]}]}
        self._check(
            self.api.ok("POST", "/v1/similar", body)["hits"], self._scores(query, wanted), k
        )

    @rule(name=ids, k=st.integers(1, 14), least=st.none() | st.floats(-1, 1))
    def nearest_of_one(self, name: str, k: int, least: float | None) -> None:
        params: dict[str, Any] = {"k": k, "after_sequence": self.last}
        path = f"/v1/streamers/{name}/similar"
        stored = self.known.get(name)
        vector = None if stored is None else self.vectors[stored.content]
        if vector is None:
            answer = self.api.get(path, params=params)
            assert answer.status_code == (404 if stored is None else 422)
            return
        scores = self._scores(vector, None)
        del scores[name]
        if least is None or any(abs(score - least) < 1e-4 for score in scores.values()):
            self._check(self.api.ok("GET", path, params=params)["hits"], scores, k)
            return
        above = {n: score for n, score in scores.items() if score >= min(least, 0.9999)}
        answer = self.api.ok("GET", path, params={**params, "min_score": least})
        assert (answer["reached"], answer["complete"]) == (len(above), len(above) <= k)
        self._check(answer["hits"], above, k)

    def _check(self, hits: list[dict[str, Any]], expected: dict[str, float], k: int) -> None:
        """They are the k best; whoever is as good as another may stand in its place."""
        names, scores = [hit["streamer_id"] for hit in hits], [hit["score"] for hit in hits]
        assert len(set(names)) == len(names) == min(k, len(expected))
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, [expected[name] for name in names], atol=1e-4)
        best = sorted(expected.values(), reverse=True)[:k]
        np.testing.assert_allclose(scores, best, atol=1e-4)

    @invariant()
    def the_index_lists_what_was_written(self) -> None:
        self.api.wait_until_indexed(self.last)
        lines = [json.loads(line) for line in self.api.get("/v1/index").content.splitlines()]
        found = {line["streamer_id"]: (line["version"], bool(line["digest"])) for line in lines}
        assert found == {
            name: (stored.version, self.vectors[stored.content] is not None)
            for name, stored in self.known.items()
        }


def test_any_history(api: Api) -> None:
    run_state_machine_as_test(
        type("AnyHistoryOfThisService", (AnyHistory,), {"api": api, "vectors": vectors_of(api)}),
        settings=hypothesis_settings(max_examples=8, stateful_step_count=30),
    )
