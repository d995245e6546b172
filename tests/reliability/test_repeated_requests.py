"""kill -9 between a commit and its answer, with `Idempotency-Key`: done once, and told later."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.reliability.conftest import Replicas
from tests.reliability.fault_proxy import FaultProxy
from tests.reliability.service_history import TAG
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow

WRITES: list[tuple[str, Any, dict[str, str], int]] = [
    ("PUT", {"tags": [TAG]}, {"If-None-Match": "*"}, 201),
    ("PUT", {"tags": [TAG], "name": "replaced"}, {}, 200),
    ("PATCH", {"name": "patched"}, {}, 200),
    ("DELETE", None, {}, 200),
]


def send(service: Service, number: int) -> httpx.Response:
    """One of the writes; the key is the same each time."""
    method, body, headers, _ = WRITES[number]
    named = {**headers, "Idempotency-Key": f'"write {number}"'}
    return service.client.request(method, "/v1/streamers/s", json=body, headers=named)


def test_a_service_that_is_killed_before_it_answers(replicas: Replicas, server: Server) -> None:
    with FaultProxy(server.port) as proxy, Redis.from_url(server.url) as store:
        urls = [*[proxy.url] * len(WRITES), server.url]
        *victims, survivor = replicas(*urls, STREAMER_DUPLICATES__EVALUATE="false")
        for number, (service, write) in enumerate(zip(victims, WRITES, strict=True)):
            before = survivor.put("another", tags=[TAG])
            proxy.delay_s = 0.2  # of each reply, so that the service waits for that of its write
            proxy.cut_after_commit(3)  # and if it is not killed by then, the reply is lost
            with ThreadPoolExecutor(1) as sending:
                answer = sending.submit(send, service, number)
                done = str(before + 1).encode()
                wait_until(lambda: store.hget("ss:meta", "sequence") == done, "it is on disk")  # noqa: B023
                service.kill()
                assert answer.exception() is not None or answer.result().status_code == 503
            proxy.delay_s = 0.0
            proxy.cut_after_commit(0)
            for _ in range(2):
                repeated = send(survivor, number)
                assert repeated.status_code == write[3], repeated.text
                assert repeated.headers["Idempotency-Replayed"] == "true"
                assert repeated.json()["sequence"] == before + 1
            assert store.hget("ss:meta", "sequence") == done


def test_two_replicas_get_the_same_request_at_once(replicas: Replicas, server: Server) -> None:
    services = replicas(server.url, server.url)
    with ThreadPoolExecutor(2) as sending:
        for number in range(20):
            headers = {"Idempotency-Key": f'"both {number}"'}
            body = {"tags": [TAG], "name": f"{number}"}

            def ask(service: Service, headers: Any = headers, body: Any = body) -> httpx.Response:
                return service.client.put("/v1/streamers/s", json=body, headers=headers)

            answers = list(sending.map(ask, services))
            assert {answer.json()["sequence"] for answer in answers} == {number + 1}
            replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
            assert sorted(map(str, replayed)) == ["None", "true"]
