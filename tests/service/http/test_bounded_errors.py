"""Requests with millions of errors: short answers, in little memory."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.process import Service

MIB = 1 << 20
BODY_BYTES = 8_000_000
MOST_GROWTH = 700 * MIB
"""Of the process; the same bodies took more than 5 GiB."""


def filled(head: str, items: Iterator[str], tail: str) -> bytes:
    """As many items as fit into a body."""
    first, second = islice(items, 2)
    room = (BODY_BYTES - len(head) - len(tail)) // (len(first) + 1)
    # Equal ones are made at once: a generator takes seconds for millions.
    equal = (first + ",") * (room - 1) + first
    held = equal if first == second else ",".join(islice(items, room))
    return (head + held + tail).encode()


def zeros() -> Iterator[str]:
    return ("0" for _ in count())


def unknown_fields() -> Iterator[str]:
    return (f'"k{i:07d}":0' for i in count())


BODIES: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "seeds": ("POST", "/v1/similar", lambda: filled('{"positive":[', zeros(), "]}")),
    "fields": ("POST", "/v1/similar", lambda: filled("{", unknown_fields(), "}")),
    "fields of a seed": (
        "POST",
        "/v1/similar",
        lambda: filled('{"positive":[{', unknown_fields(), "}]}"),
    ),
    "excluded": (
        "POST",
        "/v1/lists:preview",
        lambda: filled('{"positive":[{"streamer_id":"s"}],"exclude":{"ids":[', zeros(), "]}}"),
    ),
    "who was written to": ("POST", "/v1/outreach", lambda: filled('{"ids":[', zeros(), "]}")),
    "who was rated": (
        "POST",
        "/v1/ratings:mine",
        lambda: filled('{"question":{"positive":["s"]},"streamer_ids":[', zeros(), "]}"),
    ),
    "empty seeds": (
        "POST",
        "/v1/similar/export",
        lambda: filled('{"negative":[', ("{}" for _ in count()), "]}"),
    ),
    "values of a filter": (
        "POST",
        "/v1/similar",
        lambda: filled(
            '{"positive":[{"streamer_id":"s"}],"filter":{"must":[{"field":"f","any":[',
            ("{}" for _ in count()),
            "]}]}}",
        ),
    ),
    "seeds of a watchlist": (
        "POST",
        "/v1/watchlists",
        lambda: filled('{"name":"l","min_probability":0.9,"positive":[', zeros(), "]}"),
    ),
    "ids": ("POST", "/v1/dedup", lambda: filled('{"ids":[', zeros(), "]}")),
    "corners": (
        "POST",
        "/v1/layouts/current:select",
        lambda: filled('{"polygon":[', zeros(), "]}"),
    ),
    "profiles": ("POST", "/v1/dedup", lambda: filled('{"profiles":[', zeros(), "]}")),
    "seeds of a case": (
        "POST",
        "/v1/cases",
        lambda: filled('{"title":"t","seeds":[', zeros(), "]}"),
    ),
    "sides": (
        "POST",
        "/v1/compare",
        lambda: filled('{"a":{"streamer_id":"s"},"b":{"profile":{', unknown_fields(), "}}}"),
    ),
    "videos": (
        "POST",
        "/v1/cold-start",
        lambda: filled('{"profile":{"videos":[', ("{}" for _ in count()), "]}}"),
    ),
    "attributes": (
        "PUT",
        "/v1/streamers/s",
        lambda: filled('{"attributes":{', (f'"{i:07d}":{{}}' for i in count()), "}}"),
    ),
    "a name": ("PUT", "/v1/streamers/s", lambda: filled('{"', ("x" for _ in count()), '":1}')),
    "kinds": (
        "POST",
        "/v1/webhooks",
        lambda: filled('{"url":"https://example.org/a","kinds":[', zeros(), "]}"),
    ),
    "dead letters": (
        "POST",
        "/v1/webhooks/wh-0f3c9a1b5e7d2c4a:replay",
        lambda: filled('{"delivery_ids":[', zeros(), "]}"),
    ),
    "changes": ("PATCH", "/v1/streamers/stored", lambda: filled("{", unknown_fields(), "}")),
    "tags": ("PATCH", "/v1/streamers/stored", lambda: filled('{"tags":[', zeros(), "]}")),
}


def peak(service: Service) -> int:
    """Most memory that the process ever had, in bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def assert_short(problem: dict[str, Any]) -> None:
    assert problem["code"] == "invalid_request"
    assert len(problem.get("errors", ())) <= 20
    assert len(json.dumps(problem)) < 10_000


@pytest.mark.slow
def test_a_body_of_errors_is_refused_in_bounded_memory(
    serve: Callable[..., Service],
) -> None:
    service = serve()
    with httpx.Client(base_url=service.url, timeout=120) as client:
        client.put("/v1/streamers/stored", json={"tags": ["cooking"]}).raise_for_status()
        before = peak(service)
        for name, (method, path, body) in BODIES.items():
            answer = client.request(
                method, path, content=body(), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 422, (name, answer.text[:1000])
            assert_short(answer.json())
            assert peak(service) - before < MOST_GROWTH, name


@pytest.mark.parametrize("line", [b'{"tags":[%s]}', b'{"attributes":{"a":[%s]}}', b"[%s]"])
def test_the_error_of_a_line_is_short(client: httpx.Client, line: bytes) -> None:
    content = (line % b",".join([b"0"] * 100_000)) + b'\n{"streamer_id":"s","tags":["cooking"]}'
    answer = client.post(
        "/v1/streamers:bulk", content=content, headers={"Content-Type": "application/x-ndjson"}
    )
    refused, written = (json.loads(result) for result in answer.text.splitlines())
    assert_short(refused["error"])
    assert written["outcome"] == "created"


def test_the_first_twenty_errors_are_named(client: httpx.Client) -> None:
    body = {"positive": [{"streamer_id": "s"}] + [{}] * 99}
    problem = client.post("/v1/similar", json=body).json()
    assert [e["pointer"] for e in problem["errors"]] == [f"/positive/{i}" for i in range(1, 21)]
    assert problem["detail"].endswith("(and 96 more)")


def test_the_first_twenty_streamers_that_are_not_stored_are_named(client: httpx.Client) -> None:
    answer = client.post("/v1/dedup", json={"ids": [f"{i:0128d}" for i in range(5000)]})
    assert answer.status_code == 404
    assert len(answer.json()["errors"]) == 20
    assert len(answer.text) < 10_000


def is_unbounded(schema: dict[str, Any]) -> bool:
    match schema.get("type"):
        case "array":
            return "maxItems" not in schema
        case "object":
            return schema.get("additionalProperties", True) is not False and (
                "maxProperties" not in schema
            )
        case "string":
            ends = re.search(r"\{(\d+,)?\d+\}\$$", schema.get("pattern", ""))
            return not ends and not schema.keys() & {"maxLength", "enum", "const", "format"}
    return False


def unbounded(schema: Any, where: str) -> Iterator[str]:
    """Places of a schema that anything fits into, however large."""
    if isinstance(schema, list):
        for i, part in enumerate(schema):
            yield from unbounded(part, f"{where}/{i}")
    elif isinstance(schema, dict):
        if is_unbounded(schema):
            yield where
        for name in schema.keys() - {"example", "examples", "default"}:
            yield from unbounded(schema[name], f"{where}/{name}")


@pytest.mark.slow
def test_everything_in_a_request_has_a_largest_size(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    waiting: list[Any] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "patch":  # a merge patch fits a profile of which anything is left out
                waiting.append(operation.get("requestBody", {}))
            places = {f"{path} {p['name']}": p["schema"] for p in operation.get("parameters", ())}
            assert not [
                where
                for name, schema in places.items()
                if not name.lower().endswith(("-match", " prefer"))  # as long as a head may be
                for where in unbounded(schema, name)
            ]
    seen: set[str] = set()
    while waiting:
        for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop())):
            if name not in seen:
                seen.add(name)
                waiting.append(schemas[name])
                assert list(unbounded(schemas[name], name)) == []
    assert {"SimilarIn", "DedupIn", "ColdStartIn", "StreamerBody", "Media", "ConditionIn"} <= seen
