"""Examples of answers about cases."""

from typing import Any

from service.features.cases.records import ALL_KINDS, BUDGET, FAN_OUT, HOPS, MIN_PROBABILITY

EXAMPLE_CASE = "case-0f3c9a1b5e7d2c4a"
KEY: dict[str, Any] = {"key_id": "3f9c1a2b7d04", "key_name": "desk 2"}
QUERY: dict[str, Any] = {
    "hops": HOPS,
    "kinds": list(ALL_KINDS),
    "min_probability": MIN_PROBABILITY,
    "fan_out": FAN_OUT,
    "budget": BUDGET,
    "filter": {},
    "decay": 0.95,
}
RUN: dict[str, Any] = {
    "run_id": "5e7d2c4a6b8f9e01",
    "at": 1862438400.9,
    "query": QUERY,
    "members": 2,
    "edges": 1,
    "visited": 37,
    "stopped_because": "exhausted",
    "complete": True,
    "incomplete_because": None,
    "model_version": "9d3f0c1a77b2",
    "index_sequence": 5002,
}
CASE: dict[str, Any] = {
    "case_id": EXAMPLE_CASE,
    "title": "gift scam, July",
    "seeds": ["w0087"],
    "exclude": [],
    "created_at": 1862438400.1,
    **KEY,
    "events": 2,
    "revision": 18,
    "run": RUN,
}
_DECIDED: dict[str, Any] = {
    "verdict": "confirmed",
    "note": "same voice",
    **KEY,
    "at": 1862438401.5,
}
VERDICT: dict[str, Any] = {**_DECIDED, "profile_changed": False}
MEMBER: dict[str, Any] = {
    "streamer_id": "w0412",
    "state": "stored",
    "hop": 1,
    "probability": 0.93,
    "path": ["w0087", "w0412"],
    "weakest_link": ["w0087", "w0412"],
    "leaves_if": {"edges": [["w0087", "w0412"]], "verdicts": [], "members": ["w0087"]},
    "verdict": VERDICT,
}
EDGE: dict[str, Any] = {
    "a": "w0087",
    "b": "w0412",
    "probability": 0.93,
    "weight": 11.5,
    "channels": [{"channel": "contacts", "weight": 11.5, "level": "same"}],
}
DIFFERENCES: dict[str, Any] = {
    "joined": [{"streamer_id": "w0101", "cause": "joined", "because": ["w0101"]}],
    "left": [],
    "changed": [],
    "joined_total": 1,
    "left_total": 0,
    "changed_total": 0,
}
EVENT: dict[str, Any] = {
    "number": 2,
    "at": 1862438401.5,
    "kind": "verdict",
    **KEY,
    "streamer_id": "w0412",
    "old": None,
    "new": {**_DECIDED, "digest": "9d3f0c1a77b2" * 5 + "5e7d"},
    "undoes": None,
}
