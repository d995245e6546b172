"""What must not get out: secrets in logs and answers, lines of others in logs and headers."""

import ast
import contextlib
import json
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest

from tests.service.attacks.conftest import ADMIN_KEY
from tests.service.attacks.issuer import KEY, claims
from tests.service.attacks.raw import exchange, request
from tests.service.process import ROOT, Service, wait_until

pytestmark = pytest.mark.slow

HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "%0d%0aX-Injected:%201", "${jndi:ldap://a}", "<b>"]


def files_below(folder: Path) -> bytes:
    found = b""
    for file in folder.rglob("*"):
        if file.is_file():
            with contextlib.suppress(FileNotFoundError):  # a draft that took its place meanwhile
                found += file.read_bytes()
    return found


def test_no_secret_is_written_anywhere(guarded: Service) -> None:
    """Into no log, audit file, file of the store or answer, whether the request was good or bad."""
    client = guarded.client
    made = client.post("/v1/keys", json={"name": "leaky", "role": "admin"}).json()
    token = jwt.encode(claims(), KEY, "RS256", headers={"kid": "a"})
    wrong = "ssk_0123456789ab_" + "ab" * 32 + "00000000"
    seen: list[str] = []
    for secret in (made["key"], token, ADMIN_KEY, wrong, "a.made-up-token.x"):
        known = {"Authorization": f"Bearer {secret}"}
        for method, path in (
            ("GET", "/v1/streamers/nobody"),
            ("GET", f"/v1/streamers?key={secret}"),
            ("GET", f"/made/up/{secret}"),
            ("PUT", "/v1/streamers/nobody"),
            ("DELETE", "/v1/streamers/nobody"),
        ):
            answer = client.request(method, path, headers=known)
            told = answer.text + str(dict(answer.headers))
            seen += [f"{method} {path}"] if secret in told else []
    last = client.get("/v1/streamers/nobody").headers["x-request-id"]
    wait_until(lambda: last in guarded.output, "the last request is logged")
    wait_until(lambda: last in client.get("/v1/audit/export").text, "it is in the audit log")
    client.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
    assert not seen
    log, disk = guarded.output, files_below(guarded.data_dir)
    for secret in (made["key"], token, ADMIN_KEY, wrong):
        assert secret not in log
        assert secret.encode() not in disk


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_of_the_log_is_one_line_and_shows_no_control(guarded: Service, text: str) -> None:
    before = len(guarded.output)
    lines = (f"User-Agent: {text}", f"X-Request-Id: a{text}", f"traceparent: {text}")
    more = (f"Referer: {text}", f"X-Forwarded-For: {text}", f"Idempotency-Key: {text}")
    for path in (f"/v1/streamers/{text}", f"/{text}", f"/v1/streamers?{text}={text}"):
        target = quote(path, safe="/?=%", encoding="latin-1")
        for key in (ADMIN_KEY, text):
            head = f"Authorization: Bearer {key}"
            for headers in ((*lines, *more), more, ()):
                content = request("GET", target, head, *headers, "Connection: close")
                (answer,) = exchange(guarded, content)
                assert answer.status in (400, 401, 404, 422)
                assert answer.headers["x-injected"] is None
                told = str(answer.headers) + answer.body.decode()
                assert "\x1b" not in told
                assert "\x9b" not in told
    guarded.client.get("/livez")
    found = guarded.output[before:]
    assert all(json.loads(line)["message"] for line in found.splitlines())
    assert not [c for c in found if not c.isprintable() and c != "\n"]
    audit = files_below(guarded.data_dir / "audit").decode()
    assert not [c for c in audit if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize(
    "given", ["a\r\nX-Injected: 1", "a%0d%0aX-Injected:1", "a\x0b", "é", "a,b"]
)
def test_no_header_of_an_answer_is_split(guarded: Service, given: str) -> None:
    head = (f"Authorization: Bearer {ADMIN_KEY}", f"X-Request-Id: {given}", f"Origin: {given}")
    for method in ("GET", "OPTIONS", "PUT", "POST"):
        content = request(method, "/v1/streamers", *head, "Connection: close")
        for answer in exchange(guarded, content):
            assert answer.headers["x-injected"] is None
            assert given not in answer.headers["x-request-id"]


def test_errors_tell_nothing_of_the_inside(guarded: Service) -> None:
    """No traceback, path or module, whatever a request makes of the framework."""
    for path in ("/v1/streamers/%00", "/v1/audit?cursor=%00", "/v1/jobs?cursor=a", "/docs/x"):
        answer = guarded.client.get(path)
        assert answer.status_code in (400, 404, 422)
        for inside in ("Traceback", str(ROOT), "site-packages", ".py", "redis", "pydantic"):
            assert inside not in answer.text
        assert "server" not in answer.headers


def test_digests_are_compared_in_constant_time() -> None:
    """No `==` on a digest of a key, in the modules that compare them."""
    text = (ROOT / "service" / "features" / "keys" / "ring.py").read_text()
    compared = [ast.unparse(n) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Compare)]
    assert not [found for found in compared if "digest" in found and " is " not in found]
    assert text.count("hmac.compare_digest(") == 3
