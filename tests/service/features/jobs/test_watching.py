"""A service that runs: events of a job, a client that never reads, and the command line."""

import json
import os
import pty
import signal
import socket
import subprocess
import termios
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.http.streams.server_sent import MOST_OF_A_KEY, MOST_WATCHERS
from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profile, profiles
from tests.service.features.transfers.held import HeldImports
from tests.service.features.transfers.waiting import ended, upload, when
from tests.service.process import (
    ROOT,
    RUN_S,
    UNGROUPED,
    command,
    environment,
    error_line,
    run,
    wait_until,
)

pytestmark = pytest.mark.slow

COUNT = 300
MANY = "".join(profiles(COUNT))


def events_of(client: httpx.Client, path: str, last: str | None = None) -> list[tuple[int, dict]]:
    """All events up to the job's end: (id, job)."""
    jobs: list[dict] = []
    numbers: list[int] = []
    headers = {} if last is None else {"Last-Event-ID": last}
    with client.stream("GET", path + "/events", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "data":
                jobs.append(json.loads(value))
            elif name == "id":
                numbers.append(int(value))
    return list(zip(numbers, jobs, strict=True))


def test_events_lead_from_the_beginning_to_the_end(serve: Serve) -> None:
    client = serve(**UNGROUPED).client
    path = upload(client, MANY)
    found = events_of(client, path)
    assert [number for number, _ in found] == sorted({number for number, _ in found})
    assert [job["progress"]["done"] for _, job in found] == sorted(
        job["progress"]["done"] for _, job in found
    )
    number, last = found[-1]
    assert last == client.get(path).json()
    assert last["state"] == "succeeded"
    assert all(job["state"] in ("queued", "running") for _, job in found[:-1])
    # Who comes again gets what was missed, and who has missed nothing is told to stay away.
    assert events_of(client, path, str(number - 1)) == [(number, last)]
    assert client.get(path + "/events", headers={"Last-Event-ID": str(number)}).status_code == 204


def test_the_last_event_of_another_job_hides_nothing(serve: Serve) -> None:
    client = serve(**UNGROUPED).client
    path = upload(client, MANY)
    job = ended(client, path)
    assert [last for _, last in events_of(client, path, "999999999999999")] == [job]


def test_clients_that_never_read(serve: Serve) -> None:
    """They cost their connections, and no others wait for them."""
    service = serve(STREAMER_JOBS__AT_ONCE="0")
    path = upload(service.client, MANY)
    address = urlsplit(service.url)
    silent: list[socket.socket] = []
    try:
        while len(silent) < MOST_WATCHERS:
            one = socket.create_connection((address.hostname, address.port))
            one.sendall(f"GET {path}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if one.recv(12) == b"HTTP/1.1 200":
                silent.append(one)
            else:  # so many requests at once are refused on a slow machine
                one.close()
        answer = service.client.get(path + "/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert service.client.post(path + ":cancel").json()["state"] == "cancelled"
        # The streams end with the job, and there is room for others.
        wait_until(lambda: service.client.get(path + "/events").status_code == 200, "streams ended")
    finally:
        for one in silent:
            one.close()


def test_no_key_takes_all_places(serve: Serve) -> None:
    service = serve(STREAMER_JOBS__AT_ONCE="0", STREAMER_API_KEY="first")
    client = service.client
    client.headers["Authorization"] = "Bearer first"
    path = upload(client, MANY)
    other = client.post("/v1/keys", json={"name": "other", "role": "admin"}).json()["key"]
    with ExitStack() as open_streams:
        seen = 0
        while seen < MOST_OF_A_KEY:
            with ExitStack() as one:
                answer = one.enter_context(client.stream("GET", path + "/events"))
                if answer.status_code == 200:  # on a slow machine some are refused
                    open_streams.push(one.pop_all())
                    seen += 1
        wait_until(lambda: "of your key" in client.get(path + "/events").text, "it is refused")
        headers = {"Authorization": f"Bearer {other}"}

        def is_let() -> bool:
            with client.stream("GET", path + "/events", headers=headers) as answer:
                return next(answer.iter_lines()) == "event: job"

        wait_until(is_let, "another key has a place")


def test_watching_does_not_keep_the_service_from_stopping(serve: Serve) -> None:
    service = serve(STREAMER_JOBS__AT_ONCE="0")
    path = upload(service.client, MANY)
    with service.client.stream("GET", path + "/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: job"
        service.send(signal.SIGTERM)
        assert list(lines)[-1] == ""  # it ends in order: httpx tells of an answer that is cut off
    assert service.stop() == 0
    assert "Traceback" not in service.output


def test_sigterm_in_an_import_leaves_it_to_the_next_process(serve: Serve, tmp_path: Path) -> None:
    service = serve(**UNGROUPED, **HeldImports(tmp_path / "held").variables)
    path = upload(service.client, MANY)
    when(service.client, path, lambda job: job["progress"]["done"] > 0)
    assert service.stop() == 0
    client = serve(**UNGROUPED).client
    job = ended(client, path)
    assert job["state"] == "succeeded"
    assert (job["result"]["created"], job["result"]["sequence"]) == (COUNT, COUNT)


def test_a_running_import_is_cancelled_and_retried(serve: Serve, tmp_path: Path) -> None:
    held = HeldImports(tmp_path / "held")
    client = serve(STREAMER_JOBS__LEASE_S="1", **UNGROUPED, **held.variables).client
    path = upload(client, MANY)
    when(client, path, lambda job: job["progress"]["done"] > 0)
    assert client.post(path + ":cancel").json()["cancelling"]
    job = ended(client, path)
    assert (job["state"], job["cancelling"]) == ("cancelled", False)
    done = job["progress"]["done"]
    assert 0 < done < COUNT
    assert len(client.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]) == done
    held.go_on()
    assert client.post(path + ":retry").json()["progress"]["done"] == done
    result = ended(client, path)["result"]
    assert (result["created"], result["sequence"]) == (COUNT, COUNT)


def test_a_file_that_changes_while_it_is_imported(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text(MANY)
    held = HeldImports(tmp_path / "held")
    settings: Any = {"STREAMER_JOBS__IMPORT_DIR": str(tmp_path), **UNGROUPED, **held.variables}
    client = serve(**settings).client
    path = client.post("/v1/jobs/imports", json={"path": file.name}).headers["location"]
    when(client, path, lambda job: job["progress"]["done"] > 0)
    with file.open("a") as opened:
        opened.write(json_line(profile(9000)))
    held.go_on()
    job = ended(client, path)
    assert (job["state"], job["error"]["code"]) == ("failed", "input_changed")
    assert "'many.jsonl' was changed" in job["error"]["detail"]
    assert client.post(path + ":retry").status_code == 200
    result = ended(client, path)["result"]
    assert (result["lines"], result["refused"]) == (COUNT + 1, 0)


# python -m service jobs


def test_the_command_line(serve: Serve) -> None:
    service = serve(**UNGROUPED)
    path = upload(service.client, MANY)
    job_id = path.rpartition("/")[2]
    watched = run("jobs", "watch", job_id, "--url", service.url)
    assert watched.returncode == 0, watched.stderr
    assert json.loads(watched.stdout)["created"] == COUNT
    assert watched.stderr.splitlines()[-1] == f"import: succeeded, {COUNT} of {COUNT}"
    shown = run("jobs", "show", job_id, "--url", service.url)
    assert json.loads(shown.stdout) == service.client.get(path).json()
    listed = run("jobs", "list", "--url", service.url).stdout.splitlines()
    assert listed[0].split() == ["job", "kind", "state", "done", "total", "created", "key"]
    assert listed[1].split()[:5] == [job_id, "import", "succeeded", str(COUNT), str(COUNT)]
    assert listed[1].split("\t")[-1] == "anyone on this machine"
    as_json = run("jobs", "list", "--json", "--url", service.url).stdout
    assert json.loads(as_json) == service.client.get("/v1/jobs").json()
    for action in ("cancel", "retry"):
        said = error_line(run("jobs", action, job_id, "--url", service.url))
        assert "the job " in said
    assert "is not known" in error_line(run("jobs", "watch", "0" * 28, "--url", service.url))
    bad = run("jobs", "show", "019a", "--url", service.url)
    assert bad.returncode == 2
    assert "must be the id of a job, 28 hex digits, not '019a'" in bad.stderr
    bad = run("jobs", "show")
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: ")


def test_the_command_line_without_a_service(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    assert "can't be reached" in error_line(run("jobs", "list", "--url", url))


def test_watching_goes_on_through_a_restart(serve: Serve, free_port: int) -> None:
    service = serve(port=free_port, STREAMER_JOBS__AT_ONCE="0")
    path = upload(service.client, MANY)
    watching = subprocess.Popen(
        command(
            *("jobs", "watch", path.rpartition("/")[2], "--url", service.url),
            *("--timeout", str(RUN_S)),
        ),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    assert watching.stderr.readline().startswith("import: queued")
    service.kill()
    serve(port=free_port, **UNGROUPED)  # which runs it
    out, _ = watching.communicate(timeout=RUN_S)
    assert watching.returncode == 0
    assert json.loads(out)["created"] == COUNT


def test_a_bar_on_a_terminal(serve: Serve) -> None:
    service = serve(**UNGROUPED)
    path = upload(service.client, MANY)
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 100))
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                return
            if not part:
                return
            shown.extend(part)

    reading = threading.Thread(target=read)
    reading.start()
    done = subprocess.run(
        command("jobs", "watch", path.rpartition("/")[2], "--url", service.url),
        cwd=ROOT,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=inside,
        timeout=RUN_S,
        check=False,
    )
    os.close(inside)
    reading.join(30)
    os.close(terminal)
    assert done.returncode == 0
    assert json.loads(done.stdout)["created"] == COUNT
    assert b"import" in shown
    assert b"\r" in shown
