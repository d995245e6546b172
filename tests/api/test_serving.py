"""Start and stop: what is refused and why, what is waited for, and what a stop leaves."""

import http.client
import json
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from tests.conftest import Serve
from tests.support.api import NDJSON, Api
from tests.support.bundles import DIM, write_bundle, write_manifest
from tests.support.machine import free_port
from tests.support.service import Service, run, wait_until
from tests.support.valkey import Server

COOK = {"tags": ["cooking"], "bio": "kitchen soup"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A store of one's own."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def refusal(*options: object, **variables: str) -> str:
    """The one line with which a service refuses to start."""
    done = run("serve", "--port", 0, *options, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.stderr.splitlines()[-1] == line
    assert "Traceback" not in done.stderr
    return line


def doctor(*options: object, **variables: str) -> dict[str, tuple[str, str]]:
    """Status and detail of each check."""
    done = run("doctor", "--json", *options, **variables)
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    assert found["ok"] == all(check["status"] != "fail" for check in found["checks"])
    return {check["name"]: (check["status"], check["detail"]) for check in found["checks"]}


def ids(api: Api) -> list[str]:
    return [streamer["streamer_id"] for streamer in api.all("/v1/streamers", "streamers")]


# What is wrong is named, and nothing is begun


@pytest.mark.parametrize(
    ("options", "variables", "named"),
    [
        ((), {"STREAMER_LIMITS__MAX_K": "many"}, "STREAMER_LIMITS__MAX_K"),
        ((), {"STREAMER_LIMITS__MAX_KK": "5"}, "did you mean STREAMER_LIMITS__MAX_K?"),
        ((), {"REDIS_URL": "http://127.0.0.1"}, "Redis URL"),
        ((), {"STREAMER_API_KEY": "schlüssel"}, "STREAMER_API_KEY"),
        ((), {"STREAMER_STORE__REPLICAS": "1"}, "STREAMER_STORE__REPLICAS"),
        ((), {"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ((), {"STREAMER_INDEX__DEVICE": "gpu"}, "STREAMER_INDEX__DEVICE=gpu"),
        ((), {"STREAMER_DIM": "33"}, "33 dimensions"),
        (("--host", "0.0.0.0"), {}, "STREAMER_API_KEY"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    bundle: Path, tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], named: str
) -> None:
    where = ("--bundle", bundle, "--data-dir", tmp_path / "data")
    line = refusal(*where, *options, **variables)
    assert named in line
    assert "schlüssel" not in line
    assert not (tmp_path / "data").exists()


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(content)


def remove_a_file(folder: Path) -> None:
    (folder / "vocabulary.json").unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def of_a_newer_schema(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(folder, {**manifest, "schema_version": manifest["schema_version"] + 1})


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (flip_a_byte, "encoder.onnx"),
        (remove_a_file, "vocabulary.json"),
        (remove_the_manifest, "manifest.json"),
        (of_a_newer_schema, "schema_version"),
    ],
)
def test_a_bundle_that_can_not_be_trusted_is_refused(
    bundle: Path, tmp_path: Path, damage: Callable[[Path], None], named: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    damage(damaged)
    assert named in refusal("--bundle", damaged, "--data-dir", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_and_a_bundle_that_was_not_given_are_named(
    bundle: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{(port := taken.getsockname()[1])}"
        known = {"STREAMER_BUNDLE": str(bundle), "STREAMER_DATA_DIR": str(tmp_path / "data")}
        assert address in refusal("--port", port, **known)
        checks = doctor("--port", port, **known)
        assert checks["port"][0] == "warn"
        assert address in checks["port"][1]
    assert "STREAMER_BUNDLE" in refusal()


def test_a_store_that_is_not_there_is_refused_without_its_password(
    bundle: Path, tmp_path: Path
) -> None:
    where = ("--bundle", bundle, "--data-dir", tmp_path / "data")
    url = f"redis://user:pass-word@127.0.0.1:{free_port()}"
    line = refusal(*where, REDIS_URL=url, STREAMER_STORE__START_WAIT_S="0")
    assert line.startswith("error: REDIS_URL: ")
    assert "pass-word" not in line


def test_doctor_tells_what_is_there_and_what_is_broken(bundle: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data", "--port", free_port())
    checks = doctor("--bundle", bundle, *where)
    assert {status for status, _ in checks.values()} == {"ok"}
    assert checks["bundle"][1].startswith(f"test-0, {DIM} dimensions")
    assert not (tmp_path / "data").exists()
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    remove_a_file(damaged)
    (tmp_path / "file").write_text("in the way")
    nobody = f"redis://127.0.0.1:{free_port()}"
    broken = doctor(
        *("--bundle", damaged, "--data-dir", tmp_path / "file"),
        REDIS_URL=nobody,
        OTEL_TRACES_EXPORTER="zipkin",
        STREAMER_LIMTS__MAX_K="5",
    )
    failed = {name for name, (status, _) in broken.items() if status == "fail"}
    assert failed >= {"bundle", "data folder", "store", "traces"}
    assert not failed & {"python", "runtime", "twins", "port", "settings"}
    assert broken["settings"][0] == "warn"
    people = run("doctor", *map(str, where))
    assert people.returncode == 0
    assert people.stdout.endswith("give --bundle\n")


# One folder, one service, one model


def test_a_data_folder_is_of_one_service_and_of_one_model(
    bundle: Path, tmp_path: Path, serve: Serve
) -> None:
    first = serve()
    version = first.api.put_streamer("a", **COOK)
    vector = first.api.embedding("a")
    where = ("--data-dir", tmp_path / "data")
    in_use = refusal("--bundle", bundle, *where)
    assert f"service process {first.process.pid}" in in_use
    assert doctor("--bundle", bundle, *where)["data folder"][0] == "fail"
    first.api.put_streamer("b", **COOK)  # as if nothing had been
    store = first.store
    assert first.stop() == 0
    assert not store.is_running() or store.status() == psutil.STATUS_ZOMBIE
    assert "Traceback" not in first.output

    write_bundle(tmp_path / "next", seed=1)
    line = refusal("--bundle", tmp_path / "next", *where)
    assert "test-0" in line
    assert "test-1" in line
    assert "--reencode" in line
    checks = doctor("--bundle", tmp_path / "next", *where)
    assert checks["store"][0] == "fail"
    assert "test-0" in checks["store"][1]

    again = serve("--reencode", bundle=tmp_path / "next").api
    assert again.ok("GET", "/readyz")["model_version"] == "test-1"
    assert again.ok("GET", "/v1/streamers/a")["profile"] == {"streamer_id": "a", **COOK}
    assert not np.allclose(again.embedding("a"), vector)
    (hit,) = again.ok("GET", "/v1/streamers/a/similar")["hits"]
    assert (hit["streamer_id"], hit["score"]) == ("b", pytest.approx(1, abs=1e-3))
    assert again.put_streamer("c", **COOK) > version + 1


def test_a_store_of_a_newer_format_is_refused_and_left_as_it_is(
    bundle: Path, tmp_path: Path, serve: Serve, server: Server
) -> None:
    service = serve(REDIS_URL=server.url)
    service.api.put_streamer("a", **COOK)
    assert service.stop() == 0
    newer = int(server.command("HGET", "ss:meta", "format")) + 1
    server.command("HSET", "ss:meta", "format", newer)
    where = ("--bundle", bundle, "--data-dir", tmp_path / "data")
    assert f"format {newer}" in refusal(*where, REDIS_URL=server.url)
    checks = doctor(*where, REDIS_URL=server.url)
    assert checks["store"][0] == "fail"
    server.command("HSET", "ss:meta", "format", newer - 1)
    assert ids(serve(REDIS_URL=server.url).api) == ["a"]


# A store of one's own


def test_an_external_store_outlives_the_service_and_may_be_away_for_a_while(
    serve: Serve, server: Server
) -> None:
    service = serve(REDIS_URL=server.url, STREAMER_LIMITS__STORE_GRACE_S="1")
    assert service.api.ok("GET", "/readyz")["store"] == "external"
    assert not (service.data_dir / "store").exists()
    last = service.api.write([{"streamer_id": name, **COOK} for name in ("a", "b", "gone")])
    service.api.ok("DELETE", "/v1/streamers/gone")
    service.kill()
    service = serve(REDIS_URL=server.url, STREAMER_LIMITS__STORE_GRACE_S="1")
    service.api.wait_until_indexed(last + 1)
    assert ids(service.api) == ["a", "b"]

    server.kill()
    ready = service.api.get
    wait_until(lambda: ready("/readyz").status_code == 503, "it tells that its store is away")
    assert ready("/livez").status_code == 200
    refused = service.api.refused(
        "PUT", "/v1/streamers/c", COOK, status=503, code="store_unavailable"
    )
    assert refused["status"] == 503
    question = {"positive": [{"profile": COOK}]}
    hits = service.api.ok("POST", "/v1/similar", question)["hits"]
    assert {hit["streamer_id"] for hit in hits} == {"a", "b"}  # from memory
    server.start()
    service.wait_until_ready()
    service.api.put_streamer("c", **COOK)
    assert ids(service.api) == ["a", "b", "c"]


def test_a_store_that_refuses_writes_is_named_and_read(serve: Serve, server: Server) -> None:
    service = serve(REDIS_URL=server.url)
    service.api.put_streamer("a", **COOK)
    for setting, status, code in (
        ("min-replicas-to-write", 503, "store_unavailable"),
        ("maxmemory", 507, "store_full"),
    ):
        server.command("CONFIG", "SET", setting, 1)
        wait_until(lambda: not service.is_ready(), "it notices")
        assert service.api.get("/readyz").status_code == 200  # what can be read is read
        service.api.refused("PUT", "/v1/streamers/b", COOK, status=status, code=code)
        assert ids(service.api) == ["a"]
        server.command("CONFIG", "SET", setting, 0)
        service.wait_until_ready()
    service.api.put_streamer("b", **COOK)


def test_while_its_store_is_silent_it_tells_that_it_starts(bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with Service(bundle, tmp_path / "data", REDIS_URL=store) as service:
            with httpx.Client(base_url=service.url, trust_env=False) as asking:
                assert asking.get("/livez").status_code == 200
                for probe in ("/readyz", "/startupz"):
                    answer = asking.get(probe)
                    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
                for method, path in (("GET", "/v1/streamers"), ("PUT", "/v1/streamers/a")):
                    answer = asking.request(method, path, json={})
                    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
                    assert answer.headers["retry-after"]
            assert service.stop() == 0
            assert "Traceback" not in service.output


# Keys, and the end


def test_open_to_the_network_it_asks_for_the_key_and_never_logs_it(serve: Serve) -> None:
    service = serve("--host", "0.0.0.0", STREAMER_API_KEY="a-secret-of-mine")
    assert service.api.ok("GET", "/v1/streamers")["streamers"] == []
    with Api(service.url) as nobody, Api(service.url, "another") as somebody:
        for asking in (nobody, somebody):
            asking.refused("GET", "/v1/streamers", status=401, code="unauthorized")
    assert "a-secret-of-mine" not in service.output
    assert service.stop(signal.SIGINT) == 0  # which waits for nothing


def begin(service: Service, method: str, path: str, media_type: str) -> http.client.HTTPConnection:
    """A request whose body comes in parts."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    connection.putrequest(method, path)
    connection.putheader("Content-Type", media_type)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    return connection


def send(connection: http.client.HTTPConnection, part: bytes) -> None:
    connection.send(b"%x\r\n%s\r\n" % (len(part), part))


def test_sigterm_drains_and_what_was_acknowledged_meanwhile_is_stored(serve: Serve) -> None:
    service = serve(STREAMER_SERVER__DRAIN_S="60")
    lines = [json.dumps({"streamer_id": f"s{i:02}", **COOK}).encode() for i in range(70)]
    with (
        closing(begin(service, "POST", "/v1/streamers:bulk", NDJSON["Content-Type"])) as bulk,
        closing(begin(service, "PUT", "/v1/streamers/half", "application/json")) as put,
    ):
        send(put, b'{"tags": [')
        send(bulk, b"\n".join(lines) + b'\n{"streamer_id": "half')
        wait_until(lambda: "s63" in ids(service.api), "the first lines are written")
        service.send(signal.SIGTERM)
        wait_until(lambda: service.api.get("/readyz").status_code == 503, "it is not ready")
        assert service.api.get("/readyz").json()["status"] == "stopping"
        assert service.api.get("/livez").status_code == 200
        # Who has not heard of it yet is answered.
        assert service.api.put("/v1/streamers/late", json=COOK).status_code == 201
        assert service.is_running
        service.send(signal.SIGTERM)  # a second one waits no longer
        answer = bulk.getresponse()
        assert answer.status == 200
        *results, last = map(json.loads, answer.read().splitlines())
        assert [each["outcome"] for each in results] == ["created"] * 70
        assert (last["line"], last["error"]["code"]) == (71, "stopping")
        refused: Any = put.getresponse()
        assert (refused.status, json.loads(refused.read())["code"]) == (503, "stopping")
    assert service.process.wait(120) == 0
    assert "Traceback" not in service.output
    assert ids(serve().api) == ["late", *(f"s{i:02}" for i in range(70))]
