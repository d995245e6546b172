"""`encode` and `import` as a person or a scheduler runs them."""

import http.server
import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service.features.jobs.schemas import EXAMPLE, QUEUED
from tests.reliability.fault_proxy import FaultProxy
from tests.service.commands.conftest import serving
from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profile, profiles, write_data
from tests.service.process import (
    ROOT,
    START_S,
    command,
    environment,
    error_line,
    run,
    wait_until,
)

pytestmark = pytest.mark.slow


def test_parts_are_encoded_and_imported(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    source = write_data(tmp_path / "data", profiles(30)) / "streamers.jsonl"
    files = [tmp_path / f"{i}.parquet" for i in (1, 2)]
    for i, file in enumerate(files, start=1):
        done = run(
            *("encode", "--bundle", bundle, "--in", source),
            *("--part", f"{i}/2", "--out", file, "--json"),
        )
        assert done.returncode == 0, done.stderr
    service = serve()
    done = run("import", *files, "--url", service.url, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["lines"], found["created"], found["refused"]) == (30, 30, 0)
    assert service.client.get("/v1/streamers/s00029").json()["profile"] == profile(29)
    again = json.loads(run("import", *files, "--url", service.url, "--json").stdout)
    assert (again["created"], again["unchanged"]) == (0, 30)

    source.write_text(json_line(profile(0)))
    failed = error_line(run("import", source, "--url", service.url))
    assert "was not written by `python -m service encode`" in failed
    short = tmp_path / "short.parquet"
    given = ("encode", "--bundle", bundle, "--dim", "32", "--in", source, "--out", short)
    assert run(*given).returncode == 0
    failed = error_line(run("import", short, "--url", service.url))
    assert "encode it again with that model's bundle" in failed


def interrupt(
    log: Path,
    when: Callable[[], bool],
    *arguments: object,
    number: signal.Signals = signal.SIGINT,
) -> str:
    """What a command says that is interrupted, as by Ctrl-C, in a certain moment."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(when, "the moment comes", every_s=0.02)
        process.send_signal(number)
        assert process.wait(START_S) == 128 + number
    finally:
        process.kill()
        process.wait()
    before, last = log.read_text().rsplit("stopped: ", 1)
    assert "Traceback" not in before
    return last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_encode_leaves_nothing(
    bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder, out, log = tmp_path / "data", tmp_path / "out", tmp_path / "log"
    source = write_data(folder, ["rubbish\n", *profiles(12_000)]) / "streamers.jsonl"
    given = ("encode", "--bundle", bundle, "--in", source, "--out", out / "e.parquet")
    said = interrupt(log, lambda: "encode: " in log.read_text(), *given, number=number)
    assert "nothing is kept; run the same command again" in said
    assert list(out.iterdir()) == []


def encoded(bundle: Path, folder: Path) -> Path:
    source = write_data(folder / "data", profiles(3)) / "streamers.jsonl"
    out = folder / "e.parquet"
    assert run("encode", "--bundle", bundle, "--in", source, "--out", out).returncode == 0
    return out


def test_an_interrupted_import_tells_of_its_job(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    file, log = encoded(bundle, tmp_path), tmp_path / "log"
    service = serve(STREAMER_JOBS__AT_ONCE="0")  # so that the job waits
    given = ("import", file, "--url", service.url)
    said = interrupt(log, lambda: ": job " in log.read_text(), *given)
    (job,) = service.client.get("/v1/jobs").json()["jobs"]
    assert job["state"] == "queued"
    jobs, rest = "python -m service jobs", f"{job['job_id']} --url {service.url}"
    assert f"{file} is not imported yet; the job {job['job_id']} goes on in the service" in said
    assert f"`{jobs} watch {rest}`" in said
    assert f"`{jobs} cancel {rest}`" in said
    assert run("jobs", "cancel", *rest.split()).returncode == 0
    assert service.client.get(f"/v1/jobs/{job['job_id']}").json()["state"] == "cancelled"


def test_an_interrupted_upload_tells_where_its_job_would_be(bundle: Path, tmp_path: Path) -> None:
    file = encoded(bundle, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # whose answer never comes
        silent.settimeout(START_S)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked: list[socket.socket] = []

        def is_asked() -> bool:
            asked.append(silent.accept()[0])
            return asked[0].recv(25, socket.MSG_WAITALL) == b"POST /v1/jobs/imports?enc"

        said = interrupt(tmp_path / "log", is_asked, "import", file, "--url", url)
        asked[0].close()
    assert f"{file} was being sent; if all of it had arrived, " in said
    assert f"`python -m service jobs list --url {url}` shows its job" in said


def test_an_upload_whose_answer_was_lost_is_imported_once(
    bundle: Path, serve: Serve, tmp_path: Path
) -> None:
    file, service = encoded(bundle, tmp_path), serve()
    with FaultProxy(int(service.url.rpartition(":")[2]), rb"POST /v1/jobs/imports") as proxy:
        proxy.cut_after_commit(2)
        done = run("import", file, "--json", "--url", f"http://127.0.0.1:{proxy.port}")
        assert proxy.commits_cut == 2
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["created"] == 3
    assert len(service.client.get("/v1/jobs").json()["jobs"]) == 1


class OneImport(http.server.BaseHTTPRequestHandler):
    """A service that imports one file, and whose store is gone for an hour at the next."""

    accepted: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if not self.accepted:
            self.accepted.append(self.headers["idempotency-key"])
            self._say(202, QUEUED)
            return
        problem = {"type": "/errors#store_unavailable", "title": "t", "status": 503}
        self._say(503, {**problem, "code": "store_unavailable", "detail": "the store is gone"})

    def do_GET(self) -> None:
        self._say(200, EXAMPLE)

    def _say(self, status: int, fields: dict[str, Any]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


def test_an_import_that_fails_says_what_was_imported_and_what_may_be(
    bundle: Path, tmp_path: Path
) -> None:
    first = encoded(bundle, tmp_path)
    second = first.with_name("second.parquet")
    second.write_bytes(first.read_bytes())
    with serving(OneImport) as url:
        done = run("import", first, second, "--json", "--url", url)
    said = error_line(done)
    assert said.startswith(f"error: {second}: store_unavailable (503): the store is gone; it was ")
    assert f"if all of it had arrived, `python -m service jobs list --url {url}` shows" in said
    assert [file["path"] for file in json.loads(done.stdout)["files"]] == [str(first)]
