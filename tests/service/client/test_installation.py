"""The client in an environment that has the base dependencies and the extra `client` alone."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.pages import fences
from tests.machine import HANGS_S
from tests.service.conftest import Serve

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITHOUT_THE_REST = """
import importlib.abc, json, sys
hidden = set(json.loads(sys.argv[1]))

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[2:]
exec(sys.argv[0])
"""


def others() -> list[str]:
    """Modules of packages that `pip install similar-streamer[client]` does not bring."""
    waiting = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["client"]
    packages: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in packages or (requirement.marker and not requirement.marker.evaluate()):
            continue
        try:
            waiting += [r for r in requires(name) or () if "extra ==" not in r]
        except PackageNotFoundError:
            continue  # of another Python
        packages.add(name)
    owners = packages_distributions().items()
    brought = {m for m, names in owners if {canonicalize_name(n) for n in names} & packages}
    assert {"httpx", "pydantic", "numpy"} <= brought
    hidden = {m for m, _ in owners} - brought - {"service", "model_export"}
    assert {"fastapi", "pydantic_settings", "redis", "starlette", "tqdm"} <= hidden
    return sorted(hidden)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_THE_REST, json.dumps(others()), code, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False
    )


@pytest.mark.slow
def test_the_client_imports() -> None:
    done = run("import service.client, service.client.models; print(service.client.Client)")
    assert done.returncode == 0, done.stderr
    assert "synchronous.Client" in done.stdout
    assert "No module named 'fastapi'" in run("import fastapi").stderr


@pytest.mark.slow
def test_commands_that_ask_a_service_are_there() -> None:
    names = ("similar", "cold-start", "dedup", "load", "jobs")
    words = [*(f"{name} --help" for name in names), "--help"]
    code = """
import contextlib
from service.__main__ import main
for words in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        main(words.split())
"""
    done = run(code, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("examples:") == len(names)
    assert done.stdout.count("exit status:") == 1


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_get_a_first_answer(serve: Serve) -> None:
    service = serve()
    service.bulk([{"streamer_id": f"s-{i}", "tags": ["music"]} for i in range(5)])
    (example,) = [f.text for f in fences(ROOT / "README.md") if f.language == "python"]
    assert len(example.splitlines()) <= 10
    done = run(example.replace("http://127.0.0.1:8000", service.url))
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2", "3"]
    assert "guitar-loft" in service.streamers()


def test_the_console_script_is_declared() -> None:
    (value,) = PROJECT["scripts"].values()
    assert list(PROJECT["scripts"]) == ["similar-streamer"]
    from service.__main__ import run as script

    assert value == f"{script.__module__}:{script.__name__}"
    found = entry_points(group="console_scripts", name="similar-streamer")
    assert all(point.value == value for point in found)
