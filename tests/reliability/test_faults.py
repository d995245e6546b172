"""A network between the service and its store that delays, cuts, and swallows."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.reliability.conftest import Replicas
from tests.reliability.fault_proxy import FaultProxy
from tests.reliability.service_history import TAG, ServiceHistory, under_writes
from tests.support.service import Service, median_s, wait_until
from tests.support.valkey import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def service(replicas: Replicas, proxy: FaultProxy) -> Service:
    # No other scripts of the store than those of the writes pass the proxy.
    (service,) = replicas(proxy.url, STREAMER_DUPLICATES__EVALUATE="false")
    return service


def version(answer: httpx.Response) -> int:
    answer.raise_for_status()
    return answer.json()["sequence"]


@pytest.mark.parametrize("fault", ["cut_after_commit", "cut_in_mid_reply"])
def test_a_write_whose_answer_is_cut_off_is_done_once(
    service: Service, proxy: FaultProxy, fault: str
) -> None:
    client, cut = service.client, getattr(proxy, fault)
    assert service.put("a", tags=[TAG]) == 1
    cut()
    assert service.put("b", tags=[TAG]) == 2
    cut()
    answer = client.put("/v1/streamers/a", json={"tags": [TAG]}, headers={"If-Match": '"1"'})
    assert (version(answer), answer.json()["created"]) == (3, False)
    cut()
    answer = client.put("/v1/streamers/c", json={"tags": [TAG]}, headers={"If-None-Match": "*"})
    assert (version(answer), answer.status_code) == (4, 201)
    cut(2)
    assert version(client.patch("/v1/streamers/a", json={"name": "patched"})) == 5
    cut()
    assert version(client.delete("/v1/streamers/c")) == 6
    cut()
    results = service.bulk([{"streamer_id": f"bulk-{i}", "tags": [TAG]} for i in range(3)])
    assert [result["sequence"] for result in results] == [7, 8, 9]
    assert proxy.commits_cut == 7
    # When the answer is lost each time, the caller is told so, and nothing was done twice.
    cut(3)
    answer = client.put("/v1/streamers/b", json={"tags": [TAG]}, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    answer = client.put("/v1/streamers/b", json={"tags": [TAG]}, headers={"If-Match": '"2"'})
    assert answer.status_code == 412
    assert "is at version 10, not 2" in answer.json()["detail"]
    wait_until(service.is_ready, "it recovers by itself")
    assert service.similar(10, tags=[TAG]) == {"a", "b", "bulk-0", "bulk-1", "bulk-2"}


def test_a_slow_network_loses_nothing(service: Service, proxy: FaultProxy) -> None:
    proxy.delay_s = 0.2
    with ThreadPoolExecutor(8) as pool:
        sequences = list(pool.map(lambda i: service.put(f"s{i}", tags=[TAG]), range(40)))
    assert sorted(sequences) == list(range(1, 41))
    assert len(service.similar(40, tags=[TAG])) == 40
    assert service.is_ready()


def test_a_network_that_swallows(replicas: Replicas, server: Server, proxy: FaultProxy) -> None:
    lonely, other = replicas(proxy.url, server.url)
    lonely.put("a", tags=[TAG], name="first")
    lonely.similar(lonely.put("doomed", tags=[TAG]), tags=[TAG])  # it knows both
    proxy.swallow()
    with ThreadPoolExecutor(3) as pool:
        put = pool.submit(lonely.client.put, "/v1/streamers/a", json={"name": "late"})
        new = pool.submit(lonely.client.put, "/v1/streamers/new", json={"tags": [TAG]})
        wait_until(lambda: not lonely.is_ready(), "it notices")
        for answer in (put.result(), new.result()):
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    # What it knows it answers, at once and with a warning; what it can't know, not.
    path = "/v1/streamers/a/similar"
    wait_until(lambda: not lonely.client.get(path).json()["complete"], "its answers tell")
    assert lonely.similar(tags=[TAG]) == {"a", "doomed"}
    answer = lonely.client.get(path).json()
    assert (answer["complete"], "may be missing" in answer["incomplete_because"]) == (False, True)
    assert median_s(lambda: lonely.similar(tags=[TAG])) < 4
    # The client goes to another replica, and is not contradicted by what was held back.
    sequence = other.put("a", tags=[TAG], name="second")
    other.client.delete("/v1/streamers/doomed").raise_for_status()
    time.sleep(1)
    proxy.pass_on()
    wait_until(lonely.is_ready, "it recovers by itself")
    time.sleep(0.5)
    for service in (lonely, other):
        assert service.similar(sequence + 1, tags=[TAG]) == {"a"}
        assert {i: s["profile"]["name"] for i, s in service.streamers().items()} == {"a": "second"}
        assert service.client.get("/readyz").json()["index_sequence"] == sequence + 1


def test_any_faults_under_writes(service: Service, proxy: FaultProxy) -> None:
    told, choices = ServiceHistory(), random.Random(3)

    def delay() -> None:
        proxy.delay_s = choices.uniform(0, 0.1)

    def swallow() -> None:
        proxy.swallow()
        time.sleep(choices.uniform(0, 0.5))
        proxy.pass_on()

    def cut_replies(arm: Callable[[int], None]) -> None:
        before = proxy.commits_cut
        arm(choices.randint(1, 5))
        wait_until(lambda: proxy.commits_cut > before, "a reply was cut")

    faults: list[Callable[[], None]] = [
        delay,
        swallow,
        proxy.cut,
        lambda: cut_replies(proxy.cut_after_commit),
        lambda: cut_replies(proxy.cut_in_mid_reply),
    ]
    for _ in range(3):
        with under_writes(service, told):
            for _ in range(10):
                time.sleep(choices.uniform(0, 0.1))
                choices.choice(faults)()
            told.wait_for_more(10)
        proxy.cut_after_commit(0)
        proxy.cut_in_mid_reply(0)
        proxy.delay_s = 0
        wait_until(service.is_ready, "it recovers by itself")
        told.check_service(service)
    assert len(told.versions) > 50
    assert proxy.commits_cut > 10
