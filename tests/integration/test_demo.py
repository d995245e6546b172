"""The demo as a person runs it: twice, interrupted, and on a port that is taken."""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.machine import free_port

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def command(build: Path, port: int, *more: str) -> list[str]:
    options = ["--build", str(build), "--streamers", "100", "--port", str(port), *more]
    options += ["--set", "steps=4", "--set", "evaluate_every=4", "--set", "refit=false"]
    return [sys.executable, "-m", "demo", *options]


def run_once(build: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(build, port, "--once"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def run_and_end(build: Path, output: Path, ending: signal.Signals) -> str:
    """What a demo said that answered, stayed, and was ended; nothing of it is left."""
    port = free_port()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command(build, port), cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 1200
        while "/docs" not in output.read_text(encoding="utf-8"):
            assert process.poll() is None, output.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, output.read_text(encoding="utf-8")
            time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2, "the service and its store"
        process.send_signal(ending)
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)
    _gone, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What a first run left, and what it said."""
    build = tmp_path_factory.mktemp("demo")
    done = run_once(build, free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    return build, done.stdout


def test_the_answers_can_be_judged(built: tuple[Path, str]) -> None:
    said = built[1]
    for heading in ("1. Who is like", "2. A newcomer", "3. Which of these"):
        assert heading in said
    similar, newcomer, copies, duplicates, campaign = re.split(r"(?m)^[12345]\. ", said)[1:]
    assert len(re.findall(r"(?m)^ +[01]\.\d{3}  \S", similar)) == 5
    assert re.search(r"depends most on \w+ \(\.\d\d\)", similar)
    assert len(re.findall(r"(?m)^ +weight ", newcomer)) == 5
    assert "in truth)" in copies
    assert re.search(r"\d+ groups; the largest has [2-9] accounts", duplicates)
    assert re.search(r"bits in all, .* are needed: (near_duplicate|same_\w+), prob", duplicates)
    assert len(re.findall(r"(?m)^ +\d\. [01]\.\d{3}  \S+.*\n +\S", campaign)) == 5


def test_a_second_run_reuses_everything(built: tuple[Path, str], tmp_path: Path) -> None:
    said = run_and_end(built[0], tmp_path / "output", signal.SIGINT)
    assert "$ python -m" not in said  # no step had to be run again
    answers = [
        re.sub(r"(?s)Answered .*", "", text[text.index("1. Who") :]) for text in (built[1], said)
    ]
    assert answers[0] == answers[1]


def test_what_was_loaded_of_another_model_is_loaded_again(
    built: tuple[Path, str], tmp_path: Path
) -> None:
    build, _ = built
    (build / "world" / "loaded.done").write_text("of another model", encoding="utf-8")
    said = run_and_end(build, tmp_path / "output", signal.SIGTERM)
    assert re.findall(r"\$ python -m (\w+ \w+)", said) == ["service load"]


def test_a_taken_port_is_named_before_the_long_steps(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_once(tmp_path, port)
    assert done.returncode == 1
    assert f"port {port} can't be used" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("build", "port", "said"),
    [
        ("/proc/demo", 0, "--build /proc/demo can't be used: No such file or directory; choose"),
        ("build", 99999, "port 99999 can't be used (bind(): port must be 0-65535.); say another"),
    ],
)
def test_what_can_not_be_used_is_told_in_one_line(
    tmp_path: Path, build: str, port: int, said: str
) -> None:
    done = run_once(tmp_path / build, port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"demo: {said}")
    assert done.stderr.count("\n") == 1
