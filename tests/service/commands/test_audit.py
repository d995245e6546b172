"""`verify-audit` on what services leave behind, kill -9 among it, and commands that are audited."""

import json
import re
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from tests.service.conftest import Serve
from tests.service.features.audit.logs import written
from tests.service.process import error_line, run, wait_until
from tests.service.valkey import Server


def requests(folder: Path) -> list[dict[str, Any]]:
    return [e for e in written(folder) if e["kind"] == "request"]


def verified(folder: Path, *options: str, status: int = 0, **variables: str) -> list[str]:
    done = run("verify-audit", "--data-dir", folder, *options, **variables)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_kill_9_between_batches_loses_no_write_and_shows_a_gap(
    serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    service = serve()
    for number in range(20):
        service.put(f"s-{number}", tags=["music"])
    service.client.get("/v1/streamers/s-1/similar")
    service.kill()
    assert [e["ids"] for e in requests(folder) if e["method"] == "PUT"] == [
        [f"s-{n}"] for n in range(20)
    ]
    *told, summary = verified(folder)
    assert any("no end" in line and line.startswith("gap: ") for line in told)
    assert summary.startswith("1 chains, ")
    assert summary.endswith("nothing was changed")

    successor = serve()  # which says so in its own chain
    assert successor.stop() == 0
    (gap,) = [e for e in written(folder) if e["kind"] == "gap"]
    (first,) = (folder / "audit").glob(f"{gap['chain']}*")  # whose name is by a clock, maybe later
    assert gap["last"] == len(first.read_bytes().splitlines())
    assert sum(line.startswith("gap: ") for line in verified(folder)) == 1

    content = first.read_bytes()
    first.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    assert any("is cut off" in line for line in verified(folder, status=1))
    assert any("is cut off" in line for line in verified(folder, "--offline", status=1))
    flipped = bytearray(content)
    flipped[content.index(b"s-7")] ^= 1
    first.write_bytes(flipped)
    line = content[: content.index(b"s-7")].count(b"\n") + 1
    assert f"problem: {first.name}, line {line} was changed" in verified(folder, status=1)
    first.unlink()
    assert any("all its files are missing" in line for line in verified(folder, status=1))


def tampered(files: dict[Path, bytes]) -> dict[str, tuple[dict[Path, bytes], str]]:
    """Files that somebody changed, and what is said of them."""
    first, second, *_ = sorted(files)
    lines = files[first].splitlines(keepends=True)
    swapped = [*lines[:1], lines[2], lines[1], *lines[3:]]
    *_, last = sorted(files)
    return {
        "a removed line": ({first: b"".join(lines[:1] + lines[2:])}, "lines 2 to 2 of its chain"),
        "a changed line": ({first: files[first].replace(b'"s-0"', b'"s-9"')}, " was changed"),
        "lines in another order": ({first: b"".join(swapped)}, "are missing before it"),
        "a truncated file": ({last: files[last][:-200]}, " is cut off: lines "),
        "a removed file": ({second: b""}, "file 000002 is missing"),
    }


@pytest.mark.slow
def test_whatever_is_done_to_the_files_is_named(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    service = serve(STREAMER_AUDIT__FILE_BYTES="1024")
    for number in range(30):
        service.put(f"s-{number}", tags=["music"])
    assert service.stop() == 0
    assert not [line for line in verified(folder) if line.startswith(("gap", "problem"))]
    files = {path: path.read_bytes() for path in (folder / "audit").glob("*.ndjson")}
    assert len(files) > 3
    for name, (changed, said) in tampered(files).items():
        for path, content in changed.items():
            path.write_bytes(content) if content else path.unlink()
        report = json.loads("".join(verified(folder, "--json", status=1)))
        assert any(said in problem for problem in report["problems"]), (name, report)
        for path in changed:
            path.write_bytes(files[path])
    assert not [line for line in verified(folder) if line.startswith(("gap", "problem"))]


@pytest.mark.slow
def test_it_is_verified_while_services_run_on_a_store_of_ones_own(
    serve: Serve, tmp_path: Path
) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        folders = [tmp_path / "one", tmp_path / "two"]
        for number, folder in enumerate(folders):
            serve(data_dir=folder, REDIS_URL=server.url).put(f"s-{number}", tags=["music"])
        for number, folder in enumerate(folders):
            (entry,) = requests(folder)
            assert entry["ids"] == [f"s-{number}"]  # each has its own
            other = (folders[1 - number] / "audit" / "place").read_text().strip()
            told = verified(folder, "--elsewhere", other, REDIS_URL=server.url)
            assert any(line.startswith("being written: ") for line in told)
            assert "1 chains have their files in another folder: verify them there" in told
            told = verified(folder, status=1, REDIS_URL=server.url)
            assert any(line.startswith(f"problem: folder {other} is not here") for line in told)
    finally:
        server.kill()


@pytest.mark.slow
def test_a_log_that_was_removed_whole_is_named(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    service = serve()
    service.put("s-1", tags=["music"])
    assert service.stop() == 0
    assert not [line for line in verified(folder) if line.startswith("problem")]
    before = (folder / "audit" / "place").read_text().strip()
    rmtree(folder / "audit")
    serve()
    (problem,) = [line for line in verified(folder, status=1) if line.startswith("problem")]
    assert problem.startswith(f"problem: folder {before} is not here")


@pytest.mark.slow
def test_commands_are_in_it(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    service = serve(STREAMER_API_KEY="first")
    made = run("keys", "create", "--name", "x", "--role", "admin", "--data-dir", folder)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    key_id = key.split("_")[1]
    assert run("keys", "revoke", key_id, "--data-dir", folder).returncode == 0
    assert run("keys", "list", "--data-dir", folder).returncode == 0
    erased = run("erase", "nobody", "--data-dir", folder)
    assert "nobody: was not stored" in erased.stdout
    # Each has a chain of its own, which have no order but that of a clock.
    commands = [e for e in written(folder) if e["kind"] == "command"]
    assert sorted((e["command"], e["ids"]) for e in commands) == [
        ("erase", ["nobody"]),
        ("keys create", [key_id]),
        ("keys revoke", [key_id]),
    ]
    assert [e["command"] for e in commands if e.get("action") == "erase"] == ["erase"]
    assert all(re.fullmatch(r"command:\S+", e["key_id"]) for e in commands)
    assert key not in json.dumps(written(folder))
    assert service.stop() == 0
    assert not [line for line in verified(folder) if line.startswith(("gap", "problem"))]


@pytest.mark.slow
def test_a_service_that_can_not_write_it_does_not_start(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "audit").write_text("a file")
    done = run("serve", "--bundle", bundle, "--data-dir", folder, "--port", 0)
    assert "the audit log can't be written" in error_line(done)


@pytest.mark.slow
def test_it_can_be_turned_off(serve: Serve, tmp_path: Path) -> None:
    serve(STREAMER_AUDIT__ENABLED="false").put("s-1", tags=["music"])
    assert not (tmp_path / "data" / "audit").exists()


def test_no_folder_is_named(tmp_path: Path) -> None:
    line = error_line(run("verify-audit", "--offline", "--data-dir", tmp_path / "none"))
    assert "--data-dir" in line


@pytest.mark.slow
def test_a_question_is_in_the_file_soon(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    service.put("s-1", tags=["music"])
    headers = {"X-Request-Id": "soon"}
    assert service.client.get("/v1/streamers/s-1/similar", headers=headers).status_code == 200
    wait_until(lambda: any(e["request_id"] == "soon" for e in requests(tmp_path / "data")), "it is")
