"""Processes that are forked are as those that a person starts."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.service import process
from tests.service.conftest import Serve
from tests.service.process import ROOT, Service, error_line, hide, run

pytestmark = pytest.mark.slow
FILES = (ROOT / "service" / "commands").rglob("[!_]*.py")
MODULES = sorted(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in FILES)

ALONE = """
import gc, importlib, os, sys
gc.disable()
import faiss, fastapi, httpx, numpy, pydantic_settings, redis.asyncio, uvicorn
import model_export.contract.bundle, model_export.contract.evidence, model_export.contract.towers
gc.freeze()
for name in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(name)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{name} can't be imported alone")
"""


def test_a_service_has_its_settings_a_session_and_a_status(bundle: Path, tmp_path: Path) -> None:
    with Service(bundle, tmp_path / "data", STREAMER_API_KEY="a-secret") as service:
        service.wait_until_ready()
        parent = psutil.Process(service.process.pid).parent()
        assert parent is not None
        assert parent.pid != os.getpid()
        assert os.getsid(service.process.pid) == service.process.pid
        assert service.client.get("/v1/streamers").status_code == 401
        assert service.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(0.01)
        assert service.stop() == 0
        assert service.process.poll() == 0
    assert f"model test-0 of {bundle}" in service.output


def test_one_that_is_killed_says_by_what(serve: Serve) -> None:
    service = serve()
    service.kill()
    assert service.process.returncode == -signal.SIGKILL
    service.kill()  # nobody is there any more
    assert "a" not in serve().streamers()


def test_all_threads_that_wait_for_the_end_are_told_of_it(serve: Serve) -> None:
    service = serve()
    with ThreadPoolExecutor(8) as threads:
        told = [threads.submit(service.process.wait) for _ in range(8)]
        service.kill()
        assert {each.result() for each in told} == {-signal.SIGKILL}


def test_a_command_prints_and_fails_as_in_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("find", "kitchen", "--url", "http://127.0.0.1:9")
    forked, told = run(*asked), run("--help").stdout
    assert process.parent_for({}) is not None
    monkeypatch.setattr(process, "parent_for", lambda _: None)
    assert error_line(forked) == error_line(run(*asked))
    assert told == run("--help").stdout


def test_other_environments_are_those_of_new_processes(tmp_path: Path) -> None:
    said = error_line(
        run("load", tmp_path, "--url", "http://localhost:9", **hide(tmp_path, "httpx"))
    )
    assert "No module named httpx" in said
    assert process.parent_for({"TZ": "Asia/Shanghai"}) is None


def test_one_parent_forks_all_until_the_environment_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = process.parent_for({})
    assert process.parent_for({"STREAMER_API_KEY": "a-secret"}) is parent
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    assert process.parent_for({}) is not parent
    assert "--data-dir" in run("serve", "--help").stdout


def test_each_command_can_be_imported_alone() -> None:
    """What a fork has imported would hide that two modules import each other."""
    subprocess.run([sys.executable, "-c", ALONE, *MODULES], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no')", 1, "no"),
        ("raise ValueError('odd')", 1, "ValueError: odd"),
        ("raise KeyboardInterrupt", -signal.SIGINT, ""),
        ("threading.Timer(0, print, ['done']).start()", 0, ""),
    ],
)
def test_what_is_run_to_its_end_ends_as_a_process_does(
    program: str, status: int, said: str
) -> None:
    code = "import sys, threading\nfrom tests.service.forking import run_to_its_end\n"
    code += f"def main():\n    print('begun', flush=False)\n    {program}\nrun_to_its_end(main)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert said in done.stderr
    if status != -signal.SIGINT:
        assert done.stdout == "begun\n" + ("done\n" if "done" in program else "")
