"""A server of one's own in place of the embedded store."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.service.conftest import Serve
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import Service, error_line, run, wait_until
from tests.service.valkey import Replicated, Server

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


def test_nobody_listens(bundle: Path, tmp_path: Path, free_port: int) -> None:
    url = f"redis://user:pass-word@127.0.0.1:{free_port}"
    arguments = ("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0)
    said = error_line(run(*arguments, REDIS_URL=url, STREAMER_STORE__START_WAIT_S="0"))
    assert said.startswith("error: REDIS_URL: the store is gone: ")
    assert "start that server, or unset it to use the embedded store" in said
    assert "pass-word" not in said
    assert not (tmp_path / "data").exists()


def test_it_works_from_end_to_end(serve: Serve, server: Server) -> None:
    service = serve(REDIS_URL=server.url)
    assert service.client.get("/readyz").json()["store"] == "external"
    assert "writes may be lost" not in service.output
    assert not (service.data_dir / "store").exists()
    service.put("a", tags=["cooking"])
    sequence = service.put("b", tags=["cooking"])
    service.put("gone", tags=["cooking"])
    service.client.delete("/v1/streamers/gone").raise_for_status()
    assert service.similar(sequence + 2, tags=["cooking"]) == {"a", "b"}
    # The server outlives the service.
    service.kill()
    service = serve(REDIS_URL=server.url)
    assert service.similar(sequence + 2, tags=["cooking"]) == {"a", "b"}
    # The service outlives the server, and takes it up again.
    server.kill()
    wait_until(lambda: not service.is_ready(), "it notices")
    answer = service.client.put("/v1/streamers/c", json={"tags": ["cooking"]})
    assert answer.status_code == 503
    assert answer.json()["code"] == "store_unavailable"
    assert service.similar(tags=["cooking"]) == {"a", "b"}
    server.start()
    wait_until(service.is_ready, "it recovers")
    sequence = service.put("c", tags=["cooking"])
    assert service.similar(sequence, tags=["cooking"]) == {"a", "b", "c"}
    assert service.stop(signal.SIGTERM) == 0


def test_a_server_that_blips_leaves_the_service_ready(serve: Serve, server: Server) -> None:
    service = serve(REDIS_URL=server.url, STREAMER_LIMITS__STORE_GRACE_S="600")
    assert service.similar(service.put("a", tags=["cooking"]), tags=["cooking"]) == {"a"}
    assert store_up(service) == 1
    server.kill()
    wait_until(lambda: store_up(service) == 0, "the metrics tell")
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["reason"]) == (200, "ok", None)
    assert "the store" in ready.json()["degraded_because"]
    assert service.similar(tags=["cooking"]) == {"a"}
    server.start()
    wait_until(lambda: store_up(service) == 1, "it is back")
    wait_until(
        lambda: service.client.get("/readyz").json()["degraded_because"] is None, "all is well"
    )


def test_a_server_that_refuses_writes_is_named(serve: Serve, server: Server) -> None:
    service = serve(REDIS_URL=server.url)
    service.put("a", tags=["cooking"])
    with Redis.from_url(server.url) as client:
        for refuse, allow, said, status in (
            (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica", 503),
            (
                ("CONFIG", "SET", "min-replicas-to-write", "1"),
                ("CONFIG", "SET", "min-replicas-to-write", "0"),
                "Not enough good replicas",
                503,
            ),
            (
                ("CONFIG", "SET", "maxmemory", "1"),
                ("CONFIG", "SET", "maxmemory", "0"),
                "maxmemory",
                507,
            ),
        ):
            client.execute_command(*refuse)
            wait_until(lambda: said in because(service), f"{said} is named")  # noqa: B023
            assert store_up(service) == 0
            ready = service.client.get("/readyz")
            assert ready.status_code == 200, ready.text  # what can be read is read
            answer = service.client.put("/v1/streamers/b", json={"tags": ["cooking"]})
            assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
            assert service.client.get("/v1/streamers/a").status_code == 200
            client.execute_command(*allow)
            wait_until(service.is_ready, "it takes writes again")
    service.put("b", tags=["cooking"])


def test_a_write_is_repeated_until_a_replica_has_it(
    serve: Serve, tmp_path: Path, bundle: Path
) -> None:
    with Replicated(tmp_path, replicas=1) as servers:
        primary, replica = servers.servers
        known = {"STREAMER_STORE__REPLICAS": "1", "STREAMER_STORE__REPLICA_TIMEOUT_MS": "300"}
        service = serve(REDIS_URL=primary.url, **known)

        def put(streamer_id: str = "b") -> httpx.Response:
            headers = {"Idempotency-Key": f"the-same-{streamer_id}"}
            body = {"tags": ["cooking"], "name": streamer_id}
            return service.client.put(f"/v1/streamers/{streamer_id}", json=body, headers=headers)

        wait_until(lambda: put("a").is_success, "the replica has it")
        with replica.suspended():
            for _ in range(2):
                answer = put()
                assert (answer.status_code, answer.json()["code"]) == (503, "not_replicated")
                assert answer.headers["Retry-After"]
                assert "0 of 1 replicas acknowledged" in answer.json()["detail"]
            line = json_line({"streamer_id": "b", "tags": ["cooking"], "name": "b"})
            (result,) = service.client.post(
                "/v1/streamers:bulk",
                content=line,
                headers=NDJSON,
                params={"skip_unchanged": "true"},
            ).text.splitlines()
            assert json.loads(result)["error"]["code"] == "not_replicated"  # not "unchanged"
            wait_until(lambda: store_up(service) == 0, "the metrics tell")
            assert "0 of 1 replicas" in because(service)
            assert service.client.get("/readyz").status_code == 200
            wait_until(lambda: service.similar(tags=["cooking"]) == {"a", "b"}, "both are found")
        answers: list[httpx.Response] = []
        wait_until(lambda: answers.append(put()) or answers[-1].is_success, "the replica has it")
        again = answers[-1]
        assert (again.status_code, again.json()["version"]) == (201, 2)  # the first answer
        wait_until(service.is_ready, "all is well")
        assert service.stop(signal.SIGTERM) == 0
    said = error_line(
        run("serve", "--bundle", bundle, "--data-dir", tmp_path / "own", "--port", 0, **known)
    )
    assert "STREAMER_STORE__REPLICAS is about an external store: set REDIS_URL as well" in said


def because(service: Service) -> str:
    return str(service.client.get("/readyz").json()["degraded_because"])


def store_up(service: Service) -> int:
    metrics = service.client.get("/metrics").text
    (line,) = [line for line in metrics.splitlines() if line.startswith("streamer_store_up ")]
    return int(float(line.split()[1]))


def test_two_services_share_a_server(serve: Serve, server: Server) -> None:
    one, two = serve(REDIS_URL=server.url), serve(REDIS_URL=server.url)
    assert one.similar(one.put("a", tags=["cooking"]), tags=["cooking"]) == {"a"}
    sequence = two.put("b", tags=["cooking"])
    assert one.similar(sequence, tags=["cooking"]) == {"a", "b"}
    with Redis.from_url(server.url) as client:  # another history, as after a restored backup
        client.flushall()
    for service in (one, two):
        wait_until(lambda: service.similar(tags=["cooking"]) == set(), "the index starts anew")  # noqa: B023
    sequence = one.put("c", tags=["cooking"])
    assert two.similar(sequence, tags=["cooking"]) == {"c"}


def test_a_server_that_may_lose_writes_is_reported(serve: Serve, tmp_path: Path) -> None:
    server = Server(tmp_path, appendonly="no")
    server.start()
    try:
        service = serve(REDIS_URL=server.url)
        assert "writes may be lost: none: appendonly is no" in service.output
    finally:
        server.kill()
