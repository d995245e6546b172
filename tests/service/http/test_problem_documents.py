"""Problem documents: every code has a status, a title, an example and an explanation."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service import errors
from service.errors import InvalidRequest, ServiceError, StartupError, catalogue
from service.features.cases.examples import EXAMPLE_CASE
from service.features.duplicates.schemas import EXAMPLE_GROUP
from service.features.jobs.schemas import EXAMPLE_ID as EXAMPLE_JOB
from service.features.lists.schemas import EXAMPLE_NAME
from service.features.outreach.schemas import EXAMPLE_OUTREACH
from service.features.watchlists.alerts.schemas import EXAMPLE_ALERT
from service.features.watchlists.schemas import EXAMPLE_WATCHLIST
from service.features.webhooks.schemas import EXAMPLE_ID as EXAMPLE_WEBHOOK
from service.http.documents import MEDIA_TYPE, example_of
from service.http.schemas import Problem

CODES = sorted(catalogue())


class Strict(Problem, extra="forbid"):
    pass


def test_every_error_that_has_a_code_is_in_the_catalogue() -> None:
    named = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, ServiceError)
        and not issubclass(kind, StartupError)
    }
    assert named == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_complete(code: str) -> None:
    kind = catalogue()[code]
    assert re.fullmatch(r"[a-z_]+", code)
    assert 400 <= kind.status < 600
    for name in ("title", "example"):
        assert name in vars(kind), f"{kind.__name__} has no {name} of its own"
    example = Strict.model_validate(example_of(kind))
    assert example.detail == kind.example
    assert example.type == f"/errors#{code}"


def test_an_error_of_the_whole_body_says_so() -> None:
    assert str(InvalidRequest.of("", "needs one of them")) == "body: needs one of them"


def test_no_two_codes_share_a_title() -> None:
    titles = [kind.title for kind in catalogue().values()]
    assert sorted(titles) == sorted(set(titles))


def test_the_type_of_a_problem_leads_to_its_explanation(running: TestClient) -> None:
    problem = running.get("/v1/streamers/nobody").json()
    path, _, anchor = problem["type"].partition("#")
    page = running.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert f'<section id="{anchor}">' in page.text
    assert set(re.findall(r'<section id="(\w+)">', page.text)) == set(CODES)


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.slow
def test_every_error_in_the_document_is_a_problem_with_examples(running: TestClient) -> None:
    document = running.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    Strict.model_validate(
        running.get("/v1/streamers/nobody").json()
    )  # what is documented is what is sent
    for name, operation in operations(document):
        refusals = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        assert "422" in refusals or "/v1/" not in name
        for status, refusal in refusals.items():
            if name in ("GET /readyz", "GET /startupz") and status == "503":
                continue  # the state of the service
            content = refusal["content"][MEDIA_TYPE]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)
            assert content["examples"]
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert str(example["value"]["status"]) == status


def test_a_parameter_that_is_not_known_is_refused_by_name(running: TestClient) -> None:
    document = running.get("/openapi.json").json()
    for name, _ in operations(document):
        ids = {"streamer_id": "s", "key_id": "0123456789ab", "job_id": EXAMPLE_JOB}
        ids["webhook_id"] = EXAMPLE_WEBHOOK
        ids |= {"group_id": EXAMPLE_GROUP, "case_id": EXAMPLE_CASE}
        ids |= {"space": "s", "generation": "g", "user_id": "u", "model_id": "m"}
        ids |= {"watchlist_id": EXAMPLE_WATCHLIST, "alert_id": EXAMPLE_ALERT}
        ids |= {"list_name": EXAMPLE_NAME, "run": "1", "outreach_id": EXAMPLE_OUTREACH}
        method, path = name.format_map(ids).split(" ")
        answer = running.request(method, path, params={"language": "zh"})
        assert answer.status_code == 422, (name, answer.text)
        assert [e["parameter"] for e in answer.json()["errors"]] == ["language"], name
