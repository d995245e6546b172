"""Webhooks: signed, in order, tried again, rotated, and sent to no target that may not be asked."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.support.api import Api, wrong_fields
from tests.support.receiver import Received, Receiver, receiving
from tests.support.service import wait_until

Made = dict[str, Any]
TARGET = "http://127.0.0.1:9/hooks"
UNKNOWN = f"/v1/webhooks/wh-{'0' * 16}"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/16",
        "STREAMER_WEBHOOKS__TIMEOUT_MS": "5000",
    }


@pytest.fixture
def receiver(api: Api) -> Iterator[Receiver]:
    """A receiver; all webhooks go with it."""
    with receiving() as running:
        yield running
        for each in api.all("/v1/webhooks", "webhooks"):
            api.ok("DELETE", f"/v1/webhooks/{each['webhook_id']}")


def create(api: Api, url: str, *kinds: str, **fields: Any) -> Made:
    body = {"url": url, "kinds": list(kinds or ["streamer.*"]), **fields}
    return api.ok("POST", "/v1/webhooks", body, status=201)


def path_of(made: Made) -> str:
    return f"/v1/webhooks/{made['webhook_id']}"


def now(api: Api, made: Made) -> Made:
    return api.ok("GET", path_of(made))


def listed(api: Api, made: Made, state: str) -> list[dict[str, Any]]:
    return api.all(f"{path_of(made)}/deliveries", "deliveries", state=state)


def told(api: Api, kind: str, made: Made) -> list[dict[str, Any]]:
    """What the feed says of a webhook itself."""
    events = api.ok("GET", "/v1/events", params={"kinds": kind, "limit": 1000})["events"]
    return [e["data"] for e in events if e["data"]["webhook_id"] == made["webhook_id"]]


def names(found: list[Received], secret: str) -> list[str]:
    return [each.verified(secret)["data"]["streamer_id"] for each in found]


def test_events_arrive_signed_and_in_order(api: Api, receiver: Receiver) -> None:
    api.put_streamer("a-before", bio="guitar")
    made = create(api, receiver.url("/hooks?team=a"), description="the team's")
    assert (made["enabled"], made["description"], made["kinds"]) == (
        True,
        "the team's",
        ["streamer.*"],
    )
    for i in range(3):
        for name in ("a-1", "a-2"):
            api.put_streamer(name, bio=f"guitar {i}")
    api.ok("DELETE", "/v1/streamers/a-1")

    found = receiver.wait_for(7)

    bodies = [each.verified(made["secret"]) for each in found]
    assert {each.path for each in found} == {"/hooks?team=a"}
    assert {each.headers["content-type"] for each in found} == {"application/json"}
    assert len({each.message_id for each in found}) == 7
    of_one = [body for body in bodies if body["data"]["streamer_id"] == "a-1"]
    assert [body["type"] for body in of_one] == ["streamer.upserted"] * 3 + ["streamer.deleted"]
    versions = [body["data"]["version"] for body in of_one]
    assert versions == sorted(versions)
    page = api.ok("GET", "/v1/events?kinds=streamer.*&limit=1000")
    events = {event["event_id"]: event for event in page["events"]}
    for body in bodies:
        event = events[body["event_id"]]
        assert (body["type"], body["data"]) == (event["kind"], event["data"])
    wait_until(lambda: now(api, made)["delivered"] == 7, "all are noted")
    state = now(api, made)
    assert (state["due"], state["dead"], state["missed"], state["last_failure"]) == (0, 0, 0, None)
    assert state["last_success_at"] >= state["created_at"]
    delivered = listed(api, made, "delivered")
    assert [(d["attempts"], d["last_status"], d["next_at"]) for d in delivered] == [
        (1, 204, None)
    ] * 7
    assert {d["message_id"]: d["event_id"] for d in delivered} == {
        each.message_id: body["event_id"] for each, body in zip(found, bodies, strict=True)
    }
    pages = api.pages(f"{path_of(made)}/deliveries", "deliveries", state="delivered", limit=3)
    paged = [*pages]
    assert [len(page) for page in paged] == [3, 3, 1]
    assert [each for page in paged for each in page] == delivered


def test_a_webhook_is_sent_the_kinds_that_it_asks_for(api: Api, receiver: Receiver) -> None:
    every = create(api, receiver.url("/every"))
    made = create(api, receiver.url("/some"), "watchlist.*")
    api.put_streamer("b-early", bio="guitar")
    kinds = ["watchlist.*", "streamer.deleted"]
    assert api.ok("PATCH", path_of(made), {"kinds": kinds})["kinds"] == kinds
    for name in ("b-early", "b-late"):
        api.put_streamer(name, bio="guitar solo")
        api.ok("DELETE", f"/v1/streamers/{name}")
    found = receiver.wait_for(7)
    wait_until(lambda: now(api, every)["delivered"] == 5, "all are noted")
    some = [each for each in found if each.path == "/some"]
    assert sorted(names(some, made["secret"])) == ["b-early", "b-late"]
    assert {each.verified(made["secret"])["type"] for each in some} == {"streamer.deleted"}


def test_a_secret_is_shown_once(api: Api, receiver: Receiver) -> None:
    body = {"url": receiver.url(), "kinds": ["streamer.*"]}
    answer = api.post("/v1/webhooks", json=body)
    made = answer.json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert answer.headers["ETag"] == f'"{made["version"]}"'
    assert made["secret"].startswith("whsec_")
    for text in (
        api.get(path_of(made)).text,
        api.get("/v1/webhooks").text,
        api.patch(path_of(made), json={"description": "x"}).text,
        api.get("/v1/audit?limit=1000").text,
    ):
        assert made["webhook_id"] in text
        assert "whsec_" not in text
    assert create(api, receiver.url())["secret"] != made["secret"]


def test_each_secret_signs_for_its_time_of_grace(api: Api, receiver: Receiver) -> None:
    made = create(api, receiver.url(), "watchlist.*")
    assert made["previous_secret_until"] is None
    path, known = path_of(made), [made["secret"]]

    def ping() -> Received:
        before = len(receiver.requests)
        result = api.ok("POST", f"{path}:test")
        assert result == {"delivered": True, "status": 204, "error": None}
        return receiver.wait_for(before + 1)[-1]

    for _ in range(2):
        rotated = api.ok("POST", f"{path}:rotate", {"grace_s": 600})
        assert rotated["previous_secret_until"] == pytest.approx(
            rotated["created_at"] + 600, abs=200
        )
        known.append(rotated["secret"])
    received = ping()
    assert len({*known}) == len(received.headers["webhook-signature"].split()) == 3
    for secret in known:
        verified = received.verified(secret)
        assert (verified["type"], verified["data"]) == (
            "webhook.ping",
            {"webhook_id": made["webhook_id"]},
        )
    for _ in range(5):
        known.append(api.ok("POST", f"{path}:rotate", {"grace_s": 600})["secret"])
    assert len(ping().headers["webhook-signature"].split()) == 6  # the newest and five before it
    last = api.ok("POST", f"{path}:rotate", {"grace_s": 0})["secret"]
    received = ping()
    assert received.verified(last)
    for secret in known:
        with pytest.raises(WebhookVerificationError):
            received.verified(secret)


def test_what_is_sent_again_by_its_key_is_carried_out_once(api: Api, receiver: Receiver) -> None:
    reused: dict[str, Any] = {"status": 422, "code": "idempotency_key_reused"}
    headers = {"Idempotency-Key": '"hook-1"'}
    body = {"url": receiver.url("/once"), "kinds": ["streamer.*"]}
    first, again = (api.post("/v1/webhooks", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    for field in ("webhook_id", "secret", "version"):
        assert first.json()[field] == again.json()[field]
    api.refused(
        "POST", "/v1/webhooks", {**body, "kinds": ["watchlist.*"]}, headers=headers, **reused
    )
    path = f"{path_of(first.json())}:rotate"
    turned, once = (api.ok("POST", path, {"grace_s": 60}, headers=headers) for _ in range(2))
    assert turned["secret"] == once["secret"] != first.json()["secret"]
    api.refused("POST", path, {"grace_s": 1}, headers=headers, **reused)
    other = api.ok("POST", path, headers={"Idempotency-Key": '"turn-2"'})
    assert other["secret"] != turned["secret"]
    assert [each["url"] for each in api.all("/v1/webhooks", "webhooks")] == [body["url"]]


def test_what_fails_is_tried_again_and_others_pass_by(api: Api, receiver: Receiver) -> None:
    refused, accepted = list[Received](), list[Received]()

    def answer(received: Received, _: BaseHTTPRequestHandler) -> int:
        if '"streamer_id":"c-bad"' in received.body and not accepted:
            refused.append(received)
            return 500
        accepted.append(received)
        return 204

    def hang(received: Received, _: BaseHTTPRequestHandler) -> None:
        receiver.stops.wait()

    receiver.answer = answer
    made = create(api, receiver.url())
    with receiving(hang) as deaf, ThreadPoolExecutor(1) as pool:
        path = f"{path_of(create(api, deaf.url(), 'watchlist.*'))}:test"
        hanging = pool.submit(api.ok, "POST", path)
        api.put_streamer("c-bad", bio="guitar 0")
        receiver.wait_for(1)
        api.put_streamer("c-bad", bio="guitar 1")
        api.put_streamer("c-good", bio="guitar")
        receiver.wait_for(2)
        receiver.wait_for(4)
        ended = hanging.result()
        deaf.stops.set()
    assert (ended["delivered"], ended["status"]) == (False, None)
    assert names(accepted, made["secret"]) == ["c-good", "c-bad", "c-bad"]
    _, again, later = accepted
    assert {each.message_id for each in refused} == {again.message_id} != {later.message_id}
    assert {each.body for each in refused} == {again.body}
    wait_until(lambda: now(api, made)["delivered"] == 3, "all are noted")
    state = now(api, made)
    assert (state["due"], state["dead"]) == (0, 0)
    assert state["last_failure"] is not None
    attempts = {each["message_id"]: each["attempts"] for each in listed(api, made, "delivered")}
    assert attempts[again.message_id] == len(refused) + 1
    assert attempts[later.message_id] == 1


def test_a_target_says_when_it_wants_to_be_asked_again(api: Api, receiver: Receiver) -> None:
    def answer(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500)
        handler.send_header("Retry-After", "3600")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    receiver.answer = answer
    made = create(api, receiver.url())
    for i in range(2):
        api.put_streamer("d", bio=f"guitar {i}")
    wait_until(lambda: now(api, made)["last_failure"], "the attempt is noted")
    wait_until(lambda: now(api, made)["due"] == 2, "the other message waits behind it")
    waiting, behind = listed(api, made, "due")
    assert (waiting["attempts"], waiting["last_status"]) == (1, 500)
    assert waiting["last_error"] == now(api, made)["last_failure"]
    assert waiting["next_at"] == pytest.approx(waiting["last_at"] + 3600, abs=60)
    assert (behind["attempts"], behind["last_at"]) == (0, None)
    assert [each.message_id for each in receiver.requests] == [waiting["message_id"]]
    (dead, replayed) = (listed(api, made, "dead"), api.ok("POST", f"{path_of(made)}:replay"))
    assert (dead, replayed) == ([], {"replayed": 0})
    problem = api.refused(
        "POST",
        f"{path_of(made)}:replay",
        {"delivery_ids": [waiting["delivery_id"]]},
        status=422,
        code="invalid_request",
    )
    assert wrong_fields(problem) == ["/delivery_ids/0"]


def test_410_disables_a_webhook_and_is_told(api: Api, receiver: Receiver) -> None:
    receiver.answer = lambda received, handler: 410
    made = create(api, receiver.url())
    api.put_streamer("e", bio="guitar")
    wait_until(lambda: not now(api, made)["enabled"], "it is disabled")
    state = now(api, made)
    assert "410" in state["disabled_because"]
    assert (state["due"], len(receiver.requests)) == (1, 1)
    (event,) = told(api, "webhook.disabled", made)
    assert event["url"] == receiver.url()
    api.put_streamer("e-late", bio="guitar")
    receiver.answer = lambda received, handler: 204
    enabled = api.ok("PATCH", path_of(made), {"enabled": True})
    assert (enabled["enabled"], enabled["disabled_because"]) == (True, None)
    first, later = receiver.wait_for(2)
    assert names([later], made["secret"]) == ["e-late"]
    wait_until(lambda: now(api, made)["delivered"] == 1, "it is noted")
    assert [each["message_id"] for each in listed(api, made, "due")] == [first.message_id]


def test_who_is_disabled_or_deleted_gets_nothing(api: Api, receiver: Receiver) -> None:
    kept, off, gone = (create(api, receiver.url(f"/{name}")) for name in ("kept", "off", "gone"))
    assert api.ok("PATCH", path_of(off), {"enabled": False})["disabled_because"] is None
    assert api.ok("DELETE", path_of(gone)) == {"webhook_id": gone["webhook_id"]}
    api.put_streamer("f", bio="guitar")
    receiver.wait_for(1)
    api.ok("PATCH", path_of(off), {"enabled": True})
    found = receiver.wait_for(2)
    assert [each.path for each in found] == ["/kept", "/off"]
    assert names(found[:1], kept["secret"]) == names(found[1:], off["secret"]) == ["f"]
    for method, route in (("GET", ""), ("DELETE", ""), ("POST", ":test"), ("GET", "/deliveries")):
        api.refused(method, path_of(gone) + route, status=404, code="webhook_not_found")


def test_a_change_is_of_the_version_that_was_read(api: Api, receiver: Receiver) -> None:
    made = create(api, receiver.url())
    path, seen = path_of(made), {"If-Match": f'"{made["version"]}"'}
    answer = api.patch(path, json={"description": "mine"}, headers=seen)
    changed = answer.json()
    assert (answer.status_code, changed["description"]) == (200, "mine")
    assert answer.headers["ETag"] == f'"{changed["version"]}"' == api.get(path).headers["ETag"]
    for method, body in (("PATCH", {"enabled": False}), ("DELETE", None)):
        api.refused(method, path, body, headers=seen, status=412, code="version_conflict")
    state = now(api, made)
    kept = ("url", "kinds", "description", "enabled", "created_at", "created_by", "version")
    assert {name: state[name] for name in kept} == {
        **{name: made[name] for name in kept},
        "description": "mine",
        "version": changed["version"],
    }
    moved = api.ok("PATCH", path, {"url": receiver.url("/moved")}, headers={"If-Match": "*"})
    assert moved["url"] == receiver.url("/moved")
    api.ok("POST", f"{path}:test")
    assert [each.path for each in receiver.requests] == ["/moved"]


def _redirect(_: Received, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _endless_head(_: Received, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * (1 << 20))


def _rubbish(_: Received, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\0" * 1000 + b"\r\n\r\n")


def _gigabyte(received: Received, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    for _ in range(64):  # more than the sender and the sockets between take
        handler.wfile.write(bytes(1 << 20))
    received.headers["read"] = "whole"


@pytest.mark.parametrize(
    ("answer", "status", "delivered"),
    [
        (lambda received, handler: 500, 500, False),
        (lambda received, handler: 202, 202, True),
        (_redirect, 302, False),
        (_gigabyte, 200, True),
        (_endless_head, None, False),
        (_rubbish, None, False),
        (None, None, False),
    ],
)
def test_a_ping_tells_how_a_target_answers(
    api: Api,
    receiver: Receiver,
    answer: Callable[[Received, BaseHTTPRequestHandler], int | None] | None,
    status: int | None,
    delivered: bool,
) -> None:
    with receiving(answer) as target:
        made = create(api, target.url(), "watchlist.*")
        found = None if answer is None else api.ok("POST", f"{path_of(made)}:test")
    if found is None:  # nobody listens any more
        found = api.ok("POST", f"{path_of(made)}:test")
    else:
        assert [each.path for each in target.requests] == ["/hooks"]
        assert "read" not in target.requests[0].headers
    assert (found["status"], found["delivered"]) == (status, delivered)
    assert (found["error"] is None) is delivered
    assert now(api, made)["delivered"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "no url",
        "https:///a",
        "https://user:secret@93.184.216.34/a",
        "https://93.184.216.34/a#part",
        "https://93.184.216.34:0/a",
        "https://93.184.216.34:99999999999999999999/a",
        "https://[::1]/a",
        "https://93.184.216.34/" + "a" * 2048,
        "https://10.0.0.1/a",
        "https://127.1.0.1/a",
        "https://169.254.169.254/latest",
        "http://192.0.2.1/a",
        "http://93.184.216.34/a",
    ],
)
def test_a_target_that_may_not_be_asked(api: Api, receiver: Receiver, url: str) -> None:
    made = create(api, receiver.url())
    body = {"url": url, "kinds": ["streamer.*"]}
    for method, path, asked in (
        ("POST", "/v1/webhooks", body),
        ("PATCH", path_of(made), {"url": url}),
    ):
        problem = api.refused(method, path, asked, status=422, code="invalid_request")
        assert wrong_fields(problem) == ["/url"]
    assert [each["url"] for each in api.all("/v1/webhooks", "webhooks")] == [receiver.url()]


@pytest.mark.parametrize(
    ("method", "route", "body", "field"),
    [
        ("POST", None, {"url": TARGET, "kinds": ["webhook.disabled"]}, "/kinds"),
        ("POST", None, {"url": TARGET, "kinds": ["streamers.*"]}, "/kinds"),
        ("POST", None, {"url": TARGET, "kinds": ["a" * 83]}, "/kinds/0"),
        ("POST", None, {"url": TARGET, "kinds": []}, "/kinds"),
        ("POST", None, {"url": TARGET}, "/kinds"),
        ("POST", None, {"url": TARGET, "kinds": ["streamer.*"], "secret": "x"}, "/secret"),
        (
            "POST",
            None,
            {"url": TARGET, "kinds": ["streamer.*"], "description": "x" * 501},
            "/description",
        ),
        ("PATCH", "", {}, ""),
        ("PATCH", "", {"url": None}, ""),
        ("PATCH", "", {"kinds": None}, ""),
        ("PATCH", "", {"kinds": ["webhook.*"]}, "/kinds"),
        ("POST", ":rotate", {"grace_s": -1}, "/grace_s"),
        ("POST", ":rotate", {"grace_s": 2_592_001}, "/grace_s"),
        ("POST", ":replay", {"delivery_ids": []}, "/delivery_ids"),
        ("POST", ":replay", {"delivery_ids": ["x"]}, "/delivery_ids/0"),
        ("POST", ":replay", {"delivery_ids": ["0" * 12]}, "/delivery_ids/0"),
        ("GET", "/deliveries?state=lost", None, "state"),
        ("GET", "/deliveries?limit=0", None, "limit"),
        ("GET", "/deliveries?cursor=nonsense", None, "cursor"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    api: Api, receiver: Receiver, method: str, route: str | None, body: Any, field: str
) -> None:
    made = create(api, receiver.url())
    path = "/v1/webhooks" if route is None else path_of(made) + route
    problem = api.refused(method, path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]
    (kept,) = api.all("/v1/webhooks", "webhooks")
    assert kept["version"] == made["version"]


def test_there_may_be_fifty(api: Api, receiver: Receiver) -> None:
    made = [create(api, receiver.url(), "watchlist.*")["webhook_id"] for _ in range(50)]
    body = {"url": receiver.url(), "kinds": ["watchlist.*"]}
    api.refused("POST", "/v1/webhooks", body, status=409, code="too_many_webhooks")
    pages = [*api.pages("/v1/webhooks", "webhooks", limit=20)]
    assert [len(page) for page in pages] == [20, 20, 10]
    assert [each["webhook_id"] for page in pages for each in page] == sorted(made)


def test_webhooks_need_the_scope_admin_and_others_are_not_there(
    api: Api, receiver: Receiver
) -> None:
    made = create(api, receiver.url())
    others = api.with_key("streamers:read", "streamers:write", "search", "duplicates", "cases")
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", ":rotate", {}),
        ("POST", ":test", None),
        ("POST", ":replay", {}),
        ("GET", "/deliveries", None),
    ]
    for method, route, body in asked:
        others.refused(method, path_of(made) + route, body, status=403, code="missing_scope")
        api.refused(method, UNKNOWN + route, body, status=404, code="webhook_not_found")
    others.refused("GET", "/v1/webhooks", status=403, code="missing_scope")
    body = {"url": receiver.url(), "kinds": ["streamer.*"]}
    others.refused("POST", "/v1/webhooks", body, status=403, code="missing_scope")
    others.refused("GET", "/v1/events?kinds=webhook.*", status=403, code="missing_scope")
    assert (now(api, made)["enabled"], receiver.requests) == (True, [])
