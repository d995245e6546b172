"""Every command of the pages is run, or checked where it would take too long or needs more.

The comment above a block says how: `service`, run while a service answers; `stopped`, run while
none does; `parse`, not run: targets, modules, options and extras have to exist. The blocks of a
page are run in order, in a folder that looks like a checkout after the demo.
"""

import functools
import itertools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_export.contract.calibration import Calibration, ScoreCalibration
from tests.docs.pages import PAGES, Fence, fences, name, prose
from tests.support.bundles import CALIBRATION, curve, write_bundle
from tests.support.service import ROOT, Service, environment
from training.commands.cli import build_parser

ADDRESS = "http://127.0.0.1:8000"
PROSE = ("json", "text")
RUN_S = 300
WITH_COMMANDS = [page for page in PAGES if any(f.language not in PROSE for f in fences(page))]
# As the demo's model: much less can be promised than 0.9.
CAREFUL = Calibration(
    embedding=ScoreCalibration(
        source="right = set by hand",
        base_rate=0.01,
        curves=[curve(1, None, (0.75, 0.8, 0.72), (0.5, 0.7, 0.6), (0.0, 0.5, 0.4))],
    ),
    content=CALIBRATION.content,
)
STREAMERS: list[dict[str, Any]] = [
    {"streamer_id": "w0000", "tags": ["gaming"], "language": "en"},
    {
        "streamer_id": "w0087",
        "name": "guitar cover",
        "tags": ["music", "guitar"],
        "language": "en",
        "attributes": {"followers": 1200, "partner": False},
    },
    *(
        {
            "streamer_id": f"w1{i:03}",
            "tags": ["music", "vocal"],
            "language": "en",
            "attributes": {"followers": 500},
        }
        for i in range(20)
    ),
]


class Workplace:
    """A folder with what the commands name, and a service when one is needed."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._service: Service | None = None
        self.bundle = folder / "build" / "demo" / "world" / "bundle"
        self.bundle.parent.mkdir(parents=True)
        write_bundle(self.bundle, calibration=CAREFUL)
        (folder / "my-data").mkdir()
        lines = "".join(json.dumps(profile) + "\n" for profile in STREAMERS)
        (folder / "my-data" / "streamers.jsonl").write_text(lines, encoding="utf-8")
        binaries = folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        python = shlex.quote(sys.executable)
        (binaries / "python").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        (binaries / "similar-streamer").write_text(f'#!/bin/sh\nexec {python} -m service "$@"\n')
        for program in binaries.iterdir():
            program.chmod(0o755)
        (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
        path = f"{binaries}:{environment()['PATH']}"
        self._environment = environment(PATH=path, PYTHONPATH=str(ROOT), CURL_HOME=str(folder))

    def url(self) -> str:
        """Of a service that has the streamers; it goes on until `stop`."""
        if self._service is None:
            service = Service(
                self.bundle,
                self.bundle.with_name("state"),
                STREAMER_WEBHOOKS__PRIVATE_NETWORKS="127.0.0.0/8",
            )
            self._service = self._running.enter_context(service).wait_until_ready()
            service.api.write(STREAMERS)
        return self._service.url

    def stop(self) -> None:
        """End the service, if there is one."""
        if self._service is not None:
            assert self._service.stop() == 0
            self._service = None

    def run_python(self, code: str) -> str:
        """Run Python code as a file; what it prints."""
        (self._folder / "example.py").write_text(code, encoding="utf-8")
        return self.run(".venv/bin/python example.py")

    def run(self, script: str) -> str:
        """Run commands as a person would type them; what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    with ExitStack() as running:
        yield Workplace(tmp_path, running)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_work(page: Path, workplace: Workplace) -> None:
    answer: str | None = None
    for fence in fences(page):
        where = f"{name(page)}:{fence.line}"
        if fence.category == "service":
            url = workplace.url()
            text = fence.text.replace(ADDRESS, url)
            if fence.language == "python":
                assert workplace.run_python(text), where
            else:
                answer = workplace.run(f"export URL={url} STREAMER_URL={url}\n{text}")
                continue
        elif fence.category == "stopped":
            workplace.stop()
            run = workplace.run_python if fence.language == "python" else workplace.run
            run(fence.text)
        elif fence.category == "parse":
            for words in commands(fence):
                check(words, where)
        elif fence.language == "json" and answer is not None:
            assert_alike(json.loads(fence.text), last_json(answer), where)
        else:
            assert fence.language in PROSE, where
        answer = None


def last_json(output: str) -> Any:
    """The last of the documents that were printed one after the other."""
    decoder, value, place = json.JSONDecoder(), None, 0
    while place < len(output):
        value, place = decoder.raw_decode(output, place)
        place += len(output[place:]) - len(output[place:].lstrip())
    return value


def assert_alike(example: Any, real: Any, where: str) -> None:
    """The same fields with the same types; null, and empty lists, stand for anything."""
    if example is None or real is None:
        return
    if isinstance(example, dict):
        assert list(example) == list(real), where
        for key in example:
            assert_alike(example[key], real[key], f"{where}/{key}")
    elif isinstance(example, list):
        assert isinstance(real, list), where
        for one, other in zip(example, real, strict=False):
            assert_alike(one, other, f"{where}/-")
    else:
        kinds = [bool, str, (int, float)]
        kind = next(kind for kind in kinds if isinstance(example, kind))
        assert isinstance(real, kind), where


def commands(fence: Fence) -> list[list[str]]:
    """The words of each command of a block, comments left out."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def check(words: list[str], where: str) -> None:
    """Check that the targets, modules, options and extras that a command names exist."""
    if words[0] == "make":
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, stdout=-3)
    elif words[:2] == ["pip", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = re.fullmatch(r"\.\[([\w,-]+)\]", words[2])
        assert extras is not None, where
        assert set(extras[1].split(",")) <= set(project["optional-dependencies"]), where
    elif "-m" in words:
        check_module(words[words.index("-m") + 1 :], where)
    elif words[:3] == ["docker", "compose", "up"]:
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
        assert set(words[3:]) <= set(compose["services"]), where
    elif "-f" in words:
        assert (ROOT / words[words.index("-f") + 1]).is_file(), where
    elif "-k" in words:
        assert (ROOT / words[words.index("-k") + 1]).is_dir(), where


def check_module(words: list[str], where: str) -> None:
    module, *rest = words
    if module == "training":
        build_parser(rest[0]).parse_args(rest)
        return
    actions = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]+", word), rest[:2]))
    while (text := help_of(module, *actions)) is None:
        assert actions, f"{where}: python -m {module} --help fails"
        actions.pop()
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("--"):
            assert re.search(rf"(?<![\w-]){option}\b", text), f"{where}: {option}\n{text}"


@functools.cache
def help_of(*words: str) -> str | None:
    """What `--help` prints; None where the command does not exist."""
    done = subprocess.run(
        [sys.executable, "-m", *words, "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site generator make them."""
    titles = re.findall(r"(?m)^#+ (.+)$", prose(page))
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


def test_links_lead_somewhere() -> None:
    broken: list[str] = []
    for page in PAGES:
        for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", prose(page)):
            path, _, anchor = target.partition("#")
            if re.match(r"https?://", target):
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{name(page)}: {target}")
    assert broken == []


def test_the_generated_pages_are_those_of_the_code() -> None:
    subprocess.run(
        [sys.executable, "docs/generate_configuration.py", "--check"], cwd=ROOT, check=True
    )
