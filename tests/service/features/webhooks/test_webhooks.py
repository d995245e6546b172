"""Webhooks as those who manage and receive them see them: a real service, a real receiver."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook, WebhookVerificationError

from service.features.webhooks import retries
from tests.service.conftest import put
from tests.service.features.webhooks.conftest import LOCAL, create, sender
from tests.service.features.webhooks.receiver import Received, Receiver, receiving
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until


def webhook(client: TestClient, made: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"/v1/webhooks/{made['webhook_id']}").raise_for_status().json()


def listed(client: TestClient, made: dict[str, Any], state: str) -> list[dict[str, Any]]:
    path = f"/v1/webhooks/{made['webhook_id']}/deliveries"
    return client.get(path, params={"state": state}).raise_for_status().json()["deliveries"]


def told(client: TestClient, kind: str, made: dict[str, Any]) -> list[dict[str, Any]]:
    page = client.get("/v1/events", params={"kinds": kind, "limit": 1000}).json()
    return [e["data"] for e in page["events"] if e["data"]["webhook_id"] == made["webhook_id"]]


def test_events_arrive_signed_and_in_order(client: TestClient, receiver: Receiver) -> None:
    put(client, "before", bio="guitar")
    made = create(client, receiver.url("/hooks?team=a"))
    for i in range(5):
        for name in ("a", "b"):
            put(client, name, bio=f"guitar {i}")
    client.delete("/v1/streamers/a").raise_for_status()
    found = receiver.wait_for(11)
    bodies = [r.verified(made["secret"]) for r in found]
    assert {r.path for r in found} == {"/hooks?team=a"}
    assert len({r.message for r in found}) == 11
    assert all(r.headers["content-type"] == "application/json" for r in found)
    for name in ("a", "b"):
        versions = [b["data"]["version"] for b in bodies if b["data"]["streamer_id"] == name]
        assert versions == sorted(versions)
    assert [b["type"] for b in bodies if b["data"]["streamer_id"] == "a"][-1] == "streamer.deleted"
    page = client.get("/v1/events", params={"kinds": "streamer.*", "limit": 1000}).json()
    events = {e["event_id"]: e for e in page["events"]}
    for body in bodies:
        event = events[body["event_id"]]
        assert (body["type"], body["data"]) == (event["kind"], event["data"])
    wait_until(lambda: webhook(client, made)["delivered"] == 11, "all are noted")
    assert len(listed(client, made, "delivered")) == 11
    assert webhook(client, made)["due"] == 0


def test_a_webhook_is_made_once_by_its_key(client: TestClient, receiver: Receiver) -> None:
    headers, body = (
        {"Idempotency-Key": '"hook-1"'},
        {"url": receiver.url("/once"), "kinds": ["streamer.*"]},
    )
    first, again = (client.post("/v1/webhooks", json=body, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert {**first.json(), "due": 0} == {**again.json(), "due": 0}
    other = client.post("/v1/webhooks", json={**body, "url": receiver.url("/2")}, headers=headers)
    problem(other, 422, "idempotency_key_reused")
    found = client.get("/v1/webhooks").json()["webhooks"]
    assert len([each for each in found if each["url"] == body["url"]]) == 1


def test_a_secret_is_rotated_once_by_its_key(client: TestClient, receiver: Receiver) -> None:
    body = {"url": receiver.url("/turned"), "kinds": ["streamer.*"]}
    made = client.post("/v1/webhooks", json=body).json()
    path, headers = f"/v1/webhooks/{made['webhook_id']}:rotate", {"Idempotency-Key": '"turn-1"'}
    first, again = (client.post(path, json={"grace_s": 600}, headers=headers) for _ in range(2))
    assert first.json()["secret"] == again.json()["secret"] != made["secret"]
    assert again.headers["etag"] == first.headers["etag"]
    problem(client.post(path, json={"grace_s": 1}, headers=headers), 422, "idempotency_key_reused")
    other = client.post(path, headers={"Idempotency-Key": '"turn-2"'}).json()
    assert other["secret"] != first.json()["secret"]


def test_what_fails_is_tried_again_and_others_pass_by(
    client: TestClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "DELAYS_S", (0.1,) * 10_000)
    refused, accepted = list[Received](), list[Received]()

    def answer(received: Received, _: BaseHTTPRequestHandler) -> int:
        is_bad = '"streamer_id":"bad"' in received.body
        if is_bad and not accepted:  # until another streamer's has passed by
            refused.append(received)
            return 500
        accepted.append(received)
        return 204

    receiver.answer = answer
    made = create(client, receiver.url())
    put(client, "bad", bio="guitar 0")
    receiver.wait_for(1)
    put(client, "bad", bio="guitar 1")
    put(client, "good", bio="guitar")
    wait_until(lambda: len(accepted) >= 3, "all are accepted")
    names = [r.verified(made["secret"])["data"]["streamer_id"] for r in accepted]
    assert names == ["good", "bad", "bad"]
    _, again, later = accepted
    assert {r.message for r in refused} == {again.message} != {later.message}
    assert {r.body for r in refused} == {again.body}
    state = webhook(client, made)
    assert state["last_failure"] == "the target answers 500"


def _disabled(client: TestClient) -> float:
    (line,) = re.findall(
        r"^streamer_webhooks_disabled_total (.*)$", client.get("/metrics").text, re.MULTILINE
    )
    return float(line)


def test_410_disables_and_is_told(
    client: TestClient, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = lambda received, handler: 410
    before = _disabled(client)
    made = create(client, receiver.url())
    put(client, "s", bio="guitar")
    wait_until(lambda: _disabled(client) == before + 1, "it is disabled")
    assert f"the webhook {made['webhook_id']} is disabled: its target answered 410" in caplog.text
    state = webhook(client, made)
    assert not state["enabled"]
    assert "410" in state["disabled_because"]
    assert (state["due"], len(receiver.requests)) == (1, 1)
    (event,) = told(client, "webhook.disabled", made)
    assert event["url"] == receiver.url()
    put(client, "later", bio="guitar")
    receiver.answer = lambda received, handler: 204
    path = f"/v1/webhooks/{made['webhook_id']}"
    stale = client.patch(path, json={"enabled": True}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")
    headers = {"If-Match": f'"{state["version"]}"'}
    answer = client.patch(path, json={"enabled": True}, headers=headers)
    assert answer.json()["disabled_because"] is None
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    found = receiver.wait_for(3)
    assert found[0].message in {r.message for r in found[1:]}


def test_two_secrets_sign_while_one_is_rotated(client: TestClient, receiver: Receiver) -> None:
    made = create(client, receiver.url())
    path = f"/v1/webhooks/{made['webhook_id']}"
    rotated = client.post(f"{path}:rotate", json={"grace_s": 600}).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] > rotated["created_at"]
    assert client.post(f"{path}:test").json() == {"delivered": True, "status": 204, "error": None}
    ping = receiver.requests[-1]
    assert len(ping.headers["webhook-signature"].split()) == 2
    for secret in (made["secret"], rotated["secret"]):
        assert ping.verified(secret)["type"] == "webhook.ping"
    last = client.post(f"{path}:rotate", json={"grace_s": 0}).json()
    client.post(f"{path}:test").raise_for_status()
    ping = receiver.requests[-1]
    assert ping.verified(last["secret"])
    for secret in (made["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            ping.verified(secret)
    assert made["secret"] not in client.get(path).text
    assert last["secret"] not in client.get("/v1/webhooks").text


def test_dead_letters_are_listed_told_and_replayed(
    client: TestClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "DELAYS_S", (0, 0.01, 0.01))
    receiver.answer = lambda received, handler: 500
    made = create(client, receiver.url())
    put(client, "s", bio="guitar 0")
    put(client, "s", bio="guitar 1")
    wait_until(lambda: webhook(client, made)["dead"] == 2, "both are given up")
    dead = listed(client, made, "dead")
    assert [(d["attempts"], d["last_status"], d["kind"]) for d in dead] == [
        (3, 500, "streamer.upserted")
    ] * 2
    events = told(client, "webhook.dead_lettered", made)
    assert [e["message_id"] for e in events] == [d["message_id"] for d in dead]
    receiver.answer = lambda received, handler: 204
    before = len(receiver.requests)
    path = f"/v1/webhooks/{made['webhook_id']}:replay"
    wrong = client.post(path, json={"delivery_ids": ["0" * 12]})
    assert wrong.json()["errors"][0]["pointer"] == "/delivery_ids/0"
    first = {"delivery_ids": [dead[0]["delivery_id"]]}
    assert client.post(path, json=first).json() == {"replayed": 1}
    assert receiver.wait_for(before + 1)[-1].message == dead[0]["message_id"]
    assert client.post(path, json={}).json() == {"replayed": 1}
    assert receiver.wait_for(before + 2)[-1].message == dead[1]["message_id"]
    wait_until(lambda: webhook(client, made)["due"] == 0, "both are delivered")
    assert client.post(path).json() == {"replayed": 0}


def _redirect(received: Received, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _huge(sent: list[int]) -> Callable[[Received, BaseHTTPRequestHandler], None]:
    def answer(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range(1 << 10):
            handler.wfile.write(bytes(1 << 20))
            sent.append(1 << 20)

    return answer


def test_targets_that_misbehave(client: TestClient) -> None:
    sent: list[int] = []

    def endless_head(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * (1 << 20))

    def rubbish(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\0" * 1000 + b"\r\n\r\n")

    answers: dict[str, tuple[Any, int | None, str | None]] = {
        "500": (lambda r, h: 500, 500, "answers 500"),
        "redirects": (_redirect, 302, "redirects"),
        "1 GB": (_huge(sent), 200, None),
        "endless head": (endless_head, None, "speaks no HTTP"),
        "no HTTP": (rubbish, None, "speaks no HTTP"),
    }
    for name, (answer, status, error) in answers.items():
        with receiving(answer) as receiver:
            made = create(client, receiver.url(), "watchlist.*")
            found = client.post(f"/v1/webhooks/{made['webhook_id']}:test").json()
            assert found["status"] == status, name
            assert (found["error"] is None) is (error is None), (name, found)
            assert error is None or error in found["error"]
            assert [r.path for r in receiver.requests] == ["/hooks"]
    assert sum(sent) < 64 << 20
    with receiving() as receiver:
        made = create(client, receiver.url(), "watchlist.*")
    found = client.post(f"/v1/webhooks/{made['webhook_id']}:test").json()
    assert (found["status"], found["delivered"]) == (None, False)


def test_a_target_that_hangs(bundle: Path, tmp_path: Path, receiver: Receiver) -> None:
    def hang(received: Received, handler: BaseHTTPRequestHandler) -> None:
        receiver.stops.wait()

    receiver.answer = hang
    with sender(bundle, tmp_path, {**LOCAL, "timeout_ms": 1000}) as client:
        made = create(client, receiver.url(), "watchlist.*")
        found = client.post(f"/v1/webhooks/{made['webhook_id']}:test").json()
    assert (found["status"], found["delivered"]) == (None, False)
    assert "no answer within 1 s" in found["error"]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("ftp://example.org/a", "https"),
        ("https://user:secret@example.org/a", "leave it out"),
        ("https://example.org:0/a", "1 to 65535"),
        ("https://example.org:99999999999999999999/a", "1 to 65535"),
        ("https://[::1]/a", "https"),
        ("https:///a", "https"),
        ("https://example.org/" + "a" * 2048, "2048"),
        ("no url", "https"),
        ("https://10.0.0.1/a", "not on the public internet"),
        ("https://169.254.169.254/latest", "not on the public internet"),
        ("http://192.0.2.1/a", "not on the public internet"),
        ("http://93.184.216.34/a", "use https"),
    ],
)
def test_targets_that_may_not_be_asked(client: TestClient, url: str, remedy: str) -> None:
    answer = client.post("/v1/webhooks", json={"url": url, "kinds": ["streamer.*"]})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/url"
    assert remedy in error["detail"]


@pytest.mark.parametrize(
    ("kinds", "pointer"),
    [
        (["webhook.disabled"], "/kinds"),
        (["streamers.*"], "/kinds"),
        (["=cmd"], "/kinds"),
        (["a" * 83], "/kinds/0"),
        ([], "/kinds"),
    ],
)
def test_kinds_that_are_not_sent(client: TestClient, kinds: list[str], pointer: str) -> None:
    body = {"url": "https://example.org/a", "kinds": kinds}
    answer = client.post("/v1/webhooks", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_loopback_needs_the_setting(running: TestClient, receiver: Receiver) -> None:
    for url in (receiver.url(), f"https://localhost:{receiver.port}/hooks"):
        answer = running.post("/v1/webhooks", json={"url": url, "kinds": ["streamer.*"]})
        assert answer.status_code == 422
        assert "STREAMER_WEBHOOKS__PRIVATE_NETWORKS" in answer.json()["errors"][0]["detail"]
    assert receiver.requests == []


def test_new_kinds_begin_when_they_are_added(client: TestClient, receiver: Receiver) -> None:
    made = create(client, receiver.url(), "watchlist.*")
    put(client, "early", bio="guitar")
    path = f"/v1/webhooks/{made['webhook_id']}"
    body = {"kinds": ["watchlist.*", "streamer.deleted"]}
    changed = client.patch(path, json=body).json()
    assert changed["kinds"] == body["kinds"]
    put(client, "late", bio="guitar")
    client.delete("/v1/streamers/late").raise_for_status()
    (found,) = receiver.wait_for(1)
    assert json.loads(found.body)["data"]["streamer_id"] == "late"
    assert Webhook(made["secret"]).verify(found.body, found.headers)
    for wrong in ({}, {"url": None}, {"kinds": None}):
        assert client.patch(path, json=wrong).status_code == 422


def test_who_is_deleted_gets_nothing_more(client: TestClient, receiver: Receiver) -> None:
    made, kept = create(client, receiver.url("/a")), create(client, receiver.url("/b"))
    path = f"/v1/webhooks/{made['webhook_id']}"
    assert client.delete(path).json() == {"webhook_id": made["webhook_id"]}
    put(client, "s", bio="guitar")
    assert [r.path for r in receiver.wait_for(1)] == ["/b"]
    for answer in (client.get(path), client.delete(path), client.post(f"{path}:test")):
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")
    page = client.get("/v1/webhooks", params={"limit": 1}).json()
    assert [w["webhook_id"] for w in page["webhooks"]] == [kept["webhook_id"]]
    assert page["next_cursor"] is None


@pytest.mark.slow
def test_there_may_be_so_many(client: TestClient, receiver: Receiver) -> None:
    for _ in range(50):
        create(client, receiver.url(), "watchlist.*")
    answer = client.post("/v1/webhooks", json={"url": receiver.url(), "kinds": ["watchlist.*"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")
    first = client.get("/v1/webhooks", params={"limit": 30}).json()
    params = {"limit": 30, "cursor": first["next_cursor"]}
    rest = client.get("/v1/webhooks", params=params).json()
    names = [w["webhook_id"] for page in (first, rest) for w in page["webhooks"]]
    assert (len(names), names) == (50, sorted(set(names)))
