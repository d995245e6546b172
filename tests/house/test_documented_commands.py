"""Every command of the pages is run, or checked where it would take too long or needs more.

The comment above a block says how: `service`, run while a service answers; `stopped`, run while
none does; `parse`, not run: targets, options, extras and compose services have to exist. The blocks
of a page, commands or Python, are run in order, in a folder that looks like a checkout after the
demo.
"""

import io
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_export.contract.calibration import Calibration, ScoreCalibration
from service.__main__ import build_parser as service_parser
from tests.support.bundles import CALIBRATION, curve, write_bundle
from tests.house.forked_python import forking_python
from tests.house.pages import PAGES, ROOT, Fence, fences, name
from tests.support.service import Service, environment
from training.commands.cli import build_parser
from training.tasks.recipes import find_recipe

COMPOSE = ("docker-compose.yml", "deploy/compose.scale.yaml")

ADDRESS = "http://127.0.0.1:8000"
CATEGORIES = ("service", "stopped", "parse")
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
STREAMERS = [
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

    def __init__(self, folder: Path, running: ExitStack, python: Sequence[str]) -> None:
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
        (binaries / "python").write_text(f'#!/bin/sh\nexec {shlex.join(python)} "$@"\n')
        (binaries / "similar-streamer").write_text('#!/bin/sh\nexec python -m service "$@"\n')
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
            service.bulk(STREAMERS)
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


@pytest.fixture(scope="module")
def python() -> Iterator[Sequence[str]]:
    """Words that stand for `python` in commands."""
    with forking_python() as words:
        yield words


@pytest.fixture
def workplace(tmp_path: Path, python: Sequence[str]) -> Iterator[Workplace]:
    with ExitStack() as running:
        yield Workplace(tmp_path, running, python)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for fence in fences(page):
        where = f"{name(page)}:{fence.line}"
        if fence.language in PROSE:
            assert fence.category is None, where
        else:
            categories = CATEGORIES if fence.language == "bash" else ("service", "stopped")
            assert fence.language in ("bash", "python"), where
            assert fence.category in categories, where


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_a_page_says_which_address_it_asks(page: Path) -> None:
    text = "\n".join(fence.text for fence in fences(page) if fence.language == "bash")
    first = re.search(r"\bURL=|\$URL\b", text)
    assert first is None or first.group() == "URL="


@pytest.mark.slow  # all pages together
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_work(page: Path, workplace: Workplace, python: Sequence[str]) -> None:
    answer: str | None = None
    for fence in fences(page):
        if fence.category == "service":
            url = workplace.url()
            text = fence.text.replace(ADDRESS, url)
            if fence.language == "python":
                assert workplace.run_python(text)
            else:
                answer = workplace.run(f"export URL={url} STREAMER_URL={url}\n{text}")
        elif fence.category == "stopped":
            workplace.stop()
            run = workplace.run_python if fence.language == "python" else workplace.run
            run(fence.text)
        elif fence.category == "parse":
            for words in commands(fence):
                check(words, python)
        elif fence.language == "json" and answer is not None:
            assert_alike(json.loads(fence.text), last_json(answer))
        if fence.category != "service":
            answer = None


def last_json(output: str) -> Any:
    """The last of the documents that were printed one after the other."""
    decoder, value, place = json.JSONDecoder(), None, 0
    while place < len(output):
        value, place = decoder.raw_decode(output, place)
        place = re.compile(r"\s*").match(output, place).end()  # pyright: ignore[reportOptionalMemberAccess]
    return value


def assert_alike(example: Any, real: Any, where: str = "") -> None:
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


# Commands that are not run


def commands(fence: Fence) -> list[list[str]]:
    """The words of each command of a block, comments left out."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def check(words: list[str], python: Sequence[str]) -> None:
    """What a command names exists; a command that is not known here fails."""
    program, *rest = words
    if "xargs" in words:  # -P PROCESSES -I{} COMMAND
        check(words[words.index("xargs") + 4 :], python)
    elif program == "make":
        check_make(rest)
    elif program in ("python", ".venv/bin/python") and rest[0] == "-m":
        check_module(rest[1], rest[2:], python)
    elif program == "torchrun":
        check_module(rest[rest.index("-m") + 1], rest[rest.index("-m") + 2 :], python)
    elif words[:2] == ["pip", "install"]:
        check_extras(words[2])
    elif words[:3] == ["docker", "compose", "up"]:
        assert set(words[3:]) <= set(compose()["services"])
    elif words[:3] == ["docker", "compose", "-f"]:
        assert words[4:] == ["up"]
        assert compose(words[3])["services"]
    elif words[:3] == ["docker", "build", "--target"]:
        assert f" AS {words[3]}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    elif "kubectl" in words[:2]:  # until COMMAND
        check_kubectl(words[words.index("kubectl") + 1 :])
    elif program == "amtool":
        assert rest[:2] in (["silence", "add"], ["silence", "expire"]), words
    elif program == "export":
        wanted = {f"{word.split('=')[0]}:?" for word in rest}
        assert any(all(name in str(compose(f)) for name in wanted) for f in COMPOSE), words
    else:
        pytest.fail(f"nobody checks {shlex.join(words)}")


def check_make(words: list[str]) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check_module(module: str, words: list[str], python: Sequence[str]) -> None:
    if module == "training":
        args = vars(build_parser(words[0]).parse_args(words))
        one = args.get("recipe")  # none with `fit --config`
        for recipe in args.get("recipes", [] if one is None else [one]):
            find_recipe(recipe)
        return
    text = help_of_service(words) if module == "service" else help_of(python, module)
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--"):
            assert re.search(rf"(?<![\w-]){option}\b", text), f"{module}: {option}\n{text}"
        elif import_string := re.fullmatch(r"((?:\w+\.)+\w+):(\w+)", word):
            source = ROOT / f"{import_string[1].replace('.', '/')}.py"
            assert f"def {import_string[2]}(" in source.read_text(encoding="utf-8"), word


def check_kubectl(words: list[str]) -> None:
    """Folders and objects exist; `create secret generic` has the names that the pods read."""
    if words[:2] == ["apply", "-k"]:
        assert (ROOT / words[2] / "kustomization.yaml").is_file(), words
        return
    if words[:2] == ["create", "job"]:
        assert words[2] in {f"--from=cronjob/{name}" for name in named("CronJob")}, words
        return
    if words[:2] == ["scale", "statefulset"]:
        assert words[2] in named("StatefulSet"), words
        return
    if words[:2] == ["rollout", "status"]:
        assert words[2].removeprefix("statefulset/") in named("StatefulSet"), words
        return
    if words[:2] == ["get", "job"]:
        assert words[3:5] == ["-o", "jsonpath={.status.conditions[*].type}"], words
        return
    if words[0] == "wait":
        assert words[1].startswith("--for="), words
        return
    assert words[:3] == ["create", "secret", "generic"], words
    keys = {word.split("=")[1] for word in words if word.startswith("--from-literal=")}
    pattern = rf"secretKeyRef:\s+name: {re.escape(words[3])}\s+key: (\S+)"
    read = {
        folder: {
            key
            for file in (ROOT / "deploy/kubernetes" / folder).glob("*.yaml")
            for key in re.findall(pattern, file.read_text(encoding="utf-8"))
        }
        for folder in ("base", "scale")
    }
    assert keys in (read["base"], read["base"] | read["scale"]), words


def named(kind: str) -> set[str]:
    """The names of all objects of a kind in the manifests."""
    files = (ROOT / "deploy" / "kubernetes").rglob("*.yaml")
    found = [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    return {one["metadata"]["name"] for one in found if one.get("kind") == kind}


def help_of_service(words: Sequence[str]) -> str:
    """What `python -m service COMMAND [ACTION] --help` prints; that it does is tested elsewhere."""
    actions = itertools.takewhile(lambda word: not word.startswith("-"), words)
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        service_parser("service", words[:1]).parse_args([*actions, "--help"])
    assert ended.value.code == 0, words
    return printed.getvalue()


def help_of(python: Sequence[str], module: str) -> str:
    """What `--help` prints."""
    done = subprocess.run(
        [*python, "-m", module, "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_extras(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = re.fullmatch(r"\.\[([\w,-]+)\]", package)
    assert names is not None, package
    assert set(names[1].split(",")) <= set(project["optional-dependencies"])


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    """A compose file."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
