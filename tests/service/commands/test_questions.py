"""`similar`, `cold-start` and `dedup`, as a person and as a script run them."""

import json
import os
import pty
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.__main__ import COMMANDS, EXAMPLES, build_parser, main
from tests.service.process import (
    ROOT,
    RUN_S,
    START_S,
    Service,
    command,
    environment,
    error_line,
    run,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("questions") / "data") as service:
        service.wait_until_ready()
        service.put("s0", tags=["cooking"], bio="kitchen")
        service.put("s1", tags=["cooking"], bio="kitchen")
        service.put("s2", tags=["cooking", "\x1b[31mred\tdot"])
        service.put("s3", tags=["music"])
        service.put("thin", name="says nothing")
        yield service


def ask(service: Service, *words: object) -> list[list[str]]:
    """The rows of tab-separated values, the header first."""
    done = run(*words, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_similar_prints_rows(service: Service) -> None:
    header, *rows = ask(service, "similar", "s0", "-k", 2)
    assert header == ["rank", "streamer_id", "score", "precision"]
    assert [row[:2] for row in rows] == [["1", "s1"], ["2", "s2"]]
    score = service.client.get("/v1/streamers/s0/similar").json()["hits"][0]["score"]
    assert float(rows[0][2]) == score
    header, first, *_ = ask(service, "similar", "s0", "--explain", "--exact")
    assert header[-1] == "shared"
    assert "tags: cooking" in first[-1]
    assert ask(service, "similar", "s0", "--min-score", 1) in ([header[:4]], [header[:4], rows[0]])


def test_what_streamers_wrote_moves_no_cursor(service: Service) -> None:
    (_, row) = ask(service, "similar", "s2", "--explain", "-k", 1)
    assert len(row) == 5
    service.put("s4", tags=["cooking", "\x1b[31mred\tdot"])
    rows = ask(service, "similar", "s2", "--explain", "-k", 1)
    assert rows[1][1] == "s4"
    assert " [31mred dot" in rows[1][4]


def test_cold_start_and_dedup_print_rows(service: Service) -> None:
    done = run("cold-start", "s0", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "streamer_id\tscore\tweight\tvia"
    assert done.stderr.startswith("fallback: ")
    header, *rows = ask(service, "dedup", "s0", "s1", "s3", "thin")
    assert header == ["group", "streamer_id", "score", "copies"]
    assert [row[:2] for row in rows] == [
        ["1", "s0"],
        ["1", "s1"],
        ["unique", "s3"],
        ["not_comparable", "thin"],
    ]


def test_dedup_names_who_is_not_stored(service: Service) -> None:
    done = run("dedup", "s0", "nobody", "s3", "--url", service.url)
    assert done.returncode == 0
    assert ["not_stored", "nobody", "", ""] in [row.split("\t") for row in done.stdout.splitlines()]
    assert done.stderr == "warning: 1 of the ids are not stored: check them\n"


@pytest.mark.parametrize(
    "words", [("similar", "s0", "--explain"), ("cold-start", "s0"), ("dedup", "s0", "s1")]
)
def test_json_is_the_answer_of_the_service(service: Service, words: tuple[str, ...]) -> None:
    done = run(*words, "--json", "--url", service.url)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    bodies = {"cold-start": {"streamer_id": "s0"}, "dedup": {"ids": ["s0", "s1"]}}
    if words[0] in bodies:
        real = service.client.post(f"/v1/{words[0]}", json=bodies[words[0]]).json()
    else:
        real = service.client.get("/v1/streamers/s0/similar", params={"explain": "true"}).json()
    for answer in (said, real):
        answer.pop("took_ms", None)
    assert said == real


def test_a_terminal_shows_a_table(service: Service) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("similar", "s0", "-k", 2), cwd=ROOT, env=environment(STREAMER_URL=service.url),
        stdout=theirs, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(1000):
                shown += part
        except OSError:  # Linux says so that the other side is closed
            pass
    assert process.wait(START_S) == 0
    header, first, _ = shown.decode().splitlines()
    assert "\t" not in header
    assert header.split() == ["rank", "streamer_id", "score", "precision"]
    assert header.index("streamer_id") == first.index("s1")
    assert first.split()[0] == "1"


def test_the_exit_status_tells_what_happened(service: Service, free_port: int) -> None:
    url = ("--url", service.url)
    said = error_line(run("similar", "nobody", *url))
    assert said.startswith("error: streamer_not_found (404): streamer 'nobody' is not stored")
    assert "invalid_request (422): k " in error_line(run("similar", "s0", "-k", 5000, *url))
    assert run("similar", "s0", "-k", "none").returncode == 2
    assert run("dedup", *url).returncode == 2
    said = error_line(run("cold-start", "s0", "--url", f"http://127.0.0.1:{free_port}"))
    assert f"http://127.0.0.1:{free_port} can't be reached" in said
    said = error_line(run("similar", "s0", *url, STREAMER_API_KEY="schl\u00fcssel"))
    assert said.startswith("error: STREAMER_API_KEY can't be sent")


def test_the_key_comes_from_the_environment(bundle: Path, tmp_path: Path) -> None:
    with Service(bundle, tmp_path / "data", STREAMER_API_KEY="a-secret") as service:
        service.client.headers["Authorization"] = "Bearer a-secret"
        service.wait_until_ready()
        service.put("s0", tags=["cooking"])
        words = ("similar", "s0", "--url", service.url)
        assert run(*words, STREAMER_API_KEY="a-secret").returncode == 0
        assert "needs an API key: set STREAMER_API_KEY" in error_line(run(*words))


def test_a_reader_that_has_seen_enough_is_no_error(service: Service) -> None:
    piped = "exec 3>&1; { python -m service dedup s0 s1 --url $0; echo status $? >&3; } | true"
    python = f'python() {{ {command()[0]} "$@"; }}; '
    done = subprocess.run(
        ["bash", "-c", python + piped, service.url],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("status 0\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "similar-streamer" in script
    for option in ("--min-precision", "--neighbours", "--reencode-sample", "--limit", "--json"):
        assert option in script


def test_bash_completes() -> None:
    script = run("completion", "bash").stdout
    words = "COMP_WORDS=(similar-streamer cold-start --nei); COMP_CWORD=2; "
    *_, last = script.splitlines()
    name = last.split(" -F ")[1].split()[0]
    show = f'{words}{name}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{show}"],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.stdout == "--neighbours\n", done.stderr


def test_every_command_has_examples_that_its_parser_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, examples in EXAMPLES.items():
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        for example in examples:
            assert f"python -m service {name} {example}\n" in said
            command = re.split("[|>]", re.sub(r"\$\(.*?\)", "an-id", example))[0]
            build_parser("a-program", [name]).parse_args([name, *shlex.split(command)])
