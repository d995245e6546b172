"""If-Match and If-None-Match on every kind of write (RFC 9110, section 13.1)."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import put

METHODS = ("PUT", "PATCH", "DELETE")
Write = Callable[..., Any]


@pytest.fixture(params=METHODS)
def write(request: pytest.FixtureRequest, client: TestClient) -> Write:
    def send(if_match: str, streamer_id: str = "s") -> Any:
        body = None if request.param == "DELETE" else {"tags": ["music"]}
        headers = {"If-Match": if_match}
        path = f"/v1/streamers/{streamer_id}"
        return client.request(request.param, path, headers=headers, json=body)

    return send


def is_changed(client: TestClient) -> bool:
    answer = client.get("/v1/streamers/s")
    return answer.status_code == 404 or answer.json()["profile"]["tags"] != ["cooking"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "tags", ["*", " * ", '"{v}"', "{v}", '"1", "{v}"', '"{v}","999999"', 'W/"{v}", "{v}"']
)
def test_a_write_that_may_be_done(client: TestClient, write: Write, tags: str) -> None:
    version = put(client, "s", tags=["cooking"])
    answer = write(tags.format(v=version))
    assert answer.status_code == 200, answer.text
    assert is_changed(client)


@pytest.mark.slow
@pytest.mark.parametrize("tags", ['"999999"', '"999998", "999999"', 'W/"{v}"', 'W/"{v}", W/"1"'])
def test_a_write_that_may_not_be_done(client: TestClient, write: Write, tags: str) -> None:
    version = put(client, "s", tags=["cooking"])
    answer = write(tags.format(v=version))
    assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict"), answer.text
    assert not is_changed(client)


@pytest.mark.parametrize("tags", ["*", '"1"', '"1", "2"'])
def test_nothing_matches_where_nothing_is_stored(
    client: TestClient, write: Write, tags: str
) -> None:
    assert write(tags, "nobody").status_code in (404, 412)
    assert client.get("/v1/streamers/nobody").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("tags", ["", ",", '"1",, "x"', "*, *", '"1', ", ".join(['"1"'] * 21)])
def test_tags_that_are_none_are_refused(client: TestClient, write: Write, tags: str) -> None:
    put(client, "s", tags=["cooking"])
    answer = write(tags)
    assert answer.status_code == 422, answer.text
    assert [e["parameter"] for e in answer.json()["errors"]] == ["if-match"]
    assert not is_changed(client)


def test_a_patch_may_be_put_off_with_if_none_match(client: TestClient) -> None:
    put(client, "s", tags=["cooking"])
    answer = client.patch(
        "/v1/streamers/s", json={"tags": ["music"]}, headers={"If-None-Match": "*"}
    )
    assert answer.status_code == 412
    assert not is_changed(client)
