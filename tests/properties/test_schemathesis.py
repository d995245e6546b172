"""Requests made from the OpenAPI document: no defect, no undocumented status, no other shape."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import settings as hypothesis_settings
from requests import Session
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.conftest import ADMIN_KEY
from tests.support.service import ROOT, Service

NDJSON = "application/x-ndjson"
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
"""A test of the probes compares it with what a service gives."""
schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.config.generation.update(deterministic=True)
WHOLE, EVERY = 8, int(os.environ.get("SCHEMA_EVERY", "80"))
"""Of the boundary cases of an operation so many are tried, and of those beyond one in so many.
With `SCHEMA_EVERY=1` all are, which takes many times as long."""
made = Counter[str]()
UNAVAILABLE = {"not_yet_visible"}
"""Codes of 503 that a request alone can bring about."""
TIMES = 3
"""A store that is silent that often is a defect."""
ANSWER_S = 60
"""An answer may wait ten seconds for events, as long as schemathesis waits by default."""
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.missing_required_header,
    checks.unsupported_method,
]
"""Who may call what is tried cell by cell in the tests of keys."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "20"}


@schema.hook
def filter_case(_: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Whether a case is tried.

    A profile has over a thousand boundary cases and stands in many operations, of which each tries
    others of them.
    """
    if case.meta is None or case.meta.phase.name != "coverage":
        return True
    label = case.operation.label
    made[label] += 1
    return made[label] <= WHOLE or (made[label] + crc32(label.encode())) % EVERY == 0


@schemathesis.serializer(NDJSON)
def lines(_: object, value: object) -> bytes:
    """A line made from the schema between two others, one of which cannot be read."""
    line = json.dumps(value).encode()
    return b'{"streamer_id":"line","tags":["cooking"]}\n' + line + b"\nrubbish\n" + line


@schemathesis.serializer("application/vnd.apache.parquet", "application/x-npz")
def archive(_: object, value: object) -> bytes:
    """Bytes that are no archive."""
    return str(value).encode("utf-8", "replace")


def assert_lines_fit(case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Every line of an answer is as documented."""
    documented = case.operation.definition.raw["responses"]["200"]["content"][NDJSON]["schema"]
    line_schema = {**documented, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.validator_for(line_schema)
    for line in response.content.splitlines():
        validator.validate(json.loads(line))


def is_sent(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """Whether each parameter of the query that was drawn is in the request: null and [] are not."""
    sent = parse_qs(urlsplit(str(response.request.url)).query, keep_blank_values=True)
    return set(case.query or {}) <= set(sent)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Connections that are used again, by nobody's proxy."""
    with Session() as session:
        session.trust_env = False
        yield session


def answer(
    case: schemathesis.Case, service: Service, session: Session, times: int = TIMES
) -> schemathesis.Response:
    """Answer to a request; asked again if the machine was too busy for the store to answer."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    response = case.call(base_url=service.url, session=session, headers=headers, timeout=ANSWER_S)
    is_silent = response.status_code == 503 and response.json().get("code") == "store_unavailable"
    if not is_silent or times == 1:
        return response
    service.wait_until_ready()
    return answer(case, service, session, times - 1)


@schema.parametrize()
@hypothesis_settings(max_examples=4)
def test_every_request_gets_a_documented_answer(
    case: schemathesis.Case, service: Service, session: Session
) -> None:
    response = answer(case, service, session)
    chosen = list(CHECKS)
    if response.status_code != 503 or response.json().get("code") not in UNAVAILABLE:
        chosen.append(not_a_server_error)
    is_conditional = response.status_code == 412 and "if-match" in response.request.headers
    # Each line is refused by itself, and a precondition that does not hold before all else.
    if case.media_type != NDJSON and not is_conditional and is_sent(case, response):
        chosen.append(checks.negative_data_rejection)
    case.validate_response(response, checks=chosen)
    if response.status_code == 200 and response.headers["content-type"] == [NDJSON]:
        assert_lines_fit(case, response)
