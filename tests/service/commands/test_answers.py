"""What all commands keep to: `--json`, exit statuses, and progress on standard error."""

import argparse
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.__main__ import COMMANDS, EXAMPLES, STATUSES, build_parser, main
from service.commands import answers
from service.commands.progress import Progress
from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profiles, write_data
from tests.service.process import ROOT, command, environment, error_line, load, run

WITHOUT_ANSWER = {"serve", "completion"}
NOWHERE = "http://127.0.0.1:9"
"""A port for discarding what comes, where nobody listens."""


def json_of(*arguments: object, status: int = 0, **variables: str) -> dict[str, Any]:
    done = run(*arguments, "--json", **variables)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_an_answer_takes_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = build_parser("a-program", [name])
    for example in EXAMPLES[name]:
        words = shlex.split(re.split("[|>]", re.sub(r"\$\(.*?\)", "an-id", example))[0])
        words = [word for word in words if word != "--json"]
        if name in WITHOUT_ANSWER:
            with pytest.raises(SystemExit):
                parser.parse_args([name, *words, "--json"])
            assert "--json" in capsys.readouterr().err
        else:
            assert not parser.parse_args([name, *words]).json
            assert parser.parse_args([name, *words, "--json"]).json


@pytest.mark.slow
def test_json_of_each_command(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    service = serve()
    state = ("--data-dir", tmp_path / "data")
    data = write_data(
        tmp_path / "set", [*profiles(3), "no line\n", json_line({"streamer_id": "e"})]
    )
    done = load(data, service.url, "--json")
    assert done.returncode == 1, done.stderr
    loaded = json.loads(done.stdout)
    assert (loaded["stored"], loaded["created"], loaded["without_content"]) == (4, 4, 1)
    assert [bad["line"] for bad in loaded["errors"]] == [4]
    assert f"{data / 'streamers.jsonl'}:4: " in done.stderr
    embedded = json_of(
        *("embed", "--bundle", bundle, "--out", tmp_path / "v.npz"),
        *("--data", write_data(tmp_path / "good", profiles(3))),
    )
    assert (embedded["vectors"], embedded["path"]) == (3, str(tmp_path / "v.npz"))
    verified = json_of("verify", *state, "--url", service.url)
    assert verified["differences"] == 0
    assert {part["part"] for part in verified["parts"]} >= {"store", "served"}
    assert verified["parts"][0]["streamers"] == 4
    metrics = tmp_path / "backup.prom"
    before = time.time()
    copied = json_of("backup", *state, "--out", tmp_path / "copy", "--metrics", metrics)
    told = {
        family.name: family.samples[0].value
        for family in text_string_to_metric_families(metrics.read_text(encoding="utf-8"))
    }
    assert told["streamer_backup_bytes"] == copied["bytes"]
    assert before <= told["streamer_backup_timestamp_seconds"] <= time.time()
    assert list(tmp_path.glob("backup.prom*")) == [metrics]
    assert (copied["streamers"], copied["path"]) == (4, str(tmp_path / "copy"))
    assert json_of("erase", "e", *state)["streamer_id"] == "e"
    assert service.stop() == 0
    back = json_of("restore", tmp_path / "copy", *state)
    assert (back["streamers"], back["sequence"]) == (4, copied["sequence"])
    assert (Path(back["before"]).is_dir(), back["webhooks"]) == (True, 0)
    assert json_of("verify-audit", *state, "--offline")["problems"] == []
    assert not json_of("doctor", "--bundle", tmp_path / "none", *state, status=1)["ok"]


@pytest.mark.slow
def test_json_of_a_store_that_is_wrong(serve: Serve, tmp_path: Path) -> None:
    """A command that finds something tells it on standard output, and ends with 1."""
    service = serve()
    service.put("s", tags=["music"])
    assert service.stop() == 0
    (tmp_path / "data" / "index" / "99").mkdir(parents=True)
    found = json_of("verify", "--data-dir", tmp_path / "data", status=1)
    assert found["differences"] == 1
    (wrong,) = [part for part in found["parts"] if part["differences"]]
    assert wrong["part"] == "snapshot"
    assert "will not be used" in wrong["first"][0]["wrong"]


FAILING = {
    "load": "{0}/none.jsonl --url {1}",
    "jobs": "show 019a1b2c3d4e5f60718293a4b5c6 --url {1}",
    "similar": "w0000 --url {1}",
    "cold-start": "w0000 --url {1}",
    "dedup": "w0000 w0001 --url {1}",
    "duplicates": "list --url {1}",
    "compare": "w0000 w0001 --url {1}",
    "judge": "w0000 w0001 same --url {1}",
    "events": "--url {1}",
    "webhooks": "list --url {1}",
    "cases": "list --url {1}",
    "verify-case": "{0}/none.zip",
    "watchlists": "list --url {1}",
    "alerts": "list --url {1}",
    "space": "list als-64 --url {1}",
    "models": "list --url {1}",
    "lists": "list --url {1}",
    "outreach": "list --url {1}",
    "find": "night --url {1}",
    "map": "show --url {1}",
    "ratings": "list --url {1}",
    "evaluate-ratings": "--ratings {0}/none.ndjson --url {1}",
    "interleave": "w0000 --out {0}/lists.ndjson --url {1}",
    "embed": "--bundle {0}/none --data {0} --out {0}/v.npz",
    "encode": "--bundle {0}/none --in {0}/none.parquet --out {0}/e.parquet",
    "import": "{0}/none.parquet --url {1}",
    "release-check": "{0}/none --data {0}",
    "drift": "--data-dir {0}/none --bundle {0}/none",
    "backup": "--data-dir {0}/none --out {0}/copy",
    "restore": "{0} --data-dir {0}/data",
    "compact": "--data-dir {0}/none",
    "verify": "--data-dir {0}/none",
    "keys": "list --data-dir {0}/none",
    "erase": "w0000 --data-dir {0}/none",
    "verify-audit": "--data-dir {0}/none",
    "completion": "bash",
}
"""What can't be done."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_what_fails_is_told_in_a_line_and_by_the_status(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)  # as if it were not installed
    assert main([name, *FAILING[name].format(tmp_path, NOWHERE).split()]) == 1
    out, err = capsys.readouterr()
    *before, last = err.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith("error: ") for line in before)
    assert out == ""


def test_every_command_is_tried() -> None:
    """What is wrong is the answer of `doctor`, which is tried above; `serve` by its own tests."""
    assert FAILING.keys() | {"doctor", "serve"} == COMMANDS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("wrong", ["--no-such-option", "--help-me"])
def test_wrong_arguments_are_told_in_a_line_and_by_the_status(
    name: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, wrong])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize("given", [["--api-key", "sk_secret"], ["--api-key=sk_secret"]])
@pytest.mark.parametrize("words", [["load", "data"], ["verify"], ["jobs"], ["similar"]])
def test_a_key_as_an_argument_is_not_told(
    words: list[str], given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It was an option in 0.1.0; argparse would quote it."""
    with pytest.raises(SystemExit) as ended:
        main([*words, *given])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --api-key is no option any more")
    assert "set STREAMER_API_KEY" in line
    assert "sk_secret" not in line


def test_statuses_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| exit status | meaning |\n| --- | --- |\n")
    rows = dict(re.findall(r"(?m)^\| (\d+) \| (.*) \|$", table.partition("\n\n")[0]))
    assert {int(status): meaning for status, meaning in rows.items()} == STATUSES
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"  {status:<4} {meaning}" in said for status, meaning in STATUSES.items())


def test_progress_is_a_few_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress("backup", "streamers") as progress:
        progress.to(0, 0)  # nothing is known yet
        for done in range(1, 1001):
            progress.to(done, 1000)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "backup: 1000 of 1000 streamers"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("backup", "streamers") as progress:
        progress.to(50, 100)
        progress.to(100, 100)
    shown = terminal.getvalue()
    assert "backup" in shown
    assert "\r" in shown
    assert "of 100 streamers" not in shown


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    answers.print_rows(["name", "count"], [["a\tb", 1], ["long name", None]])
    assert terminal.getvalue() == "name       count\na b            1\nlong name      -\n"


def test_a_table_of_chinese_and_accents_has_straight_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    answers.print_rows(["name", "tag"], [["夜宵", "x"], ["e\u0301", "y"]])
    assert terminal.getvalue() == "name  tag\n夜宵  x\ne\u0301     y\n"


@pytest.mark.slow
@pytest.mark.parametrize("words", [("doctor",), ("completion", "bash")])
def test_an_output_that_is_full_is_one_line(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*words), cwd=ROOT, env=environment(), stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    said = error_line(subprocess.CompletedProcess([], 1, "", done.stderr.decode()))
    assert said.startswith("error: standard output takes no more: [Errno 28]")


@pytest.mark.slow
def test_who_has_read_enough_ends_no_command_with_an_error(serve: Serve) -> None:
    """`keys list` asks the store, whose own errors may be of a broken pipe as well."""
    service = serve()
    theirs, ours = os.pipe()
    os.close(theirs)
    done = subprocess.run(
        command("keys", "list", "--data-dir", service.data_dir),
        cwd=ROOT, env=environment(), stdout=ours, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(ours)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["iso-8859-1", "gbk", "utf-8"])
def test_what_an_output_can_not_show_is_escaped(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "caf\u00e9 \u591c \U0001f600"
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", output)
    assert answers.prepare_output()
    answers.answer(argparse.Namespace(json=True), {"name": name}, lambda: None)
    answers.print_rows(["name"], [[name]])
    output.flush()
    said = output.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    table = said.splitlines()[-1]
    assert json.loads(said.partition("\nname")[0]) == {"name": name}
    assert json.loads(f'"{table}"') == name


@pytest.mark.slow
def test_an_output_that_is_closed_is_one_line() -> None:
    words = shlex.join(command("completion", "bash"))
    done = subprocess.run(
        f"{words} >&-", shell=True, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert error_line(done) == (
        "error: standard output is closed: send it to a file, or to /dev/null"
    )
