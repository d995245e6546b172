"""The files of the console: without a key, with a strict policy, kept by browsers for good."""

import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.console.serving import router_of
from service.http import problems

SCRIPT = b"console.log('a page')" * 50


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What a build leaves."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>", encoding="utf-8")
    (tmp_path / "sources.sha256").write_text("0" * 64, encoding="utf-8")
    script = tmp_path / "assets" / "index-1a2b.js"
    script.write_bytes(SCRIPT)
    script.with_name("index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    return tmp_path


def client_of(folder: Path) -> TestClient:
    app = FastAPI()
    app.include_router(router_of(folder))
    problems.install(app)
    return TestClient(app, base_url="http://localhost")


def test_the_page_has_a_policy_without_exceptions_and_is_asked_for_again(built: Path) -> None:
    client = client_of(built)
    answer = client.get("/console/")
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    again = client.get("/console/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/console/index.html").content == answer.content
    head = client.head("/console/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, br", "gzip"), ("GZIP;q=0.5", "gzip"), ("", None), ("br", None), ("gzip; q=0", None)],
)
def test_files_never_change_and_are_compressed(
    built: Path, accepted: str, encoding: str | None
) -> None:
    answer = client_of(built).get(
        "/console/assets/index-1a2b.js", headers={"Accept-Encoding": accepted}
    )
    assert answer.content == SCRIPT  # decompressed by the client
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..%2fserving.py", "assets/", "sources.sha256", "assets/index-1a2b.js.gz"],
)
def test_nothing_else_is_served(built: Path, name: str) -> None:
    answer = client_of(built).get(f"/console/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_path")


def test_the_console_is_found_without_its_slash(built: Path) -> None:
    answer = client_of(built).get("/console", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/console/")


def test_a_page_that_is_missing_says_why(tmp_path: Path) -> None:
    assert "it was not built" in client_of(tmp_path / "nothing").get("/console/").text
    (tmp_path / "missing.txt").write_text("npm: no registry\n", encoding="utf-8")
    answer = client_of(tmp_path).get("/console/")
    assert answer.status_code == 503
    assert "npm: no registry" in answer.text
    assert "make console" in answer.text


def test_the_service_serves_it_and_works_without_it(running: TestClient) -> None:
    assert running.get("/console/").status_code in (200, 503)
    assert running.get("/v1/streamers").status_code == 200
