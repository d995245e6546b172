"""kill -9 between what is stored and what is delivered; two processes on one store."""

import json
import random
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.service.conftest import Serve
from tests.service.features.webhooks.conftest import create
from tests.service.features.webhooks.receiver import Received, Receiver
from tests.service.process import wait_until
from tests.service.valkey import Server

pytestmark = pytest.mark.slow
OPTIONS = {"STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8"}


def ids(received: list[Received]) -> set[tuple[str, str]]:
    """(event, message) of requests."""
    return {(json.loads(r.body)["event_id"], r.message) for r in received}


def test_kill_9_loses_nothing_and_changes_no_id(serve: Serve, receiver: Receiver) -> None:
    choose = random.Random(0)
    answered: list[Received] = []
    is_stuck = True

    def answer(received: Received, _: BaseHTTPRequestHandler) -> int | None:
        if is_stuck:  # it came, and the service never learns of it
            receiver.stops.wait(60)
            return None
        answered.append(received)
        return 204

    receiver.answer = answer
    service = serve(**OPTIONS)
    made = create(service.client, receiver.url())
    for round_ in range(3):
        for i in range(7):
            service.put(f"s-{choose.randrange(4)}", bio=f"guitar {round_} {i}")
        before = len(receiver.requests)
        receiver.until(lambda found, before=before: len(found) > before or before > 0)
        service.kill()
        service = serve(**OPTIONS)
    is_stuck = False
    page = service.client.get("/v1/events", params={"kinds": "streamer.*", "limit": 1000}).json()
    events = {event["event_id"]: event for event in page["events"]}
    assert len(events) == 21
    wait_until(lambda: {e for e, _ in ids(answered)} == events.keys(), "all are delivered")
    found = ids(receiver.requests)
    assert len(found) == len({message for _, message in found}) == 21
    for name in {event["data"]["streamer_id"] for event in events.values()}:
        bodies = [r.verified(made["secret"])["data"] for r in answered]
        versions = [b["version"] for b in bodies if b["streamer_id"] == name]
        assert versions == sorted(versions)


def test_another_replica_takes_over(serve: Serve, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    server = Server(tmp_path / "valkey")
    server.start()
    try:
        options = OPTIONS | {"REDIS_URL": server.url}
        first = serve(data_dir=tmp_path / "a", **options)
        second = serve(data_dir=tmp_path / "b", **options)
        create(first.client, receiver.url())
        second.put("s-1", bio="guitar")
        receiver.wait_for(1)
        first.kill()
        second.put("s-1", bio="guitar again")
        # Whoever was killed may not have noted that the first one was delivered: it comes again.
        found = receiver.until(lambda found: len({r.message for r in found}) == 2)
        created = {r.message: json.loads(r.body)["data"]["created"] for r in found}
        assert list(created.values()) == [True, False]
        metrics = second.client.get("/metrics").text
        assert "streamer_webhooks_leading 1.0" in metrics
    finally:
        server.kill()
